/* SPDX-License-Identifier: Apache-2.0 */
/* Owns mapping it. */
#include "config.h"

#include "zd_page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void *zd_page_open(const char *dir, const char *name, size_t bytes)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return NULL;
    }
    /* What is written to a page that has no room on the disk is answered by SIGBUS. */
    int error = posix_fallocate(fd, 0, (off_t)bytes);
    void *page = MAP_FAILED;
    if (!error) {
        page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = page == MAP_FAILED ? errno : 0;
    }
    close(fd);
    errno = error;
    return error ? NULL : page;
}
