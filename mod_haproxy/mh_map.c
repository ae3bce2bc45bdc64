/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the watch on the file and what is done when it is another one.
 *
 * The loop hears of a rename by inotify, or by the bell that another child rings, or sees when it
 * looks now and then. Reading, and making what follows from it, is for a thread that lives only for
 * that: disks, locks and large maps hold no request up.
 */
#include "mh_map.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <errno.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hap_thread.h"
#include "io/hapio_file.h"
#include "mh_child.h"
#include "mh_config.h"
#include "mh_health.h"
#include "mh_lineup.h"
#include "mh_log.h"
#include "mh_map_board.h"
#include "mh_map_say.h"

enum {
    POLL_US = 1000000, /* how often the file is looked at where nothing is heard of it */
    EVENTS_BYTES = 4096,
    STOP_S = 1 /* how long a look may last when the child ends */
};

static const uint32_t heard_of = IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_DELETE |
                                 IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

/** What tells a file from the one that stood there before. */
typedef struct mark_t {
    int error; /* why there is none; 0 there is one */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} mark_t;

/** One look at the file and the board, and what follows. Its thread only, then the loop's. */
typedef struct look_t {
    ml_work_t done;       /* posted at its end */
    apr_pool_t *pool;     /* of all that is only for this look */
    apr_pool_t *map_pool; /* of maps that it reads */
    const hap_map_t *map; /* that is in force after it; of this look or of the last one */
    mark_t mark;          /* of the file, before it was read */
    uint64_t serial;      /* of the map that is in force after it */
    uint64_t version;     /* its own; 0: there is none */
    bool leads;           /* this child probes */
    mh_lineup_t **ready;  /* by application: what is to be put in force; NULL: no change */
} look_t;

/* Loop thread only, but for what is marked. */
static struct {
    server_rec *server;
    ml_loop_t *loop;
    apr_pool_t *pool;   /* its allocator is for several threads */
    const char *folder; /* of the file */
    const char *name;   /* in it */
    ml_io_t inotify;
    int watch; /* of the folder; -1 there is none */
    ml_io_t bell;
    ml_timer_t poll;
    mark_t mark;          /* of the file that was looked at last */
    uint64_t serial;      /* of the map in force here; a look's thread reads it, and the next two */
    const hap_map_t *map; /* that one; NULL: there is none */
    apr_pool_t *map_pool; /* of that */
    uint64_t unsaid; /* version of a map, until the log has it that all of it is in force; 0 none */
    bool looking;    /* a thread does */
    bool again;      /* there may be news since that has begun */
    pthread_t thread;
} self;

bool mh_map_wanted(void)
{
    return mh_main_conf.map != NULL;
}

apr_status_t mh_map_open(server_rec *s)
{
    return mh_map_wanted() ? mh_map_board_open(s, mh_main_conf.map) : APR_SUCCESS;
}

/* --- the file --------------------------------------------------------------------------------- */

static mark_t mark_file(void)
{
    struct stat info;
    if (stat(mh_main_conf.map, &info) != 0) {
        return (mark_t){.error = errno};
    }
    return (mark_t){
        .device = info.st_dev,
        .inode = info.st_ino,
        .size = info.st_size,
        .changed = info.st_ctim,
    };
}

static bool same_mark(const mark_t *a, const mark_t *b)
{
    return a->error == b->error && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

/** What the file holds. */
typedef struct offer_t {
    hap_str_t text;
    const hap_map_t *map; /* NULL: it cannot be used */
    const char *why;      /* it cannot; empty: it can */
} offer_t;

static const char *unreadable(apr_status_t rv, const hap_diag_t *diag, apr_pool_t *p)
{
    if (!APR_STATUS_IS_EACCES(rv)) {
        return apr_pstrdup(p, diag->why);
    }
    return apr_psprintf(
        p,
        "%s: the user with id %u, as whom the server's children run, has to be able "
        "to read it and to enter its folder",
        diag->why, (unsigned)geteuid());
}

static void read_file(offer_t *offer, apr_pool_t *p)
{
    hap_diag_t diag = {.why = ""};
    const char *path = mh_main_conf.map;
    *offer = (offer_t){.why = ""};
    apr_status_t rv = hapio_file_read(&offer->text, path, HAP_MAP_BYTES_MAX, &diag, p);
    if (rv != APR_SUCCESS) {
        offer->why = unreadable(rv, &diag, p);
    }
}

static void decode(offer_t *offer, apr_pool_t *p)
{
    hap_diag_t diag = {.why = ""};
    if (!*offer->why && hap_map_decode(&offer->map, offer->text, &diag, p) != APR_SUCCESS) {
        offer->map = NULL;
        offer->why = apr_psprintf(p, "line %d: %s", diag.line, diag.why);
    }
}

/* --- which map is in force -------------------------------------------------------------------- */

static const char *refuse(const hap_map_t *has, const hap_map_t *offered, apr_pool_t *p)
{
    switch (hap_map_offer(has, offered, p)) {
    case HAP_MAP_NEWER:
    case HAP_MAP_SAME:
        break;
    case HAP_MAP_OLDER:
        return apr_psprintf(p, "it is version %" APR_UINT64_T_FMT ", older than what is in force",
                            (apr_uint64_t)offered->version);
    case HAP_MAP_OTHERS:
        return apr_psprintf(p,
                            "it is of cluster %s, not of %s: after a stop and a start it is taken",
                            offered->uuid, has->uuid);
    case HAP_MAP_CONTRADICTS:
        return apr_psprintf(p, "it is another version %" APR_UINT64_T_FMT " than that in force",
                            (apr_uint64_t)offered->version);
    }
    return "";
}

static const char *in_force(const hap_map_t *map, apr_pool_t *p)
{
    return map ? apr_psprintf(p, "map %" APR_UINT64_T_FMT " stays in force",
                              (apr_uint64_t)map->version)
               : "members are as configured";
}

/* What was read may have been replaced since, by one that another child was faster with. */
static void say_trouble(const char *why, const hap_map_t *has, const look_t *look)
{
    mark_t now = mark_file();
    if (!same_mark(&now, &look->mark) || !mh_map_board_trouble(why)) {
        return;
    }
    if (*why) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, self.server, "HAMap %s: not taken: %s; %s",
                     mh_main_conf.map, why, in_force(has, look->pool));
    } else {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, self.server, "HAMap %s: can be used now",
                     mh_main_conf.map);
    }
}

/* What the board has, which is one's own already, or the file's, or has to be read. Under the lock,
 * which is given back while it is read. */
static const hap_map_t *read_board(look_t *look, const offer_t *offer)
{
    hap_str_t text = mh_map_board_text();
    hap_diag_t diag;
    const hap_map_t *map = NULL;
    uint64_t serial = mh_map_board_serial();
    if (serial == self.serial) {
        look->serial = serial;
        return self.map;
    }
    bool same = offer->map && hap_str_eq(text, offer->text);
    if (same || text.n == 0) {
        look->serial = serial;
        return same ? offer->map : NULL;
    }
    hap_str_t own = hap_strn(apr_pmemdup(look->pool, text.p, text.n), text.n);
    mh_map_board_unlock();
    bool good = hap_map_decode(&map, own, &diag, look->map_pool) == APR_SUCCESS;
    mh_map_board_lock();
    look->serial = serial;
    return good ? map : NULL;
}

/* The file has what the board has: there is nothing to read. */
static bool is_known(const offer_t *offer)
{
    mh_map_board_lock();
    bool known = !*offer->why && mh_map_board_serial() == self.serial &&
                 hap_str_eq(mh_map_board_text(), offer->text);
    mh_map_board_unlock();
    return known;
}

/*
 * The one that all children are to follow; NULL when there is none. `fresh`: it is so because of
 * this look. Only who finds it newer than the board's puts it up there, so each is said once.
 */
static const hap_map_t *agree(look_t *look, bool *fresh)
{
    offer_t offer;
    read_file(&offer, look->pool);
    if (!is_known(&offer)) {
        decode(&offer, look->map_pool);
    }
    const hap_map_t *map;
    mh_map_board_lock();
    do {
        map = read_board(look, &offer);
    } while (mh_map_board_serial() != look->serial);
    if (offer.map && offer.map != map && !*(offer.why = refuse(map, offer.map, look->pool))) {
        if (!hap_str_eq(mh_map_board_text(), offer.text)) {
            mh_map_board_put(offer.text);
            look->serial = mh_map_board_serial();
            *fresh = true;
        }
        map = offer.map;
    }
    say_trouble(offer.why, map, look);
    mh_map_board_unlock();
    return map;
}

/* --- what follows from it --------------------------------------------------------------------- */

static void say_in_force(const hap_map_t *map)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, self.server,
                 "HAMap %s: map %" APR_UINT64_T_FMT " of cluster %s is in force", mh_main_conf.map,
                 (apr_uint64_t)map->version, map->uuid);
}

static void plan_all(look_t *look, const hap_map_t *map, mh_plan_t **plans, bool fresh)
{
    mh_guests_t *guests = mh_guests_open(map ? map->version : 0, look->pool);
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_app_t *app = mh_app_at(i);
        const mh_lineup_from_t from = {map, guests, look->ready[i], fresh};
        if (app->follows) {
            plans[i] = mh_lineup_plan(app, &from, look->pool);
        }
    }
    mh_guests_close(guests);
}

/* `ready` holds the line-ups of now at first. */
static void make_all(look_t *look, const hap_map_t *map, bool fresh)
{
    mh_plan_t **plans = apr_pcalloc(look->pool, (size_t)(mh_apps->nelts + 1) * sizeof(*plans));
    if (fresh) {
        say_in_force(map);
    }
    plan_all(look, map, plans, fresh);
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_lineup_t *now = look->ready[i];
        look->ready[i] = plans[i] ? mh_lineup_make(plans[i], self.pool, look->pool) : NULL;
        /* Who could not be taken out before goes by what the one says that sees who can be used. */
        if (look->ready[i] && (fresh || (now->keeps && look->leads))) {
            mh_map_say(now, look->ready[i], map->version, look->pool);
        }
    }
}

static void run(look_t *look)
{
    bool fresh = false;
    const hap_map_t *map = agree(look, &fresh);
    look->map = map;
    look->version = map ? map->version : 0;
    make_all(look, map, fresh);
}

static look_t *make_look(void)
{
    apr_pool_t *p;
    apr_pool_create(&p, self.pool);
    apr_pool_tag(p, "mod_haproxy_look");
    look_t *look = apr_pcalloc(p, sizeof(*look));
    look->pool = p;
    apr_pool_create(&look->map_pool, self.pool);
    look->mark = mark_file();
    look->leads = mh_health_leads();
    look->ready = apr_pcalloc(p, (size_t)(mh_apps->nelts + 1) * sizeof(mh_lineup_t *));
    for (int i = 0; i < mh_apps->nelts; i++) {
        look->ready[i] = mh_child_lineup(mh_app_at(i));
    }
    return look;
}

/* Only once all of it is: who measures how long that takes, or waits for it, goes by this line. */
void mh_map_followed(void)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_app_t *app = mh_app_at(i);
        if (mh_child_lineup(app) != app->lineup) {
            return;
        }
    }
    if (self.unsaid) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, self.server,
                     "HAMap: this child follows map %" APR_UINT64_T_FMT, (apr_uint64_t)self.unsaid);
        self.unsaid = 0;
    }
}

static void put_in_force(look_t *look)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        if (look->ready[i]) {
            mh_child_follow(look->ready[i]);
        }
    }
    self.mark = look->mark;
    self.unsaid = look->serial != self.serial ? look->version : self.unsaid;
    self.serial = look->serial;
    if (look->map != self.map) {
        if (self.map_pool) {
            apr_pool_destroy(self.map_pool);
        }
        self.map = look->map;
        self.map_pool = look->map_pool;
    } else {
        apr_pool_destroy(look->map_pool);
    }
    apr_pool_destroy(look->pool);
    mh_map_followed();
}

/* --- looking ---------------------------------------------------------------------------------- */

static void look_now(void);

static void on_done(ml_work_t *work, ml_loop_t *loop)
{
    pthread_join(self.thread, NULL);
    self.looking = false;
    put_in_force(ML_OWNER(work, look_t, done));
    if (self.again) {
        look_now();
    }
}

static void *look_main(void *data)
{
    look_t *look = data;
    run(look);
    ml_loop_post(self.loop, &look->done);
    return NULL;
}

static void look_now(void)
{
    self.again = self.looking;
    if (self.looking) {
        return;
    }
    look_t *look = make_look();
    look->done.run = on_done;
    self.looking = hap_thread_start(&self.thread, look_main, look) == 0;
    if (!self.looking) {
        apr_pool_destroy(look->map_pool);
        apr_pool_destroy(look->pool); /* and try again when the file is looked at next */
        self.mark = (mark_t){.error = EAGAIN};
    }
}

void mh_map_stop(void)
{
    if (self.looking) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += STOP_S;
        pthread_timedjoin_np(self.thread, NULL, &until);
    }
}

/* --- hearing of it ---------------------------------------------------------------------------- */

static bool is_ours(const struct inotify_event *event)
{
    return event->len == 0 || strcmp(event->name, self.name) == 0;
}

static void on_inotify(ml_io_t *io, uint32_t events)
{
    _Alignas(struct inotify_event) char buf[EVENTS_BYTES];
    bool ours = false;
    ssize_t n;
    while ((n = read(io->fd, buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (void *)(buf + at);
            ours = ours || is_ours(event);
            if (event->mask & IN_IGNORED) {
                self.watch = -1;
            }
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
    if (ours) {
        look_now();
    }
}

static void on_bell(ml_io_t *io, uint32_t events)
{
    if (mh_map_board_serial() != self.serial) {
        look_now();
    }
}

static const ml_io_iface_t inotify_iface = {.name = "map", .ready = on_inotify};
static const ml_io_iface_t bell_iface = {.name = "bell", .ready = on_bell};

/* The folder may come, go, and come again. */
static void watch_folder(void)
{
    if (self.watch < 0 && self.inotify.loop) {
        self.watch = inotify_add_watch(self.inotify.fd, self.folder, heard_of | IN_ONLYDIR);
    }
}

static bool keeps_any(void)
{
    bool keeps = false;
    for (int i = 0; i < mh_apps->nelts; i++) {
        keeps = keeps || mh_app_at(i)->lineup->keeps;
    }
    return keeps;
}

static void on_poll(ml_timer_t *timer, ml_loop_t *loop)
{
    watch_folder();
    mark_t now = mark_file();
    if (!same_mark(&now, &self.mark) || mh_map_board_serial() != self.serial || keeps_any()) {
        look_now();
    }
    ml_timer_set(loop, timer, POLL_US);
}

/* Users have few inotify instances: a child that gets none hears the others' bell. */
static apr_status_t watch(ml_loop_t *loop)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    self.watch = -1;
    if (fd >= 0 && ml_io_add(&self.inotify, loop, &inotify_iface, fd, EPOLLIN) != APR_SUCCESS) {
        close(fd);
    }
    watch_folder();
    self.poll.fire = on_poll;
    ml_timer_set(loop, &self.poll, POLL_US);
    return ml_io_add(&self.bell, loop, &bell_iface, mh_map_board_bell(), EPOLLIN | EPOLLET);
}

static apr_pool_t *shared_pool(server_rec *s)
{
    apr_thread_mutex_t *mutex;
    apr_pool_t *p = mh_child_own_pool(s);
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, p);
    apr_allocator_mutex_set(apr_pool_allocator_get(p), mutex);
    return p;
}

/* Watched first, so that nothing slips through between looking and watching. */
apr_status_t mh_map_start(ml_loop_t *loop, apr_pool_t *p, server_rec *s)
{
    if (!mh_map_wanted() || mh_apps->nelts == 0) {
        return APR_SUCCESS;
    }
    const char *slash = strrchr(mh_main_conf.map, '/');
    self.server = s;
    self.loop = loop;
    self.pool = shared_pool(s);
    self.folder = ap_make_dirstr_parent(self.pool, mh_main_conf.map);
    self.name = slash ? slash + 1 : mh_main_conf.map;
    apr_status_t rv = watch(loop);
    look_t *look = make_look();
    run(look);
    put_in_force(look);
    return rv;
}
