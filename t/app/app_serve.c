/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the application: one function for each page. Does not own sessions or faults. */
#include "app_serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "app_http.h"
#include "app_raw.h"
#include "app_session.h"
#include "app_state.h"
#include "app_zone_l2.h"

enum { PAGE_BYTES = 4096, MAX_WAIT_MS = 600000 };

/** One request on its way to its answer. */
typedef struct app_exchange_t {
    app_conn_t *conn;      /* where it came from */
    app_request_t *req;    /* the request */
    app_entry_t entry;     /* its line in the ledger */
    app_answer_t answer;   /* filled by the page */
    EVP_MD_CTX *digest;    /* of the body; NULL when nobody wants to know */
    bool switches;         /* to another protocol: the page is the head that says so */
    app_zone_said_t said;  /* of the session; with -zones only */
    char *text;            /* a long body; owned, may be NULL */
    char page[PAGE_BYTES]; /* room for a short body */
} app_exchange_t;

/** One page of the application. */
typedef struct app_page_t {
    const char *path;               /* below the context */
    const char *methods;            /* that it allows, NULL for all */
    bool early;                     /* answers before it has read the body */
    void (*fill)(app_exchange_t *); /* makes the answer */
} app_page_t;

static void say(app_exchange_t *ex, int status, const char *type, const char *text, size_t n)
{
    ex->answer.status = status;
    ex->answer.type = type;
    ex->answer.text = text;
    ex->answer.body_bytes = n;
}

static void say_line(app_exchange_t *ex, int status, const char *line)
{
    int n = snprintf(ex->page, sizeof(ex->page), "%s\n", line);
    say(ex, status, "text/plain", ex->page, (size_t)n);
}

/* A parameter as number; `other` without it. False, the answer filled in, when it is none. */
static bool param(app_exchange_t *ex, const char *name, uint64_t *value, uint64_t other)
{
    app_text_t text = app_http_param(ex->req, name);
    *value = other;
    if (text.n == 0 || app_number(value, text, INT64_MAX)) {
        return true;
    }
    snprintf(ex->page, sizeof(ex->page), "%s is no number\n", name);
    say(ex, 400, "text/plain", ex->page, strlen(ex->page));
    return false;
}

/* --- sessions --------------------------------------------------------------------------------- */

/** The session cookie of a request. */
typedef struct cookie_t {
    app_text_t id;    /* before the last dot; empty without a cookie */
    app_text_t route; /* behind it; empty without a dot */
} cookie_t;

/* The value of the first pair of that name in a Cookie field. */
static app_text_t cookie_value(app_text_t field, const char *name)
{
    size_t name_n = strlen(name);
    while (field.n > 0) {
        const char *semicolon = memchr(field.p, ';', field.n);
        size_t n = semicolon ? (size_t)(semicolon - field.p) : field.n;
        if (n > name_n && field.p[name_n] == '=' && memcmp(field.p, name, name_n) == 0) {
            return (app_text_t){field.p + name_n + 1, n - name_n - 1};
        }
        n += n < field.n;
        field = (app_text_t){field.p + n, field.n - n};
        while (field.n > 0 && field.p[0] == ' ') {
            field = (app_text_t){field.p + 1, field.n - 1};
        }
    }
    return (app_text_t){"", 0};
}

static cookie_t find_cookie(const app_request_t *req)
{
    cookie_t cookie = {{"", 0}, {"", 0}};
    for (size_t i = 0; i < req->fields_n && cookie.id.n == 0; i++) {
        if (app_text_is_nocase(req->fields[i].name, "Cookie")) {
            cookie.id = cookie_value(req->fields[i].value, app_options.sticky);
        }
    }
    const char *dot = cookie.id.n ? memrchr(cookie.id.p, '.', cookie.id.n) : NULL;
    if (dot) {
        size_t id_n = (size_t)(dot - cookie.id.p);
        cookie.route = (app_text_t){dot + 1, cookie.id.n - id_n - 1};
        cookie.id.n = id_n;
    }
    return cookie;
}

static const char *cookie_path(void)
{
    return app_options.context[0] ? app_options.context : "/";
}

static void set_cookie(app_exchange_t *ex, app_text_t id)
{
    snprintf(ex->answer.extra, sizeof(ex->answer.extra),
             "Set-Cookie: %s=%.*s.%s; Path=%s; HttpOnly\r\n", app_options.sticky, APP_TEXT_ARG(id),
             app_options.route, cookie_path());
}

static void take_cookie_back(app_exchange_t *ex)
{
    snprintf(ex->answer.extra, sizeof(ex->answer.extra),
             "Set-Cookie: %s=; Path=%s; Max-Age=0; HttpOnly\r\n", app_options.sticky,
             cookie_path());
}

/* A known id goes on; one that another instance issued is adopted; else there is a new session. */
static uint64_t visit(app_exchange_t *ex, char id[APP_SESSION_ID_BYTES + 1])
{
    cookie_t cookie = find_cookie(ex->req);
    uint64_t visits = app_session_visit(cookie.id);
    bool foreign = cookie.route.n > 0 && !app_text_is(cookie.route, app_options.route);
    bool adopted = visits == 0 && foreign && app_session_id_looks_valid(cookie.id);
    if (visits > 0 || adopted) {
        snprintf(id, APP_SESSION_ID_BYTES + 1, "%.*s", APP_TEXT_ARG(cookie.id));
    } else {
        app_session_new_id(id);
    }
    if (visits > 0) {
        return visits;
    }
    app_session_add(app_text(id));
    if (!adopted || app_options.reissue) {
        set_cookie(ex, app_text(id));
    }
    return app_session_visit(app_text(id));
}

/* The same by the rules of doc/zones.md. False, the answer filled in, when the state is needed
 * first. */
static bool serve_session(app_exchange_t *ex, app_zone_act_t act, app_text_t add)
{
    cookie_t cookie = find_cookie(ex->req);
    app_zone_told_t told;
    app_zone_told_read(&told, ex->req);
    app_zone_ask_t ask = {.act = act, .add = add, .told = &told};
    ask.id = app_session_id_looks_valid(cookie.id) ? cookie.id : app_text("");
    if (app_zone_l2_is_on()) {
        app_zone_l2_serve(&ex->said, &ask);
    } else {
        app_zone_serve(&ex->said, &ask);
    }
    app_zone_told_end(&told);
    ex->answer.fields = ex->said.fields;
    if (ex->said.failed) {
        say_line(ex, 503, "the address of zones does not answer as it should");
        return false;
    }
    if (ex->said.miss) {
        say_line(ex, 503, "the state of the session is needed first");
        return false;
    }
    bool foreign = cookie.route.n > 0 && !app_text_is(cookie.route, app_options.route);
    if (ex->said.issued || (ex->said.id[0] && foreign && app_options.reissue)) {
        set_cookie(ex, app_text(ex->said.id));
    }
    return true;
}

/* --- pages ------------------------------------------------------------------------------------ */

static const char html[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s</title>\n"
    "<style>body{font:1.2em sans-serif;margin:12vh auto;max-width:30em;padding:0 1em}"
    "b{font-size:3em}code{word-break:break-all}</style>\n</head>\n<body>\n"
    "<p>You are served by</p>\n<p><b>%s</b></p>\n<p>visits=%llu</p>\n"
    "<p><code>session=%s</code></p>\n<p><a href=\"\">again</a></p>\n</body>\n</html>\n";

static void page_front(app_exchange_t *ex)
{
    char id[APP_SESSION_ID_BYTES + 1];
    unsigned long long visits;
    if (!app_options.zones) {
        visits = visit(ex, id);
    } else if (serve_session(ex, APP_ZONE_VISIT, app_text(""))) {
        memcpy(id, ex->said.id, sizeof(id));
        visits = ex->said.visits;
    } else {
        return;
    }
    app_text_t accept = app_http_field(ex->req, "Accept");
    if (accept.n > 0 && memmem(accept.p, accept.n, "text/html", 9)) {
        int n = snprintf(ex->page, sizeof(ex->page), html, app_options.name, app_options.name,
                         visits, id);
        say(ex, 200, "text/html; charset=utf-8", ex->page, (size_t)n);
        return;
    }
    int n = snprintf(ex->page, sizeof(ex->page), "%s visits=%llu session=%s\n", app_options.name,
                     visits, id);
    say(ex, 200, "text/plain", ex->page, (size_t)n);
}

static void page_plain(app_exchange_t *ex)
{
    say_line(ex, 200, app_options.name);
}

static void page_bytes(app_exchange_t *ex)
{
    uint64_t n;
    if (!param(ex, "n", &n, 0)) {
        return;
    }
    say(ex, 200, "application/octet-stream", NULL, 0);
    ex->answer.body_bytes = n;
    if (app_text_is(app_http_param(ex->req, "close"), "1")) {
        ex->answer.ending = APP_ENDING_CLOSE;
    }
}

static void page_chunked(app_exchange_t *ex)
{
    uint64_t n;
    uint64_t chunk;
    uint64_t delay;
    if (!param(ex, "n", &n, 0) || !param(ex, "chunk", &chunk, 0) ||
        !param(ex, "delay", &delay, 0)) {
        return;
    }
    say(ex, 200, "application/octet-stream", NULL, 0);
    ex->answer.body_bytes = n;
    ex->answer.ending = APP_ENDING_CHUNKED;
    ex->answer.chunk_bytes = chunk;
    ex->answer.chunk_delay_ms = (unsigned)(delay < MAX_WAIT_MS ? delay : MAX_WAIT_MS);
    ex->answer.trailer = app_text_is(app_http_param(ex->req, "trailer"), "1");
}

static void page_upload(app_exchange_t *ex)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned sum_n = 0;
    EVP_DigestFinal_ex(ex->digest, sum, &sum_n);
    int n = snprintf(ex->page, sizeof(ex->page), "%llu ", (unsigned long long)ex->req->body_bytes);
    for (unsigned i = 0; i < sum_n; i++) {
        n += snprintf(ex->page + n, sizeof(ex->page) - (size_t)n, "%02x", sum[i]);
    }
    n += snprintf(ex->page + n, sizeof(ex->page) - (size_t)n, "\n");
    say(ex, 200, "text/plain", ex->page, (size_t)n);
}

static void page_status(app_exchange_t *ex)
{
    uint64_t code;
    if (!param(ex, "code", &code, 200)) {
        return;
    }
    if (code < 200 || code > 999) {
        say_line(ex, 400, "code is no status, use 200 to 999");
        return;
    }
    int n = snprintf(ex->page, sizeof(ex->page), "status %d\n", (int)code);
    say(ex, (int)code, "text/plain", ex->page, (size_t)n);
}

static void page_slow(app_exchange_t *ex)
{
    uint64_t ms;
    if (!param(ex, "ms", &ms, 0)) {
        return;
    }
    app_sleep_ms((unsigned)(ms < MAX_WAIT_MS ? ms : MAX_WAIT_MS));
    page_plain(ex);
}

static void page_echo(app_exchange_t *ex)
{
    say(ex, 200, "text/plain", ex->req->head, ex->req->head_n);
}

/* An echo of whatever comes, in the protocol that was asked for. */
static void page_upgrade(app_exchange_t *ex)
{
    app_text_t protocol = app_http_field(ex->req, "Upgrade");
    if (protocol.n == 0 || protocol.n > 64 ||
        !app_http_list_has(app_http_field(ex->req, "Connection"), "upgrade")) {
        say_line(ex, 426, "ask for an upgrade");
        return;
    }
    ex->switches = true;
    int n = snprintf(ex->page, sizeof(ex->page),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %.*s\r\n"
                     "Connection: Upgrade\r\nX-Instance: %s\r\n\r\n",
                     APP_TEXT_ARG(protocol), app_options.name);
    ex->answer.body_bytes = (uint64_t)n;
}

/* Serves the session and shows it. */
static void show_session(app_exchange_t *ex, app_zone_act_t act)
{
    app_text_t add = app_http_param(ex->req, "add");
    if (add.n > 0 && !app_zone_item_is_valid(add)) {
        say_line(ex, 400, "add is no name, use 1 to 64 of A-Z a-z 0-9 _ -");
        return;
    }
    if (!serve_session(ex, act, add)) {
        return;
    }
    const app_zone_said_t *said = &ex->said;
    int n = asprintf(&ex->text, "%s epoch=%llu version=%llu visits=%llu items=%s session=%s\n",
                     app_options.name, (unsigned long long)said->epoch,
                     (unsigned long long)said->version, (unsigned long long)said->visits,
                     said->items, said->id);
    if (n < 0) {
        abort();
    }
    say(ex, 200, "text/plain", ex->text, (size_t)n);
}

static void page_cart(app_exchange_t *ex)
{
    show_session(ex, APP_ZONE_CART);
}

static void page_touch(app_exchange_t *ex)
{
    show_session(ex, APP_ZONE_TOUCH);
}

static void page_login(app_exchange_t *ex)
{
    show_session(ex, APP_ZONE_LOGIN);
}

static void page_logout(app_exchange_t *ex)
{
    if (serve_session(ex, APP_ZONE_LOGOUT, app_text(""))) {
        take_cookie_back(ex);
        say_line(ex, 200, app_options.name);
    }
}

static const app_page_t pages[] = {
    {"/plain", NULL, false, page_plain},      {"/bytes", NULL, false, page_bytes},
    {"/chunked", NULL, false, page_chunked},  {"/upload", "POST, PUT", false, page_upload},
    {"/status", NULL, false, page_status},    {"/slow", NULL, false, page_slow},
    {"/echo", NULL, false, page_echo},        {"/early", NULL, true, page_status},
    {"/upgrade", "GET", false, page_upgrade},
};

/* With -zones there are these too. */
static const app_page_t zone_pages[] = {
    {"/cart", NULL, false, page_cart},
    {"/touch", NULL, false, page_touch},
    {"/login", NULL, false, page_login},
    {"/logout", NULL, false, page_logout},
};

static const app_page_t front = {"", NULL, false, page_front};

static const app_page_t *find_among(const app_page_t *list, size_t n, app_text_t path)
{
    for (size_t i = 0; i < n; i++) {
        if (app_text_is(path, list[i].path)) {
            return &list[i];
        }
    }
    return NULL;
}

/* The page of a path, NULL when it is not of this application. */
static const app_page_t *find_page(app_text_t path)
{
    size_t context_n = strlen(app_options.context);
    if (path.n < context_n || memcmp(path.p, app_options.context, context_n) != 0 ||
        (path.n > context_n && path.p[context_n] != '/')) {
        return NULL;
    }
    app_text_t below = {path.p + context_n, path.n - context_n};
    size_t pages_n = sizeof(pages) / sizeof(pages[0]);
    size_t zone_pages_n = app_options.zones ? sizeof(zone_pages) / sizeof(zone_pages[0]) : 0;
    const app_page_t *page = find_among(pages, pages_n, below);
    page = page ? page : find_among(zone_pages, zone_pages_n, below);
    return page ? page : &front;
}

static void fill_answer(app_exchange_t *ex, const app_page_t *page)
{
    if (!page) {
        say_line(ex, 404, "not of this application");
        return;
    }
    char method[16];
    snprintf(method, sizeof(method), "%.*s", APP_TEXT_ARG(ex->req->method));
    if (page->methods && !app_http_list_has(app_text(page->methods), method)) {
        say_line(ex, 405, "this page does not allow the method");
        snprintf(ex->answer.extra, sizeof(ex->answer.extra), "Allow: %s\r\n", page->methods);
        return;
    }
    page->fill(ex);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool answer_malformed(app_conn_t *conn, const app_request_t *req)
{
    char body[256];
    int n = snprintf(body, sizeof(body), "%s\n", req->why);
    app_answer_t answer = {
        .status = req->status, .type = "text/plain", .text = body, .body_bytes = (uint64_t)n};
    app_count_malformed();
    app_http_answer(conn, req, &answer);
    app_conn_linger(conn);
    return false;
}

static app_read_t read_body(app_exchange_t *ex)
{
    app_text_t piece;
    app_read_t got;
    while ((got = app_http_read_body(ex->conn, ex->req, &piece)) == APP_READ_OK && piece.n > 0) {
        app_ledger_note(ex->entry, APP_PHASE_HEAD, ex->req->body_bytes);
        if (ex->digest) {
            EVP_DigestUpdate(ex->digest, piece.p, piece.n);
        }
    }
    return got;
}

static bool serve_answer(app_exchange_t *ex, const app_fault_t *fault)
{
    ex->answer.reset = fault->reset;
    ex->answer.status = fault->status ? fault->status : ex->answer.status;
    char *instead = app_zone_take_say();
    ex->answer.fields = instead ? instead : ex->answer.fields;
    app_answers_at_first_byte();
    bool written = app_http_answer(ex->conn, ex->req, &ex->answer);
    free(instead);
    if (!written) {
        return false;
    }
    /* Noted before the last bytes leave: a client that has the answer finds it in the ledger. */
    app_ledger_note(ex->entry, APP_PHASE_ANSWERED, ex->req->body_bytes);
    if (!app_conn_flush(ex->conn)) {
        app_ledger_note(ex->entry, APP_PHASE_BODY, ex->req->body_bytes);
        return false;
    }
    return app_http_stays_open(ex->req, &ex->answer);
}

static bool serve_raw(app_exchange_t *ex, app_raw_t *raw)
{
    app_ledger_note(ex->entry, APP_PHASE_ANSWERED, ex->req->body_bytes);
    bool stays = app_raw_answer(ex->conn, raw);
    app_raw_end(raw);
    return stays;
}

/* Whatever comes goes back; at its end a line says how much it was. */
static bool serve_tunnel(app_exchange_t *ex)
{
    uint64_t bytes = 0;
    app_conn_put(ex->conn, ex->page, (size_t)ex->answer.body_bytes);
    app_conn_flush(ex->conn);
    do {
        app_text_t in = app_conn_input(ex->conn);
        if (!app_conn_put(ex->conn, in.p, in.n)) {
            return false;
        }
        bytes += in.n;
        app_conn_use(ex->conn, in.n);
    } while (app_conn_fill(ex->conn));
    int n = snprintf(ex->page, sizeof(ex->page), "end %llu\n", (unsigned long long)bytes);
    app_conn_put(ex->conn, ex->page, (size_t)n);
    app_ledger_note(ex->entry, APP_PHASE_ANSWERED, bytes);
    return false;
}

static bool serve_early(app_exchange_t *ex, const app_page_t *page)
{
    fill_answer(ex, page);
    ex->req->keep_alive = ex->req->keep_alive && ex->req->body_done;
    app_ledger_note(ex->entry, APP_PHASE_ANSWERED, 0);
    if (!app_http_answer(ex->conn, ex->req, &ex->answer) || !app_conn_flush(ex->conn)) {
        return false;
    }
    if (!ex->req->body_done) {
        app_conn_linger(ex->conn);
    }
    return app_http_stays_open(ex->req, &ex->answer);
}

static bool serve_read(app_exchange_t *ex, const app_page_t *page)
{
    app_fault_at_head();
    if (page && page->early) {
        return serve_early(ex, page);
    }
    app_read_t got = read_body(ex);
    if (got == APP_READ_MALFORMED) {
        return answer_malformed(ex->conn, ex->req);
    }
    if (got == APP_READ_END) {
        return false;
    }
    app_ledger_note(ex->entry, APP_PHASE_BODY, ex->req->body_bytes);
    app_fault_t fault = app_fault_at_answer();
    app_raw_t raw = app_raw_take();
    if (raw.kind != APP_RAW_NONE) {
        return serve_raw(ex, &raw);
    }
    fill_answer(ex, page);
    return ex->switches ? serve_tunnel(ex) : serve_answer(ex, &fault);
}

static bool serve_application(app_conn_t *conn, app_request_t *req)
{
    const app_page_t *page = find_page(req->path);
    app_exchange_t *ex = calloc(1, sizeof(*ex));
    if (!ex) {
        abort();
    }
    ex->conn = conn;
    ex->req = req;
    ex->entry = app_ledger_add(req->method, req->target, app_http_field(req, "X-Request-Tag"));
    if (page && page->fill == page_upload) {
        ex->digest = EVP_MD_CTX_new();
        EVP_DigestInit_ex(ex->digest, EVP_sha256(), NULL);
    }
    bool stays = serve_read(ex, page);
    EVP_MD_CTX_free(ex->digest);
    app_zone_said_end(&ex->said);
    free(ex->text);
    free(ex);
    return stays;
}

static bool serve_health(app_conn_t *conn, app_request_t *req)
{
    app_text_t piece;
    app_count_health();
    do {
        if (app_http_read_body(conn, req, &piece) != APP_READ_OK) {
            return false;
        }
    } while (piece.n > 0);
    bool good = app_fault_at_health();
    const char *text = good ? "ok\n" : "failing\n";
    app_answer_t answer = {
        .status = good ? 200 : 503, .type = "text/plain", .text = text, .body_bytes = strlen(text)};
    return app_http_answer(conn, req, &answer) && app_conn_flush(conn) &&
           app_http_stays_open(req, &answer);
}

static bool serve_one(app_conn_t *conn)
{
    app_request_t req;
    bool stays = false;
    switch (app_http_read_head(conn, &req)) {
    case APP_READ_OK:
        stays = app_text_is(req.path, app_options.health) ? serve_health(conn, &req)
                                                          : serve_application(conn, &req);
        break;
    case APP_READ_MALFORMED:
        stays = answer_malformed(conn, &req);
        break;
    case APP_READ_END:
        break;
    }
    app_http_end(&req);
    conn->served = true;
    return stays;
}

void app_serve(app_conn_t *conn)
{
    while (serve_one(conn)) {
        continue;
    }
}
