/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the places where names of the family are taken out.
 *
 * A member that speaks HTTP/1.1 is read line by line, in front of mod_proxy_http: what it says of
 * its session is in no table then, so it cannot get from there into interim answers, trailers,
 * error pages or a cache. The heads of other protocols are looked through when they begin their way
 * through httpd's filters, and so are the trailers and interim answers that they may have.
 */
#include "mh_strip.h"

#include <util_filter.h>

#include "hap_zone_field.h"
#include "mh_log.h"
#include "mh_request_zone.h"
#include "mh_reverse.h"

static ap_filter_rec_t *from_member;  /* lines, as they are read */
static ap_filter_rec_t *from_handler; /* the answer, in front of all that is done to it */
static ap_filter_rec_t *from_client;  /* the request's body, for its trailers */
static ap_filter_rec_t *to_client;    /* interim answers, which go past from_handler */

/* --- tables ----------------------------------------------------------------------------------- */

/* Nearly all are others, by their first byte. */
static bool is_family(const char *name)
{
    return (*name | 0x20) == 'h' && hap_zone_is_family(hap_str(name));
}

static const apr_table_entry_t *find(const apr_table_t *table)
{
    const apr_array_header_t *rows = apr_table_elts(table);
    for (int i = 0; i < rows->nelts; i++) {
        const apr_table_entry_t *row = &APR_ARRAY_IDX(rows, i, apr_table_entry_t);
        if (is_family(row->key)) {
            return row;
        }
    }
    return NULL;
}

static bool strip(apr_table_t *table)
{
    const apr_table_entry_t *row = find(table);
    bool is_there = row != NULL;
    for (; row; row = find(table)) {
        apr_table_unset(table, row->key);
    }
    return is_there;
}

static bool strip_request(request_rec *r)
{
    bool head = strip(r->headers_in);
    return strip(r->trailers_in) || head;
}

void mh_strip_answer(request_rec *r)
{
    strip(r->headers_out);
    strip(r->err_headers_out);
}

/* --- what a member says ----------------------------------------------------------------------- */

/* Sees to it that the answer comes by take_head. */
static void await_answer(mh_request_t *request)
{
    if (!request->listening) {
        request->listening = true;
        ap_add_output_filter_handle(from_handler, request, request->r, request->r->connection);
    }
}

static hap_zone_said_t *said(mh_request_t *request)
{
    if (!request->said) {
        await_answer(request);
        request->said = apr_palloc(request->r->pool, sizeof(*request->said));
        hap_zone_said_begin(request->said);
    }
    return request->said;
}

/* Copies what it keeps. */
static void say(mh_request_t *request, hap_str_t name, hap_str_t value)
{
    hap_zone_said_t *into = said(request);
    if (!into->why) {
        hap_zone_said_add(into, name, hap_strn(hap_str_dup(value, request->r->pool), value.n));
    }
}

static void say_table(mh_request_t *request, const apr_table_t *table)
{
    const apr_array_header_t *rows = apr_table_elts(table);
    for (int i = 0; i < rows->nelts; i++) {
        const apr_table_entry_t *row = &APR_ARRAY_IDX(rows, i, apr_table_entry_t);
        if (is_family(row->key)) {
            say(request, hap_str(row->key), hap_str(row->val));
        }
    }
}

/* The member's head is whole and goes no further yet: once for each answer. */
static void take_head(mh_request_t *request)
{
    request_rec *r = request->r;
    request->headed = true;
    mh_reverse(request);
    if (request->interim) { /* else its lines have been heard */
        say_table(request, r->headers_out);
        say_table(request, r->err_headers_out);
        mh_strip_answer(r);
    }
    if (request->said) {
        /* It is about one session: mod_cache does not store it then. */
        apr_table_setn(r->subprocess_env, "no-cache", "1");
        bool good = hap_zone_said_end(request->said);
        ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, r, "%s: member %s says of its session: %s",
                      request->choice.app->name, mh_choice_member(&request->choice)->name,
                      good ? hap_zone_word_text(request->said->word) : request->said->why);
    }
    mh_request_zone_hear(request);
}

/* --- from a member that speaks HTTP/1.1, line by line ----------------------------------------- */

enum {
    BEGIN_BYTES = 16, /* enough of a line to tell what it is */
    FIELD_BYTES = HAP_ZONE_SAY_BYTES
};

typedef enum stage_t {
    STAGE_STATUS, /* of an answer, interim or final */
    STAGE_FIELDS, /* behind that, up to the empty line */
    STAGE_BODY    /* sizes of chunks, and trailers */
} stage_t;

/* One answer's lines. In the pool of mod_proxy_http's record of it. */
typedef struct lines_t {
    mh_request_t *request;
    apr_pool_t *pool;
    stage_t stage;
    bool cut;    /* what was read last is a line without its end */
    bool taken;  /* it is of a field of the family, which may go on */
    char *field; /* that one; FIELD_BYTES, when there has been one */
    size_t field_n;
} lines_t;

static lines_t *make_lines(mh_request_t *request, apr_pool_t *p)
{
    lines_t *lines = apr_pcalloc(p, sizeof(*lines));
    lines->request = request;
    lines->pool = p;
    return lines;
}

/* The bytes of a bucket; empty when it has none, or they cannot be read. */
static hap_str_t bytes_of(apr_bucket *bucket)
{
    const char *p = NULL;
    apr_size_t n = 0;
    apr_status_t rv = apr_bucket_read(bucket, &p, &n, APR_BLOCK_READ);
    return hap_strn(p, rv == APR_SUCCESS ? n : 0);
}

/* The first byte of a line; -1 when there is no text, but a flush or an end. */
static int first_byte(const apr_bucket_brigade *line)
{
    apr_bucket *bucket = APR_BRIGADE_FIRST(line);
    while (bucket != APR_BRIGADE_SENTINEL(line)) {
        hap_str_t bytes = bytes_of(bucket);
        if (bytes.n) {
            return (unsigned char)bytes.p[0];
        }
        bucket = APR_BUCKET_NEXT(bucket);
    }
    return -1;
}

static bool ends(const apr_bucket_brigade *line)
{
    hap_str_t last = bytes_of(APR_BRIGADE_LAST(line));
    return last.n && last.p[last.n - 1] == '\n';
}

static bool names_family(apr_bucket_brigade *line, int first)
{
    char begin[BEGIN_BYTES];
    apr_size_t n = sizeof(begin);
    return (first | 0x20) == 'h' && apr_brigade_flatten(line, begin, &n) == APR_SUCCESS &&
           hap_zone_is_family(hap_strn(begin, n));
}

static void keep(lines_t *lines, apr_bucket_brigade *line)
{
    if (!lines->field) {
        lines->field = apr_palloc(lines->pool, FIELD_BYTES);
    }
    apr_size_t n = FIELD_BYTES - lines->field_n;
    if (apr_brigade_flatten(line, lines->field + lines->field_n, &n) == APR_SUCCESS) {
        lines->field_n += n;
    }
}

/* mod_proxy_http has the status of the head whose fields are being read. It refuses a 101 to
 * another protocol than the client has asked for, but what that says of the session is kept all the
 * same. */
static bool is_switch(const lines_t *lines)
{
    const mh_request_t *request = lines->request;
    return request->r->status == HTTP_SWITCHING_PROTOCOLS && !request->interim &&
           apr_table_get(request->r->headers_in, "Upgrade");
}

static bool is_final(const lines_t *lines)
{
    return !ap_is_HTTP_INFO(lines->request->r->status) || is_switch(lines);
}

/* Folded lines are joined by the blanks that stand for their ends (RFC 9112 5.2). */
static void end_field(lines_t *lines)
{
    hap_str_t field = hap_strn(lines->field, lines->field_n);
    bool counts = lines->stage == STAGE_FIELDS && is_final(lines);
    lines->field_n = 0;
    if (!counts) {
        return;
    }
    if (field.n == FIELD_BYTES) {
        said(lines->request)->why = "a field is too long";
        return;
    }
    for (size_t i = 0; i < field.n; i++) {
        bool end = lines->field[i] == '\r' || lines->field[i] == '\n';
        lines->field[i] = end ? ' ' : lines->field[i];
    }
    size_t colon = hap_str_find(field, ':', 0);
    say(lines->request, hap_str_trim(hap_str_sub(field, 0, colon)),
        hap_str_trim(hap_str_sub(field, colon + 1, field.n)));
}

static stage_t next_stage(const lines_t *lines, int first)
{
    bool empty = first == '\r' || first == '\n';
    switch (lines->stage) {
    case STAGE_STATUS:
        return empty ? STAGE_STATUS : STAGE_FIELDS;
    case STAGE_FIELDS:
        return !empty ? STAGE_FIELDS : is_final(lines) ? STAGE_BODY : STAGE_STATUS;
    case STAGE_BODY:
        break;
    }
    return STAGE_BODY;
}

/* Whether a line, or a piece of one, is not for mod_proxy_http. */
static bool is_taken(lines_t *lines, apr_bucket_brigade *line)
{
    int first = first_byte(line);
    if (first < 0) {
        return false;
    }
    bool folded = (first == ' ' || first == '\t') && lines->stage != STAGE_STATUS;
    bool goes_on = lines->cut || folded;
    lines->cut = !ends(line);
    if (!goes_on) {
        if (lines->taken) {
            end_field(lines);
        }
        stage_t stage = next_stage(lines, first);
        bool ends_head = lines->stage == STAGE_FIELDS && stage == STAGE_BODY;
        lines->taken = names_family(line, first);
        lines->stage = stage;
        /* What follows a switch goes past all filters. */
        if (ends_head && is_switch(lines)) {
            take_head(lines->request);
        }
    }
    if (lines->taken) {
        keep(lines, line);
    }
    return lines->taken;
}

static apr_status_t read_line(ap_filter_t *f, apr_bucket_brigade *line, ap_input_mode_t mode,
                              apr_read_type_e block, apr_off_t readbytes)
{
    lines_t *lines = f->ctx;
    for (;;) {
        apr_status_t rv = ap_get_brigade(f->next, line, mode, block, readbytes);
        if (rv != APR_SUCCESS || mode != AP_MODE_GETLINE || APR_BRIGADE_EMPTY(line)) {
            return rv;
        }
        bool taken = is_taken(lines, line);
        if (!taken && !lines->request->refused) {
            return APR_SUCCESS;
        }
        apr_brigade_cleanup(line);
        if (lines->request->refused) {
            return APR_ECONNABORTED;
        }
    }
}

/* mod_proxy_http is about to read an answer. */
static int listen_to(request_rec *r, request_rec *answer)
{
    mh_request_t *request = mh_request_of(r);
    if (!request || !request->serving) {
        return DECLINED;
    }
    lines_t *lines = make_lines(request, answer->pool);
    ap_add_input_filter_handle(from_member, lines, answer, answer->connection);
    /* Lines are read from proto_input_filters, bodies from input_filters. The filter that finds the
     * body's end is added to the former, and becomes the first of the latter only while there is
     * none but the connection's. */
    answer->input_filters = answer->connection->input_filters;
    return OK;
}

/* --- from all others -------------------------------------------------------------------------- */

static apr_status_t pass_answer(ap_filter_t *f, apr_bucket_brigade *brigade)
{
    mh_request_t *request = f->ctx;
    ap_filter_t *next = f->next;
    /* What comes after the handler is a page of httpd's own. */
    if (request->serving && !request->headed && mh_request_is_answer(brigade)) {
        take_head(request);
    }
    if (request->serving && request->refused) {
        apr_brigade_cleanup(brigade);
        return APR_ECONNABORTED; /* what follows is not read */
    }
    request->listening = false;
    ap_remove_output_filter(f);
    return ap_pass_brigade(next, brigade);
}

/* Trailers are there when the body ends, and are fields of the head then with MergeTrailers. */
static apr_status_t read_body(ap_filter_t *f, apr_bucket_brigade *brigade, ap_input_mode_t mode,
                              apr_read_type_e block, apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, brigade, mode, block, readbytes);
    mh_request_t *request = mh_request_of(f->r);
    strip_request(f->r);
    if (request && request->serving) {
        mh_request_zone_tell(request); /* the head may go out after the body was read */
    }
    return rv;
}

/* While `r` has the status of an interim answer, nothing but the head of that goes to the client.
 */
static apr_status_t pass_interim(ap_filter_t *f, apr_bucket_brigade *brigade)
{
    lines_t *lines = f->ctx;
    apr_status_t rv = APR_SUCCESS;
    if (!ap_is_HTTP_INFO(lines->request->r->status)) {
        return ap_pass_brigade(f->next, brigade);
    }
    apr_bucket_brigade *line = apr_brigade_create(lines->pool, f->c->bucket_alloc);
    apr_bucket_brigade *rest = apr_brigade_create(lines->pool, f->c->bucket_alloc);
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(brigade)) {
        rv = apr_brigade_split_line(line, brigade, APR_BLOCK_READ, HUGE_STRING_LEN);
        if (rv == APR_SUCCESS && !is_taken(lines, line)) {
            APR_BRIGADE_CONCAT(rest, line);
        }
        apr_brigade_cleanup(line);
    }
    return rv == APR_SUCCESS ? ap_pass_brigade(f->next, rest) : rv;
}

static void watch_others(mh_request_t *request)
{
    request_rec *r = request->r;
    lines_t *lines = make_lines(request, r->pool);
    await_answer(request);
    request->interim = ap_add_output_filter_handle(to_client, lines, NULL, r->connection);
    if (!request->trailers) {
        request->trailers = true;
        ap_add_input_filter_handle(from_client, NULL, r, r->connection);
    }
}

/* A client that names them there would have them taken out before they are sent. */
static void strip_connection(request_rec *r)
{
    const char *rest = apr_table_get(r->headers_in, "Connection");
    const char *kept = NULL;
    while (rest && *rest) {
        const char *token = ap_get_token(r->pool, &rest, 0);
        rest += strcspn(rest, ",");
        rest += *rest == ',';
        if (*token && !hap_zone_is_family(hap_str(token))) {
            kept = kept ? apr_pstrcat(r->pool, kept, ", ", token, NULL) : token;
        }
    }
    if (kept) {
        apr_table_setn(r->headers_in, "Connection", kept);
    } else {
        apr_table_unset(r->headers_in, "Connection");
    }
}

/* --- each attempt ----------------------------------------------------------------------------- */

void mh_strip_begin(mh_request_t *request, const proxy_worker *worker)
{
    request_rec *r = request->r;
    request->said = NULL;
    request->headed = false;
    request->refused = false;
    mh_request_forget_overridden(r);
    strip_connection(r);
    if (strip_request(r)) {
        mh_request_zone_stripped(request);
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "%s: the client sent fields of sessions, which are left out",
                      request->choice.app->name);
    }
    /* Its cookie may begin a session, and the answer may come too late; or mh_reverse has to see
     * it.
     */
    if (request->visit || mh_choice_member(&request->choice)->hired) {
        await_answer(request);
    }
    if (!mh_speaks_http(worker)) {
        watch_others(request);
    }
}

/* With ProxyErrorOverride a head is there, and httpd makes the page. Trailers come when the body
 * has been passed on; its end has not. */
void mh_strip_end(mh_request_t *request)
{
    strip(request->r->headers_in); /* what the member was told is for nobody else */
    if (!request->headed && mh_request_is_overridden(request->r)) {
        take_head(request);
    }
    if (request->interim) {
        strip(request->r->trailers_out);
        ap_remove_output_filter(request->interim);
        request->interim = NULL;
    }
}

void mh_strip_register(void)
{
    /* In front of mod_cache and of whatever else is done to contents. */
    from_handler = ap_register_output_filter("HA_ANSWER", pass_answer, NULL, AP_FTYPE_RESOURCE - 1);
    from_client = ap_register_input_filter("HA_TRAILERS", read_body, NULL, AP_FTYPE_RESOURCE);
    to_client = ap_register_output_filter("HA_INTERIM", pass_interim, NULL, AP_FTYPE_CONNECTION);
    /* Behind the filter that reads bodies: trailers are lines too. */
    from_member = ap_register_input_filter("HA_MEMBER", read_line, NULL, AP_FTYPE_PROTOCOL + 1);
    APR_OPTIONAL_HOOK(proxy, create_req, listen_to, NULL, NULL, APR_HOOK_MIDDLE);
}
