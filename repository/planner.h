/* What the parts of the planner share (internal to repository/plan*.c). */
#ifndef REPOSITORY_PLANNER_H
#define REPOSITORY_PLANNER_H

#include "repository/plan.h"

struct planner {
    const struct repository *repository;
    const struct policy *policy;
    struct changeset *cs;
    struct plan_summary *summary;
    struct podman_lists *podman; /* as they will be */
    bool podman_changed;
    const char *scratch;             /* of struct plan_target */
    const struct known_files *known; /* the changeset's */
};

/* plan_known.c: find files of new layers that need not be sent. `range` are the levels of the
 * images' stacks that are being planned. */
struct known_range {
    size_t first, count;
};
MUST_CHECK int planner_find_known(struct planner *p, struct image *const *images, size_t count,
                                  const struct known_range *range, struct error *err);
/* plan_links.c: of files of an index, whether what is there below `home` is what the index says,
 * and can be linked to. `entries` and `out` have `count` items. If a stop is asked for meanwhile,
 * the rest cannot. */
void planner_can_link(const struct repository *repository, const char *home,
                      const struct layer_index *index, const uint32_t *entries, size_t count,
                      bool *out);

/* Whether a unit is neither there nor planned. */
MUST_CHECK int planner_is_new(const struct planner *p, const char *path, bool *out,
                              struct error *err);
MUST_CHECK int planner_ensure_directory(struct planner *p, const char *path, struct error *err);
/* Every directory above `path`, outer ones first: ingest would make them with a foreign owner. */
MUST_CHECK int planner_ensure_parents(struct planner *p, const char *path, struct error *err);

/* plan_podman.c: one image's layers, records and files; then the two lists, once a group. */
MUST_CHECK int plan_podman_image(struct planner *p, const struct image *image, struct error *err);
MUST_CHECK int plan_podman_lists(struct planner *p, struct error *err);
/* Whether the store has the image's layers; and its record with all names. */
bool plan_podman_has_layers(const struct podman_store *store, const struct image *image,
                            const struct policy *policy);
bool plan_podman_has_image(const struct podman_store *store, const struct image *image);

#endif
