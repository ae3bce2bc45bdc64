/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what no reader of a record expects to be missing. */
#include "mh_record.h"

#include <stdbool.h>

#include <apr_strings.h>
#include <arpa/inet.h>
#include <http_config.h>

/* Of text that is an address already: APR would ask the system's resolver. */
static apr_sockaddr_t *make_address(const char *text, apr_pool_t *p)
{
    apr_sockaddr_t *address = apr_pcalloc(p, sizeof(*address));
    bool six = inet_pton(AF_INET6, text, &address->sa.sin6.sin6_addr) == 1;
    address->pool = p;
    address->family = six ? APR_INET6 : APR_INET;
    if (six) {
        address->sa.sin6.sin6_family = AF_INET6;
        address->ipaddr_ptr = &address->sa.sin6.sin6_addr;
        address->ipaddr_len = sizeof(address->sa.sin6.sin6_addr);
        address->salen = sizeof(address->sa.sin6);
        address->addr_str_len = INET6_ADDRSTRLEN;
    } else {
        address->sa.sin.sin_family = AF_INET;
        inet_pton(AF_INET, text, &address->sa.sin.sin_addr);
        address->ipaddr_ptr = &address->sa.sin.sin_addr;
        address->ipaddr_len = sizeof(address->sa.sin.sin_addr);
        address->salen = sizeof(address->sa.sin);
        address->addr_str_len = INET_ADDRSTRLEN;
    }
    return address;
}

conn_rec *mh_record_connection(server_rec *s, const char *client, apr_pool_t *p)
{
    conn_rec *c = apr_pcalloc(p, sizeof(*c));
    c->pool = p;
    c->base_server = s;
    c->conn_config = ap_create_conn_config(p);
    c->notes = apr_table_make(p, 1);
    c->client_ip = apr_pstrdup(p, client);
    c->client_addr = make_address(client, p);
    c->local_ip = c->client_ip;
    c->local_addr = c->client_addr;
    return c;
}

request_rec *mh_record_request(conn_rec *c, server_rec *s)
{
    apr_pool_t *p = c->pool;
    request_rec *r = apr_pcalloc(p, sizeof(*r));
    r->pool = p;
    r->connection = c;
    r->server = s;
    r->log = &s->log;
    r->useragent_ip = c->client_ip;
    r->useragent_addr = c->client_addr;
    r->headers_in = apr_table_make(p, 16);
    r->headers_out = apr_table_make(p, 4);
    r->err_headers_out = apr_table_make(p, 1);
    r->trailers_in = apr_table_make(p, 1);
    r->trailers_out = apr_table_make(p, 1);
    r->subprocess_env = apr_table_make(p, 8);
    r->notes = apr_table_make(p, 4);
    r->per_dir_config = s->lookup_defaults;
    r->request_config = ap_create_request_config(p);
    r->status = HTTP_OK;
    return r;
}
