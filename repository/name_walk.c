#include "repository/name_walk.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/image.h"
#include "repository/multiarch.h"
#include "repository/published.h"
#include "repository/removal.h"

#include <string.h>
#include <sys/stat.h>

struct name_walk {
    const struct repository *repository;
    name_walk_link link;
    name_walk_folder folder;
    void *arg;
};

/* ---- links ---- */

static int visit_link(const struct name_walk *w, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    enum unit_kind kind;
    struct digest id;
    if (published_readlink(w->repository, path, &text, err) < 0)
        return -1;
    _cleanup_free_ char *target = text.data[0] == '/' ? NULL : link_target(path, text.data);
    return target && unit_of_path(target, &kind, &id) ? w->link(w->arg, path, kind, &id, err) : 0;
}

/* At the top of the repository: what holds no public names. */
static bool is_ours(const char *entry)
{
    return strcmp(entry, PODMAN_STORE) == 0 ||
           (entry[0] == '.' && strcmp(entry, MULTIARCH_FOLDER) != 0);
}

static int walk_links(const struct name_walk *w, const char *folder, struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    if (cancel_check(err) < 0 || published_list(w->repository, folder, &entries, err) < 0)
        return -1;
    for (size_t i = 0; i < entries.count; i++) {
        mode_t type;
        if (*folder == '\0' && is_ours(entries.items[i]))
            continue;
        _cleanup_free_ char *path = path_join(folder, entries.items[i]);
        if (published_type(w->repository, path, &type, err) < 0 ||
            (S_ISLNK(type) && visit_link(w, path, err) < 0) ||
            (S_ISDIR(type) && walk_links(w, path, err) < 0))
            return -1;
    }
    return 0;
}

int name_walk_links(const struct repository *r, name_walk_link visit, void *arg, struct error *err)
{
    return walk_links(&(struct name_walk){.repository = r, .link = visit, .arg = arg}, "", err);
}

/* ---- documents ---- */

static int walk_documents(const struct name_walk *w, const char *folder, struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    _cleanup_free_ char *path = layout_metadata(folder);
    bool is_name = false;
    if (cancel_check(err) < 0 || published_list(w->repository, path, &entries, err) < 0 ||
        w->folder(w->arg, folder, &entries, &is_name, err) < 0)
        return -1;
    for (size_t i = 0; !is_name && i < entries.count; i++) {
        mode_t type;
        if (*folder == '\0' && strcmp(entries.items[i], path_name(REMOVED_FOLDER)) == 0)
            continue;
        _cleanup_free_ char *below = path_join(folder, entries.items[i]);
        _cleanup_free_ char *below_path = layout_metadata(below);
        if (published_type(w->repository, below_path, &type, err) < 0 ||
            (S_ISDIR(type) && walk_documents(w, below, err) < 0))
            return -1;
    }
    return 0;
}

int name_walk_documents(const struct repository *r, name_walk_folder visit, void *arg,
                        struct error *err)
{
    return walk_documents(&(struct name_walk){.repository = r, .folder = visit, .arg = arg}, "",
                          err);
}
