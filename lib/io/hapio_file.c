/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading files whole and replacing them in one step. Does not print. */
#include "hapio_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

static apr_status_t failed(hap_diag_t *diag, const char *what, int error)
{
    char reason[128];
    apr_strerror(error, reason, sizeof(reason));
    hap_diag_set(diag, 0, "cannot be %s: %s", what, reason);
    return error;
}

static apr_status_t check_kind(const struct stat *info, size_t max_bytes, hap_diag_t *diag)
{
    if (S_ISDIR(info->st_mode)) {
        hap_diag_set(diag, 0, "is a folder, not a file");
        return APR_EINVAL;
    }
    if (!S_ISREG(info->st_mode)) {
        hap_diag_set(diag, 0, "is not a regular file");
        return APR_EINVAL;
    }
    if ((unsigned long long)info->st_size > max_bytes) {
        hap_diag_set(diag, 0, "has %lld bytes, at most %" APR_SIZE_T_FMT " are read",
                     (long long)info->st_size, max_bytes);
        return EFBIG;
    }
    return APR_SUCCESS;
}

static apr_status_t read_all(hap_str_t *text, int fd, size_t max_bytes, hap_diag_t *diag,
                             apr_pool_t *pool)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return failed(diag, "read", errno);
    }
    apr_status_t rv = check_kind(&info, max_bytes, diag);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    size_t size = (size_t)info.st_size;
    size_t n = 0;
    char *bytes = apr_palloc(pool, size + 1);
    while (n < size) {
        ssize_t got = read(fd, bytes + n, size - n);
        if (got < 0 && errno != EINTR) {
            return failed(diag, "read", errno);
        }
        if (got == 0) {
            break;
        }
        n += got > 0 ? (size_t)got : 0;
    }
    bytes[n] = '\0';
    *text = hap_strn(bytes, n);
    return APR_SUCCESS;
}

apr_status_t hapio_file_read(hap_str_t *text, const char *path, size_t max_bytes, hap_diag_t *diag,
                             apr_pool_t *pool)
{
    /* Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return failed(diag, "read", errno);
    }
    apr_status_t rv = read_all(text, fd, max_bytes, diag, pool);
    close(fd);
    return rv;
}

static apr_status_t write_all(int fd, hap_str_t text, hap_diag_t *diag)
{
    for (size_t n = 0; n < text.n;) {
        ssize_t put = write(fd, text.p + n, text.n - n);
        if (put < 0 && errno != EINTR) {
            return failed(diag, "written", errno);
        }
        n += put > 0 ? (size_t)put : 0;
    }
    return fsync(fd) == 0 ? APR_SUCCESS : failed(diag, "written", errno);
}

/* Gives the new file what the old one had; `old` is NULL when there was none. */
static apr_status_t take_over(int fd, const struct stat *old, mode_t mode, hap_diag_t *diag)
{
    mode_t mask = umask(0);
    umask(mask);
    mode = old ? old->st_mode & 07777 : mode & ~mask;
    /* Another owner's file can be replaced by whoever may write the folder, but not given away. */
    if (old && fchown(fd, old->st_uid, old->st_gid) != 0 && geteuid() == 0) {
        return failed(diag, "given its owner", errno);
    }
    return fchmod(fd, mode) == 0 ? APR_SUCCESS : failed(diag, "given its mode", errno);
}

static apr_status_t sync_folder(const char *folder, hap_diag_t *diag)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        /* A folder may be writable without being readable; the rename has happened by now. */
        return APR_SUCCESS;
    }
    int error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return error ? failed(diag, "written", error) : APR_SUCCESS;
}

static const char *folder_of(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return ".";
    }
    return slash == path ? "/" : apr_pstrmemdup(pool, path, (size_t)(slash - path));
}

static apr_status_t replace(const char *path, const struct stat *old, hap_str_t text, mode_t mode,
                            hap_diag_t *diag, apr_pool_t *pool)
{
    const char *folder = folder_of(path, pool);
    char *temporary = apr_pstrcat(pool, folder, "/.hap-XXXXXX", NULL);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return failed(diag, "written", errno);
    }
    apr_status_t rv = write_all(fd, text, diag);
    if (rv == APR_SUCCESS) {
        rv = take_over(fd, old, mode, diag);
    }
    if (close(fd) != 0 && rv == APR_SUCCESS) {
        rv = failed(diag, "written", errno);
    }
    if (rv == APR_SUCCESS && rename(temporary, path) != 0) {
        rv = failed(diag, "written", errno);
    }
    if (rv != APR_SUCCESS) {
        unlink(temporary);
        return rv;
    }
    return sync_folder(folder, diag);
}

/* What is at `path` now: *old is NULL when nothing is. A link is followed in *path. */
static apr_status_t look(const char **path, const struct stat **old, struct stat *info,
                         hap_diag_t *diag, apr_pool_t *pool)
{
    *old = NULL;
    if (lstat(*path, info) != 0) {
        return errno == ENOENT ? APR_SUCCESS : failed(diag, "written", errno);
    }
    if (S_ISLNK(info->st_mode)) {
        char *real = realpath(*path, NULL);
        if (!real || stat(real, info) != 0) {
            int error = errno;
            free(real);
            hap_diag_set(diag, 0, "is a symbolic link that leads nowhere: remove it first");
            return error;
        }
        *path = apr_pstrdup(pool, real);
        free(real);
    }
    *old = info;
    return check_kind(info, (size_t)-1, diag);
}

static bool has_content(const char *path, hap_str_t text, apr_pool_t *pool)
{
    hap_diag_t ignored;
    hap_str_t now;
    return hapio_file_read(&now, path, text.n, &ignored, pool) == APR_SUCCESS &&
           hap_str_eq(now, text);
}

apr_status_t hapio_file_write(const char *path, hap_str_t text, mode_t mode, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    struct stat info;
    const struct stat *old = NULL;
    sigset_t endings;
    sigset_t before;
    apr_status_t rv = look(&path, &old, &info, diag, pool);
    if (rv != APR_SUCCESS || (old && has_content(path, text, pool))) {
        return rv;
    }
    /* Ctrl-C has to wait until the temporary file is renamed or removed. */
    sigemptyset(&endings);
    sigaddset(&endings, SIGINT);
    sigaddset(&endings, SIGTERM);
    sigaddset(&endings, SIGHUP);
    sigprocmask(SIG_BLOCK, &endings, &before);
    rv = replace(path, old, text, mode, diag, pool);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rv;
}

apr_status_t hapio_file_write_own(const char *path, hap_str_t text, hap_diag_t *diag,
                                  apr_pool_t *pool)
{
    return replace(path, NULL, text, S_IRUSR | S_IWUSR, diag, pool);
}
