/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the system calls that such memory takes. */
#include "config.h"

#include "mh_memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void *mh_memory_map(const char *label, size_t size, int *fd)
{
    *fd = memfd_create(label, MFD_CLOEXEC);
    if (*fd < 0) {
        return NULL;
    }
    void *base = MAP_FAILED;
    if (fchmod(*fd, S_IRUSR | S_IWUSR) == 0 && ftruncate(*fd, (off_t)size) == 0) {
        base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    }
    if (base == MAP_FAILED) {
        int error = errno;
        close(*fd);
        *fd = -1;
        errno = error;
        return NULL;
    }
    return base;
}
