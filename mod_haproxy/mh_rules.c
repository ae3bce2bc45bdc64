/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading them from httpd's and mod_reqtimeout's configuration. */
#include "mh_rules.h"

#include <apr_hash.h>
#include <http_config.h>

#include "mh_honour.h"

/* server_rec * -> ml_rules_t * */
static apr_hash_t *rules;

/* What mod_reqtimeout does when it is not told anything. */
static const hap_honour_stage_t head_by_default = {.timeout_s = 20, .max_s = 40, .rate_bytes = 500};
static const hap_honour_stage_t body_by_default = {.timeout_s = 20, .rate_bytes = 500};

static ml_pace_t pace(const hap_honour_stage_t *given, const hap_honour_stage_t *otherwise)
{
    const hap_honour_stage_t *stage = given->set ? given : otherwise;
    if (!ap_find_linked_module("mod_reqtimeout.c")) {
        return (ml_pace_t){0};
    }
    return (ml_pace_t){
        .first = apr_time_from_sec(stage->timeout_s),
        .most = apr_time_from_sec(stage->max_s),
        .per_byte = stage->rate_bytes ? APR_USEC_PER_SEC / stage->rate_bytes : 0,
    };
}

/* 0 lets nothing pass, but for the number of fields, where it lets all pass. */
static hap_http1_limits_t limits_of(const server_rec *s)
{
    unsigned fields = s->limit_req_fields > 0 && s->limit_req_fields < HAP_HTTP1_FIELDS_MAX
                          ? (unsigned)s->limit_req_fields
                          : HAP_HTTP1_FIELDS_MAX;
    return (hap_http1_limits_t){
        .line_bytes = s->limit_req_line > 0 ? (size_t)s->limit_req_line : 1,
        .field_bytes = s->limit_req_fieldsize > 0 ? (size_t)s->limit_req_fieldsize : 1,
        .fields = fields,
    };
}

ml_pace_t mh_rules_body(const hap_honour_stage_t *given)
{
    return pace(given, &body_by_default);
}

void mh_rules_build(apr_pool_t *p, const apr_array_header_t *judged, server_rec *s)
{
    static const hap_honour_server_t nothing;
    rules = apr_hash_make(p);
    for (; s; s = s->next) {
        const hap_honour_server_t *server = mh_honour_server(judged, s);
        server_rec **key = apr_palloc(p, sizeof(*key));
        ml_rules_t *made = apr_palloc(p, sizeof(*made));
        server = server ? server : &nothing;
        *key = s;
        *made = (ml_rules_t){
            .limits = limits_of(s),
            .idle = s->timeout,
            .head = pace(&server->header, &head_by_default),
        };
        apr_hash_set(rules, key, sizeof(*key), made);
    }
}

const ml_rules_t *mh_rules_of(const server_rec *s)
{
    return apr_hash_get(rules, &s, sizeof(s));
}
