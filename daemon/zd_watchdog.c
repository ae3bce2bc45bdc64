/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is written to a watchdog device, and what it is asked before. */
#include "config.h"

#include "zd_watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MISC_WATCHDOG makedev(10, 130) /* /dev/watchdog, another name of watchdog0 */

/* Once such a device runs it runs until the host is reset: it is not to be opened. Known where the
 * kernel has that in sysfs. */
static bool never_stops(const struct stat *file)
{
    char path[64] = "/sys/class/watchdog/watchdog0/nowayout";
    char byte = '0';
    if (file->st_rdev != MISC_WATCHDOG) {
        snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/nowayout", major(file->st_rdev),
                 minor(file->st_rdev));
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && read(fd, &byte, 1) == 1;
    if (fd >= 0) {
        close(fd);
    }
    return known && byte == '1';
}

/* What is wrong with a device that has just been opened; NULL: nothing, and it counts. */
static const char *set_up(unsigned *seconds, int fd, const struct watchdog_info *info)
{
    int wanted = (int)*seconds;
    if (!(info->options & WDIOF_MAGICCLOSE)) {
        return "it stops when the process that feeds it is killed";
    }
    if (ioctl(fd, WDIOC_SETTIMEOUT, &wanted) != 0) {
        return "it cannot count so few seconds";
    }
    if (wanted < 1 || wanted > (int)*seconds) {
        return "it counts more seconds than it was told";
    }
    *seconds = (unsigned)wanted;
    return zd_watchdog_feed(fd) ? NULL : strerror(errno);
}

/* What else is named by mistake, such as a disk, is not written to. */
static bool begin_device(unsigned *seconds, int fd, const char *path, hap_diag_t *diag)
{
    struct watchdog_info info;
    if (ioctl(fd, WDIOC_GETSUPPORT, &info) != 0) {
        hap_diag_set(diag, 0, "%s: it is no watchdog", path);
        close(fd);
        return false;
    }
    const char *why = set_up(seconds, fd, &info);
    if (why) {
        hap_diag_set(diag, 0, "%s: %u seconds: %s", path, *seconds, why);
        zd_watchdog_stop(fd);
    }
    return !why;
}

/* A file gets all that is written, in its order, and a FIFO without a reader is not waited for. */
int zd_watchdog_open(unsigned *seconds, const char *path, hap_diag_t *diag)
{
    struct stat file;
    bool there = stat(path, &file) == 0;
    if (there && S_ISCHR(file.st_mode) && never_stops(&file)) {
        hap_diag_set(diag, 0, "%s: once it runs it cannot be stopped (nowayout)", path);
        return -1;
    }
    int fd = there ? open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0) {
        hap_diag_set(diag, 0, "%s: %s", path, strerror(errno));
        return -1;
    }
    bool plain = S_ISREG(file.st_mode) || S_ISFIFO(file.st_mode);
    return plain || begin_device(seconds, fd, path, diag) ? fd : -1;
}

bool zd_watchdog_feed(int fd)
{
    return write(fd, ".", 1) == 1; /* any byte but V */
}

void zd_watchdog_stop(int fd)
{
    while (write(fd, "V", 1) < 0 && errno == EINTR) {
    }
    close(fd);
}
