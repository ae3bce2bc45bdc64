/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the module's record and its hooks. Does nothing itself. */
#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_log.h>
#include <mpm_common.h>

#include "mh_app.h"
#include "mh_child.h"
#include "mh_config.h"
#include "mh_handback.h"
#include "mh_handler.h"
#include "mh_lane.h"
#include "mh_lane_log.h"
#include "mh_log_batch.h"
#include "mh_listen.h"
#include "mh_map.h"
#include "mh_proxy.h"
#include "mh_request.h"
#include "mh_request_zone.h"
#include "mh_shared.h"
#include "mh_site.h"
#include "mh_state.h"
#include "mh_zone.h"
#include "mh_zones_handler.h"
#include "mh_strip.h"

static int pre_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp)
{
    mh_config_reset();
    return OK;
}

static int check_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (!ap_find_linked_module("mod_proxy.c")) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "mod_haproxy chooses for mod_proxy, which is "
                     "not loaded: a2enmod proxy proxy_http");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (mh_apps_build(p, s) != APR_SUCCESS || mh_sites_build(p, s) != APR_SUCCESS ||
        mh_listen_check(s, ptemp) != APR_SUCCESS ||
        mh_zones_handler_check(s, ptemp) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    mh_lane_log_prepare();
    return OK;
}

static int open_logs(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    /* At a start the configuration is read twice, and httpd wants a listener both times. */
    bool first = ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
    if (!first && mh_listen_open(ptemp, s) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    /* Without a lane now, old children may still have clients of theirs to give. */
    if (!mh_lane_wanted() && !mh_handback_is_open(s)) {
        return OK;
    }
    apr_status_t rv = mh_handback_open(p, s);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     "no socket to give connections back from the lane to httpd");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static int post_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    apr_status_t rv = mh_shared_open(s, mh_main_conf.max_members);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, "no shared memory for members' states");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    rv = mh_apps_attach(p);
    mh_shared_settled();
    if (rv == APR_SUCCESS) {
        rv = mh_map_open(s);
    }
    if (rv != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (mh_zones_attach(s, p) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    mh_zones_handler_say(s, ptemp);
    mh_sites_say(ptemp);
    mh_lane_say(s, ptemp);
    mh_sites_name(p);
    mh_state_check(s, ptemp);
    mh_state_load(s, ptemp);
    mh_state_save_at_end(s, p);
    return OK;
}

static int monitor(apr_pool_t *p, server_rec *s)
{
    mh_state_save(s, p);
    return DECLINED;
}

static void child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                         mpm_child_status state)
{
    if (state == MPM_CHILD_STARTED) {
        mh_listen_watch_stop(s->process->pconf);
    }
    if (state == MPM_CHILD_EXITED) {
        mh_child_gone(pid);
    }
}

static int log_prepared(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp)
{
    mh_log_batch_prepare();
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    static const char *const after_proxy[] = {"mod_proxy.c", "mod_proxy_balancer.c", NULL};
    static const char *const after_log[] = {"mod_log_config.c", NULL};
    static const char *const before_mpm[] = {"event.c", "worker.c", "prefork.c", NULL};
    mh_config_reset();
    ap_hook_open_logs(open_logs, NULL, before_mpm, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_config(log_prepared, after_log, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, after_proxy, NULL, APR_HOOK_LAST);
    ap_hook_post_config(post_config, after_proxy, NULL, APR_HOOK_LAST);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(mh_child_start, after_proxy, NULL, APR_HOOK_LAST);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(mh_handler_health, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(mh_zones_handler, NULL, NULL, APR_HOOK_MIDDLE);
    mh_affinity_register();
    mh_request_zone_register();
    mh_proxy_register();
    mh_strip_register();
    mh_handback_register();
    mh_lane_register();
    mh_zones_handler_register();
}

AP_DECLARE_MODULE(haproxy) = {
    STANDARD20_MODULE_STUFF,
    .create_server_config = mh_create_server_conf,
    .merge_server_config = mh_merge_server_conf,
    .cmds = mh_commands,
    .register_hooks = register_hooks,
};
