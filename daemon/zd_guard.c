/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the page that the daemon and the guard share, which is a file so that the next daemon finds
 * it, and what the guard does.
 *
 * The guard alone has the watchdog device, since it is there when the daemon is not, and knows by
 * when the service has to be dead. It is fed only while what it counts down from then ends before
 * another host may have the lease:
 *
 *     sent                                          guard_ms  timeout_ms
 *      |------------ fed -------------|- not fed -----|---------|
 *                                     |- the device's seconds --| reset
 *
 * So a guard that is killed, or that another daemon's takes over from, closes it without a word:
 * the countdown goes on, and its follower feeds the device, or stops it.
 */
#include "config.h"

#include "zd_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zd_fds.h"
#include "zd_log.h"
#include "zd_reap.h"
#include "zd_watchdog.h"

enum { LOOK_MS = 20, SCRIPT_MS_MAX = 60000, FEED_MS = 200, WHY_BYTES = 256 };

/* What is in the file. Another boot's is void: its services are gone, and its clock. */
typedef struct page_t {
    _Atomic uint64_t kill_at_ms; /* 0: nothing is to be killed */
    _Atomic uint64_t owner;      /* the daemon's run that it counts for */
    _Atomic uint64_t home;       /* random; 0: there was no daemon here yet */
    _Atomic uint64_t boot;       /* of the host, in which the time counts */
    _Atomic uint64_t counting;   /* the run whose guard has begun the watchdog; 0: it is stopped */
    _Atomic uint64_t refused;    /* the run whose guard cannot open it */
    _Atomic uint64_t has_dog;    /* whether the owner has one at all */
    char why[WHY_BYTES];         /* the guard that cannot open it writes it, before `refused` */
} page_t;

struct zd_guard_t {
    zd_guard_conf_t conf;
    page_t *page;
    zd_left_t left;
    uint64_t run;
    pid_t pid;
    int alive; /* closed when the daemon ends, however that is */
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the watchdog ----------------------------------------------------------------------------- */

typedef struct dog_t {
    const zd_guard_conf_t *conf;
    page_t *page;
    uint64_t run;
    unsigned seconds; /* that it counts */
    int fd;           /* -1: it is not open */
    uint64_t fed_ms;
    uint64_t tried_ms; /* when it was last opened, or not */
    bool left; /* something would not die: it is neither fed nor stopped until there is a lease */
} dog_t;

/* Another guard may still have the device for a moment: who cannot open it tries again. */
static bool open_dog(dog_t *dog, uint64_t now)
{
    hap_diag_t diag;
    if (dog->fd >= 0) {
        return true;
    }
    if (now - dog->tried_ms < FEED_MS) {
        return false;
    }
    dog->tried_ms = now;
    dog->fd = zd_watchdog_open(&dog->seconds, dog->conf->watchdog, &diag);
    if (dog->fd < 0) {
        snprintf(dog->page->why, sizeof(dog->page->why), "%.*s", WHY_BYTES - 1, diag.why);
        atomic_store(&dog->page->refused, dog->run);
        return false;
    }
    atomic_store(&dog->page->counting, dog->run);
    atomic_store(&dog->page->refused, 0);
    return true;
}

static void feed(dog_t *dog, uint64_t kill_at, uint64_t now)
{
    bool early = now + dog->seconds * 1000 <= kill_at + dog->conf->after_ms;
    if (!dog->conf->watchdog || !early || now - dog->fed_ms < FEED_MS || !open_dog(dog, now)) {
        return;
    }
    dog->fed_ms = now;
    zd_watchdog_feed(dog->fd);
}

/* Also what a guard before has begun. */
static void stop_dog(dog_t *dog, uint64_t now)
{
    if (dog->conf->watchdog && atomic_load(&dog->page->counting) && open_dog(dog, now)) {
        atomic_store(&dog->page->counting, 0); /* first: the next guard may begin it at once */
        zd_watchdog_stop(dog->fd);
        dog->fd = -1;
    }
}

/* --- the guard -------------------------------------------------------------------------------- */

static void run_passive(const zd_guard_conf_t *conf)
{
    for (unsigned i = 0; conf->env[i]; i++) {
        putenv((char *)conf->env[i]);
    }
    execvp(conf->ensure_passive[0], (char *const *)conf->ensure_passive);
    _exit(127);
}

static pid_t begin_passive(const zd_guard_conf_t *conf)
{
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        setsid();
        run_passive(conf);
    }
    return pid;
}

/* Whether the daemon is still there: waits for that, or for a while. */
static bool waits(int alive)
{
    struct pollfd fd = {.fd = alive, .events = POLLIN};
    return poll(&fd, 1, LOOK_MS) == 0;
}

static void wait_for(pid_t pid)
{
    for (int waited = 0; pid > 0 && waited < SCRIPT_MS_MAX; waited += LOOK_MS) {
        if (waitpid(pid, NULL, WNOHANG) != 0) {
            return;
        }
        poll(NULL, 0, LOOK_MS);
    }
    if (pid > 0) {
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* The time has come, and nobody has renewed the lease. What cannot be killed from here is stopped
 * by its own script, which was begun before if the daemon is dead. */
static void finish(const zd_guard_conf_t *conf, dog_t *dog, pid_t passive)
{
    unsigned killed = 0;
    bool all = zd_reap(&killed, conf->marks, conf->mark);
    zd_log("guard: the lease ran out: %u processes killed%s%s", killed,
           all ? "" : ", and some would not die",
           !all && dog->fd >= 0 ? ": the watchdog resets this host" : "");
    dog->left = !all;
    if (all) {
        stop_dog(dog, now_ms());
    }
    if (passive <= 0) {
        passive = begin_passive(conf);
    }
    wait_for(passive);
}

/* One look. False: there is nothing to guard any more. */
static bool look(dog_t *dog, bool daemon, pid_t *passive)
{
    const zd_guard_conf_t *conf = dog->conf;
    page_t *page = dog->page;
    uint64_t kill_at = atomic_load(&page->kill_at_ms);
    uint64_t owner = atomic_load(&page->owner);
    uint64_t now = now_ms();
    if (owner != dog->run) {
        if (!atomic_load(&page->has_dog)) {
            stop_dog(dog, now);
        }
        return false;
    }
    if (!kill_at) {
        if (!dog->left) {
            stop_dog(dog, now);
        }
        return daemon;
    }
    if (now >= kill_at) {
        finish(conf, dog, *passive);
        *passive = 0;
        atomic_compare_exchange_strong(&page->kill_at_ms, &kill_at, 0);
        return true;
    }
    dog->left = false;
    feed(dog, kill_at, now);
    if (!daemon && *passive == 0 && now + conf->before_ms >= kill_at) {
        zd_log("guard: the daemon is dead: the service is stopped");
        *passive = begin_passive(conf);
    }
    return true;
}

static void watch(zd_guard_t *guard, int alive)
{
    bool daemon = true;
    pid_t passive = 0;
    dog_t dog = {
        .conf = &guard->conf,
        .page = guard->page,
        .run = guard->run,
        .seconds = guard->conf.watchdog_s,
        .fd = -1,
    };
    do {
        if (daemon) {
            daemon = waits(alive);
        } else {
            poll(NULL, 0, LOOK_MS);
        }
    } while (look(&dog, daemon, &passive));
}

static void be_guard(zd_guard_t *guard, int alive)
{
    int highest = zd_fds_seal();
    sigset_t all;
    setsid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int fd = 3; fd <= highest; fd++) {
        if (fd != alive) {
            close(fd);
        }
    }
    prctl(PR_SET_NAME, "zd-guard");
    watch(guard, alive);
    _exit(0);
}

/* --- the daemon's side ------------------------------------------------------------------------ */

static bool begin(zd_guard_t *guard)
{
    int fds[2];
    if (pipe(fds) != 0) {
        return false;
    }
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    guard->pid = fork();
    if (guard->pid == 0) {
        close(fds[1]);
        be_guard(guard, fds[0]);
    }
    close(fds[0]);
    guard->alive = fds[1];
    return guard->pid > 0;
}

static page_t *open_page(const char *dir)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/guard", dir) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *page = MAP_FAILED;
    /* What is written to a page that has no room on the disk is answered by SIGBUS. */
    int error = fd < 0 ? errno : posix_fallocate(fd, 0, sizeof(page_t));
    if (fd >= 0 && !error) {
        page = mmap(NULL, sizeof(page_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        error = page == MAP_FAILED && !error ? errno : error;
        close(fd);
    }
    errno = error;
    return page == MAP_FAILED ? NULL : page;
}

/* The first digits of the kernel's name for it; 0: unknown. */
static uint64_t boot_of_host(void)
{
    unsigned long long a = 0;
    unsigned b = 0;
    unsigned c = 0;
    FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (in) {
        if (fscanf(in, "%8llx-%4x-%4x", &a, &b, &c) != 3) {
            a = b = c = 0;
        }
        fclose(in);
    }
    return (uint64_t)a << 32 | (uint64_t)b << 16 | c;
}

/* The name of the folder is on the disk before anybody hears it. */
static bool read_left(zd_left_t *left, page_t *page)
{
    uint64_t home = atomic_load(&page->home);
    uint64_t boot = boot_of_host();
    if (atomic_load(&page->boot) != boot) {
        atomic_store(&page->kill_at_ms, 0);
        atomic_store(&page->counting, 0);
        atomic_store(&page->boot, boot);
    }
    left->kill_at_ms = atomic_load(&page->kill_at_ms);
    while (home == 0) {
        if (getrandom(&home, sizeof(home), 0) != sizeof(home)) {
            return false;
        }
    }
    atomic_store(&page->home, home);
    msync(page, sizeof(*page), MS_SYNC);
    snprintf(left->home, sizeof(left->home), "%016" PRIx64, home);
    return true;
}

zd_guard_t *zd_guard_open(const zd_guard_conf_t *conf, hap_diag_t *diag)
{
    zd_guard_t *guard = calloc(1, sizeof(*guard));
    if (guard) {
        guard->conf = *conf;
        guard->run = now_ms() << 16 | (uint64_t)(getpid() & 0xffff);
        guard->page = open_page(conf->dir);
    }
    if (!guard || !guard->page || !read_left(&guard->left, guard->page)) {
        hap_diag_set(diag, 0, "%s/guard: %s", conf->dir, strerror(errno));
        free(guard);
        return NULL;
    }
    return guard;
}

const zd_left_t *zd_guard_left(const zd_guard_t *guard)
{
    return &guard->left;
}

/* The time goes last: an earlier guard that sees it is not the owner any more. */
void zd_guard_hold(zd_guard_t *guard, uint64_t kill_at_ms)
{
    if (atomic_load(&guard->page->owner) != guard->run) {
        atomic_store(&guard->page->has_dog, guard->conf.watchdog != NULL);
        atomic_store(&guard->page->owner, guard->run);
    }
    atomic_store(&guard->page->kill_at_ms, kill_at_ms);
    if (guard->pid == 0 && !begin(guard)) {
        zd_log("the guard cannot be started: %s", strerror(errno));
    }
}

bool zd_guard_counts(const zd_guard_t *guard, hap_diag_t *diag)
{
    const page_t *page = guard->page;
    bool refused = atomic_load(&page->refused) == guard->run;
    if (!guard->conf.watchdog || (atomic_load(&page->counting) == guard->run && !refused)) {
        return true;
    }
    hap_diag_set(diag, 0, "%.*s", WHY_BYTES, refused ? page->why : "the guard does not answer");
    return false;
}

void zd_guard_check(zd_guard_t *guard)
{
    if (guard->pid > 0 && waitpid(guard->pid, NULL, WNOHANG) == guard->pid) {
        zd_log("the guard was killed; there is another one");
        close(guard->alive);
        guard->pid = 0;
        begin(guard);
    }
}

void zd_guard_close(zd_guard_t *guard)
{
    if (guard->pid > 0) {
        close(guard->alive);
    }
    munmap(guard->page, sizeof(page_t));
    free(guard);
}
