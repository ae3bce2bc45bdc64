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
#include <unistd.h>

#include "zd_clock.h"
#include "zd_fds.h"
#include "zd_log.h"
#include "zd_page.h"
#include "zd_reap.h"
#include "zd_watchdog.h"

enum { SCRIPT_MS_MAX = 60000, FEED_MS = 200, WHY_BYTES = 256 };

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
    bool held; /* there has to be one */
    pid_t pid; /* 0: there is none */
    int alive; /* closed when the daemon ends, however that is */
};

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

/* What a guard is about. */
typedef struct watch_t {
    dog_t dog;
    uint64_t kill_at_ms; /* of the lease that is held, or was last */
    bool was_begun;      /* ensure-passive, to end that one */
    pid_t passive;       /* it runs; 0: it does not */
    uint64_t passive_ms; /* since when */
} watch_t;

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

/* --- ensure-passive --------------------------------------------------------------------------- */

static void run_passive(const zd_guard_conf_t *conf)
{
    for (unsigned i = 0; conf->env[i]; i++) {
        putenv((char *)conf->env[i]);
    }
    execvp(conf->ensure_passive[0], (char *const *)conf->ensure_passive);
    _exit(127);
}

static void begin_passive(watch_t *watch, uint64_t now)
{
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        setsid();
        run_passive(watch->dog.conf);
    }
    watch->passive = pid > 0 ? pid : 0;
    watch->passive_ms = now;
    watch->was_begun = true;
}

static void kill_passive(watch_t *watch)
{
    if (watch->passive) {
        kill(-watch->passive, SIGKILL);
        kill(watch->passive, SIGKILL); /* it may not have its group yet */
        waitpid(watch->passive, NULL, 0);
        watch->passive = 0;
    }
}

static void look_at_passive(watch_t *watch, uint64_t now)
{
    if (watch->passive && waitpid(watch->passive, NULL, WNOHANG) != 0) {
        watch->passive = 0;
    }
    if (watch->passive && now - watch->passive_ms >= SCRIPT_MS_MAX) {
        kill_passive(watch);
    }
}

/* --- the guard -------------------------------------------------------------------------------- */

/* Whether the daemon is still there: waits for that, or for a while. */
static bool waits(int alive)
{
    struct pollfd fd = {.fd = alive, .events = POLLIN};
    return poll(&fd, 1, ZD_GUARD_LOOK_MS) == 0;
}

/* The time has come, and nobody has renewed the lease. What cannot be killed from here is stopped
 * by its own script, which was begun before if the daemon is dead. */
static void finish(watch_t *watch, uint64_t now)
{
    unsigned killed = 0;
    dog_t *dog = &watch->dog;
    bool all = zd_reap(&killed, dog->conf->marks, dog->conf->mark);
    zd_log("guard: the lease ran out: %u processes killed%s%s", killed,
           all ? "" : ", and some would not die",
           !all && dog->fd >= 0 ? ": the watchdog resets this host" : "");
    dog->left = !all;
    if (all) {
        stop_dog(dog, zd_now_ms());
    }
    if (!watch->was_begun) {
        begin_passive(watch, now);
    }
}

/* What an earlier one has begun to stop is its own service, not that of a new lease. */
static void look_at_lease(watch_t *watch, uint64_t kill_at)
{
    if (kill_at != watch->kill_at_ms) {
        kill_passive(watch);
        watch->kill_at_ms = kill_at;
        watch->was_begun = false;
    }
}

/* One look. False: there is nothing to guard any more. */
static bool look(watch_t *watch, bool daemon)
{
    dog_t *dog = &watch->dog;
    page_t *page = dog->page;
    uint64_t kill_at = atomic_load(&page->kill_at_ms);
    uint64_t owner = atomic_load(&page->owner);
    uint64_t now = zd_now_ms();
    look_at_passive(watch, now);
    if (owner != dog->run) {
        kill_passive(watch);
        if (!atomic_load(&page->has_dog)) {
            stop_dog(dog, now);
        }
        return false;
    }
    if (!kill_at) {
        if (!dog->left) {
            stop_dog(dog, now);
        }
        return daemon || watch->passive;
    }
    look_at_lease(watch, kill_at);
    if (now >= kill_at) {
        finish(watch, now);
        atomic_compare_exchange_strong(&page->kill_at_ms, &kill_at, 0);
        return true;
    }
    dog->left = false;
    feed(dog, kill_at, now);
    if (!daemon && !watch->was_begun && now + dog->conf->before_ms >= kill_at) {
        zd_log("guard: the daemon is dead: the service is stopped");
        begin_passive(watch, now);
    }
    return true;
}

static void watch_over(zd_guard_t *guard, int alive)
{
    bool daemon = true;
    watch_t watch = {.dog = {
                         .conf = &guard->conf,
                         .page = guard->page,
                         .run = guard->run,
                         .seconds = guard->conf.watchdog_s,
                         .fd = -1,
                     }};
    do {
        if (daemon) {
            daemon = waits(alive);
        } else {
            poll(NULL, 0, ZD_GUARD_LOOK_MS);
        }
    } while (look(&watch, daemon));
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
    watch_over(guard, alive);
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
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        be_guard(guard, fds[0]);
    }
    int error = errno;
    close(fds[0]);
    if (pid < 0) {
        close(fds[1]);
        errno = error;
        return false;
    }
    guard->pid = pid;
    guard->alive = fds[1];
    return true;
}

static void begin_or_say(zd_guard_t *guard)
{
    if (!begin(guard)) {
        zd_log("the guard cannot be started: %s; it is tried again", strerror(errno));
    }
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
        guard->run = zd_now_ms() << 16 | (uint64_t)(getpid() & 0xffff);
        guard->page = zd_page_open(conf->dir, "guard", sizeof(page_t));
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
    if (!guard->held) {
        guard->held = true;
        begin_or_say(guard);
    }
}

bool zd_guard_counts(const zd_guard_t *guard, hap_diag_t *diag)
{
    const page_t *page = guard->page;
    bool refused = atomic_load(&page->refused) == guard->run;
    if (guard->pid == 0) {
        hap_diag_set(diag, 0, "it is not there");
        return false;
    }
    if (!guard->conf.watchdog || (atomic_load(&page->counting) == guard->run && !refused)) {
        return true;
    }
    hap_diag_set(diag, 0, "%.*s", WHY_BYTES, refused ? page->why : "it does not answer");
    return false;
}

void zd_guard_check(zd_guard_t *guard)
{
    if (guard->pid > 0 && waitpid(guard->pid, NULL, WNOHANG) == guard->pid) {
        zd_log("the guard was killed: another one is started");
        close(guard->alive);
        guard->pid = 0;
    }
    if (guard->held && guard->pid == 0) {
        begin_or_say(guard);
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
