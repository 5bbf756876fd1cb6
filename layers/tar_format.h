/* The 512-byte header block of the tar formats (POSIX.1-2017 pax, "ustar Interchange Format"; GNU
 * tar manual, "Basic Tar Format"), shared by the reader and the writer. */
#ifndef LAYERS_TAR_FORMAT_H
#define LAYERS_TAR_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_SIZE ((size_t)512)

struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char typeflag;
    char link[100];
    char magic[8]; /* "ustar\0" "00", or "ustar  \0" (GNU) */
    char uname[32];
    char gname[32];
    char major[8];
    char minor[8];
    char prefix[155]; /* ustar: first part of a long name; GNU keeps its sparse map here */
    char padding[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK_SIZE, "a header is one block");

static inline uint64_t tar_padded(uint64_t size)
{
    return (size + TAR_BLOCK_SIZE - 1) & ~(uint64_t)(TAR_BLOCK_SIZE - 1);
}

#endif
