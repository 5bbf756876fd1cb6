/* The directory back end (repository/repository.h): what a changeset leaves in a folder. As root.
 */
#include "changeset_maker.h"
#include "layer_maker.h"

#include "repository/repository.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct repository *open_repository(const char *root)
{
    struct repository *r;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(repository_open(root, &r, &err), &err);
    assert_ok(repository_begin(r, "/nowhere", &err), &err);
    return r;
}

static int commit(struct repository *r, const struct changeset *cs, struct commit_report *out,
                  struct error *err)
{
    static const struct commit_options plain;
    return repository_commit(r, cs, &plain, out, err);
}

static void add_attributes(struct buf *out, const char *path, const struct stat *st)
{
    char text[4096] = "";
    uint32_t ordinary = S_ISDIR(st->st_mode) ? 0755 : S_ISLNK(st->st_mode) ? 0777 : 0644;
    if ((st->st_mode & 07777) != ordinary)
        buf_addf(out, " %o", st->st_mode & 07777);
    if (st->st_uid || st->st_gid)
        buf_addf(out, " %u:%u", st->st_uid, st->st_gid);
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        buf_addf(out, " %u,%u", major(st->st_rdev), minor(st->st_rdev));
    if (S_ISLNK(st->st_mode) && readlink(path, text, sizeof text - 1) > 0)
        buf_addf(out, " -> %s", text);
    if (S_ISREG(st->st_mode)) {
        _cleanup_error_ struct error err = ERROR_INIT;
        buf_adds(out, " =");
        assert_ok(file_read(path, 1 << 20, out, &err), &err);
        if (st->st_nlink > 1)
            buf_addf(out, " *%u", (unsigned)st->st_nlink);
    }
    if (st->st_mtime < 1000000000) /* ours carry the time of the changeset */
        buf_addf(out, " @%lld", (long long)st->st_mtime);
}

static int not_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static void list_folder(struct buf *out, const char *root, const char *below)
{
    struct dirent **names;
    _cleanup_free_ char *folder = path_join(root, below);
    int count = scandir(folder, &names, not_dots, alphasort);
    for (int i = 0; i < count; i++) {
        struct stat st;
        _cleanup_free_ char *name = path_join(below, names[i]->d_name);
        _cleanup_free_ char *path = path_join(root, name);
        assert_int_equal(lstat(path, &st), 0);
        buf_addf(out, "%c %s", " pc d b f l"[(st.st_mode & S_IFMT) >> 12], name);
        add_attributes(out, path, &st);
        buf_addc(out, '\n');
        if (S_ISDIR(st.st_mode))
            list_folder(out, root, name);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static void expect_folder(const char *root, const char *expected)
{
    _cleanup_buf_ struct buf listing = BUF_INIT;
    list_folder(&listing, root, "");
    assert_same_text(root, listing.data, expected);
}

/* The tree of one layer below `root`, its files carrying their content. */
static int add_layer(struct changeset *cs, const char *root, struct stack *stack,
                     struct layer *layer, const char *home, struct error *err)
{
    const struct layer_index *index = &layer->index;
    size_t bad;
    if (stack_init(stack, &index, 1, &bad, err) < 0)
        return -1;
    struct tree_change t = {
        .root = root, .stack = stack, .layers = xcalloc(1, sizeof(struct layer_source))};
    t.layers[0] = (struct layer_source){.layer = layer, .home = home ? xstrdup(home) : NULL};
    stack_merge(stack, 1, &t.tree);
    return changeset_add_tree(cs, &t, err);
}

static const char sample[] =
    "d . 0711 1:2 @5;d d 0700 3:4 @-6;f d/f one 4755 5:6 @-7;l g d/f;f none x 0 @8;"
    "s s d/f @9;p p 0600 @10;c c 1,3 0660 7:8 @11;b b 7,200 @12;d ro 0555 @13;f ro/f y @14;"
    "f caf\xe9* z @15;d sticky 1777 @16";

static const char sample_tree[] =
    "d t 711 1:2 @5\nf t/.cvmfscatalog = @5\nb t/b 7,200 @12\nc t/c 660 7:8 1,3 @11\n"
    "f t/caf\xe9* =z @15\nd t/d 700 3:4 @-6\nf t/d/f 4755 5:6 =one *2 @-7\n"
    "f t/g 4755 5:6 =one *2 @-7\nf t/none 0 =x @8\np t/p 600 @10\nd t/ro 555 @13\n"
    "f t/ro/f =y @14\nl t/s -> d/f @9\nd t/sticky 1777 @16\n";

static void test_directory__attributes_of_all_kinds(void **state)
{
    (void)state;
    _cleanup_free_ char *root = new_folder("attributes");
    struct repository *r = open_repository(root);
    struct layer layer = make_layer(sample, 1);
    struct stack stack;
    struct commit_report report;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs = changeset_new();
    changeset_begin_unit(cs, "t");
    assert_ok(add_layer(cs, "t", &stack, &layer, "t", &err), &err);
    changeset_end_unit(cs);
    mode_t mask = umask(077); /* not ours to depend on */
    assert_ok(commit(r, cs, &report, &err), &err);
    assert_int_equal(umask(mask), 077);
    expect_folder(root, sample_tree);
    assert_false(report.owners_left_out);
    changeset_free(cs);
    stack_release(&stack);
    layer_release(&layer);
    repository_free(r);
}

static void test_directory__small_changes_replace(void **state)
{
    (void)state;
    _cleanup_free_ char *root = new_folder("small");
    struct repository *r = open_repository(root);
    struct commit_report report;
    _cleanup_error_ struct error err = ERROR_INIT;
    for (int round = 0; round < 2; round++) {
        struct changeset *cs = changeset_new();
        assert_ok(changeset_add_directory(cs, "d", &err), &err);
        assert_ok(changeset_add_file(cs, "d/f", round ? "new" : "old", 3, &err), &err);
        assert_ok(changeset_add_symlink(cs, "name:1", round ? "to" : "from", &err), &err);
        assert_ok(commit(r, cs, &report, &err), &err);
        expect_folder(root, round ? "d d\nf d/f =new\nl name:1 -> to\n"
                                  : "d d\nf d/f =old\nl name:1 -> from\n");
        changeset_free(cs);
    }
    repository_free(r);
}

static void test_directory__links_to_units_of_the_same_commit_and_of_earlier_ones(void **state)
{
    (void)state;
    _cleanup_free_ char *root = new_folder("links");
    struct repository *r = open_repository(root);
    struct layer layer = make_layer("f a one @1;l b a;p p @1", 1);
    struct commit_report report;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct stack stacks[3];
    static const char *const roots[] = {"L", "M", "N"};
    for (int first = 0; first < 3; first += 2) {
        struct changeset *cs = changeset_new();
        for (int i = first; i < 3 && i < first + 2; i++) {
            changeset_begin_unit(cs, roots[i]);
            assert_ok(add_layer(cs, roots[i], &stacks[i], &layer, "L", &err), &err);
            changeset_end_unit(cs);
        }
        assert_ok(commit(r, cs, &report, &err), &err);
        changeset_free(cs);
    }
    expect_folder(root, "d L @0\nf L/.cvmfscatalog = @0\nf L/a =one *6 @1\nf L/b =one *6 @1\n"
                        "p L/p @1\nd M @0\nf M/.cvmfscatalog = @0\nf M/a =one *6 @1\n"
                        "f M/b =one *6 @1\np M/p @1\nd N @0\nf N/.cvmfscatalog = @0\n"
                        "f N/a =one *6 @1\nf N/b =one *6 @1\np N/p @1\n");
    for (int i = 0; i < 3; i++)
        stack_release(&stacks[i]);
    layer_release(&layer);
    repository_free(r);
}

/* A unit that cannot be completed, behind one that can: neither is there, nor any small change. */
static void test_directory__a_failure_leaves_nothing(void **state)
{
    (void)state;
    _cleanup_free_ char *root = new_folder("failure");
    struct repository *r = open_repository(root);
    struct layer good = make_layer("d d 0500;f d/a one", 1), bad = make_layer("f a x;f b two", 2);
    struct stack stacks[2];
    struct commit_report report;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs = changeset_new();
    assert_int_equal(ftruncate(bad.data_fd, 2), 0); /* the spool is damaged in the middle */
    assert_ok(changeset_add_file(cs, "small", "s", 1, &err), &err);
    changeset_begin_unit(cs, "good");
    assert_ok(add_layer(cs, "good", &stacks[0], &good, NULL, &err), &err);
    changeset_end_unit(cs);
    changeset_begin_unit(cs, "bad");
    assert_ok(add_layer(cs, "bad", &stacks[1], &bad, NULL, &err), &err);
    changeset_end_unit(cs);
    assert_ok(changeset_add_symlink(cs, "name", "good", &err), &err);
    assert_fails("commit", commit(r, cs, &report, &err), &err, ERROR_IO,
                 "cannot read from the spool the content of \"bad/b\"");
    assert_non_null(strstr(err.message, root));
    expect_folder(root, "");
    changeset_free(cs);
    for (int i = 0; i < 2; i++)
        stack_release(&stacks[i]);
    layer_release(&good);
    layer_release(&bad);
    repository_free(r);
}

static void test_directory__a_link_to_nothing_is_a_failure(void **state)
{
    (void)state;
    _cleanup_free_ char *root = new_folder("nothing");
    struct repository *r = open_repository(root);
    struct layer layer = make_layer("f a one", 1);
    struct stack stack;
    struct commit_report report;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs = changeset_new();
    assert_ok(add_layer(cs, "M", &stack, &layer, "gone", &err), &err);
    assert_fails("commit", commit(r, cs, &report, &err), &err, ERROR_IO,
                 "cannot link to \"gone/a\"");
    changeset_free(cs);
    stack_release(&stack);
    layer_release(&layer);
    repository_free(r);
}

/* What a killed run leaves: the staging folder, with directories that nobody may enter. */
static void test_directory__begin_repairs(void **state)
{
    (void)state;
    _cleanup_free_ char *root = new_folder("repair");
    _cleanup_free_ char *left = path_join(root, ".ducc-staging/1/d");
    _cleanup_free_ char *file = path_join(left, "f");
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(dir_make(left, 0755, &err), &err);
    write_file(file, "x", 1);
    assert_int_equal(chmod(left, 0), 0);
    repository_free(open_repository(root));
    expect_folder(root, "");
    _cleanup_free_ char *deeper = path_join(root, "not/there/yet");
    repository_free(open_repository(deeper));
    expect_folder(root, "d not\nd not/there\nd not/there/yet\n");
}

/* ext4 allows 65,000 names of a file, XFS and tmpfs more: wherever the limit is, the rest are
 * copies, and nobody can tell but by their inode. */
static void test_directory__more_links_than_the_file_system_has(void **state)
{
    (void)state;
    enum { LINKS = 65100 };
    _cleanup_free_ char *root = new_folder("many");
    struct repository *r = open_repository(root);
    struct making m = making_new();
    struct stack stack;
    struct commit_report report;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(making_add(&m, "f a one 4711 3:4 @-5", &err), &err);
    for (int i = 0; i < LINKS; i++) {
        _cleanup_free_ char *line = xasprintf("l b%d a", i);
        assert_ok(making_add(&m, line, &err), &err);
    }
    struct layer layer = making_finish(&m, 1);
    struct changeset *cs = changeset_new();
    changeset_begin_unit(cs, "t");
    assert_ok(add_layer(cs, "t", &stack, &layer, "t", &err), &err);
    changeset_end_unit(cs);
    assert_ok(commit(r, cs, &report, &err), &err);
    for (int i = 0; i < LINKS; i++) {
        struct stat st;
        _cleanup_free_ char *path = xasprintf("%s/t/b%d", root, i);
        assert_int_equal(lstat(path, &st), 0);
        if (st.st_mode != (S_IFREG | 04711) || st.st_uid != 3 || st.st_mtime != -5 ||
            st.st_size != 3)
            fail_msg("%s has other attributes", path);
    }
    changeset_free(cs);
    stack_release(&stack);
    layer_release(&layer);
    repository_free(r);
}

static void test_directory__what_cannot_be_written_to(void **state)
{
    (void)state;
    _cleanup_free_ char *file = in_scratch("file");
    _cleanup_free_ char *below = path_join(file, "repository");
    struct repository *r;
    _cleanup_error_ struct error err = ERROR_INIT;
    write_file(file, "x", 1);
    assert_ok(repository_open(below, &r, &err), &err);
    assert_fails("begin", repository_begin(r, "/nowhere", &err), &err, ERROR_IO, below);
    repository_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directory__attributes_of_all_kinds),
        cmocka_unit_test(test_directory__small_changes_replace),
        cmocka_unit_test(test_directory__links_to_units_of_the_same_commit_and_of_earlier_ones),
        cmocka_unit_test(test_directory__a_failure_leaves_nothing),
        cmocka_unit_test(test_directory__a_link_to_nothing_is_a_failure),
        cmocka_unit_test(test_directory__begin_repairs),
        cmocka_unit_test(test_directory__more_links_than_the_file_system_has),
        cmocka_unit_test(test_directory__what_cannot_be_written_to),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
