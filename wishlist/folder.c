#include "wishlist/folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_below(const char *folder, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    _cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

int folder_read(const char *folder, const char *path, size_t max_bytes, struct buf *out,
                struct error *err)
{
    _cleanup_free_ char *name = path_join(folder, path);
    _cleanup_close_ int fd = open_below(folder, path);
    if (fd >= 0)
        return file_read_fd(fd, name, max_bytes, out, err);
    if (errno == EXDEV)
        return error_set(err, ERROR_PARSE, "%s: a symlink leads out of the recipe's folder", name);
    return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno, "%s", name);
}

char *folder_of(const char *path)
{
    _cleanup_free_ char *parent = path_parent(path);
    return *parent ? TAKE_PTR(parent) : xstrdup(*path == '/' ? "/" : ".");
}
