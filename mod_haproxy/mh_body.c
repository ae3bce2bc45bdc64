/* SPDX-License-Identifier: Apache-2.0 */
/* Owns an input filter in front of all others: what passes is copied, and read from the copy first
 * when the body begins anew. */
#include "mh_body.h"

#include <util_filter.h>

struct mh_body_t {
    request_rec *r;
    char *kept;      /* from the request's pool, MH_BODY_BYTES_MAX; NULL: nothing yet */
    apr_size_t n;    /* that are kept */
    apr_size_t next; /* the first that was not read since the body began anew */
    bool whole;      /* its end is behind them */
    bool lost;       /* there were more than can be kept */
};

static ap_filter_rec_t *filter;

static void keep(mh_body_t *body, const char *p, apr_size_t n)
{
    if (body->lost || n > MH_BODY_BYTES_MAX - body->n) {
        body->lost = true;
        return;
    }
    if (!body->kept) {
        body->kept = apr_palloc(body->r->pool, MH_BODY_BYTES_MAX);
    }
    memcpy(body->kept + body->n, p, n);
    body->next = body->n += n;
}

static apr_status_t keep_all(mh_body_t *body, apr_bucket_brigade *brigade)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(brigade); b != APR_BRIGADE_SENTINEL(brigade);
         b = APR_BUCKET_NEXT(b)) {
        const char *p;
        apr_size_t n = 0;
        if (APR_BUCKET_IS_EOS(b)) {
            body->whole = true;
        } else if (!APR_BUCKET_IS_METADATA(b)) {
            apr_status_t rv = apr_bucket_read(b, &p, &n, APR_BLOCK_READ);
            if (rv != APR_SUCCESS) {
                return rv;
            }
            keep(body, p, n);
        }
    }
    return APR_SUCCESS;
}

static void give_kept(mh_body_t *body, apr_bucket_brigade *brigade, apr_off_t most)
{
    apr_size_t left = body->n - body->next;
    apr_size_t n = most > 0 && (apr_size_t)most < left ? (apr_size_t)most : left;
    apr_bucket_alloc_t *alloc = brigade->bucket_alloc;
    if (n) {
        apr_bucket *b = apr_bucket_pool_create(body->kept + body->next, n, body->r->pool, alloc);
        APR_BRIGADE_INSERT_TAIL(brigade, b);
        body->next += n;
    }
    if (body->next == body->n && body->whole) {
        APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(alloc));
    }
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *brigade, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t most)
{
    mh_body_t *body = f->ctx;
    bool again = body->next < body->n || body->whole;
    if (mode == AP_MODE_READBYTES && again) {
        give_kept(body, brigade, most);
        return APR_SUCCESS;
    }
    apr_status_t rv = ap_get_brigade(f->next, brigade, mode, block, most);
    return rv == APR_SUCCESS && mode == AP_MODE_READBYTES ? keep_all(body, brigade) : rv;
}

mh_body_t *mh_body_keep(request_rec *r)
{
    if (!ap_request_has_body(r)) {
        return NULL;
    }
    mh_body_t *body = apr_pcalloc(r->pool, sizeof(*body));
    body->r = r;
    ap_add_input_filter_handle(filter, body, r, r->connection);
    return body;
}

bool mh_body_rewind(mh_body_t *body)
{
    if (!body) {
        return true;
    }
    body->next = 0;
    return !body->lost;
}

void mh_body_register(void)
{
    filter = ap_register_input_filter("HA_BODY", on_read, NULL, AP_FTYPE_RESOURCE);
}
