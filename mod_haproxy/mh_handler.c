/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns ha-health. `/` below its location says whether this proxy serves, `/App` whether
 * application App does. Tells counts, no names: it needs no permission to ask.
 */
#include "mh_handler.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

#include "mh_choice.h"
#include "mh_shared.h"

/** What a page says of one application. */
typedef struct health_count_t {
    unsigned members;
    unsigned usable;    /* may get requests, if only of their own sessions */
    unsigned open;      /* take new sessions too, if only when no other can */
    unsigned in_flight; /* requests, over all children */
} health_count_t;

/* Members that the map has taken out may still have requests, and count with these alone. */
static health_count_t count(const mh_lineup_t *lineup)
{
    health_count_t sum = {0};
    const hap_roster_t *roster = lineup->roster;
    for (uint32_t i = 0; i < roster->n; i++) {
        uint32_t flags = hap_roster_flags(roster, &mh_shared->view, i);
        hap_standing_t standing = roster->members[i].standing;
        flags |= standing == HAP_STANDING_SERVES ? 0u : HAP_FLAG_MAINT;
        sum.members += standing != HAP_STANDING_GONE;
        sum.usable += !(flags & (HAP_FLAG_DOWN | HAP_FLAG_MAINT));
        sum.open += !(flags & (HAP_FLAG_DOWN | HAP_FLAG_MAINT | HAP_FLAG_DRAIN));
        sum.in_flight += hap_shared_sum(&mh_shared->view, roster->members[i].slot);
    }
    return sum;
}

static int stopping(void)
{
    int state = AP_MPMQ_RUNNING;
    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    return state == AP_MPMQ_STOPPING;
}

static int answer(request_rec *r, int status, const char *text)
{
    r->status = status;
    ap_set_content_type(r, "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_rputs(text, r);
    return OK;
}

/* The last part of the path, but for the location's own; httpd does not tell a handler where its
 * location begins, only the section that was merged last. */
static const char *application(const request_rec *r)
{
    const core_dir_config *section = ap_get_core_module_config(r->per_dir_config);
    const char *last = strrchr(r->uri, '/');
    bool at_location = section->d && strcmp(section->d, r->uri) == 0;
    if (at_location || !last || !r->path_info || !*r->path_info) {
        return "";
    }
    return last + 1;
}

int mh_handler_health(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "ha-health") != 0) {
        return DECLINED;
    }
    if (r->method_number != M_GET) {
        ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1);
        return HTTP_METHOD_NOT_ALLOWED;
    }
    const char *name = application(r);
    if (!*name) {
        return stopping() ? answer(r, HTTP_SERVICE_UNAVAILABLE, "stopping\n")
                          : answer(r, HTTP_OK, "serving\n");
    }
    mh_app_t *app = mh_app_find(name);
    if (!app) {
        return HTTP_NOT_FOUND;
    }
    mh_choice_t now = {.app = app};
    mh_choice_hold(&now);
    health_count_t sum = count(mh_choice_lineup(&now));
    mh_choice_end(&now);
    const char *text =
        apr_psprintf(r->pool, "usable %u of %u, open to new sessions %u, in flight %u\n",
                     sum.usable, sum.members, sum.open, sum.in_flight);
    return answer(r, sum.usable ? HTTP_OK : HTTP_SERVICE_UNAVAILABLE, text);
}
