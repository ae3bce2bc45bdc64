/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading a file that holds a secret. Does not print. */
#include "hapio_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

static apr_status_t failed(hap_diag_t *diag, int error)
{
    char reason[128];
    apr_strerror(error, reason, sizeof(reason));
    hap_diag_set(diag, 0, "cannot be read: %s", reason);
    return error;
}

/* Of the file that is open, not of what has the name by now. */
static apr_status_t check_kind(int fd, hap_diag_t *diag)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return failed(diag, errno);
    }
    if (S_ISDIR(info.st_mode)) {
        return failed(diag, EISDIR);
    }
    if (!S_ISREG(info.st_mode)) {
        hap_diag_set(diag, 0, "cannot be read: it is not a regular file");
        return APR_EINVAL;
    }
    if (info.st_mode & S_IRWXO) {
        hap_diag_set(diag, 0, "may be read by others, run chmod 640 on it");
        return APR_EACCES;
    }
    return APR_SUCCESS;
}

/* One byte more than allowed shows that there is more. */
static apr_status_t read_all(hapio_secret_t *secret, int fd, hap_diag_t *diag)
{
    while (secret->n < sizeof(secret->bytes)) {
        ssize_t got = read(fd, secret->bytes + secret->n, sizeof(secret->bytes) - secret->n);
        if (got < 0 && errno != EINTR) {
            return failed(diag, errno);
        }
        if (got == 0) {
            return APR_SUCCESS;
        }
        secret->n += got > 0 ? (size_t)got : 0;
    }
    hap_diag_set(diag, 0, "is longer than a key file can be");
    return APR_EINVAL;
}

apr_status_t hapio_secret_read(hapio_secret_t *secret, const char *path, hap_diag_t *diag)
{
    secret->n = 0;
    /* Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return failed(diag, errno);
    }
    apr_status_t rv = check_kind(fd, diag);
    rv = rv == APR_SUCCESS ? read_all(secret, fd, diag) : rv;
    close(fd);
    if (rv != APR_SUCCESS) {
        hapio_secret_wipe(secret);
    }
    return rv;
}

hap_str_t hapio_secret_text(const hapio_secret_t *secret)
{
    return hap_strn(secret->bytes, secret->n);
}

void hapio_secret_wipe(hapio_secret_t *secret)
{
    OPENSSL_cleanse(secret, sizeof(*secret));
}
