/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading the text of an Apache configuration. Does not judge it: hap_lint does. */
#include "hap_conf.h"

#include <apr_strings.h>
#include <apr_tables.h>

typedef struct reader_t {
    apr_array_header_t *directives; /* hap_conf_directive_t */
    const hap_conf_section_t *section;
    apr_pool_t *pool;
} reader_t;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static hap_str_t trim(hap_str_t s)
{
    while (s.n && is_space(s.p[0])) {
        s = hap_str_sub(s, 1, s.n);
    }
    while (s.n && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* Cuts a physical line off `rest`, without its line end; *more when a backslash continues it. */
static bool physical_line(hap_str_t *line, bool *more, hap_str_t *rest)
{
    if (!hap_str_line(line, rest)) {
        return false;
    }
    if (line->n && line->p[line->n - 1] == '\r') {
        line->n--;
    }
    *more = line->n && line->p[line->n - 1] == '\\' && rest->n;
    line->n -= *more ? 1 : 0;
    return true;
}

/* Cuts a line and those it continues on off `rest`; counts them in *lines. */
static bool logical_line(hap_str_t *line, int *lines, hap_str_t *rest, apr_pool_t *pool)
{
    hap_str_t ahead = *rest;
    bool more = false;
    *lines = 1;
    if (!physical_line(line, &more, rest)) {
        return false;
    }
    if (!more) {
        *line = trim(*line);
        return true;
    }
    /* Joined text is never longer than its source: find where that ends, then copy once. */
    hap_str_t part;
    while (more && physical_line(&part, &more, rest)) {
        ++*lines;
    }
    char *joined = apr_palloc(pool, ahead.n - rest->n + 1);
    size_t n = 0;
    for (int i = 0; i < *lines; i++) {
        physical_line(&part, &more, &ahead);
        memcpy(joined + n, part.n ? part.p : "", part.n);
        n += part.n;
    }
    *line = trim(hap_strn(joined, n));
    return true;
}

/* Length of the word at the front, without its quotes, as ap_getword_conf counts it. */
static size_t word_length(hap_str_t s, char quote)
{
    size_t i = 0;
    while (i < s.n && (quote ? s.p[i] != quote : !is_space(s.p[i]))) {
        bool escaped =
            quote && s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == quote || s.p[i + 1] == '\\');
        i += escaped ? 2 : 1;
    }
    return i;
}

static const char *unescape(hap_str_t s, char quote, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, s.n + 1);
    size_t out = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool escape =
            s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '\\' || (quote && s.p[i + 1] == quote));
        i += escape ? 1 : 0;
        text[out++] = s.p[i];
    }
    text[out] = '\0';
    return text;
}

/* ap_getword_conf: an unclosed quote runs to the end of the line, without complaint. */
static const char *take_word(hap_str_t *rest, apr_pool_t *pool)
{
    char quote = rest->p[0] == '"' || rest->p[0] == '\'' ? rest->p[0] : '\0';
    hap_str_t s = hap_str_sub(*rest, quote ? 1 : 0, rest->n);
    size_t n = word_length(s, quote);
    const char *word = unescape(hap_str_sub(s, 0, n), quote, pool);
    *rest = trim(hap_str_sub(s, n + (quote ? 1 : 0), s.n));
    return word;
}

const char *const *hap_conf_words(int *count, hap_str_t args, apr_pool_t *pool)
{
    hap_str_t rest = trim(args);
    apr_array_header_t *words = apr_array_make(pool, 4, sizeof(const char *));
    while (rest.n) {
        APR_ARRAY_PUSH(words, const char *) = take_word(&rest, pool);
    }
    *count = words->nelts;
    return (const char *const *)words->elts;
}

static apr_status_t open_section(reader_t *reader, hap_str_t content, int line, hap_diag_t *diag)
{
    size_t end = content.n;
    while (end > 0 && content.p[end - 1] != '>') {
        end--;
    }
    if (end == 0) {
        hap_diag_set(diag, line, "the section has no closing >: \"%s\"",
                     hap_str_show(content, reader->pool));
        return APR_EINVAL;
    }
    hap_str_t rest = trim(hap_str_sub(content, 1, end - 1));
    hap_conf_section_t *section = apr_pcalloc(reader->pool, sizeof(*section));
    section->name = rest.n ? take_word(&rest, reader->pool) : "";
    section->argv = hap_conf_words(&section->argc, rest, reader->pool);
    section->line = line;
    section->parent = reader->section;
    reader->section = section;
    return APR_SUCCESS;
}

static apr_status_t close_section(reader_t *reader, hap_str_t content, int line, hap_diag_t *diag)
{
    hap_str_t name = trim(hap_str_sub(content, 2, hap_str_find(content, '>', 0)));
    const hap_conf_section_t *section = reader->section;
    if (!section || !hap_str_eq_nocase(name, hap_str(section->name))) {
        hap_diag_set(diag, line, "</%s> closes %s%s", hap_str_show(name, reader->pool),
                     section ? "the section " : "no section",
                     section ? hap_str_show(hap_str(section->name), reader->pool) : "");
        return APR_EINVAL;
    }
    reader->section = section->parent;
    return APR_SUCCESS;
}

static apr_status_t read_line(reader_t *reader, hap_str_t content, int line, hap_diag_t *diag)
{
    if (content.n == 0 || content.p[0] == '#') {
        return APR_SUCCESS;
    }
    if (memchr(content.p, 0, content.n)) {
        hap_diag_set(diag, line, "has a NUL byte: this is not a text file");
        return APR_EINVAL;
    }
    if (hap_str_starts(content, HAP_STR_LIT("</"))) {
        return close_section(reader, content, line, diag);
    }
    if (content.p[0] == '<') {
        return open_section(reader, content, line, diag);
    }
    hap_conf_directive_t *directive = apr_array_push(reader->directives);
    directive->name = take_word(&content, reader->pool);
    directive->argv = hap_conf_words(&directive->argc, content, reader->pool);
    directive->line = line;
    directive->section = reader->section;
    return APR_SUCCESS;
}

apr_status_t hap_conf_parse(hap_conf_t *conf, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool)
{
    reader_t reader = {.pool = pool};
    hap_str_t content = {NULL, 0};
    int line = 1;
    int lines = 0;
    reader.directives = apr_array_make(pool, 16, sizeof(hap_conf_directive_t));
    while (logical_line(&content, &lines, &text, pool)) {
        apr_status_t rv = read_line(&reader, content, line, diag);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        line += lines;
    }
    if (reader.section) {
        hap_diag_set(diag, reader.section->line, "the section <%s> is not closed",
                     hap_str_show(hap_str(reader.section->name), pool));
        return APR_EINVAL;
    }
    conf->directives = (const hap_conf_directive_t *)reader.directives->elts;
    conf->count = reader.directives->nelts;
    return APR_SUCCESS;
}

bool hap_conf_is(const hap_conf_directive_t *directive, const char *name)
{
    return hap_str_eq_nocase(hap_str(directive->name), hap_str(name));
}

const hap_conf_section_t *hap_conf_within(const hap_conf_directive_t *directive, const char *name)
{
    const hap_conf_section_t *section = directive->section;
    while (section && !hap_str_eq_nocase(hap_str(section->name), hap_str(name))) {
        section = section->parent;
    }
    return section;
}

const char *hap_conf_param(const hap_conf_directive_t *directive, int from, const char *key)
{
    for (int i = from; i < directive->argc; i++) {
        hap_str_t arg = hap_str(directive->argv[i]);
        size_t equals = hap_str_find(arg, '=', 0);
        if (equals < arg.n && hap_str_eq_nocase(hap_str_sub(arg, 0, equals), hap_str(key))) {
            return directive->argv[i] + equals + 1;
        }
    }
    return NULL;
}

const hap_conf_directive_t *hap_conf_giving(const hap_conf_t *conf, const hap_conf_section_t *vhost,
                                            const char *name, const char *first, const char *key)
{
    const hap_conf_directive_t *inherited = NULL;
    for (int i = 0; i < conf->count; i++) {
        const hap_conf_directive_t *directive = &conf->directives[i];
        if (!hap_conf_is(directive, name) || !hap_conf_param(directive, 1, key) ||
            !hap_str_eq_nocase(hap_str(directive->argv[0]), hap_str(first))) {
            continue;
        }
        const hap_conf_section_t *section = hap_conf_within(directive, "VirtualHost");
        if (section == vhost) {
            return directive;
        }
        inherited = section ? inherited : directive;
    }
    return inherited;
}
