#include "layers/tar_sparse.h"

#include "base/memory.h"

#include <string.h>

#define SPARSE_NUMBERS_MAX ((size_t)2000000) /* a million stored parts */

void tar_sparse_clear(struct tar_sparse *map)
{
    map->count = map->cursor = 0;
}

void tar_sparse_release(struct tar_sparse *map)
{
    free(map->numbers);
    *map = (struct tar_sparse){0};
}

int tar_sparse_add_number(struct tar_sparse *map, uint64_t number, struct error *err)
{
    if (map->count >= SPARSE_NUMBERS_MAX)
        return error_set(err, ERROR_LIMIT, "sparse file: more than %zu parts",
                         SPARSE_NUMBERS_MAX / 2);
    ARRAY_GROW(map->numbers, map->count, map->capacity);
    map->numbers[map->count++] = number;
    return 0;
}

static int bad_map(struct error *err)
{
    return error_set(err, ERROR_PARSE, "sparse file: its map is not a list of numbers");
}

int tar_sparse_parse_list(struct tar_sparse *map, const char *text, size_t len, struct error *err)
{
    tar_sparse_clear(map);
    for (size_t i = 0; i < len;) {
        uint64_t n = 0;
        size_t digits = 0;
        for (; i < len && text[i] >= '0' && text[i] <= '9'; i++, digits++)
            n = n * 10 + (uint64_t)(text[i] - '0');
        if (digits == 0 || digits > 18 || (i < len && text[i] != ','))
            return bad_map(err);
        i++;
        if (tar_sparse_add_number(map, n, err) < 0)
            return -1;
    }
    return 0;
}

int tar_sparse_read_1_0(struct tar_sparse *map, tar_block_fn next, void *arg, struct error *err)
{
    char block[TAR_BLOCK_SIZE];
    uint64_t n = 0, expected = 0;
    size_t digits = 0;
    bool have_count = false;
    tar_sparse_clear(map);
    while (!have_count || map->count < expected) {
        if (next(arg, block, err) < 0)
            return -1;
        for (size_t i = 0; i < sizeof block && (!have_count || map->count < expected); i++) {
            if (block[i] >= '0' && block[i] <= '9' && digits < 18) {
                n = n * 10 + (uint64_t)(block[i] - '0');
                digits++;
                continue;
            }
            if (block[i] != '\n' || digits == 0)
                return bad_map(err);
            if (!have_count) {
                have_count = true;
                expected = 2 * n;
            } else if (tar_sparse_add_number(map, n, err) < 0) {
                return -1;
            }
            n = 0;
            digits = 0;
        }
    }
    return 0;
}

/* Twelve bytes, octal or base-256. */
static int old_number(const char *field, uint64_t *out)
{
    const unsigned char *p = (const unsigned char *)field;
    uint64_t n = 0;
    if (p[0] & 0x80) {
        for (size_t i = 4; i < 12; i++)
            n = n << 8 | p[i];
    } else {
        for (size_t i = 0; i < 12 && p[i] >= '0' && p[i] <= '7'; i++)
            n = n << 3 | (uint64_t)(p[i] - '0');
    }
    *out = n;
    return n <= INT64_MAX ? 0 : -1;
}

/* `count` pairs of 24 bytes; an empty one ends the list. */
static int old_entries(struct tar_sparse *map, const char *p, size_t count, struct error *err)
{
    for (size_t i = 0; i < count && p[24 * i]; i++) {
        uint64_t offset, length;
        if (old_number(p + 24 * i, &offset) < 0 || old_number(p + 24 * i + 12, &length) < 0)
            return bad_map(err);
        if (tar_sparse_add_number(map, offset, err) < 0 ||
            tar_sparse_add_number(map, length, err) < 0)
            return -1;
    }
    return 0;
}

int tar_sparse_read_old(struct tar_sparse *map, const struct tar_header *header, uint64_t *out_size,
                        tar_block_fn next, void *arg, struct error *err)
{
    /* In the GNU header: 4 pairs at 386, "is extended" at 482, real size at 483. */
    const char *raw = (const char *)header;
    tar_sparse_clear(map);
    if (old_entries(map, raw + 386, 4, err) < 0)
        return -1;
    if (old_number(raw + 483, out_size) < 0)
        return bad_map(err);
    char block[TAR_BLOCK_SIZE];
    for (bool extended = raw[482] != 0; extended; extended = block[504] != 0) {
        if (next(arg, block, err) < 0 || old_entries(map, block, 21, err) < 0)
            return -1;
    }
    return 0;
}

int tar_sparse_check(struct tar_sparse *map, uint64_t size, uint64_t stored, struct error *err)
{
    uint64_t end = 0, sum = 0;
    bool good = map->count % 2 == 0;
    for (size_t i = 0; good && i < map->count; i += 2) {
        uint64_t offset = map->numbers[i], length = map->numbers[i + 1];
        good = offset >= end && offset <= size && length <= size - offset;
        end = offset + length;
        sum += length;
    }
    if (!good || sum != stored)
        return error_set(err, ERROR_PARSE, "sparse file: its map does not fit its size");
    map->cursor = 0;
    return 0;
}

uint64_t tar_sparse_at(struct tar_sparse *map, uint64_t offset, uint64_t left, bool *out_hole)
{
    while (map->cursor < map->count) {
        uint64_t start = map->numbers[map->cursor], length = map->numbers[map->cursor + 1];
        if (offset < start) {
            *out_hole = true;
            return start - offset;
        }
        if (offset < start + length) {
            *out_hole = false;
            return start + length - offset;
        }
        map->cursor += 2;
    }
    *out_hole = true;
    return left;
}
