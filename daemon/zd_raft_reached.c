/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the page: the kernel writes it, unless the host dies.
 */
#include "config.h"

#include "zd_raft_reached.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "zd_page.h"
#include "zd_raft_folder.h"

#define NAME "reached"

struct zd_reached_t {
    _Atomic uint64_t index;
    _Atomic uint64_t inverse; /* else the page is damaged */
};

zd_reached_t *zd_reached_open(const char *dir)
{
    return zd_page_open(dir, NAME, sizeof(zd_reached_t));
}

uint64_t zd_reached_get(const zd_reached_t *reached)
{
    uint64_t index = atomic_load(&reached->index);
    return atomic_load(&reached->inverse) == ~index ? index : 0;
}

uint64_t zd_reached_read(const char *dir)
{
    uint64_t page[2] = {0};
    bool whole = zd_read_head(page, sizeof(page), dir, NAME) == sizeof(page);
    return whole && page[1] == ~page[0] ? page[0] : 0;
}

bool zd_reached_set(zd_reached_t *reached, uint64_t index)
{
    bool lower = index < zd_reached_get(reached);
    atomic_store(&reached->inverse, ~index);
    atomic_store(&reached->index, index);
    return !lower || msync(reached, sizeof(*reached), MS_SYNC) == 0;
}

void zd_reached_close(zd_reached_t *reached)
{
    if (reached) {
        munmap(reached, sizeof(*reached));
    }
}
