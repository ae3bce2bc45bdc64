/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the board's memory and its lock. */
#include "mh_map_board.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hap_map.h"
#include "lane/ml_loop.h"
#include "mh_memory.h"

enum { COPIES = 2, TROUBLE_BYTES = 512 };

/** A map's bytes. */
typedef struct copy_t {
    uint32_t n;
    char bytes[HAP_MAP_BYTES_MAX];
} copy_t;

/**
 * The memory. Who dies while he puts up a map has written the copy that does not count. Pages that
 * were never written take no room.
 */
typedef struct board_t {
    _Atomic uint64_t serial; /* of the copy that counts: it is copies[serial % COPIES]; 0 none */
    char trouble[TROUBLE_BYTES]; /* with the file; empty none */
    copy_t copies[COPIES];
} board_t;

/** What the parent keeps from one configuration to the next, and children inherit. */
typedef struct kept_t {
    char *path; /* of the file */
    board_t *board;
    int fd;   /* the memory's: the lock is on it */
    int bell; /* eventfd */
} kept_t;

static kept_t *kept;

static const char *key_of(apr_pool_t *p)
{
    return apr_psprintf(p, "mod_haproxy-map-" PACKAGE_VERSION "-%u", (unsigned)sizeof(board_t));
}

/* Another file is another cluster's, for all that is known. Children of the old configuration keep
 * the board that they have. */
apr_status_t mh_map_board_open(server_rec *s, const char *path)
{
    apr_pool_t *forever = s->process->pool;
    const char *key = key_of(s->process->pconf);
    kept = NULL;
    apr_pool_userdata_get((void **)&kept, key, forever);
    if (!kept) {
        kept = apr_pcalloc(forever, sizeof(*kept));
        apr_pool_userdata_set(kept, key, NULL, forever);
    } else if (kept->board && strcmp(kept->path, path) == 0) {
        return APR_SUCCESS;
    }
    /* The descriptors and the mapping of another file go with the process: that is a page or two.
     */
    kept->board = mh_memory_map("mod_haproxy_map", sizeof(board_t), &kept->fd);
    kept->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    kept->path = apr_pstrdup(forever, path);
    return kept->board && kept->bell >= 0 ? APR_SUCCESS : errno;
}

uint64_t mh_map_board_serial(void)
{
    return atomic_load(&kept->board->serial);
}

int mh_map_board_bell(void)
{
    return kept->bell;
}

static void lock(short type)
{
    struct flock wish = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    while (fcntl(kept->fd, F_SETLKW, &wish) != 0 && errno == EINTR) {
    }
}

void mh_map_board_lock(void)
{
    lock(F_WRLCK);
}

void mh_map_board_unlock(void)
{
    lock(F_UNLCK);
}

hap_str_t mh_map_board_text(void)
{
    uint64_t serial = mh_map_board_serial();
    const copy_t *copy = &kept->board->copies[serial % COPIES];
    uint32_t n = copy->n < HAP_MAP_BYTES_MAX ? copy->n : HAP_MAP_BYTES_MAX;
    return hap_strn(copy->bytes, serial ? n : 0);
}

void mh_map_board_put(hap_str_t text)
{
    uint64_t serial = mh_map_board_serial() + 1;
    copy_t *copy = &kept->board->copies[serial % COPIES];
    copy->n = (uint32_t)text.n;
    memcpy(copy->bytes, text.p, text.n);
    atomic_store(&kept->board->serial, serial);
    ml_eventfd_wake(kept->bell);
}

bool mh_map_board_trouble(const char *why)
{
    char *trouble = kept->board->trouble;
    char cut[TROUBLE_BYTES];
    apr_cpystrn(cut, why, sizeof(cut));
    trouble[TROUBLE_BYTES - 1] = '\0';
    if (strcmp(trouble, cut) == 0) {
        return false;
    }
    memcpy(trouble, cut, sizeof(cut));
    return true;
}
