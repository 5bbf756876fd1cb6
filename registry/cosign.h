/*
 * Signatures of images by `cosign sign --key` (cosign's "Signature Specifications"): a manifest
 * whose layers are payloads (simple signing) with the signature as an annotation, found under the
 * tag ALGORITHM-HEX.sig, or as a referrer of the image (OCI distribution specification 1.1,
 * "Listing Referrers", with its fall-back to the tag ALGORITHM-HEX).
 *
 * A signature counts if it is right by one of the keys and its payload names the image's digest.
 * The reference that a payload claims is not compared, as cosign does not: a digest is the same
 * image wherever it lies.
 */
#ifndef REGISTRY_COSIGN_H
#define REGISTRY_COSIGN_H

#include "registry/client.h"
#include "registry/site.h"

/* 0 if `digest`, an image or index in the reference's repository, is signed as the rule wants;
 * ERROR_POLICY with the reason if not. Another error if it cannot be found out. */
MUST_CHECK int cosign_check(struct registry_client *client, const struct reference *ref,
                            const struct digest *digest, const struct site_rule *rule,
                            struct error *err);

/* Whether a tag is one that signatures and other attachments lie under (sha256-HEX, with a word
 * behind it or none): no image of anybody's. */
bool cosign_is_signature_tag(const char *tag);

/* Whether a payload is about an image: ERROR_PARSE, ERROR_POLICY. */
MUST_CHECK int cosign_check_payload(const char *bytes, size_t len, const struct digest *digest,
                                    struct error *err);

#endif
