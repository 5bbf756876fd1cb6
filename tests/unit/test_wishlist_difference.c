/* What a change of a recipe means: wishlist/difference.h. */
#include "check.h"

#include "wishlist/difference.h"

static struct recipe parse(const char *path, const char *text)
{
    struct recipe recipe = RECIPE_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(recipe_parse(path, text, strlen(text), &recipe, &err), &err);
    return recipe;
}

/* One line a difference. Owned. */
static char *compare(const char *old_text, const char *new_text)
{
    _cleanup_recipe_ struct recipe old = parse("old", old_text), new = parse("new", new_text);
    _cleanup_differences_ struct differences found;
    struct buf out = BUF_INIT;
    differences_find(&old, &new, &found);
    buf_adds(&out, "");
    for (size_t i = 0; i < found.count; i++) {
        const struct difference *d = &found.items[i];
        buf_addf(&out, "%s %s %s%s%s %s", difference_word(d->kind), d->place, d->repository,
                 d->prefix ? " " : "", d->prefix ? d->prefix : "", d->entry);
        if (d->kind == DIFFERENCE_SETTING)
            buf_addf(&out, " %s: %s -> %s, %zu", d->setting, d->before ? d->before : "-",
                     d->after ? d->after : "-", d->entries);
        buf_addc(&out, '\n');
    }
    return buf_take(&out);
}

#define HEAD "version: 2\nrepository: r.org\n"

static void test_differences__table(void **state)
{
    (void)state;
    static const struct {
        const char *old, *new, *expected;
    } table[] = {
        {HEAD "images: [q.io/a:1, q.io/b:*]\n", HEAD "images: [q.io/a:1, q.io/b:*]\n", ""},
        /* Lines, lists, and spellings are no difference. */
        {"version: 1\ncvmfs_repo: r.org\ninput: ['https://q.io/a:1', 'q.io/b:1.*']\n",
         HEAD "lists:\n- images: [{image: q.io/b, glob: '1.*'}]\n- name: x\n  images: [q.io/a:1]\n",
         ""},
        {HEAD "images: [q.io/a:1, q.io/b:1]\n", HEAD "images:\n- q.io/a:2\n- q.io/b:1\n",
         "added new:4 r.org q.io/a:2\n"
         "removed old:3 r.org q.io/a:1\n"},
        {HEAD "images: [q.io/a:1]\n", HEAD "prefix: vo\nimages: [q.io/a:1]\n",
         "added new:4 r.org vo q.io/a:1\n"
         "removed old:3 r.org q.io/a:1\n"},
        {HEAD "images: [q.io/a:1]\n", "version: 2\nrepository: s.org\nimages: [q.io/a:1]\n",
         "added new:3 s.org q.io/a:1\n"
         "removed old:3 r.org q.io/a:1\n"},
        {HEAD "images: [{image: q.io/a, newest: 3}]\n",
         HEAD "images: [{image: q.io/a, newest: 4}]\n",
         "added new:3 r.org q.io/a newest=4 by=semver\n"
         "removed old:3 r.org q.io/a newest=3 by=semver\n"},
        {HEAD "images:\n- {image: q.io/a:1, suspend: yes}\n- q.io/b:1\n",
         HEAD "images:\n- q.io/a:1\n- {image: q.io/b:1, suspend: yes}\n",
         "suspended new:5 r.org q.io/b:1\n"
         "resumed new:4 r.org q.io/a:1\n"},
        /* One line for all entries that it is about. */
        {HEAD "images: [q.io/a:1, q.io/b:1, q.io/c:1]\n",
         HEAD "chains: all\nlimits: {tags: 5, image_size: 3K}\nimages: [q.io/a:1, q.io/b:1]\n"
              "lists: [{images: [q.io/c:1], chains: none}]\n",
         "changed new:5 r.org q.io/a:1 chains: - -> all, 2\n"
         "changed new:5 r.org q.io/a:1 limits.image_size: - -> 3000 bytes, 3\n"
         "changed new:5 r.org q.io/a:1 limits.tags: - -> 5, 3\n"
         "changed new:6 r.org q.io/c:1 chains: - -> none, 1\n"},
        {HEAD "platforms: [linux/amd64]\ninterval: 60s\nowner: a\ncontact: b\n"
              "images: [q.io/a:1, q.io/b:1]\n",
         HEAD
         "interval: 1m\ncontact: c\n"
         "images: [{image: q.io/a:1, platforms: [linux/amd64]}, {image: q.io/b:1, interval: 2m}]\n",
         "changed new:5 r.org q.io/a:1 owner: a -> -, 2\n"
         "changed new:5 r.org q.io/a:1 contact: b -> c, 2\n"
         "changed new:5 r.org q.io/b:1 platforms: linux/amd64 -> -, 1\n"
         "changed new:5 r.org q.io/b:1 interval: 1m -> 2m, 1\n"},
        {HEAD "images: [http://q.io/a:1]\n", HEAD "images: [q.io/a:1]\n",
         "changed new:3 r.org q.io/a:1 scheme: http -> https, 1\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        _cleanup_free_ char *found = compare(table[i].old, table[i].new);
        assert_string_equal(table[i].expected, found);
    }
}

static void test_differences__what_is_touched(void **state)
{
    (void)state;
    _cleanup_recipe_ struct recipe old =
        parse("old", HEAD "images: [q.io/a:1, q.io/b:1, q.io/c:1, q.io/d:1]\n");
    _cleanup_recipe_ struct recipe new =
        parse("new", HEAD "images: [q.io/e:1, {image: q.io/c:1, interval: 1h}, "
                          "{image: q.io/d:1, platforms: [linux/arm64]}, "
                          "{image: q.io/b:1, suspend: yes}]\n");
    _cleanup_differences_ struct differences found;
    differences_find(&old, &new, &found);
    static const bool old_touched[] = {true, false, false, true};
    static const bool new_touched[] = {true, false, true, false};
    assert_memory_equal(old_touched, found.old_touched, sizeof old_touched);
    assert_memory_equal(new_touched, found.new_touched, sizeof new_touched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences__table),
        cmocka_unit_test(test_differences__what_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
