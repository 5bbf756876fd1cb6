#include "wishlist/git_mirror.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PACKS_MAX    50
#define LOCK_SECONDS 0.2

int git_mirror_lock(const char *path, void (*alive)(void *arg), void *arg, int *out_fd,
                    struct error *err)
{
    _cleanup_free_ char *lock = xasprintf("%s.lock", path);
    _cleanup_free_ char *folder = path_parent(path);
    _cleanup_free_ char *holder = xasprintf("process %d\n", (int)getpid());
    if (dir_make(folder, 0700, err) < 0)
        return -1;
    while (lock_take(lock, holder, out_fd, err) < 0) {
        if (err->kind != ERROR_BUSY)
            return -1;
        error_release(err);
        alive(arg);
        clock_sleep(LOCK_SECONDS);
    }
    return 0;
}

int git_mirror_open(const char *path, git_repository **out, struct error *err)
{
    git_library_start();
    if (git_repository_open_bare(out, path) == 0)
        return 0;
    if (tree_remove(path, err) < 0)
        return -1;
    return git_repository_init(out, path, true) < 0
               ? git_library_error(err, ERROR_IO, "cannot make the mirror")
               : 0;
}

/* One of our names leads to it: then its fetch was finished. */
bool git_mirror_has(git_repository *mirror, const git_oid *commit)
{
    bool found = false;
    git_reference_iterator *names;
    git_reference *name;
    if (git_reference_iterator_new(&names, mirror) < 0)
        return false;
    while (git_reference_next(&name, names) == 0) {
        const git_oid *id = git_reference_target(name);
        found |= id && git_oid_equal(id, commit);
        git_reference_free(name);
    }
    git_reference_iterator_free(names);
    _cleanup_git_(commit) git_commit *there = NULL;
    return found && git_commit_lookup(&there, mirror, commit) == 0;
}

int git_mirror_keep(git_repository *mirror, const char *branch, const git_oid *commit,
                    struct error *err)
{
    _cleanup_git_(reference) git_reference *name = NULL;
    _cleanup_git_(commit) git_commit *there = NULL;
    const char *of = branch ? branch : "";
    struct digest digest = digest_of(DIGEST_SHA256, of, strlen(of));
    _cleanup_free_ char *text = xasprintf("refs/ducc/%s", digest_hex(&digest).s);
    if (git_commit_lookup(&there, mirror, commit) < 0)
        return git_library_error(err, ERROR_CORRUPT, "the branch is no commit");
    return git_reference_create(&name, mirror, text, commit, true, "fetch") < 0
               ? git_library_error(err, ERROR_IO, "cannot keep the branch")
               : 0;
}

/* ---- tidying ---- */

static int is_pack(const struct dirent *entry)
{
    return ends_with(entry->d_name, ".pack") || ends_with(entry->d_name, ".idx");
}

struct packing {
    void (*alive)(void *arg);
    void *arg;
};

static int on_packing(int stage, uint32_t current, uint32_t total, void *arg)
{
    const struct packing *p = arg;
    (void)stage;
    (void)current;
    (void)total;
    p->alive(p->arg);
    return 0;
}

/* Everything that our names lead to, in one new pack. Its name (without folder and ending) in
 * out_name, owned. */
static int pack_all(git_repository *mirror, struct packing *p, char **out_name, struct error *err)
{
    _cleanup_git_(packbuilder) git_packbuilder *builder = NULL;
    _cleanup_git_(revwalk) git_revwalk *walk = NULL;
    if (git_packbuilder_new(&builder, mirror) < 0 || git_revwalk_new(&walk, mirror) < 0 ||
        git_packbuilder_set_callbacks(builder, on_packing, p) < 0 ||
        git_revwalk_push_glob(walk, "refs/ducc/*") < 0 ||
        git_packbuilder_insert_walk(builder, walk) < 0 ||
        git_packbuilder_write(builder, NULL, 0, NULL, NULL) < 0)
        return git_library_error(err, ERROR_IO, "cannot tidy the mirror");
    char name[GIT_OID_HEXSZ + 1];
    git_oid_tostr(name, sizeof name, git_packbuilder_hash(builder));
    *out_name = xasprintf("pack-%s.", name);
    return 0;
}

static int list_packs(const char *folder, struct dirent ***out)
{
    int count = scandir(folder, out, is_pack, alphasort);
    return count < 0 ? 0 : count;
}

int git_mirror_tidy(git_repository *mirror, void (*alive)(void *arg), void *arg, struct error *err)
{
    _cleanup_free_ char *folder = path_join(git_repository_path(mirror), "objects/pack");
    struct packing p = {alive, arg};
    struct dirent **entries = NULL;
    _cleanup_free_ char *kept = NULL;
    int count = list_packs(folder, &entries), rc = 0;
    if (count > 2 * PACKS_MAX)
        rc = pack_all(mirror, &p, &kept, err);
    for (int i = 0; i < count; i++) {
        _cleanup_free_ char *path = path_join(folder, entries[i]->d_name);
        if (kept && rc == 0 && !starts_with(entries[i]->d_name, kept) && unlink(path) < 0)
            rc = error_set_errno(err, ERROR_IO, errno, "%s: cannot remove", path);
        free(entries[i]);
    }
    free(entries);
    return rc;
}
