/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the methods. Each looks at what is stored and judges the request's conditions by that; a
 * change is then written over just that record and no other. Where somebody was faster all of it
 * begins anew: a condition finds out that it does not hold any more, and who has none goes on.
 */
#include "mh_zones_value.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "hap_zone_etag.h"
#include "hap_zone_patch.h"

#define PATCH_TYPE "application/merge-patch+json"

enum {
    FINE = 0,       /* as a status: nothing is to be refused */
    TRIES_MAX = 64, /* of a change, before it is given up */
    PAUSE_GROWS_MAX = 5
};

/** A request for a value. */
typedef struct value_t {
    request_rec *r;
    mh_zone_t *zone;
    apr_pool_t *try_pool; /* for one try of a change */
    hapstore_op_t op;     /* the last one */
    const char *why;      /* the request is refused */
    hap_str_t body;       /* PUT, PATCH */
    uint32_t ttl_s;       /* PUT, PATCH: 0: nothing was said */
    bool is_session;      /* in USER and without a key: the record of L1 */
    bool has_session;     /* in USER and with a key: what has ended with its session is gone */
    mh_zone_key_t key;    /* of the session, where there is one */
    char name[HAP_ZONE_NAME_BYTES];    /* of its record */
    char session[HAP_ZONE_NAME_BYTES]; /* of the session's, if there is another one */

    /* what is stored, after look */
    bool live;        /* a record that is no tombstone; it borrows from op */
    bool gone;        /* a tombstone */
    const char *etag; /* NULL: there is no value. A session that was only issued has none yet */
    char etag_room[HAP_ZONE_ETAG_BYTES];
} value_t;

/* --- answers ---------------------------------------------------------------------------------- */

/* Compressed it would be another representation than the one that its tag stands for. */
static void begin_answer(request_rec *r, int status)
{
    r->status = status;
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
}

int mh_zones_refuse(request_rec *r, int status, const char *why)
{
    begin_answer(r, status);
    ap_set_content_type(r, "text/plain; charset=utf-8");
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", "1");
    }
    ap_discard_request_body(r);
    ap_rvputs(r, why, "\n", NULL);
    return OK;
}

static int refuse(value_t *value, int status, const char *why)
{
    value->why = why;
    return status;
}

static int refuse_large(value_t *value)
{
    return refuse(
        value, HTTP_REQUEST_ENTITY_TOO_LARGE,
        apr_psprintf(value->r->pool, "a value has %d bytes at most", HAP_ZONE_DATA_BYTES_MAX));
}

static int refuse_unreached(value_t *value)
{
    return refuse(value, HTTP_SERVICE_UNAVAILABLE, "no store can be reached");
}

static int refuse_absent(value_t *value)
{
    return value->gone ? refuse(value, HTTP_GONE, "it was deleted")
                       : refuse(value, HTTP_NOT_FOUND, "there is no such value");
}

static void set_tag(value_t *value)
{
    apr_table_set(value->r->headers_out, "ETag",
                  hap_zone_etag(value->etag_room, &value->op.record));
}

/* --- the store -------------------------------------------------------------------------------- */

/* What is remembered is about sessions. */
static void run(value_t *value, const char name[HAP_ZONE_NAME_BYTES], bool session,
                hap_zone_wish_t wish)
{
    hapstore_op_t *op = &value->op;
    hapstore_op_clear(op);
    *op = (hapstore_op_t){.wish = wish, .end = HAPSTORE_UNREACHED};
    memcpy(op->name, name, HAP_ZONE_NAME_BYTES);
    if (value->zone->store) {
        hapstore_wait(value->zone->store, op);
    }
    if (session) {
        mh_zone_note(value->zone, &value->key, op);
    } else {
        mh_zone_count_op(value->zone, op);
    }
}

static apr_status_t clear_op(void *op)
{
    hapstore_op_clear(op);
    return APR_SUCCESS;
}

/* Finds out what is stored. A session that has ended takes its keys with it. */
static int look(value_t *value)
{
    const hap_zone_wish_t wish = {.act = HAP_ZONE_LOOK};
    const hapstore_op_t *op = &value->op;
    if (value->has_session) {
        run(value, value->session, true, wish);
        value->gone = op->verdict == HAP_ZONE_GONE;
        if (op->end != HAPSTORE_DONE || value->gone) {
            return value->gone ? refuse_absent(value) : refuse_unreached(value);
        }
    }
    run(value, value->name, value->is_session, wish);
    if (op->end != HAPSTORE_DONE) {
        return refuse_unreached(value);
    }
    value->live = op->verdict == HAP_ZONE_KEEP;
    value->gone = op->verdict == HAP_ZONE_GONE;
    bool there = value->live && op->record.version > 0;
    value->etag = there ? hap_zone_etag(value->etag_room, &op->record) : NULL;
    return FINE;
}

/* Replaces just what was seen. False: it is another one by now. */
static bool replace(value_t *value, int *status, hap_zone_wish_t wish)
{
    const hapstore_op_t *op = &value->op;
    wish.condition = value->live ? HAP_ZONE_MATCH : HAP_ZONE_ABSENT;
    wish.epoch = value->live ? op->record.epoch : 0;
    wish.version = value->live ? op->record.version : 0;
    wish.match_tie = value->live ? op->record.tie : 0;
    wish.session = value->is_session;
    run(value, value->name, value->is_session, wish);
    *status = FINE;
    switch (op->end) {
    case HAPSTORE_DONE:
        value->gone = op->verdict == HAP_ZONE_GONE;
        *status = value->gone ? refuse_absent(value) : FINE;
        return op->verdict != HAP_ZONE_UNMET;
    case HAPSTORE_CONFLICT:
        return false;
    case HAPSTORE_UNREACHED:
        *status = refuse_unreached(value);
        break;
    case HAPSTORE_REFUSED:
        *status = refuse(value, HTTP_REQUEST_ENTITY_TOO_LARGE, "it is larger than the store takes");
        break;
    }
    return true;
}

/* --- conditions ------------------------------------------------------------------------------- */

static const char *field(const value_t *value, const char *name)
{
    return apr_table_get(value->r->headers_in, name);
}

/* In the order of RFC 9110 13.2.2. */
static int judge(value_t *value)
{
    hap_zone_holds_t match = hap_zone_if_match(field(value, "If-Match"), value->etag);
    hap_zone_holds_t none = hap_zone_if_none_match(field(value, "If-None-Match"), value->etag);
    if (match == HAP_ZONE_HOLDS_MALFORMED || none == HAP_ZONE_HOLDS_MALFORMED) {
        return refuse(value, HTTP_BAD_REQUEST,
                      "If-Match and If-None-Match are * or tags in quotes, separated by commas");
    }
    if (match == HAP_ZONE_HOLDS && none == HAP_ZONE_HOLDS) {
        return FINE;
    }
    bool reads = value->r->method_number == M_GET;
    return reads && match == HAP_ZONE_HOLDS
               ? HTTP_NOT_MODIFIED
               : refuse(value, HTTP_PRECONDITION_FAILED, "the condition does not hold");
}

/* --- reading ---------------------------------------------------------------------------------- */

static int get(value_t *value)
{
    request_rec *r = value->r;
    const hap_zone_record_t *record = &value->op.record;
    int status = look(value);
    if (status == FINE) {
        status = value->etag ? judge(value) : refuse_absent(value);
    }
    if (status != FINE && status != HTTP_NOT_MODIFIED) {
        return status;
    }
    begin_answer(r, status == FINE ? HTTP_OK : status);
    set_tag(value);
    apr_table_setn(
        r->headers_out, "HA-TTL",
        apr_psprintf(r->pool, "%u", hap_zone_rest_s(record, apr_time_sec(apr_time_now()))));
    if (status == FINE) {
        ap_set_content_type(r, "application/octet-stream");
        ap_set_content_length(r, (apr_off_t)record->data.n);
        ap_rwrite(record->data.p, (int)record->data.n, r);
    }
    return FINE;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Room for a byte more than allowed tells what is too long. */
static int read_body(value_t *value)
{
    request_rec *r = value->r;
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    if (status != OK) {
        return refuse(value, status, "the length of the body is malformed");
    }
    if (r->remaining > HAP_ZONE_DATA_BYTES_MAX) {
        return refuse_large(value);
    }
    size_t room = 1 + (r->read_chunked ? HAP_ZONE_DATA_BYTES_MAX : (size_t)r->remaining);
    char *bytes = apr_palloc(r->pool, room);
    size_t n = 0;
    long got = ap_should_client_block(r) ? 1 : 0;
    while (got > 0 && n < room) {
        got = ap_get_client_block(r, bytes + n, room - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        return refuse(value, HTTP_BAD_REQUEST, "the body was not read to its end");
    }
    value->body = hap_strn(bytes, n);
    return n <= HAP_ZONE_DATA_BYTES_MAX ? FINE : refuse_large(value);
}

static int read_ttl(value_t *value)
{
    const char *text = field(value, "HA-TTL");
    unsigned long seconds = 0;
    if (text && (!hap_str_uint(&seconds, hap_str_trim(hap_str(text)), UINT32_MAX) || !seconds)) {
        return refuse(value, HTTP_BAD_REQUEST, "HA-TTL is a number of seconds, at least 1");
    }
    value->ttl_s = seconds < HAP_ZONE_TTL_S_MAX ? (uint32_t)seconds : HAP_ZONE_TTL_S_MAX;
    return FINE;
}

static bool is_patch_type(const char *type)
{
    hap_str_t text = hap_str(type);
    return hap_str_eq_nocase(hap_str_trim(hap_str_sub(text, 0, hap_str_find(text, ';', 0))),
                             HAP_STR_LIT(PATCH_TYPE));
}

/* What the body makes of what is stored: of PUT it is all. */
static int make_data(hap_str_t *data, value_t *value)
{
    hap_diag_t diag;
    if (value->r->method_number == M_PUT) {
        *data = value->body;
        return FINE;
    }
    apr_pool_clear(value->try_pool);
    const hap_str_t *before = value->etag ? &value->op.record.data : NULL;
    switch (hap_zone_patch(data, before, value->body, &diag, value->try_pool)) {
    case HAP_ZONE_PATCH_DONE:
        return data->n <= HAP_ZONE_DATA_BYTES_MAX ? FINE : refuse_large(value);
    case HAP_ZONE_PATCH_MALFORMED:
        return refuse(
            value, HTTP_BAD_REQUEST,
            apr_psprintf(value->r->pool, "the patch is no JSON: line %d: %s", diag.line, diag.why));
    case HAP_ZONE_PATCH_NOT_JSON:
        return refuse(value, HTTP_UNSUPPORTED_MEDIA_TYPE, "what is stored is no JSON");
    case HAP_ZONE_PATCH_NO_MEMORY:
        break;
    }
    return refuse(value, HTTP_INTERNAL_SERVER_ERROR, "there is no memory for it");
}

/* Others that are as fast come back at other times. */
static void pause_before(unsigned tries)
{
    unsigned grows = tries < PAUSE_GROWS_MAX ? tries : PAUSE_GROWS_MAX;
    if (tries > 0) {
        apr_sleep(apr_time_from_msec(ap_random_pick(1, 1U << grows)));
    }
}

/* One try. False: somebody was faster. */
static bool try_change(value_t *value, int *status)
{
    hap_str_t data = {NULL, 0};
    *status = look(value);
    if (*status == FINE && value->is_session && value->gone) {
        *status = refuse_absent(value);
    }
    if (*status == FINE) {
        *status = judge(value);
    }
    if (*status == FINE) {
        *status = make_data(&data, value);
    }
    const hap_zone_wish_t wish = {.act = HAP_ZONE_WRITE, .ttl_s = value->ttl_s, .data = data};
    return *status != FINE || replace(value, status, wish);
}

/* Likewise. */
static bool try_delete(value_t *value, int *status)
{
    *status = look(value);
    if (*status == FINE) {
        *status = value->live ? judge(value) : refuse_absent(value);
    }
    return *status != FINE || replace(value, status, (hap_zone_wish_t){.act = HAP_ZONE_ERASE});
}

/* As often as somebody else is faster. */
static int change_by(bool (*try)(value_t *value, int *status), value_t *value)
{
    int status = FINE;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        pause_before(tries);
        if (try(value, &status)) {
            return status;
        }
    }
    mh_zone_count(value->zone, MH_ZONE_CONFLICT, 1);
    return refuse(value, HTTP_SERVICE_UNAVAILABLE, "others kept changing it");
}

static int change(value_t *value)
{
    int status = change_by(try_change, value);
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        mh_zone_count(value->zone, MH_ZONE_UNPROTECTED, 1);
    } else if (status == FINE) {
        mh_zone_count(value->zone, MH_ZONE_PUT, 1);
        begin_answer(value->r, value->etag ? HTTP_NO_CONTENT : HTTP_CREATED);
        set_tag(value);
    }
    return status;
}

static int put(value_t *value)
{
    if (!field(value, "If-Match") && !hap_zone_is_any(field(value, "If-None-Match"))) {
        return refuse(value, HTTP_PRECONDITION_REQUIRED,
                      "say If-Match with the tag of what is replaced, or If-None-Match: *");
    }
    int status = read_ttl(value);
    if (status == FINE) {
        status = read_body(value);
    }
    value->ttl_s = value->ttl_s ? value->ttl_s : HAP_ZONE_TTL_S;
    return status == FINE ? change(value) : status;
}

static int patch(value_t *value)
{
    if (!is_patch_type(field(value, "Content-Type"))) {
        apr_table_setn(value->r->headers_out, "Accept-Patch", PATCH_TYPE);
        return refuse(value, HTTP_UNSUPPORTED_MEDIA_TYPE, "a patch is of the type " PATCH_TYPE);
    }
    int status = read_ttl(value);
    if (status == FINE) {
        status = read_body(value);
    }
    apr_pool_create(&value->try_pool, value->r->pool);
    return status == FINE ? change(value) : status;
}

static int delete_value(value_t *value)
{
    int status = change_by(try_delete, value);
    if (status == FINE) {
        begin_answer(value->r, HTTP_NO_CONTENT);
    }
    return status;
}

/* --- the methods ------------------------------------------------------------------------------ */

static int refuse_method(value_t *value)
{
    apr_table_setn(value->r->headers_out, "Allow", MH_ZONES_METHODS);
    return refuse(value, HTTP_METHOD_NOT_ALLOWED, "the methods are " MH_ZONES_METHODS);
}

static int serve(value_t *value)
{
    switch (value->r->method_number) {
    case M_GET:
        return get(value);
    case M_PUT:
        return put(value);
    case M_PATCH:
        return patch(value);
    case M_DELETE:
        return delete_value(value);
    default:
        return refuse_method(value);
    }
}

static bool name_records(value_t *value, const hap_zone_path_t *path)
{
    const mh_zone_t *zone = value->zone;
    hap_zone_id_t id = {
        .app = zone->name,
        .zone = hap_str(hap_zone_kinds_text(path->zone)),
        .sid = path->sid,
        .key = path->key,
    };
    bool in_user = path->zone == HAP_ZONE_USER;
    value->is_session = in_user && path->key.n == 0;
    value->has_session = in_user && path->key.n > 0;
    value->key = mh_zone_key(zone, path->sid);
    if (!hap_zone_name(value->name, zone->keys, &id)) {
        return false;
    }
    id.key = hap_strn(NULL, 0);
    return !value->has_session || hap_zone_name(value->session, zone->keys, &id);
}

int mh_zones_value(request_rec *r, mh_zone_t *zone, const hap_zone_path_t *path)
{
    value_t *value = apr_pcalloc(r->pool, sizeof(*value));
    value->r = r;
    value->zone = zone;
    apr_pool_cleanup_register(r->pool, &value->op, clear_op, apr_pool_cleanup_null);
    if (!name_records(value, path)) {
        return mh_zones_refuse(r, HTTP_INTERNAL_SERVER_ERROR, "its record cannot be named");
    }
    int status = serve(value);
    return status == FINE ? OK : mh_zones_refuse(r, status, value->why);
}
