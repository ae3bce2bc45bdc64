/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the order and the spelling of the heads that go out. */
#include "hap_relay.h"

#include "hap_http1_class.h"

/* Bytes that are written one after the other; `n` beyond `room` means that they did not fit. */
typedef struct out_t {
    char *p;
    size_t n;
    size_t room;
} out_t;

#define PUT_LIT(out, lit) put(out, HAP_STR_LIT(lit))

static void put(out_t *out, hap_str_t s)
{
    if (s.n <= out->room - out->n) {
        if (s.n) {
            memcpy(out->p + out->n, s.p, s.n);
        }
        out->n += s.n;
    } else {
        out->room = out->n = 0; /* nothing fits from here on, and it is seen at the end */
        out->p = NULL;
    }
}

static void put_field(out_t *out, hap_str_t name, hap_str_t value)
{
    put(out, name);
    PUT_LIT(out, ": ");
    put(out, value);
    PUT_LIT(out, "\r\n");
}

static size_t finish(const out_t *out)
{
    return out->p ? out->n : 0;
}

bool hap_relay_under(hap_str_t mount, hap_str_t path)
{
    if (!hap_str_starts(path, mount)) {
        return false;
    }
    bool whole = mount.n == 0 || mount.p[mount.n - 1] == '/';
    return whole || path.n == mount.n || path.p[mount.n] == '/';
}

/* --- to a member ------------------------------------------------------------------------------ */

/* The proxy's own value is added behind those that came, all in one field. */
static void put_forwarded(out_t *out, const hap_http1_head_t *head, hap_field_id_t id,
                          hap_str_t name, hap_str_t own)
{
    put(out, name);
    PUT_LIT(out, ": ");
    for (unsigned i = 0; i < head->fields_n; i++) {
        if (head->fields[i].id == id && !head->fields[i].hop) {
            put(out, head->fields[i].value);
            PUT_LIT(out, ", ");
        }
    }
    put(out, own);
    PUT_LIT(out, "\r\n");
}

static bool is_passed(const hap_field_t *field, const hap_relay_t *relay)
{
    switch (field->id) {
    case HAP_FIELD_HOST:
    case HAP_FIELD_ZONE: /* nor what RequestHeader has set */
        return false;
    case HAP_FIELD_TRANSFER_ENCODING: /* the body keeps its framing */
        return true;
    case HAP_FIELD_VIA:
        return !relay->via_block && relay->via.n == 0;
    case HAP_FIELD_FORWARDED_FOR:
    case HAP_FIELD_FORWARDED_HOST:
    case HAP_FIELD_FORWARDED_SERVER:
        return !relay->add_forwarded && !field->hop;
    default:
        return !field->hop;
    }
}

static void put_via(out_t *out, const hap_http1_head_t *head, hap_str_t via)
{
    PUT_LIT(out, "Via: ");
    for (unsigned i = 0; i < head->fields_n; i++) {
        if (head->fields[i].id == HAP_FIELD_VIA && !head->fields[i].hop) {
            put(out, head->fields[i].value);
            PUT_LIT(out, ", ");
        }
    }
    put(out, head->minor ? HAP_STR_LIT("1.1 ") : HAP_STR_LIT("1.0 "));
    put(out, via);
    PUT_LIT(out, "\r\n");
}

/* "/App" that stands for nothing leaves nothing, or a query alone: the path is "/" then. */
static void put_target(out_t *out, const hap_http1_request_t *in, const hap_relay_to_t *to)
{
    hap_str_t mapped = to->relay->to;
    hap_str_t rest = hap_str_sub(in->target, to->relay->from.n, in->target.n);
    hap_str_t first = to->base.n ? to->base : mapped.n ? mapped : rest;
    if (first.n == 0 || first.p[0] != '/') {
        PUT_LIT(out, "/");
    }
    put(out, to->base);
    put(out, mapped);
    put(out, rest);
}

size_t hap_relay_request(char *out_, size_t room, const hap_http1_request_t *in,
                         const hap_relay_to_t *to)
{
    out_t out = {out_, 0, room};
    const hap_relay_t *relay = to->relay;
    const hap_http1_head_t *head = &in->head;
    put(&out, in->method);
    PUT_LIT(&out, " ");
    put_target(&out, in, to);
    PUT_LIT(&out, " HTTP/1.1\r\n");
    put_field(&out, HAP_STR_LIT("Host"), relay->preserve_host ? in->host : to->host);
    for (unsigned i = 0; i < head->fields_n; i++) {
        const hap_field_t *field = &head->fields[i];
        if (is_passed(field, relay)) {
            put_field(&out, field->name, field->value);
        }
    }
    if (relay->via.n) {
        put_via(&out, head, relay->via);
    }
    if (relay->add_forwarded) {
        put_forwarded(&out, head, HAP_FIELD_FORWARDED_FOR, HAP_STR_LIT("X-Forwarded-For"),
                      to->client);
        put_forwarded(&out, head, HAP_FIELD_FORWARDED_HOST, HAP_STR_LIT("X-Forwarded-Host"),
                      in->host);
        put_forwarded(&out, head, HAP_FIELD_FORWARDED_SERVER, HAP_STR_LIT("X-Forwarded-Server"),
                      relay->server_name);
    }
    put(&out, to->extra);
    if (to->upgrade) {
        put_field(&out, HAP_STR_LIT("Upgrade"), head->protocol);
        PUT_LIT(&out, "Connection: Upgrade\r\n\r\n");
    } else {
        PUT_LIT(&out, "Connection: Keep-Alive\r\n\r\n");
    }
    return finish(&out);
}

size_t hap_relay_alone(char *out_, size_t room, const hap_http1_request_t *in)
{
    out_t out = {out_, 0, room};
    put(&out, in->method);
    PUT_LIT(&out, " ");
    put(&out, in->target);
    put(&out, in->head.minor ? HAP_STR_LIT(" HTTP/1.1\r\n") : HAP_STR_LIT(" HTTP/1.0\r\n"));
    for (unsigned i = 0; i < in->head.fields_n; i++) {
        const hap_field_t *field = &in->head.fields[i];
        if (!field->hop && field->id != HAP_FIELD_EXPECT && field->id != HAP_FIELD_CONTENT_LENGTH) {
            put_field(&out, field->name, field->value);
        }
    }
    PUT_LIT(&out, "Connection: close\r\n\r\n");
    return finish(&out);
}

/* --- to a client ------------------------------------------------------------------------------ */

static const hap_relay_map_t *find_map(const hap_relay_maps_t *maps, hap_str_t value, bool nocase)
{
    for (unsigned i = 0; i < maps->n; i++) {
        const hap_relay_map_t *map = &maps->rows[i];
        hap_str_t begin = hap_str_sub(value, 0, map->real.n);
        if (nocase ? hap_str_eq_nocase(begin, map->real) : hap_str_eq(begin, map->real)) {
            return map;
        }
    }
    return NULL;
}

/* Of `scheme://host/path` what begins with the path; all of it where there is no host. */
static hap_str_t path_of_url(hap_str_t url)
{
    size_t colon = hap_str_find(url, ':', 0);
    hap_str_t scheme = hap_str_sub(url, 0, colon);
    if (hap_byte_span(scheme.p, scheme.n, HAP_BYTE_TOKEN) != colon ||
        !hap_str_starts(hap_str_sub(url, colon, url.n), HAP_STR_LIT("://"))) {
        return url;
    }
    size_t slash = hap_str_find(url, '/', colon + 3);
    return slash < url.n ? hap_str_sub(url, slash, url.n) : url;
}

static bool fits(const hap_relay_map_t *map, hap_str_t url)
{
    hap_str_t real = map->real;
    size_t n = real.n - map->exact_n;
    return real.n > 0 && url.n >= real.n &&
           hap_str_eq_nocase(hap_str_sub(url, 0, n), hap_str_sub(real, 0, n)) &&
           hap_str_eq(hap_str_sub(url, n, real.n), hap_str_sub(real, n, real.n));
}

/* The map that fits, and what is left behind what it stands for. One of a path fits any host. */
static const hap_relay_map_t *find_location(hap_str_t *rest, const hap_relay_maps_t *maps,
                                            hap_str_t url)
{
    for (unsigned i = 0; i < maps->n; i++) {
        hap_str_t real = maps->rows[i].real;
        hap_str_t part = real.n && real.p[0] == '/' ? path_of_url(url) : url;
        if (fits(&maps->rows[i], part)) {
            *rest = hap_str_sub(part, real.n, part.n);
            return &maps->rows[i];
        }
    }
    return NULL;
}

/* Begins with these bytes, as hosts are compared, and what follows is no part of the host. */
static bool is_at(hap_str_t url, hap_str_t place)
{
    bool ends = url.n == place.n || (url.n > place.n && url.p[place.n] == '/');
    return ends && hap_str_eq_nocase(hap_str_sub(url, 0, place.n), place);
}

/* The same for a member that stands for another one: what follows the place of either is compared.
 */
static const hap_relay_map_t *find_alias(hap_str_t *rest, const hap_relay_back_t *back,
                                         hap_str_t url)
{
    const hap_relay_maps_t *maps = &back->relay->locations;
    hap_str_t own = back->alias.real;
    hap_str_t like = back->alias.fake;
    if (own.n == 0 || !is_at(url, own)) {
        return NULL;
    }
    hap_str_t part = hap_str_sub(url, own.n, url.n);
    for (unsigned i = 0; i < maps->n; i++) {
        hap_str_t real = maps->rows[i].real;
        if (!hap_str_eq_nocase(hap_str_sub(real, 0, like.n), like)) {
            continue;
        }
        hap_str_t tail = hap_str_sub(real, like.n, real.n);
        if (hap_str_starts(part, tail)) {
            *rest = hap_str_sub(part, tail.n, part.n);
            return &maps->rows[i];
        }
    }
    return NULL;
}

/* ProxyPassReverse: `Location: http://hosta:8080/App/x` is where the client finds it. */
static void put_location(out_t *out, const hap_field_t *field, const hap_relay_back_t *back)
{
    hap_str_t rest;
    const hap_relay_map_t *map = find_alias(&rest, back, field->value);
    map = map ? map : find_location(&rest, &back->relay->locations, field->value);
    put(out, field->name);
    PUT_LIT(out, ": ");
    if (map) {
        if (map->fake.n && map->fake.p[0] == '/') {
            put(out, back->self);
        }
        put(out, map->fake);
        put(out, rest);
    } else {
        put(out, field->value);
    }
    PUT_LIT(out, "\r\n");
}

static bool starts_nocase(hap_str_t s, hap_str_t prefix)
{
    return hap_str_eq_nocase(hap_str_sub(s, 0, prefix.n), prefix);
}

/* `path=/App` or `domain=x` with the maps applied; everything else as it is. */
static void put_attribute(out_t *out, hap_str_t part, const hap_relay_t *relay)
{
    static const hap_str_t path = {"path=", 5};
    static const hap_str_t domain = {"domain=", 7};
    size_t blanks = 0;
    while (blanks < part.n && (part.p[blanks] == ' ' || part.p[blanks] == '\t')) {
        blanks++;
    }
    hap_str_t text = hap_str_sub(part, blanks, part.n);
    bool is_path = starts_nocase(text, path);
    bool is_domain = !is_path && starts_nocase(text, domain);
    size_t key_n = is_path ? path.n : domain.n;
    hap_str_t value = hap_str_sub(text, key_n, text.n);
    const hap_relay_map_t *map = is_path     ? find_map(&relay->paths, value, false)
                                 : is_domain ? find_map(&relay->domains, value, true)
                                             : NULL;
    if (!map) {
        put(out, part);
        return;
    }
    put(out, hap_str_sub(part, 0, blanks + key_n));
    put(out, map->fake);
}

static void put_set_cookie(out_t *out, const hap_field_t *field, const hap_relay_t *relay)
{
    put(out, field->name);
    PUT_LIT(out, ": ");
    if (relay->paths.n == 0 && relay->domains.n == 0) {
        put(out, field->value);
    } else {
        size_t at = 0;
        while (at <= field->value.n) {
            size_t end = hap_str_find(field->value, ';', at);
            put_attribute(out, hap_str_sub(field->value, at, end), relay);
            if (end < field->value.n) {
                PUT_LIT(out, ";");
            }
            at = end + 1;
        }
    }
    PUT_LIT(out, "\r\n");
}

/* Of the first that is passed on: what Connection names is as if it were not there. */
static hap_str_t value_of(const hap_http1_head_t *head, hap_field_id_t id, hap_str_t without)
{
    for (unsigned i = 0; i < head->fields_n; i++) {
        if (head->fields[i].id == id && !head->fields[i].hop) {
            return head->fields[i].value;
        }
    }
    return without;
}

static bool has_encoding(const hap_http1_head_t *head)
{
    unsigned i = 0;
    while (i < head->fields_n && head->fields[i].id != HAP_FIELD_TRANSFER_ENCODING) {
        i++;
    }
    return i < head->fields_n;
}

/*
 * None beside chunks, with 1xx, 204 and 304, nor, as httpd, one of 0 in an answer to HEAD. A
 * member's that had both is not passed on where the body is missing either (RFC 9112 6.3).
 */
static bool keeps_length(const hap_http1_answer_t *in, const hap_relay_back_t *back)
{
    enum { FINAL = 200, NO_CONTENT = 204, NOT_MODIFIED = 304 };
    return !back->chunked && !has_encoding(&in->head) && in->status >= FINAL &&
           in->status != NO_CONTENT && in->status != NOT_MODIFIED &&
           !(back->head && in->head.length == 0);
}

/* Of fields that are there more often than they may be the first one counts. */
static bool is_first(const hap_field_t *field, const hap_http1_head_t *head)
{
    const hap_field_t *first = head->fields;
    while (first->id != field->id) {
        first++;
    }
    return first == field;
}

static void put_length(out_t *out, const hap_field_t *field, uint64_t length)
{
    char digits[HAP_STR_UINT_BYTES];
    put_field(out, field->name, hap_str_digits(digits, length));
}

static void put_answer_field(out_t *out, const hap_field_t *field, const hap_http1_answer_t *in,
                             const hap_relay_back_t *back)
{
    bool own = field->hop && field->id != HAP_FIELD_UPGRADE;
    if (own || field->id == HAP_FIELD_ZONE) { /* nor what Header has set */
        return;
    }
    switch (field->fixed ? HAP_FIELD_OTHER : field->id) {
    case HAP_FIELD_LOCATION:
    case HAP_FIELD_CONTENT_LOCATION:
    case HAP_FIELD_DESTINATION:
    case HAP_FIELD_URI:
        put_location(out, field, back);
        return;
    case HAP_FIELD_SET_COOKIE:
        put_set_cookie(out, field, back->relay);
        return;
    case HAP_FIELD_CONTENT_LENGTH:
        if (keeps_length(in, back) && is_first(field, &in->head)) {
            put_length(out, field, in->head.length);
        }
        return;
    case HAP_FIELD_CONTENT_TYPE:
        if (!is_first(field, &in->head)) {
            return;
        }
        break;
    case HAP_FIELD_UPGRADE:
        if (!(back->offers || back->keep == HAP_RELAY_UPGRADE) || !is_first(field, &in->head)) {
            return;
        }
        break;
    case HAP_FIELD_DATE:
    case HAP_FIELD_SERVER: /* stand in front */
    case HAP_FIELD_PROXY_AUTHENTICATE:
        return;
    default:
        break;
    }
    put(out, field->name);
    PUT_LIT(out, ": ");
    put(out, field->value);
    PUT_LIT(out, "\r\n");
}

static void put_connection(out_t *out, const hap_relay_back_t *back)
{
    static const char *const words[] = {
        [HAP_RELAY_CLOSE] = "close",
        [HAP_RELAY_KEEP] = "",
        [HAP_RELAY_KEEP_SAID] = "Keep-Alive",
        [HAP_RELAY_UPGRADE] = "Upgrade",
    };
    hap_str_t word = hap_str(words[back->keep]);
    char digits[HAP_STR_UINT_BYTES];
    if (back->keep == HAP_RELAY_KEEP_SAID) {
        PUT_LIT(out, "Keep-Alive: timeout=");
        put(out, hap_str_digits(digits, back->timeout_s));
        put(out, back->left ? HAP_STR_LIT(", max=") : HAP_STR_LIT(""));
        put(out, back->left ? hap_str_digits(digits, back->left) : HAP_STR_LIT(""));
        PUT_LIT(out, "\r\n");
    }
    if (back->offers || word.n) {
        PUT_LIT(out, "Connection: ");
        put(out, back->offers ? HAP_STR_LIT("Upgrade") : HAP_STR_LIT(""));
        put(out, back->offers && word.n ? HAP_STR_LIT(", ") : HAP_STR_LIT(""));
        put(out, word);
        PUT_LIT(out, "\r\n");
    }
}

static void put_status(out_t *out, const hap_http1_answer_t *in)
{
    const char code[] = {(char)('0' + in->status / 100 % 10), (char)('0' + in->status / 10 % 10),
                         (char)('0' + in->status % 10), ' '};
    PUT_LIT(out, "HTTP/1.1 ");
    put(out, hap_strn(code, sizeof(code)));
    put(out, in->reason);
    PUT_LIT(out, "\r\n");
}

size_t hap_relay_answer(char *out_, size_t room, const hap_http1_answer_t *in,
                        const hap_relay_back_t *back)
{
    enum { FINAL = 200, SWITCHING = 101 };
    out_t out = {out_, 0, room};
    const hap_http1_head_t *head = &in->head;
    bool final = in->status >= FINAL;
    put_status(&out, in);
    if (final) {
        hap_str_t server = value_of(head, HAP_FIELD_SERVER, back->relay->banner);
        put_field(&out, HAP_STR_LIT("Date"), value_of(head, HAP_FIELD_DATE, back->date));
        if (server.n) {
            put_field(&out, HAP_STR_LIT("Server"), server);
        }
    }
    for (unsigned i = 0; i < head->fields_n; i++) {
        put_answer_field(&out, &head->fields[i], in, back);
    }
    if (back->relay->via.n) {
        PUT_LIT(&out, "Via: ");
        put(&out, back->old ? HAP_STR_LIT("1.0 ") : HAP_STR_LIT("1.1 "));
        put(&out, back->relay->via);
        PUT_LIT(&out, "\r\n");
    }
    if (final && back->cookie.n) {
        put_field(&out, HAP_STR_LIT("Set-Cookie"), back->cookie);
        /* What is one client's must not be stored for others. */
        if (value_of(head, HAP_FIELD_CACHE_CONTROL, back->cookie).p == back->cookie.p) {
            PUT_LIT(&out, "Cache-Control: private\r\n");
        }
    }
    if (final && back->chunked) {
        PUT_LIT(&out, "Transfer-Encoding: chunked\r\n");
    }
    if (final || in->status == SWITCHING) {
        put_connection(&out, back);
    }
    PUT_LIT(&out, "\r\n");
    return finish(&out);
}
