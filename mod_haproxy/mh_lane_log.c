/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making a request_rec of what the lane knows, with all that httpd's log formats can ask for.
 */
#include "mh_lane_log.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "mh_env.h"
#include "mh_record.h"

static bool wanted;

static bool is_log(const ap_directive_t *directive)
{
    static const char *const names[] = {"CustomLog", "TransferLog", "GlobalLog"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (ap_cstr_casecmp(directive->directive, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_log(const ap_directive_t *directive)
{
    for (; directive; directive = directive->next) {
        if (is_log(directive) || has_log(directive->first_child)) {
            return true;
        }
    }
    return false;
}

void mh_lane_log_prepare(void)
{
    wanted = has_log(ap_conftree);
}

bool mh_lane_log_wanted(void)
{
    return wanted;
}

/* mod_logio counts in a record of the connection that it makes itself, for %I and %O. */
static void count_bytes(conn_rec *c, const mh_lane_entry_t *entry)
{
    const apr_array_header_t *hooks = ap_hook_get_pre_connection();
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) *out =
        APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_in) *in =
        APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_in);
    for (int i = 0; out && in && hooks && i < hooks->nelts; i++) {
        const ap_LINK_pre_connection_t *hook = &APR_ARRAY_IDX(hooks, i, ap_LINK_pre_connection_t);
        if (strcmp(hook->szName, "mod_logio.c") == 0) {
            hook->pFunc(c, NULL);
            out(c, (apr_off_t)entry->sent);
            in(c, (apr_off_t)entry->received);
        }
    }
}

static conn_rec *make_connection(const mh_lane_entry_t *entry, apr_pool_t *p)
{
    conn_rec *c = mh_record_connection(entry->server, entry->client, p);
    c->keepalives = (int)entry->served + (entry->keep ? 1 : 0);
    c->keepalive = entry->keep ? AP_CONN_KEEPALIVE : AP_CONN_CLOSE;
    c->aborted = entry->cut;
    count_bytes(c, entry);
    return c;
}

static void set_fields(request_rec *r, const hap_http1_request_t *from, apr_pool_t *p)
{
    for (unsigned i = 0; i < from->head.fields_n; i++) {
        const hap_field_t *field = &from->head.fields[i];
        apr_table_addn(r->headers_in, hap_str_dup(field->name, p), hap_str_dup(field->value, p));
    }
}

static void set_request(request_rec *r, const hap_http1_request_t *from, apr_pool_t *p)
{
    hap_str_t query = hap_str_sub(from->target, from->path.n + 1, from->target.n);
    r->method = hap_str_dup(from->method, p);
    r->method_number = ap_method_number_of(r->method);
    r->header_only = from->is_head;
    r->unparsed_uri = hap_str_dup(from->target, p);
    r->uri = hap_str_dup(from->path, p);
    r->args = query.n ? hap_str_dup(query, p) : NULL;
    r->parsed_uri.path = r->uri;
    r->parsed_uri.query = r->args;
    r->proto_num = HTTP_VERSION(1, (int)from->head.minor);
    r->protocol = apr_pstrdup(p, from->head.minor ? "HTTP/1.1" : "HTTP/1.0");
    r->the_request = apr_pstrcat(p, r->method, " ", r->unparsed_uri, " ", r->protocol, NULL);
    size_t name_n = from->host.n && from->host.p[0] == '[' ? hap_str_find(from->host, ']', 0) + 1
                                                           : hap_str_find(from->host, ':', 0);
    r->hostname = hap_str_dup(hap_str_sub(from->host, 0, name_n), p);
    set_fields(r, from, p);
}

static request_rec *make_request(const mh_lane_entry_t *entry, apr_pool_t *p)
{
    request_rec *r = mh_record_request(make_connection(entry, p), entry->server);
    r->status = (int)entry->status;
    r->handler = "proxy-server";
    r->proxyreq = PROXYREQ_REVERSE;
    r->bytes_sent = (apr_off_t)entry->body;
    r->sent_bodyct = 1;
    r->request_time = apr_time_now() - entry->took;
    set_request(r, entry->request, p);
    return r;
}

void mh_lane_log(const mh_lane_entry_t *entry, mh_log_batch_t *batch, apr_pool_t *scratch)
{
    apr_pool_clear(scratch);
    request_rec *r = make_request(entry, scratch);
    mh_env_set(entry->choice, r);
    mh_log_batch_use(batch);
    ap_run_log_transaction(r);
    mh_log_batch_use(NULL);
}
