#include "base/file.h"

#include "base/memory.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *out, struct error *err)
{
    size_t start = out->len;
    for (;;) {
        buf_reserve(out, 64 * 1024);
        ssize_t n = read(fd, out->data + out->len, 64 * 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, ERROR_IO, errno, "%s: cannot read", name);
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len - start > max_bytes)
            return error_set(err, ERROR_LIMIT, "%s: larger than the %zu bytes that are accepted",
                             name, max_bytes);
    }
}

int file_read(const char *path, size_t max_bytes, struct buf *out, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err,
                               errno == ENOENT || errno == ENOTDIR ? ERROR_NOT_FOUND : ERROR_IO,
                               errno, "%s: cannot open", path);
    return file_read_fd(fd, path, max_bytes, out, err);
}

int file_write_all(int fd, const void *bytes, size_t len)
{
    for (const char *p = bytes; len > 0;) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_pwrite_all(int fd, const void *bytes, size_t len, off_t offset)
{
    for (const char *p = bytes; len > 0;) {
        ssize_t n = pwrite(fd, p, len, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        offset += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_pread_all(int fd, void *bytes, size_t len, off_t offset)
{
    for (char *p = bytes; len > 0;) {
        ssize_t n = pread(fd, p, len, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {
            errno = EIO;
            return -1;
        }
        p += n;
        offset += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_directory_of(const char *path)
{
    _cleanup_free_ char *parent = path_parent(path);
    const char *dir = *parent ? parent : (path[0] == '/' ? "/" : ".");
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

static int write_and_sync(const char *path, const void *bytes, size_t len, mode_t mode)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || file_write_all(fd, bytes, len) < 0 || fsync(fd) < 0)
        return -1;
    return close(TAKE_FD(fd));
}

int file_write(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err)
{
    /* Other threads may be writing the same. */
    _cleanup_free_ char *temporary = xasprintf("%s.%d.tmp", path, (int)gettid());
    if (write_and_sync(temporary, bytes, len, mode) < 0 || rename(temporary, path) < 0 ||
        sync_directory_of(path) < 0) {
        int saved = errno;
        unlink(temporary);
        return error_set_errno(err, ERROR_IO, saved, "%s: cannot write", path);
    }
    return 0;
}

int dir_make(const char *path, mode_t mode, struct error *err)
{
    _cleanup_free_ char *copy = xstrdup(path);
    for (char *p = copy + (*copy == '/');; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char saved = *p;
        *p = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return error_set_errno(err, ERROR_IO, errno, "%s: cannot make directory", copy);
        *p = saved;
        if (saved == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ERROR_IO, "%s: not a directory", path);
    return 0;
}

static int remove_children(int dirfd)
{
    DIR *dir = fdopendir(dirfd);
    if (!dir) {
        close(dirfd);
        return -1;
    }
    int result = 0;
    struct dirent *e;
    struct error err = ERROR_INIT;
    while (result == 0 && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd, e->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM)
            result = -1;
        else
            result = tree_remove_at(dirfd, e->d_name, &err);
    }
    int saved = errno;
    error_release(&err);
    closedir(dir);
    errno = saved;
    return result;
}

int tree_remove_at(int dirfd, const char *path, struct error *err)
{
    if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR || errno == EPERM) {
        int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == EACCES && fchmodat(dirfd, path, 0700, 0) == 0)
            fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* A directory of ours that we may not write: give ourselves the right first. */
        if (fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
            (void)!fchmod(fd, 0700);
        if (fd >= 0 && remove_children(fd) == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) == 0)
            return 0;
    }
    return error_set_errno(err, ERROR_IO, errno, "%s: cannot remove", path);
}

int tree_remove(const char *path, struct error *err)
{
    return tree_remove_at(AT_FDCWD, path, err);
}

int disk_free_bytes(const char *path, uint64_t *out, struct error *err)
{
    struct statvfs st;
    if (statvfs(path, &st) < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot ask for free space", path);
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

int lock_take(const char *path, const char *holder, int *out_fd, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open lock", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_set_errno(err, ERROR_IO, errno, "%s: cannot lock", path);
        _cleanup_buf_ struct buf who = BUF_INIT;
        if (file_read_fd(fd, path, 4096, &who, err) < 0)
            return -1;
        while (who.len > 0 && who.data[who.len - 1] == '\n')
            buf_truncate(&who, who.len - 1);
        return error_set(err, ERROR_BUSY, "%s: held by %s", path,
                         who.len ? who.data : "another process");
    }
    if (ftruncate(fd, 0) < 0 || file_pwrite_all(fd, holder, strlen(holder), 0) < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot write", path);
    *out_fd = TAKE_FD(fd);
    return 0;
}
