/*
 * The documents that make up a wanted image (index, manifest, configuration), each from the
 * repository if it was published with just these bytes, else from a registry.
 *
 * A tag names a manifest or an index; an index may lead to another. Whatever a document says of the
 * next one (digest, size, media type) must be so: ERROR_CORRUPT.
 */
#ifndef REPOSITORY_DOCUMENTS_H
#define REPOSITORY_DOCUMENTS_H

#include "repository/image.h"
#include "repository/repository.h"
#include "registry/client.h"

struct document_source {
    struct registry_client *client;
    const struct repository *repository; /* may be NULL with `again` */
    const char *prefix;                  /* of public names; NULL: none */
    bool again;                          /* as if nothing had been published */
};

/* What a public name led to when it was last published; false if that is not known. */
bool documents_known_digest(const struct document_source *source, const struct reference *ref,
                            struct digest *out);

/* The tags of the reference's repository that are published, below the source's prefix: `found` is
 * called for each; what cannot be read is none. */
void documents_known_tags(const struct document_source *source, const struct reference *ref,
                          void (*found)(void *arg, const char *tag), void *arg);

/* What the image's names point to now. */
MUST_CHECK int documents_top(const struct document_source *source, const struct image *image,
                             const struct digest *digest, struct fetched_manifest *out,
                             struct error *err);

/* One platform's manifest in an index. */
struct document_choice {
    struct digest digest;
    uint64_t size;
    char *media_type;
    struct buf nested;   /* the index inside the index that names it; empty: the top one does */
    size_t attestations; /* entries of the top index that are no images but say things of them */
};
void document_choice_release(struct document_choice *choice);
/* ERROR_NOT_FOUND with what there is. */
MUST_CHECK int documents_choose(const struct document_source *source, const struct image *image,
                                const struct platform *platform, struct document_choice *out,
                                struct error *err);

/* Fill in the image's manifest and configuration. */
MUST_CHECK int documents_complete(const struct document_source *source, struct image *image,
                                  const struct document_choice *choice, struct error *err);
/* The same where the names point to the manifest itself: *manifest is taken over. */
MUST_CHECK int documents_complete_plain(const struct document_source *source, struct image *image,
                                        struct fetched_manifest *manifest, struct error *err);

#endif
