/* SPDX-License-Identifier: Apache-2.0 */
/* Owns finding the verdict on the mount that a request has taken, in the one file that is read. */
#include "zero_explain_lane.h"

#include <apr_strings.h>

#include "hap_honour.h"

#define SERVER(list, i) (&APR_ARRAY_IDX(list, i, hap_honour_server_t))
#define MOUNT(list, i)  (&APR_ARRAY_IDX(list, i, hap_honour_mount_t))
#define PART(list, i)   (&APR_ARRAY_IDX(list, i, hap_honour_part_t))

/* NULL, with a sentence, when HALane is wrong or sections are nested beyond reason. */
static apr_array_header_t *judge(const hap_conf_t *conf, const char *name, hap_diag_t *diag,
                                 apr_pool_t *pool)
{
    apr_array_header_t *servers;
    hap_honour_tree_t *tree = hap_honour_tree_make(pool);
    for (int i = 0; i < conf->count; i++) {
        if (!hap_honour_add_conf(tree, NULL, &conf->directives[i], name)) {
            hap_diag_set(diag, 0, "%s:%d: the sections are nested too deep", name,
                         conf->directives[i].line);
            return NULL;
        }
    }
    apr_status_t rv = hap_honour_judge(&servers, tree, HAP_HONOUR_CAN_NOW, diag, pool);
    return rv == APR_SUCCESS ? servers : NULL;
}

static const hap_honour_mount_t *find_mount(const apr_array_header_t *servers,
                                            const hap_explain_t *result)
{
    int vhost = result->vhost ? result->vhost->line : 0;
    for (int i = 0; i < servers->nelts; i++) {
        const hap_honour_server_t *server = SERVER(servers, i);
        bool same = (server->section ? server->section->line : 0) == vhost;
        for (int k = 0; same && k < server->mounts->nelts; k++) {
            const hap_honour_mount_t *mount = MOUNT(server->mounts, k);
            if (mount->pass->line == result->mount->directive->line) {
                return mount;
            }
        }
    }
    return NULL;
}

/* Why this path of the mount is not the lane's; NULL: it is. */
static const hap_honour_reason_t *reason_of(const hap_honour_mount_t *mount, const char *path)
{
    if (!mount->lane) {
        return &mount->reason;
    }
    for (int i = 0; i < mount->parts->nelts; i++) {
        const hap_honour_part_t *part = PART(mount->parts, i);
        size_t n = strlen(part->path);
        if (strncmp(path, part->path, n) == 0 && (path[n] == '\0' || path[n] == '/')) {
            return &part->reason;
        }
    }
    return NULL;
}

static bool is_whole(const hap_site_t *site)
{
    bool listens = false;
    for (int i = 0; i < site->conf->count; i++) {
        listens = listens || hap_site_listens(&site->conf->directives[i]);
    }
    return listens && !site->has_includes;
}

apr_array_header_t *zero_explain_lane(const hap_explain_t *result,
                                      const hap_explain_request_t *request, const char *conf,
                                      apr_pool_t *pool)
{
    hap_diag_t diag;
    apr_array_header_t *lines = apr_array_make(pool, 2, sizeof(const char *));
    const apr_array_header_t *servers = judge(request->site->conf, conf, &diag, pool);
    const hap_honour_mount_t *mount = servers ? find_mount(servers, result) : NULL;
    const hap_honour_reason_t *reason = mount ? reason_of(mount, result->path) : NULL;
    const char *line = NULL;
    if (!servers) {
        line = apr_pstrcat(pool, "not judged for the lane: ", diag.why, NULL);
    } else if (request->tls) {
        line = "by mod_proxy, because the client speaks TLS";
    } else if (!mount || mount->mode == HAP_HONOUR_UNSET) {
        line = "by mod_proxy, as no HALane names it";
    } else if (reason) {
        line =
            apr_pstrcat(pool, "by mod_proxy: ", hap_honour_reason_text(reason, NULL, pool), NULL);
    } else {
        line = apr_psprintf(pool, "by the lane, as HALane of %s:%d says", conf, mount->said->line);
    }
    APR_ARRAY_PUSH(lines, const char *) = line;
    if (mount && mount->said && !reason && !request->tls && !is_whole(request->site)) {
        APR_ARRAY_PUSH(lines, const char *) =
            "unless a directive elsewhere acts on it: zero modproxy check on all of it knows";
    }
    return lines;
}
