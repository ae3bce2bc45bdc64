/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the readers of directives that change or look at header fields and bodies: Header,
 * RequestHeader, BrowserMatch, AddOutputFilterByType and mod_mime's extensions.
 */
#include "hap_honour_model.h"

#include <apr_strings.h>

READER(header);
READER(request_header);
READER(browser);
READER(set_env_if);
READER(filter_by_type);
READER(deflate_etag);
READER(deflate_buffer);
READER(deflate_level);
READER(deflate_memory);
READER(deflate_window);
READER(extensions);

enum { EXTENSION_MAX_BYTES = 63, NUMBER_MAX = 1000000000 };

static bool word_is(const char *word, const char *text)
{
    return hap_str_eq_nocase(hap_str(word), hap_str(text));
}

/* --- Header and RequestHeader ---------------------------------------------------------------- */

static bool is_one_of(hap_str_t field, const char *const *names)
{
    while (*names && !hap_str_eq_nocase(field, hap_str(*names))) {
        names++;
    }
    return *names != NULL;
}

/* What frames a message or belongs to one connection is the lane's own, on both sides. */
static bool is_ours(hap_str_t field)
{
    static const char *const names[] = {
        "Connection", "Content-Length",   "Date", "Expect",  "Host",
        "Keep-Alive", "Server",           "TE",   "Trailer", "Transfer-Encoding",
        "Upgrade",    "Proxy-Connection", NULL};
    return is_one_of(field, names);
}

/* Fields of answers that the lane maps, or adds to, where httpd edits what came of that. */
static const char *clash_with_maps(const hap_honour_edit_t *edit)
{
    static const char *const mapped[] = {"Location", "Content-Location", "Destination",
                                         "URI",      "Set-Cookie",       NULL};
    bool grows = edit->op == HAP_HONOUR_APPEND || edit->op == HAP_HONOUR_MERGE;
    if ((grows && is_one_of(hap_str(edit->field), mapped)) || word_is(edit->field, "Via")) {
        return "it changes a field that the proxy itself writes";
    }
    if (edit->op == HAP_HONOUR_UNSET_FIELD && word_is(edit->field, "Content-Type")) {
        return "it removes Content-Type, which some versions of httpd do and others do not";
    }
    return NULL;
}

/* `early` acts on the server's requests, whatever their path, and before BrowserMatch. */
static const char *clash_with_early(const hap_honour_edit_t *edit, const honour_at_t *at,
                                    bool answer)
{
    bool in_section = at->location || (at->scope && !honour_is(at->scope, "VirtualHost"));
    if (answer || in_section || word_is(edit->field, "User-Agent")) {
        return "it acts early, before the request has its place";
    }
    return NULL;
}

/* The text of a value in which % stands only for itself, doubled; NULL if it has a format. */
static const char *constant(const char *value, apr_pool_t *pool)
{
    char *text = apr_pstrdup(pool, value);
    char *out = text;
    if (strncmp(value, "expr=", 5) == 0) {
        return NULL;
    }
    for (const char *c = value; *c; c++) {
        if (*c == '%' && *++c != '%') {
            return NULL;
        }
        *out++ = *c;
    }
    *out = '\0';
    return text;
}

static bool take_op(hap_honour_op_t *op, const char *word)
{
    static const struct {
        const char *word;
        hap_honour_op_t op;
    } ops[] = {{"set", HAP_HONOUR_SET},
               {"append", HAP_HONOUR_APPEND},
               {"add", HAP_HONOUR_ADD},
               {"unset", HAP_HONOUR_UNSET_FIELD},
               {"merge", HAP_HONOUR_MERGE}};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (word_is(word, ops[i].word)) {
            *op = ops[i].op;
            return true;
        }
    }
    return false;
}

/* [always|onsuccess] ACTION FIELD [VALUE] [early|env=...|expr=...] */
static const char *take_edit(hap_honour_edit_t *edit, const hap_honour_node_t *node, bool answer,
                             apr_pool_t *pool)
{
    int i = 0;
    edit->always = answer && word_is(honour_arg(node, 0), "always");
    i += edit->always || (answer && word_is(honour_arg(node, 0), "onsuccess")) ? 1 : 0;
    if (!take_op(&edit->op, honour_arg(node, i++))) {
        return "it edits, copies or tests fields, which only httpd does";
    }
    hap_str_t field = hap_str(honour_arg(node, i++));
    field = hap_str_sub(field, 0, hap_str_find(field, ':', 0));
    if (!field.n || is_ours(field)) {
        return "it changes a field that frames the message or belongs to the connection";
    }
    edit->field = hap_str_dup(field, pool);
    if (edit->op != HAP_HONOUR_UNSET_FIELD) {
        edit->value = constant(honour_arg(node, i++), pool);
        if (!edit->value) {
            return "it has a value that differs from request to request";
        }
    }
    edit->early = word_is(honour_arg(node, i), "early");
    i += edit->early ? 1 : 0;
    return i < node->argc ? "it has a condition" : NULL;
}

static const char *read_edit(apr_array_header_t *list, const hap_honour_node_t *node, bool answer,
                             const honour_at_t *at)
{
    hap_honour_edit_t edit = {.op = HAP_HONOUR_SET};
    const char *why = take_edit(&edit, node, answer, at->pool);
    if (!why && edit.early) {
        why = clash_with_early(&edit, at, answer);
    }
    if (!why && answer) {
        why = clash_with_maps(&edit);
    }
    if (!why) {
        APR_ARRAY_PUSH(list, hap_honour_edit_t) = edit;
    }
    return why;
}

READER(header)
{
    return read_edit(at->values->headers, node, true, at);
}

READER(request_header)
{
    return read_edit(at->values->request_headers, node, false, at);
}

/* --- User-Agent ------------------------------------------------------------------------------ */

static const char *add_agent(honour_at_t *at, const hap_honour_node_t *node, int i)
{
    if (i + 1 >= node->argc) {
        return "it has a value that is not understood here";
    }
    APR_ARRAY_PUSH(at->values->agents, hap_honour_agent_t) = (hap_honour_agent_t){
        .pattern = node->argv[i],
        .nocase = honour_is(node, "BrowserMatchNoCase") || honour_is(node, "SetEnvIfNoCase"),
    };
    return NULL;
}

READER(browser)
{
    return add_agent(at, node, 0);
}

READER(set_env_if)
{
    if (!word_is(honour_arg(node, 0), "User-Agent")) {
        return "it sets variables by something else than User-Agent";
    }
    return add_agent(at, node, 1);
}

/* --- DEFLATE --------------------------------------------------------------------------------- */

/* mod_filter's types of one scope stand instead of those around it. */
READER(filter_by_type)
{
    hap_str_t rest = hap_str(honour_arg(node, 0));
    apr_array_header_t *types = at->values->deflate;
    while (rest.n) {
        size_t end = hap_str_find(rest, ';', 0);
        hap_str_t filter = hap_str_sub(rest, 0, end);
        if (filter.n && !hap_str_eq_nocase(filter, HAP_STR_LIT("DEFLATE"))) {
            return apr_psprintf(at->pool, "it puts the filter %s in place",
                                hap_str_show(filter, at->pool));
        }
        rest = hap_str_sub(rest, end + 1, rest.n);
    }
    const void *scope = at->scope ? (const void *)at->scope : (const void *)at;
    if (at->deflate_scope != scope) {
        apr_array_clear(types);
        at->deflate_scope = scope;
    }
    for (int i = 1; i < node->argc; i++) {
        APR_ARRAY_PUSH(types, const char *) = node->argv[i];
    }
    return NULL;
}

static const char *take_tuning(unsigned *number, const hap_honour_node_t *node)
{
    unsigned long n = 0;
    if (!hap_str_uint(&n, hap_str(honour_arg(node, 0)), NUMBER_MAX)) {
        return "it has a value that is not understood here";
    }
    *number = (unsigned)n;
    return NULL;
}

READER(deflate_etag)
{
    at->values->deflate_etag = honour_arg(node, 0);
    return NULL;
}

READER(deflate_buffer)
{
    return take_tuning(&at->values->deflate_buffer_bytes, node);
}

READER(deflate_level)
{
    return take_tuning(&at->values->deflate_level, node);
}

READER(deflate_memory)
{
    return take_tuning(&at->values->deflate_memory, node);
}

READER(deflate_window)
{
    return take_tuning(&at->values->deflate_window, node);
}

/* --- extensions ------------------------------------------------------------------------------ */

static size_t lower(char *text, hap_str_t s)
{
    for (size_t i = 0; i < s.n; i++) {
        text[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
    }
    return s.n;
}

/* AddLanguage VALUE EXTENSION..., with or without their dots. */
READER(extensions)
{
    for (int i = 1; i < node->argc; i++) {
        hap_str_t word = hap_str(node->argv[i]);
        word = hap_str_sub(word, word.n && word.p[0] == '.' ? 1 : 0, word.n);
        char *key = apr_pcalloc(at->pool, word.n + 1);
        size_t n = lower(key, word);
        if (n > EXTENSION_MAX_BYTES) {
            return "it names an extension that is too long";
        }
        apr_hash_set(at->values->extensions, key, (apr_ssize_t)n, node);
    }
    return NULL;
}

bool hap_honour_by_extension(const hap_honour_values_t *values, hap_str_t path)
{
    char key[EXTENSION_MAX_BYTES];
    size_t at = path.n;
    while (at > 0 && path.p[at - 1] != '/') {
        at--;
    }
    /* Dots at the front belong to the name, as does what stands before the first one behind. */
    while (at < path.n && path.p[at] == '.') {
        at++;
    }
    at = hap_str_find(path, '.', at);
    while (at < path.n) {
        size_t end = hap_str_find(path, '.', at + 1);
        hap_str_t extension = hap_str_sub(path, at + 1, end);
        if (extension.n && extension.n <= sizeof(key) &&
            apr_hash_get(values->extensions, key, (apr_ssize_t)lower(key, extension))) {
            return true;
        }
        at = end;
    }
    return false;
}
