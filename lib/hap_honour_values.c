/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the readers of plain values: numbers, times, switches and maps. Each takes the value as
 * httpd's own setter does, or says why the lane cannot.
 */
#include "hap_honour_model.h"

#include <apr_strings.h>

READER(timeout);
READER(keep_alive);
READER(keep_alive_timeout);
READER(max_requests);
READER(limit_line);
READER(limit_field_size);
READER(limit_fields);
READER(proxy_timeout);
READER(preserve_host);
READER(add_headers);
READER(via);
READER(reverse);
READER(cookie_path);
READER(cookie_domain);
READER(charset);
READER(canonical_name);
READER(physical_port);
READER(trace);
READER(server_tokens);
READER(server_signature);
READER(error_document);
READER(read_timeout);

enum {
    TIMEOUT_S = 60,
    KEEP_ALIVE_TIMEOUT_S = 5,
    REQUESTS_MAX = 100,
    LIMIT_BYTES = 8190,
    FIELDS_MAX = 100,
    NUMBER_MAX = 1000000000,
};

static const char unclear[] = "it has a value that is not understood here";

void honour_values_init(hap_honour_values_t *values, apr_pool_t *pool)
{
    *values = (hap_honour_values_t){
        .timeout = apr_time_from_sec(TIMEOUT_S),
        .keep_alive_timeout = apr_time_from_sec(KEEP_ALIVE_TIMEOUT_S),
        .keep_alive = true,
        .requests_max = REQUESTS_MAX,
        .line_bytes_max = LIMIT_BYTES,
        .field_bytes_max = LIMIT_BYTES,
        .fields_max = FIELDS_MAX,
        .header = {.timeout_s = 20, .max_s = 40, .rate_bytes = 500},
        .body = {.timeout_s = 20, .rate_bytes = 500},
        .add_headers = true,
        .request_headers = apr_array_make(pool, 0, sizeof(hap_honour_edit_t)),
        .reverses = apr_array_make(pool, 1, sizeof(hap_honour_map_t)),
        .cookie_paths = apr_array_make(pool, 0, sizeof(hap_honour_map_t)),
        .cookie_domains = apr_array_make(pool, 0, sizeof(hap_honour_map_t)),
        .headers = apr_array_make(pool, 0, sizeof(hap_honour_edit_t)),
        .deflate = apr_array_make(pool, 0, sizeof(const char *)),
        .error_answers = apr_array_make(pool, 0, sizeof(hap_honour_error_t)),
        .agents = apr_array_make(pool, 0, sizeof(hap_honour_agent_t)),
        .extensions = apr_hash_make(pool),
        .logs = apr_array_make(pool, 1, sizeof(hap_honour_log_t)),
    };
}

static bool word_is(const char *word, const char *text)
{
    return hap_str_eq_nocase(hap_str(word), hap_str(text));
}

static const char *take_flag(bool *flag, const hap_honour_node_t *node)
{
    const char *word = honour_arg(node, 0);
    if (node->argc != 1 || !(word_is(word, "on") || word_is(word, "off"))) {
        return unclear;
    }
    *flag = word_is(word, "on");
    return NULL;
}

static const char *take_number(unsigned *number, const hap_honour_node_t *node)
{
    unsigned long n = 0;
    if (node->argc != 1 || !hap_str_uint(&n, hap_str(node->argv[0]), NUMBER_MAX)) {
        return unclear;
    }
    *number = (unsigned)n;
    return NULL;
}

/* As ap_timeout_parameter_parse: a unit is known by its beginning. */
static const char *take_time(apr_interval_time_t *time, const hap_honour_node_t *node)
{
    static const struct {
        const char *unit;
        apr_interval_time_t factor;
    } units[] = {{"ms", 1000},
                 {"mi", APR_USEC_PER_SEC * 60},
                 {"s", APR_USEC_PER_SEC},
                 {"h", APR_USEC_PER_SEC * 3600}};
    hap_str_t text = hap_str(honour_arg(node, 0));
    size_t digits = text.n ? strspn(text.p, "0123456789") : 0;
    hap_str_t unit = hap_str_sub(text, digits, text.n);
    unsigned long n = 0;
    if (node->argc != 1 || !hap_str_uint(&n, hap_str_sub(text, 0, digits), NUMBER_MAX)) {
        return unclear;
    }
    unit = unit.n ? unit : HAP_STR_LIT("s");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (hap_str_starts(unit, hap_str(units[i].unit))) {
            *time = (apr_interval_time_t)n * units[i].factor;
            return NULL;
        }
    }
    return unclear;
}

static const char *take_seconds(apr_interval_time_t *time, const hap_honour_node_t *node)
{
    unsigned seconds = 0;
    const char *why = take_number(&seconds, node);
    *time = why ? *time : apr_time_from_sec((apr_interval_time_t)seconds);
    return why;
}

READER(timeout)
{
    return take_seconds(&at->values->timeout, node);
}

READER(keep_alive)
{
    return take_flag(&at->values->keep_alive, node);
}

READER(keep_alive_timeout)
{
    return take_time(&at->values->keep_alive_timeout, node);
}

READER(max_requests)
{
    return take_number(&at->values->requests_max, node);
}

READER(limit_line)
{
    return take_number(&at->values->line_bytes_max, node);
}

READER(limit_field_size)
{
    return take_number(&at->values->field_bytes_max, node);
}

READER(limit_fields)
{
    return take_number(&at->values->fields_max, node);
}

READER(proxy_timeout)
{
    return take_seconds(&at->values->proxy_timeout, node);
}

READER(preserve_host)
{
    return take_flag(&at->values->preserve_host, node);
}

READER(add_headers)
{
    return take_flag(&at->values->add_headers, node);
}

READER(physical_port)
{
    return take_flag(&at->values->physical_port, node);
}

/* Which of the words, up to NULL, the only argument is; -1 none. */
static int choice(const hap_honour_node_t *node, const char *const *words)
{
    for (int i = 0; node->argc == 1 && words[i]; i++) {
        if (word_is(node->argv[0], words[i])) {
            return i;
        }
    }
    return -1;
}

READER(via)
{
    static const char *const words[] = {[HAP_HONOUR_VIA_OFF] = "off",
                                        [HAP_HONOUR_VIA_ON] = "on",
                                        [HAP_HONOUR_VIA_FULL] = "full",
                                        [HAP_HONOUR_VIA_BLOCK] = "block",
                                        NULL};
    int i = choice(node, words);
    at->values->via = i < 0 ? at->values->via : (hap_honour_via_t)i;
    return i < 0 ? unclear : NULL;
}

READER(trace)
{
    static const char *const words[] = {[HAP_HONOUR_TRACE_ON] = "on",
                                        [HAP_HONOUR_TRACE_OFF] = "off",
                                        [HAP_HONOUR_TRACE_EXTENDED] = "extended",
                                        NULL};
    int i = choice(node, words);
    at->values->trace = i < 0 ? at->values->trace : (hap_honour_trace_t)i;
    return i < 0 ? unclear : NULL;
}

READER(canonical_name)
{
    if (node->argc == 1 && word_is(node->argv[0], "dns")) {
        return "it looks up the server's name";
    }
    return take_flag(&at->values->canonical_name, node);
}

READER(charset)
{
    const char *word = honour_arg(node, 0);
    if (node->argc != 1) {
        return unclear;
    }
    at->values->charset = word_is(word, "off") ? NULL : word_is(word, "on") ? "iso-8859-1" : word;
    return NULL;
}

READER(server_tokens)
{
    at->values->server_tokens = honour_arg(node, 0);
    return NULL;
}

READER(server_signature)
{
    at->values->server_signature = honour_arg(node, 0);
    return NULL;
}

/* --- lists ----------------------------------------------------------------------------------- */

READER(error_document)
{
    unsigned long status = 0;
    apr_array_header_t *list = at->values->error_answers;
    if (node->argc < 2 || !hap_str_uint(&status, hap_str(node->argv[0]), 599)) {
        return unclear;
    }
    hap_honour_error_t answer = {.status = (unsigned)status, .document = node->argv[1]};
    for (int i = 0; i < list->nelts; i++) {
        if (APR_ARRAY_IDX(list, i, hap_honour_error_t).status == answer.status) {
            APR_ARRAY_IDX(list, i, hap_honour_error_t) = answer;
            return NULL;
        }
    }
    APR_ARRAY_PUSH(list, hap_honour_error_t) = answer;
    return NULL;
}

/* In <Location> the path is the section's. The word "interpolate" does nothing by itself. */
READER(reverse)
{
    hap_honour_map_t map = {.fake = honour_arg(node, 0), .real = honour_arg(node, 1)};
    if (at->scope && honour_kind(at->scope) == HONOUR_PROXY) {
        return "it stands in a <Proxy> section, which has no path";
    }
    if (at->location) {
        map = (hap_honour_map_t){.fake = at->location, .real = honour_arg(node, 0)};
    }
    if (!*map.fake || !*map.real) {
        return unclear;
    }
    APR_ARRAY_PUSH(at->values->reverses, hap_honour_map_t) = map;
    return NULL;
}

/* ProxyPassReverseCookieX internal public. */
static const char *take_cookie_map(apr_array_header_t *list, const hap_honour_node_t *node)
{
    if (node->argc < 2) {
        return unclear;
    }
    APR_ARRAY_PUSH(list, hap_honour_map_t) = (hap_honour_map_t){
        .fake = node->argv[1],
        .real = node->argv[0],
    };
    return NULL;
}

READER(cookie_path)
{
    return take_cookie_map(at->values->cookie_paths, node);
}

READER(cookie_domain)
{
    return take_cookie_map(at->values->cookie_domains, node);
}

/* --- RequestReadTimeout ---------------------------------------------------------------------- */

static bool take_uint(unsigned *number, hap_str_t text)
{
    unsigned long n = 0;
    bool ok = hap_str_uint(&n, text, NUMBER_MAX);
    *number = (unsigned)n;
    return ok;
}

/* SECONDS, or SECONDS[-MAX],minrate=BYTES */
static bool take_stage(hap_honour_stage_t *stage, hap_str_t text)
{
    hap_str_t minrate = HAP_STR_LIT("minrate=");
    size_t comma = hap_str_find(text, ',', 0);
    hap_str_t times = hap_str_sub(text, 0, comma);
    size_t dash = hap_str_find(times, '-', 0);
    *stage = (hap_honour_stage_t){.set = true};
    if (!take_uint(&stage->timeout_s, hap_str_sub(times, 0, dash)) ||
        (dash < times.n && !take_uint(&stage->max_s, hap_str_sub(times, dash + 1, times.n)))) {
        return false;
    }
    if (comma == text.n) {
        return dash == times.n;
    }
    hap_str_t rate = hap_str_sub(text, comma + 1, text.n);
    return hap_str_eq_nocase(hap_str_sub(rate, 0, minrate.n), minrate) &&
           take_uint(&stage->rate_bytes, hap_str_sub(rate, minrate.n, rate.n));
}

READER(read_timeout)
{
    const struct {
        const char *key;
        hap_honour_stage_t *stage;
    } stages[] = {{"handshake", &at->values->handshake},
                  {"header", &at->values->header},
                  {"body", &at->values->body}};
    for (int i = 0; i < node->argc; i++) {
        hap_str_t word = hap_str(node->argv[i]);
        size_t equals = hap_str_find(word, '=', 0);
        hap_honour_stage_t *stage = NULL;
        for (size_t k = 0; k < sizeof(stages) / sizeof(stages[0]); k++) {
            bool here = hap_str_eq_nocase(hap_str_sub(word, 0, equals), hap_str(stages[k].key));
            stage = here ? stages[k].stage : stage;
        }
        if (!stage || !take_stage(stage, hap_str_sub(word, equals + 1, word.n))) {
            return unclear;
        }
    }
    return NULL;
}
