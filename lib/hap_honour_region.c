/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which paths of a mount a directive or a section is about. Works with beginnings of paths: a
 * pattern counts as fitting unless its literal beginning shows that it cannot.
 */
#include "hap_honour_model.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

static const honour_region_t OUTSIDE = {.outside = true};
static const honour_region_t WHOLE = {.certain = true};
static const honour_region_t PERHAPS = {.certain = false};

/** The literal text that every fitting path begins with. */
typedef struct beginning_t {
    hap_str_t text;
    bool exact; /* and that is all of it, but for slashes at its end */
    bool open;  /* and anything may follow */
} beginning_t;

/* Without slashes at its end: "/" is "". */
static hap_str_t bare_str(hap_str_t path)
{
    while (path.n && path.p[path.n - 1] == '/') {
        path.n--;
    }
    return path;
}

static hap_str_t bare(const char *path)
{
    return bare_str(hap_str(path));
}

/* Whether `path` is `above` or goes on behind it at a slash; both bare. */
static bool is_under(hap_str_t above, hap_str_t path)
{
    return hap_str_starts(path, above) && (path.n == above.n || path.p[above.n] == '/');
}

static honour_region_t part_of(hap_str_t path, bool certain, apr_pool_t *pool)
{
    return (honour_region_t){.part = hap_str_dup(path, pool), .certain = certain};
}

honour_region_t honour_region_path(const char *mount, const char *path, apr_pool_t *pool)
{
    hap_str_t ours = bare(mount);
    hap_str_t theirs = bare(path);
    if (is_under(theirs, ours)) {
        return WHOLE;
    }
    return is_under(ours, theirs) ? part_of(theirs, true, pool) : OUTSIDE;
}

/* Whether one text begins the other; without case, as a pattern may be without. */
static bool either_begins(hap_str_t a, hap_str_t b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    return hap_str_eq_nocase(hap_str_sub(a, 0, n), hap_str_sub(b, 0, n));
}

static honour_region_t region_of(const char *mount, beginning_t with, apr_pool_t *pool)
{
    hap_str_t ours = bare(mount);
    hap_str_t dir = hap_str(apr_psprintf(pool, "%.*s/", HAP_STR_ARG(ours)));
    if (with.text.n <= ours.n) {
        bool whole = with.text.n == ours.n;
        if (!either_begins(with.text, ours) || (with.exact && !whole)) {
            return OUTSIDE;
        }
        return with.open && hap_str_starts(ours, with.text) ? WHOLE : PERHAPS;
    }
    if (!either_begins(dir, with.text)) {
        return OUTSIDE;
    }
    size_t end = with.text.n;
    while (!with.exact && with.text.p[end - 1] != '/') {
        end--;
    }
    hap_str_t part = bare_str(hap_str_sub(with.text, 0, end));
    /* A part is cut out by its bytes, so its beginning must be ours by its bytes too. */
    bool below = part.n > ours.n && hap_str_starts(part, dir);
    return below ? part_of(part, false, pool) : PERHAPS;
}

/* Alternatives outside of groups: then the beginning is only one of them. */
static bool has_alternatives(hap_str_t pattern)
{
    int depth = 0;
    for (size_t i = 0; i < pattern.n; i++) {
        char c = pattern.p[i];
        if (c == '\\') {
            i++;
        } else if (c == '[') {
            /* What stands in a class is hard to tell from what does not: any bar counts then. */
            return memchr(pattern.p, '|', pattern.n) != NULL;
        } else if (c == '|' && depth == 0) {
            return true;
        }
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
    return false;
}

static bool is_literal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("/_-~%=:,@!&;", c));
}

/* The literal characters behind the ^, and how many bytes of the pattern they are. */
static size_t take_literals(char *text, size_t *n, hap_str_t pattern)
{
    size_t i = 1;
    *n = 0;
    while (i < pattern.n) {
        bool escaped = pattern.p[i] == '\\' && i + 1 < pattern.n && pattern.p[i + 1] &&
                       strchr("./-_+", pattern.p[i + 1]);
        size_t next = i + (escaped ? 2 : 1);
        char after = next < pattern.n ? pattern.p[next] : '\0';
        if (!escaped && !is_literal(pattern.p[i])) {
            break;
        }
        if (after && strchr("*?{", after)) {
            break;
        }
        text[(*n)++] = pattern.p[next - 1];
        i = next;
    }
    return i;
}

static bool beginning_of(beginning_t *with, hap_str_t pattern, apr_pool_t *pool)
{
    if (!pattern.n || pattern.p[0] != '^' || has_alternatives(pattern)) {
        return false;
    }
    char *text = apr_palloc(pool, pattern.n);
    size_t n = 0;
    size_t end = take_literals(text, &n, pattern);
    hap_str_t rest = hap_str_sub(pattern, end, pattern.n);
    *with = (beginning_t){
        .text = hap_strn(text, n),
        .exact = hap_str_eq(rest, HAP_STR_LIT("$")) || hap_str_eq(rest, HAP_STR_LIT("/?$")) ||
                 hap_str_eq(rest, HAP_STR_LIT("/*$")),
        .open = rest.n == 0 || hap_str_eq(rest, HAP_STR_LIT(".*")) ||
                hap_str_eq(rest, HAP_STR_LIT("(.*)")),
    };
    return true;
}

honour_region_t honour_region_pattern(const char *mount, const char *pattern, apr_pool_t *pool)
{
    beginning_t with;
    return beginning_of(&with, hap_str(pattern), pool) ? region_of(mount, with, pool) : PERHAPS;
}

/* What stands before the first wildcard of apr_fnmatch. */
static beginning_t beginning_of_glob(const char *glob)
{
    hap_str_t text = hap_strn(glob, strcspn(glob, "*?[\\"));
    return (beginning_t){.text = text, .open = strcmp(glob + text.n, "*") == 0};
}

honour_region_t honour_region_location(const char *mount, const hap_honour_node_t *section,
                                       apr_pool_t *pool)
{
    const char *path = honour_arg(section, 0);
    if (honour_kind(section) == HONOUR_LOCATION_MATCH) {
        return honour_region_pattern(mount, path, pool);
    }
    if (strcmp(path, "~") == 0) {
        return honour_region_pattern(mount, honour_arg(section, 1), pool);
    }
    if (apr_fnmatch_test(path)) {
        /* Here * does not go over a slash. */
        beginning_t with = beginning_of_glob(path);
        with.open = false;
        return region_of(mount, with, pool);
    }
    /* <Location "http://..."> is about forward proxying. */
    return path[0] == '/' ? honour_region_path(mount, path, pool) : OUTSIDE;
}

/* What the target becomes behind `name` is the same behind the mount's path. */
static honour_region_t below_target(const char *mount, hap_str_t target, hap_str_t name,
                                    apr_pool_t *pool)
{
    hap_str_t rest = hap_str_sub(name, target.n, name.n);
    hap_str_t ours = bare(mount);
    const char *slash = target.n && target.p[target.n - 1] == '/' ? "/" : "";
    beginning_t with = {.text = hap_str(apr_psprintf(pool, "%.*s%s%.*s", HAP_STR_ARG(ours), slash,
                                                     HAP_STR_ARG(rest)))};
    return region_of(mount, with, pool);
}

/*
 * httpd compares the section's name with the beginning of the target by bytes. A difference in case
 * is a mistake (zero modproxy check says so), so what stands there counts as acting all the same.
 */
honour_region_t honour_region_proxy(const char *mount, const char *target,
                                    const hap_honour_node_t *section, apr_pool_t *pool)
{
    const char *name = honour_arg(section, 0);
    hap_str_t ours = hap_str(target);
    if (strncmp(name, "proxy:", 6) == 0) {
        name += 6;
    }
    if (honour_kind(section) == HONOUR_PROXY_MATCH) {
        beginning_t with;
        bool known = beginning_of(&with, hap_str(name), pool);
        return known && !either_begins(with.text, ours) ? OUTSIDE : PERHAPS;
    }
    beginning_t with = beginning_of_glob(name);
    bool glob = apr_fnmatch_test(name);
    if (!either_begins(with.text, ours)) {
        return OUTSIDE;
    }
    if (with.text.n > ours.n) {
        return below_target(mount, ours, with.text, pool);
    }
    bool same = hap_str_starts(ours, with.text);
    return same && (!glob || with.open) ? WHOLE : PERHAPS;
}

honour_region_t honour_region_within(honour_region_t outer, honour_region_t inner)
{
    if (outer.outside || inner.outside) {
        return OUTSIDE;
    }
    return (honour_region_t){
        .part = inner.part ? inner.part : outer.part,
        .certain = outer.certain && inner.certain,
    };
}
