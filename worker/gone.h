/*
 * Whether a tag is gone from its registry, with certainty; what is done about it is
 * config/retention.h's to say.
 *
 * A registry that is out of order, closed to us or half restored answers in many ways. So three
 * answers have to agree, in one pass: the HEAD that failed was a 404, a GET of the manifest is one
 * too, and the repository's list of tags can be read as a whole and has no such tag (a registry
 * that hides from us what we may not see hides its tags as well). Whatever else comes (401, 403,
 * 5xx, a timeout, an unknown repository) says nothing.
 *
 * Only names that are published are asked about.
 */
#ifndef WORKER_GONE_H
#define WORKER_GONE_H

#include "worker/tag_lists.h"
#include "repository/documents.h"

struct missing_tag {
    const struct reference *ref; /* its HEAD was answered with 404 */
    bool is_gone;                /* out */
};

/* Reads the lists it needs that *lists does not have yet. */
void gone_find(const struct document_source *source, struct tag_lists *lists, size_t threads,
               struct missing_tag *tags, size_t count);

#endif
