/* SPDX-License-Identifier: Apache-2.0 */
/* Owns looking through the process's own descriptors. */
#include "config.h"
#include "zd_fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int zd_fds_seal(void)
{
    int highest = STDERR_FILENO;
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd > STDERR_FILENO) {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        }
        highest = fd > highest ? fd : highest;
    }
    if (dir) {
        closedir(dir);
    }
    return highest;
}
