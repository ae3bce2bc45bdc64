/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fuzz target of the verdict on the lane: parts lie within their mounts, only what is not
 * the lane's has a reason, and a directive that nobody knows takes every mount from it.
 */
#include <stdint.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "hap_honour.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static apr_array_header_t *judge(hap_str_t text, apr_pool_t *pool)
{
    hap_diag_t diag;
    hap_conf_t conf;
    apr_array_header_t *servers = NULL;
    hap_honour_tree_t *tree = hap_honour_tree_make(pool);
    if (hap_conf_parse(&conf, text, &diag, pool) != APR_SUCCESS) {
        return NULL;
    }
    for (int i = 0; i < conf.count; i++) {
        if (!hap_honour_add_conf(tree, NULL, &conf.directives[i], "x")) {
            return NULL;
        }
    }
    if (hap_honour_judge(&servers, tree, HAP_HONOUR_CAN_ALL, &diag, pool) != APR_SUCCESS) {
        return NULL;
    }
    return servers;
}

static void check_part(const hap_honour_mount_t *mount, const hap_honour_part_t *part)
{
    size_t n = strlen(mount->path);
    while (n > 0 && mount->path[n - 1] == '/') {
        n--;
    }
    size_t end = strlen(part->path);
    if (strncmp(part->path, mount->path, n) != 0 || part->path[n] != '/' ||
        part->path[end - 1] == '/' || !part->reason.name) {
        abort();
    }
}

static void check_mount(const hap_honour_mount_t *mount, bool may_be_lane, apr_pool_t *pool)
{
    if (mount->lane ? !may_be_lane || mount->reason.name != NULL : mount->reason.name == NULL) {
        abort();
    }
    for (int i = 0; i < mount->parts->nelts; i++) {
        check_part(mount, &APR_ARRAY_IDX(mount->parts, i, hap_honour_part_t));
    }
    if (!mount->lane) {
        hap_honour_reason_text(&mount->reason, NULL, pool);
    }
    hap_honour_by_extension(&mount->values, hap_str(mount->target));
}

static void check(const apr_array_header_t *servers, bool may_be_lane, apr_pool_t *pool)
{
    for (int i = 0; servers && i < servers->nelts; i++) {
        const hap_honour_server_t *server = &APR_ARRAY_IDX(servers, i, hap_honour_server_t);
        for (int k = 0; k < server->mounts->nelts; k++) {
            check_mount(&APR_ARRAY_IDX(server->mounts, k, hap_honour_mount_t), may_be_lane, pool);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    hap_str_t text = hap_strn((const char *)data, size);
    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    check(judge(text, pool), true, pool);
    /* Nothing but a waiver, or a line that goes on, can make up for a directive that is unknown. */
    const char *more = apr_psprintf(pool, "%.*s\nXyzzy x\n", HAP_STR_ARG(text));
    if (memchr(data, '\\', size) == NULL && strlen(more) == size + 9 && !strstr(more, "gnore") &&
        !strstr(more, "GNORE")) {
        check(judge(hap_str(more), pool), false, pool);
    }
    apr_pool_clear(pool);
    return 0;
}
