/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what log formats and other modules get to know of a choice. */
#include "mh_env.h"

void mh_env_set(const mh_choice_t *choice, request_rec *r)
{
    apr_table_t *env = r->subprocess_env;
    const mh_app_t *app = choice->app;
    const mh_member_t *member = mh_choice_member(choice);
    apr_table_setn(env, "BALANCER_NAME", app->url);
    apr_table_setn(env, "BALANCER_WORKER_NAME", member->worker->s->name_ex);
    apr_table_setn(env, "BALANCER_WORKER_ROUTE", member->name);
    if (choice->session.route.n) {
        bool path = choice->session.source == HAP_AFFINITY_FROM_PATH;
        const char *route = hap_str_dup(choice->session.route, r->pool);
        const char *sticky =
            hap_str_dup(path ? app->affinity.path_param : app->affinity.cookie, r->pool);
        apr_table_setn(env, "BALANCER_SESSION_ROUTE", route);
        apr_table_setn(env, "BALANCER_SESSION_STICKY", sticky);
        apr_table_setn(r->notes, "session-route", route);
        apr_table_setn(r->notes, "session-sticky", sticky);
    }
    /* As mod_proxy_balancer has it: also for requests that bring no route at all. */
    if (app->affinity.mode != HAP_AFFINITY_NONE && choice->why != HAP_PICK_SESSION) {
        apr_table_setn(env, "BALANCER_ROUTE_CHANGED", "1");
    }
}
