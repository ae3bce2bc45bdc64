/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a small client of the address of zones, and the one loop that a session needs there: read
 * it, change it, put it if it is still what was read, else begin anew.
 */
#include "app_zone_l2.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TRIES_MAX = 100, TIMEOUT_S = 5, TOKEN_BYTES = 300, NAME_BYTES = 256, TAG_BYTES = 64 };

/* Written by app_zone_l2_start only, before there are other threads. */
static struct {
    char host[NAME_BYTES];
    char port[8];
    const char *path; /* of the address */
    char token[TOKEN_BYTES];
} zone;

/* --- asking ----------------------------------------------------------------------------------- */

/** An answer. */
typedef struct reply_t {
    int status;          /* 0: there was none */
    char tag[TAG_BYTES]; /* ETag; empty without */
    char *text;          /* all of it; owned */
    const char *body;    /* in text */
} reply_t;

static int connect_zone(void)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(zone.host, zone.port, &hints, &found) != 0) {
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    }
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Up to the connection's end. */
static char *receive_all(int fd)
{
    char piece[4096];
    char *text;
    size_t text_n;
    ssize_t got;
    FILE *out = open_memstream(&text, &text_n);
    if (!out) {
        abort();
    }
    while ((got = recv(fd, piece, sizeof(piece), 0)) > 0) {
        fwrite(piece, 1, (size_t)got, out);
    }
    fclose(out);
    return text;
}

static void read_reply(reply_t *reply)
{
    static const char field[] = "\r\nETag: ";
    static const size_t status_at = sizeof("HTTP/1.1 ") - 1;
    uint64_t status;
    const char *end = strstr(reply->text, "\r\n\r\n");
    if (!end || strncmp(reply->text, "HTTP/1.1 ", status_at) != 0 ||
        !app_number(&status, (app_text_t){reply->text + status_at, 3}, 999)) {
        return;
    }
    reply->status = (int)status;
    reply->body = end + 4;
    const char *tag = strstr(reply->text, field);
    if (tag && tag < end) {
        tag += sizeof(field) - 1;
        snprintf(reply->tag, sizeof(reply->tag), "%.*s", (int)strcspn(tag, "\r"), tag);
    }
}

/* `fields` are lines with their ends. Ids are of characters that need no encoding. */
static void ask_zone(reply_t *reply, const char *method, app_text_t id, const char *fields,
                     const char *body)
{
    char *request;
    *reply = (reply_t){.status = 0};
    int n = asprintf(&request,
                     "%s %s/USER/%.*s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                     "Authorization: Bearer %s\r\n%sContent-Length: %zu\r\n\r\n%s",
                     method, zone.path, APP_TEXT_ARG(id), zone.host, zone.token, fields,
                     strlen(body), body);
    if (n < 0) {
        abort();
    }
    int fd = connect_zone();
    if (fd >= 0 && send_all(fd, request, (size_t)n)) {
        reply->text = receive_all(fd);
        read_reply(reply);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(request);
}

static void reply_end(reply_t *reply)
{
    free(reply->text);
    reply->text = NULL;
}

/* --- a session -------------------------------------------------------------------------------- */

/** A session as it was read, and as it is to be. */
typedef struct state_t {
    char id[APP_SESSION_ID_BYTES + 1];
    char tag[TAG_BYTES]; /* that it was read with; empty: there is none */
    uint64_t visits;
    char *items; /* owned */
} state_t;

/* False: there is no telling. */
static bool read_session(state_t *state, app_text_t id)
{
    reply_t reply;
    *state = (state_t){.visits = 0};
    if (id.n == 0) {
        return true;
    }
    ask_zone(&reply, "GET", id, "", "");
    bool there =
        reply.status == 200 && app_zone_read_text(&state->visits, &state->items, reply.body);
    if (there) {
        snprintf(state->id, sizeof(state->id), "%.*s", APP_TEXT_ARG(id));
        memcpy(state->tag, reply.tag, sizeof(state->tag));
    }
    bool known = there || reply.status == 404 || reply.status == 410;
    reply_end(&reply);
    return known;
}

static void change(state_t *state, const app_zone_ask_t *ask)
{
    char *items;
    const char *before = state->items ? state->items : "";
    const char *comma = *before && ask->add.n > 0 ? "," : "";
    if (asprintf(&items, "%s%s%.*s", before, comma, APP_TEXT_ARG(ask->add)) < 0) {
        abort();
    }
    free(state->items);
    state->items = items;
    state->visits += ask->act == APP_ZONE_VISIT;
}

/* The status of the answer; the tag is the new one then. */
static int put_session(state_t *state)
{
    char *fields;
    char *body;
    reply_t reply;
    bool there = state->tag[0];
    if (asprintf(&fields, "%s: %s\r\nHA-TTL: %llu\r\n", there ? "If-Match" : "If-None-Match",
                 there ? state->tag : "*", (unsigned long long)app_zone_ttl_s()) < 0 ||
        asprintf(&body, "visits=%llu items=%s", (unsigned long long)state->visits, state->items) <
            0) {
        abort();
    }
    ask_zone(&reply, "PUT", app_text(state->id), fields, body);
    int status = reply.status;
    memcpy(state->tag, reply.tag, sizeof(state->tag));
    reply_end(&reply);
    free(fields);
    free(body);
    return status;
}

static bool delete_session(app_text_t id)
{
    reply_t reply;
    ask_zone(&reply, "DELETE", id, "", "");
    bool gone = reply.status == 204 || reply.status == 404 || reply.status == 410;
    reply_end(&reply);
    return gone;
}

/* Takes the items. The tag is epoch and version. */
static void show(app_zone_said_t *said, state_t *state)
{
    unsigned long long epoch = 0;
    unsigned long long version = 0;
    sscanf(state->tag, "\"%llu-%llu\"", &epoch, &version);
    snprintf(said->id, sizeof(said->id), "%s", state->id);
    said->epoch = epoch;
    said->version = version;
    said->visits = state->visits;
    said->items = state->items;
    state->items = NULL;
}

/* One try. False: somebody else has changed the session since it was read. */
static bool try_serve(app_zone_said_t *said, const app_zone_ask_t *ask)
{
    state_t state;
    if (!read_session(&state, ask->id)) {
        said->failed = true;
        return true;
    }
    bool new_id = !state.id[0] || ask->act == APP_ZONE_LOGIN;
    bool writes = new_id || ask->act != APP_ZONE_CART || ask->add.n > 0;
    if (new_id) {
        app_session_new_id(state.id);
        state.tag[0] = '\0';
    }
    change(&state, ask);
    int status = writes ? put_session(&state) : 204;
    bool done = status == 201 || status == 204;
    said->issued = new_id;
    said->failed = !done && status != 412 && status != 410;
    if (done) {
        show(said, &state);
    }
    free(state.items);
    return done || said->failed;
}

void app_zone_l2_serve(app_zone_said_t *said, const app_zone_ask_t *ask)
{
    *said = (app_zone_said_t){.failed = false};
    if (ask->act == APP_ZONE_LOGOUT) {
        said->failed = ask->id.n > 0 && !delete_session(ask->id);
        return;
    }
    bool over = false;
    for (unsigned tries = 0; !over && tries < TRIES_MAX; tries++) {
        over = try_serve(said, ask);
    }
    bool ends_old = ask->act == APP_ZONE_LOGIN && ask->id.n > 0 && !said->failed;
    said->failed = said->failed || !over || (ends_old && !delete_session(ask->id));
}

/* --- the start -------------------------------------------------------------------------------- */

static bool read_url(const char *url)
{
    static const char scheme[] = "http://";
    int path_at = 0;
    if (!url || strncmp(url, scheme, sizeof(scheme) - 1) != 0) {
        return false;
    }
    url += sizeof(scheme) - 1;
    if (sscanf(url, "%255[^:/]:%7[0-9]%n", zone.host, zone.port, &path_at) != 2) {
        return false;
    }
    zone.path = url + path_at;
    return *zone.path == '\0' || *zone.path == '/';
}

static bool read_token(const char *path)
{
    FILE *in = path ? fopen(path, "r") : NULL;
    bool read = in && fscanf(in, "%299s", zone.token) == 1;
    if (in) {
        fclose(in);
    }
    return read;
}

bool app_zone_l2_start(void)
{
    if (!read_url(app_options.zones_url)) {
        fprintf(stderr, "appd: -zones=l2 needs -zones-url=http://HOST:PORT/PATH\n");
        return false;
    }
    if (!read_token(app_options.zones_token)) {
        fprintf(stderr, "appd: -zones=l2 needs -zones-token=FILE with the token in it\n");
        return false;
    }
    return true;
}

bool app_zone_l2_is_on(void)
{
    return zone.token[0] != '\0';
}
