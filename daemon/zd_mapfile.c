/* SPDX-License-Identifier: Apache-2.0 */
/* Owns two files with one text. */
#include "zd_mapfile.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "hapio_file.h"
#include "zd_log.h"

enum { COPY_MODE = 0644 /* the proxy's processes are another user's */ };

/* One of the two. */
typedef struct place_t {
    const char *path; /* NULL: there is none */
    bool own;
    bool failed;      /* and it was said */
    uint64_t version; /* that is there; 0: none that is known */
} place_t;

struct zd_mapfile_t {
    apr_pool_t *pool;    /* its life */
    apr_pool_t *current; /* of what follows */
    hap_str_t text;
    const hap_map_t *map; /* NULL: none */
    place_t places[2];
};

static bool write_place(place_t *place, hap_str_t text, uint64_t version, apr_pool_t *pool)
{
    hap_diag_t diag;
    apr_status_t rv = place->own ? hapio_file_write_own(place->path, text, &diag, pool)
                                 : hapio_file_write(place->path, text, COPY_MODE, &diag, pool);
    if (rv == APR_SUCCESS && place->failed) {
        zd_log("%s: written, as it can be again, version %" PRIu64, place->path, version);
    } else if (rv != APR_SUCCESS && !place->failed) {
        zd_log("%s: version %" PRIu64 ": %s; it is tried again", place->path, version, diag.why);
    }
    place->failed = rv != APR_SUCCESS;
    place->version = rv == APR_SUCCESS ? version : place->version;
    return rv == APR_SUCCESS;
}

void zd_mapfile_retry(zd_mapfile_t *file)
{
    apr_pool_t *pool;
    if (!file->map || apr_pool_create(&pool, file->pool) != APR_SUCCESS) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        place_t *place = &file->places[i];
        if (place->path && place->version < file->map->version) {
            write_place(place, file->text, file->map->version, pool);
        }
    }
    apr_pool_destroy(pool);
}

/* Makes it what there is. */
static bool take(zd_mapfile_t *file, hap_str_t text, hap_diag_t *diag)
{
    apr_pool_t *pool;
    const hap_map_t *map;
    if (apr_pool_create(&pool, file->pool) != APR_SUCCESS) {
        return false;
    }
    hap_str_t own = hap_strn(apr_pstrmemdup(pool, text.p, text.n), text.n);
    if (hap_map_decode(&map, own, diag, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return false;
    }
    if (file->current) {
        apr_pool_destroy(file->current);
    }
    file->current = pool;
    file->text = own;
    file->map = map;
    return true;
}

void zd_mapfile_put(zd_mapfile_t *file, hap_str_t text, uint64_t version)
{
    hap_diag_t diag = {0, "no memory"};
    if (version == 0 || (file->map && version <= file->map->version)) {
        return;
    }
    if (!take(file, text, &diag)) {
        zd_log("map %" PRIu64 ": %s", version, diag.why);
        return;
    }
    zd_mapfile_retry(file);
}

void zd_mapfile_offer(zd_mapfile_t *file, hap_str_t text)
{
    apr_pool_t *pool;
    const hap_map_t *map;
    hap_diag_t diag;
    if (apr_pool_create(&pool, file->pool) != APR_SUCCESS) {
        return;
    }
    if (hap_map_decode(&map, text, &diag, pool) != APR_SUCCESS) {
        zd_log("the leader's map: %s; it is not taken", diag.why);
        apr_pool_destroy(pool);
        return;
    }
    switch (hap_map_offer(file->map, map, pool)) {
    case HAP_MAP_NEWER:
        zd_mapfile_put(file, text, map->version);
        break;
    case HAP_MAP_OTHERS:
        zd_log(
            "the leader's map is of the cluster %s, and this node belongs to %s: it is not taken",
            map->uuid, file->map->uuid);
        break;
    case HAP_MAP_CONTRADICTS:
        zd_log("the leader's map %" PRIu64 " says something else than the one that is here: it is "
               "not taken",
               map->version);
        break;
    case HAP_MAP_OLDER:
        zd_log("the leader's map %" PRIu64 " is older than the one that is here, %" PRIu64
               ": it is not taken",
               map->version, file->map->version);
        break;
    case HAP_MAP_SAME:
        break;
    }
    apr_pool_destroy(pool);
}

uint64_t zd_mapfile_version(const zd_mapfile_t *file)
{
    return file->places[0].version;
}

const char *zd_mapfile_uuid(const zd_mapfile_t *file)
{
    return file->map ? file->map->uuid : NULL;
}

const hap_map_t *zd_mapfile_map(const zd_mapfile_t *file)
{
    return file->map;
}

zd_mapfile_t *zd_mapfile_open(const char *dir, const char *copy, apr_pool_t *pool)
{
    hap_str_t text;
    hap_diag_t diag;
    zd_mapfile_t *file = apr_pcalloc(pool, sizeof(*file));
    file->pool = pool;
    file->places[0] = (place_t){.path = apr_pstrcat(pool, dir, "/map", NULL), .own = true};
    file->places[1] = (place_t){.path = copy};
    apr_status_t rv = hapio_file_read(&text, file->places[0].path, HAP_MAP_BYTES_MAX, &diag, pool);
    if (rv == APR_SUCCESS && take(file, text, &diag)) {
        file->places[0].version = file->map->version;
        zd_mapfile_retry(file);
    } else if (!APR_STATUS_IS_ENOENT(rv)) {
        zd_log("%s: %s; it is written anew from what is agreed on", file->places[0].path, diag.why);
    }
    return file;
}
