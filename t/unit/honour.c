/* SPDX-License-Identifier: Apache-2.0 */
/* Owns showing verdicts as text. Does not hold tests. */
#include "honour.h"

#include <apr_strings.h>

#include "unit.h"

#define SERVER(list, i) (&APR_ARRAY_IDX(list, i, hap_honour_server_t))
#define MOUNT(list, i)  (&APR_ARRAY_IDX(list, i, hap_honour_mount_t))
#define PART(list, i)   (&APR_ARRAY_IDX(list, i, hap_honour_part_t))

apr_array_header_t *honour_servers(const char **why, const char *text, unsigned can)
{
    hap_diag_t diag;
    hap_conf_t conf;
    apr_array_header_t *servers = NULL;
    hap_honour_tree_t *tree = hap_honour_tree_make(unit_pool);
    *why = "";
    if (hap_conf_parse(&conf, hap_str(text), &diag, unit_pool) != APR_SUCCESS) {
        *why = apr_pstrdup(unit_pool, diag.why);
        return NULL;
    }
    for (int i = 0; i < conf.count; i++) {
        hap_honour_add_conf(tree, NULL, &conf.directives[i], "x.conf");
    }
    if (hap_honour_judge(&servers, tree, can, &diag, unit_pool) != APR_SUCCESS) {
        *why = apr_pstrdup(unit_pool, diag.why);
        return NULL;
    }
    return servers;
}

static const char *with_app(const char *text)
{
    return apr_pstrcat(unit_pool, HONOUR_APP HONOUR_MOUNT, text, NULL);
}

const hap_honour_mount_t *honour_mount(const char *text, int k, int i)
{
    const char *why;
    apr_array_header_t *servers = honour_servers(&why, with_app(text), HAP_HONOUR_CAN_ALL);
    return MOUNT(SERVER(servers, k)->mounts, i);
}

const hap_honour_values_t *honour_values(const char *text)
{
    const hap_honour_mount_t *mount = honour_mount(text, 0, 0);
    UNIT_STR_EQ(mount->lane ? "lane" : hap_honour_reason_text(&mount->reason, NULL, unit_pool),
                "lane");
    return &mount->values;
}

static const char *show(const char *path, const char *mark, const hap_honour_reason_t *reason)
{
    return apr_psprintf(unit_pool, " %s%s %s:%d", path, mark, reason->name, reason->line);
}

static const char *show_mount(const hap_honour_mount_t *mount)
{
    if (!mount->lane) {
        return show(mount->path, "", &mount->reason);
    }
    const char *shown = apr_pstrcat(unit_pool, " ", mount->path, " lane", NULL);
    for (int i = 0; i < mount->parts->nelts; i++) {
        const hap_honour_part_t *part = PART(mount->parts, i);
        shown = apr_pstrcat(unit_pool, shown, show(part->path, "!", &part->reason), NULL);
    }
    return shown;
}

const char *honour_verdict_of(const char *text, unsigned can)
{
    const char *shown = "";
    apr_array_header_t *servers = honour_servers(&shown, text, can);
    for (int i = 0; servers && i < servers->nelts; i++) {
        const hap_honour_server_t *server = SERVER(servers, i);
        if (server->section && server->mounts->nelts) {
            shown = apr_psprintf(unit_pool, "%s %d|", shown, server->section->line);
        }
        for (int k = 0; k < server->mounts->nelts; k++) {
            shown = apr_pstrcat(unit_pool, shown, show_mount(MOUNT(server->mounts, k)), NULL);
        }
    }
    return *shown == ' ' ? shown + 1 : shown;
}

const char *honour_verdict(const char *text)
{
    return honour_verdict_of(with_app(text), HAP_HONOUR_CAN_ALL);
}

const char *honour_why(const char *text)
{
    const hap_honour_mount_t *mount = honour_mount(text, 0, 0);
    return mount->lane ? "lane" : hap_honour_reason_text(&mount->reason, NULL, unit_pool);
}
