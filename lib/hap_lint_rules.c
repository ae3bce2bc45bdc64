/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lint rules about mod_proxy's directives, each a function and a row of doc/check.md.
 * Those about our own are in hap_lint_module. Does not read the configuration: hap_site has
 * collected it.
 */
#include "hap_lint_model.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

#include "hap_grammar.h"

#define PASS(lint, i)     (&APR_ARRAY_IDX((lint)->site->passes, i, hap_site_mount_t))
#define REVERSE(lint, i)  (&APR_ARRAY_IDX((lint)->site->reverses, i, hap_site_mount_t))
#define BALANCER(lint, i) (APR_ARRAY_IDX((lint)->site->balancers, i, hap_site_balancer_t *))
#define MEMBER(bal, i)    (&APR_ARRAY_IDX((bal)->members, i, hap_site_member_t))

enum {
    DEFAULT_THREADS_PER_CHILD = 25, /* of the event and worker MPMs */
};

static bool is_excluded(const hap_site_mount_t *mount)
{
    return strcmp(mount->target, "!") == 0;
}

static bool ends_in_slash(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && text[n - 1] == '/';
}

/* mod_proxy puts what follows the context behind the target, without looking at either. */
static void slash(lint_t *lint)
{
    for (int i = 0; i < lint->site->passes->nelts; i++) {
        const hap_site_mount_t *mount = PASS(lint, i);
        bool context = ends_in_slash(mount->context);
        bool target = ends_in_slash(mount->target);
        if (is_excluded(mount) || context == target) {
            continue;
        }
        const char *shown_context = lint_show(lint, mount->context);
        const char *shown_target = lint_show(lint, mount->target);
        if (context) {
            lint_found(lint, HAP_LINT_ERROR, mount->directive->line, "slash",
                       "a request for %sx goes to %sx: end both \"%s\" and \"%s\" in a slash, or "
                       "neither",
                       shown_context, shown_target, shown_context, shown_target);
        } else {
            lint_found(lint, HAP_LINT_WARNING, mount->directive->line, "slash",
                       "a request for %s/x goes to %s/x, with two slashes: end both \"%s\" and "
                       "\"%s\" in a slash, or neither",
                       shown_context, shown_target, shown_context, shown_target);
        }
    }
}

static void check_route(lint_t *lint, const hap_site_balancer_t *balancer,
                        const hap_site_member_t *member, apr_hash_t *seen)
{
    int line = member->directive->line;
    const hap_site_member_t *other = apr_hash_get(seen, member->route, APR_HASH_KEY_STRING);
    if (strlen(member->route) > HAP_ROUTE_MAX_BYTES) {
        lint_found(lint, HAP_LINT_ERROR, line, "route",
                   "the route \"%s\" has %" APR_SIZE_T_FMT " bytes, httpd takes at most %d",
                   lint_show(lint, member->route), strlen(member->route), HAP_ROUTE_MAX_BYTES);
    } else if (strchr(member->route, '.')) {
        lint_found(lint, HAP_LINT_ERROR, line, "route",
                   "the route \"%s\" has a dot, which separates it from the session's id: requests "
                   "do not find it, use A-Z a-z 0-9 _ -",
                   lint_show(lint, member->route));
    }
    if (other) {
        lint_found(lint, HAP_LINT_ERROR, line, "route",
                   "balancer://%s has the route \"%s\" already in line %d: sessions of the one go "
                   "to the other, give each member its own",
                   lint_show(lint, balancer->name), lint_show(lint, member->route),
                   other->directive->line);
        return;
    }
    apr_hash_set(seen, member->route, APR_HASH_KEY_STRING, member);
}

static void routes(lint_t *lint)
{
    for (int i = 0; i < lint->site->balancers->nelts; i++) {
        const hap_site_balancer_t *balancer = BALANCER(lint, i);
        apr_hash_t *seen = apr_hash_make(lint->pool);
        for (int k = 0; k < balancer->members->nelts; k++) {
            const hap_site_member_t *member = MEMBER(balancer, k);
            if (member->route) {
                check_route(lint, balancer, member, seen);
            }
        }
        for (int k = 0; k < balancer->members->nelts; k++) {
            const hap_site_member_t *member = MEMBER(balancer, k);
            if (!member->route && (balancer->sticky || apr_hash_count(seen) > 0)) {
                lint_found(lint, HAP_LINT_WARNING, member->directive->line, "route",
                           "the member \"%s\" of balancer://%s has no route, so no session sticks "
                           "to it: add route=NAME",
                           lint_show(lint, member->url), lint_show(lint, balancer->name));
            }
        }
    }
}

/* stickysession=COOKIE|PATH has two names. */
static void check_sticky(lint_t *lint, const hap_conf_directive_t *directive)
{
    const char *value = hap_conf_param(directive, 0, "stickysession");
    hap_str_t names = hap_str(value);
    size_t bar = hap_str_find(names, '|', 0);
    size_t second = bar < names.n ? names.n - bar - 1 : 0;
    if (bar > HAP_COOKIE_MAX_BYTES || second > HAP_COOKIE_MAX_BYTES) {
        lint_found(lint, HAP_LINT_ERROR, directive->line, "sticky",
                   "the cookie's name \"%s\" has more than %d bytes, which httpd refuses",
                   lint_show(lint, value), HAP_COOKIE_MAX_BYTES);
    }
}

static void sticky_names(lint_t *lint)
{
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (hap_conf_is(directive, "ProxySet") || hap_conf_is(directive, "ProxyPass")) {
            check_sticky(lint, directive);
        }
    }
}

static void check_url(lint_t *lint, const char *url, int line)
{
    if (strlen(url) > HAP_WORKER_URL_MAX_BYTES) {
        lint_found(lint, HAP_LINT_WARNING, line, "long-url",
                   "the URL \"%s\" has %" APR_SIZE_T_FMT
                   " bytes: httpd and its modules cut a worker's name after %d, use a shorter one",
                   lint_show(lint, url), strlen(url), HAP_WORKER_URL_MAX_BYTES);
    }
}

static void long_urls(lint_t *lint)
{
    for (int i = 0; i < lint->site->balancers->nelts; i++) {
        for (int k = 0; k < BALANCER(lint, i)->members->nelts; k++) {
            const hap_site_member_t *member = MEMBER(BALANCER(lint, i), k);
            check_url(lint, member->url, member->directive->line);
        }
    }
    for (int i = 0; i < lint->site->passes->nelts; i++) {
        if (!hap_site_balancer_name(PASS(lint, i)->target, lint->pool)) {
            check_url(lint, PASS(lint, i)->target, PASS(lint, i)->directive->line);
        }
    }
}

/*
 * httpd joins balancers without looking at case, but it matches a <Proxy> section with the
 * target of the ProxyPass byte by byte: in a section that is spelt otherwise, members count and
 * Require does not.
 */
static void check_case(lint_t *lint, const hap_site_mount_t *mount,
                       const hap_site_balancer_t *balancer, const char *name)
{
    if (strcmp(balancer->name, name) == 0) {
        return;
    }
    if (balancer->guarded_line) {
        lint_found(lint, HAP_LINT_ERROR, mount->directive->line, "case",
                   "balancer://%s is defined as balancer://%s in line %d: httpd then skips the %s "
                   "of line %d for these requests, write the name the same way",
                   lint_show(lint, name), lint_show(lint, balancer->name), balancer->line,
                   lint_show(lint, balancer->guarded_by), balancer->guarded_line);
        return;
    }
    lint_found(lint, HAP_LINT_WARNING, mount->directive->line, "case",
               "balancer://%s is defined as balancer://%s in line %d: httpd joins the two, but a "
               "directive added to that section would not count, write the name the same way",
               lint_show(lint, name), lint_show(lint, balancer->name), balancer->line);
}

static void references(lint_t *lint)
{
    for (int i = 0; i < lint->site->passes->nelts; i++) {
        const hap_site_mount_t *mount = PASS(lint, i);
        const char *name = hap_site_balancer_name(mount->target, lint->pool);
        const hap_site_balancer_t *balancer =
            name ? hap_site_balancer(lint->site, mount->vhost, name) : NULL;
        if (balancer && balancer->members->nelts > 0) {
            check_case(lint, mount, balancer, name);
        } else if (name && !lint_is_elsewhere(lint, name)) {
            lint_found(lint, lint->site->has_includes ? HAP_LINT_WARNING : HAP_LINT_ERROR,
                       mount->directive->line, "undefined",
                       "balancer://%s has no member%s: every request for %s is answered with 503, "
                       "add <Proxy \"balancer://%s\"> with BalancerMember lines",
                       lint_show(lint, name),
                       lint->site->has_includes ? " in this file or what it includes" : "",
                       lint_show(lint, mount->context), lint_show(lint, name));
        }
    }
}

/* A context without the slash at its end, so that "/App" and "/App/" are one; "/" is "". */
static hap_str_t bare(const char *context)
{
    hap_str_t text = hap_str(context);
    while (text.n && text.p[text.n - 1] == '/') {
        text.n--;
    }
    return text;
}

static const char *mount_key(const lint_t *lint, const hap_site_mount_t *mount, hap_str_t context)
{
    return apr_psprintf(lint->pool, "%d %.*s", mount->vhost ? mount->vhost->line : 0,
                        HAP_STR_ARG(context));
}

/* Redirects of other schemes (ajp, fcgi, ws) do not name the instance. */
static bool needs_reverse(const lint_t *lint, const hap_site_mount_t *mount)
{
    hap_str_t target = hap_str(mount->target);
    return hap_str_starts(target, HAP_STR_LIT("http://")) ||
           hap_str_starts(target, HAP_STR_LIT("https://")) ||
           hap_site_balancer_name(mount->target, lint->pool) != NULL;
}

static void reverses(lint_t *lint)
{
    apr_hash_t *known = apr_hash_make(lint->pool);
    for (int i = 0; i < lint->site->reverses->nelts; i++) {
        const hap_site_mount_t *mount = REVERSE(lint, i);
        apr_hash_set(known, mount_key(lint, mount, bare(mount->context)), APR_HASH_KEY_STRING,
                     mount);
    }
    for (int i = 0; i < lint->site->passes->nelts; i++) {
        const hap_site_mount_t *mount = PASS(lint, i);
        if (needs_reverse(lint, mount) &&
            !apr_hash_get(known, mount_key(lint, mount, bare(mount->context)),
                          APR_HASH_KEY_STRING)) {
            lint_found(lint, HAP_LINT_WARNING, mount->directive->line, "reverse",
                       "%s has no ProxyPassReverse: redirects send the browser to the instance, "
                       "add ProxyPassReverse \"%s\" \"%s\"",
                       lint_show(lint, mount->context), lint_show(lint, mount->context),
                       lint_show(lint, mount->target));
        }
    }
}

/* The earlier mount that takes every request of this one, or NULL. */
static const hap_site_mount_t *shadow_of(const lint_t *lint, const hap_site_mount_t *mount,
                                         apr_hash_t *seen)
{
    hap_str_t context = bare(mount->context);
    for (size_t end = 0; end <= context.n; end = hap_str_find(context, '/', end + 1)) {
        const char *key = mount_key(lint, mount, hap_str_sub(context, 0, end));
        const hap_site_mount_t *other = apr_hash_get(seen, key, APR_HASH_KEY_STRING);
        bool exact = end == context.n;
        if (other && !(exact && ends_in_slash(other->context) && !ends_in_slash(mount->context))) {
            return other;
        }
        if (exact) {
            break;
        }
    }
    return NULL;
}

/* Outside <Location>, mod_proxy takes the first ProxyPass that matches. */
static void shadows(lint_t *lint)
{
    apr_hash_t *seen = apr_hash_make(lint->pool);
    for (int i = 0; i < lint->site->passes->nelts; i++) {
        const hap_site_mount_t *mount = PASS(lint, i);
        const hap_site_mount_t *other = mount->in_location ? NULL : shadow_of(lint, mount, seen);
        if (other) {
            lint_found(lint, HAP_LINT_ERROR, mount->directive->line, "shadowed",
                       "no request reaches %s: line %d takes %s first, put the longer context "
                       "before the shorter one",
                       lint_show(lint, mount->context), other->directive->line,
                       lint_show(lint, other->context));
        } else if (!mount->in_location) {
            apr_hash_set(seen, mount_key(lint, mount, bare(mount->context)), APR_HASH_KEY_STRING,
                         mount);
        }
    }
}

/* The mount that gets the requests for a path in this vhost, NULL if none does. */
static const hap_site_mount_t *taker_of(const lint_t *lint, const hap_conf_section_t *vhost,
                                        const char *path)
{
    apr_array_header_t *mounts = hap_site_mounts(lint->site, vhost, lint->pool);
    for (int i = 0; i < mounts->nelts; i++) {
        const hap_site_mount_t *mount = APR_ARRAY_IDX(mounts, i, const hap_site_mount_t *);
        if (hap_site_match(path, mount->context)) {
            return is_excluded(mount) ? NULL : mount;
        }
    }
    return NULL;
}

/* A <Location> of the main server holds for all virtual hosts. */
static void check_handler(lint_t *lint, const hap_conf_directive_t *directive, const char *path)
{
    const hap_conf_section_t *vhost = hap_conf_within(directive, "VirtualHost");
    const hap_site_mount_t *taker = taker_of(lint, vhost, path);
    for (int i = 0; !taker && !vhost && i < lint->site->vhosts->nelts; i++) {
        taker =
            taker_of(lint, APR_ARRAY_IDX(lint->site->vhosts, i, hap_site_vhost_t).section, path);
    }
    if (taker) {
        lint_found(lint, HAP_LINT_WARNING, directive->line, "swallowed",
                   "the handler for %s gets no request: line %d takes %s first, add "
                   "ProxyPass \"!\" to this <Location>",
                   lint_show(lint, path), taker->directive->line, lint_show(lint, taker->context));
    }
}

/* mod_proxy takes a request before its handler is looked for. */
static void handlers(lint_t *lint)
{
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        const hap_conf_section_t *location = hap_conf_within(directive, "Location");
        if (location && hap_conf_is(directive, "SetHandler") && location->argc == 1 &&
            location->argv[0][0] == '/' && !apr_fnmatch_test(location->argv[0])) {
            check_handler(lint, directive, location->argv[0]);
        }
    }
}

/* The last value of a server-wide number, 0 if it is not there. */
static unsigned long number_of(const lint_t *lint, const char *name)
{
    unsigned long value = 0;
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (hap_conf_is(directive, name) && directive->argc > 0) {
            hap_str_uint(&value, hap_str(directive->argv[0]), 1000000);
        }
    }
    return value;
}

/* How many children there can be, and the words that say why; 0 when the file does not tell. */
static unsigned long children_of(const char **because, const lint_t *lint)
{
    unsigned long workers = number_of(lint, "MaxRequestWorkers");
    unsigned long threads = number_of(lint, "ThreadsPerChild");
    unsigned long limit = number_of(lint, "ServerLimit");
    unsigned long per_child = threads ? threads : DEFAULT_THREADS_PER_CHILD;
    unsigned long children = (workers + per_child - 1) / per_child;
    if (workers && (!limit || children <= limit)) {
        *because = apr_psprintf(lint->pool, "MaxRequestWorkers %lu / ThreadsPerChild %lu%s",
                                workers, per_child, threads ? "" : " (the default)");
        return children;
    }
    *because = apr_psprintf(lint->pool, "ServerLimit %lu", limit);
    return limit;
}

static void check_max(lint_t *lint, const hap_conf_directive_t *directive, unsigned long children,
                      const char *because)
{
    unsigned long max = 0;
    const char *value = hap_conf_param(directive, 0, "max");
    if (!value || !hap_str_uint(&max, hap_str(value), 1000000)) {
        return;
    }
    if (children) {
        lint_found(lint, HAP_LINT_WARNING, directive->line, "max",
                   "max=%lu holds per child: with %s there are up to %lu children, so up to %lu "
                   "connections reach the instance; set max to what it can take divided by %lu",
                   max, because, children, max * children, children);
        return;
    }
    lint_found(lint, HAP_LINT_WARNING, directive->line, "max",
               "max=%lu holds per child, not for the server: the instance gets up to max times "
               "the number of children (MaxRequestWorkers / ThreadsPerChild)",
               max);
}

static void per_child_max(lint_t *lint)
{
    const char *because = NULL;
    unsigned long children = children_of(&because, lint);
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (hap_conf_is(directive, "BalancerMember")) {
            check_max(lint, directive, children, because);
        }
    }
}

static bool loads(const lint_t *lint, const char *module)
{
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (hap_conf_is(directive, "LoadModule") && directive->argc > 0 &&
            strcmp(directive->argv[0], module) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the module hands a balancer over, which then needs no method of httpd's own. */
static bool handed_over(const lint_t *lint, const hap_site_balancer_t *balancer)
{
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (hap_conf_is(directive, "HABalancer") && directive->argc > 0 &&
            hap_site_balancer(lint->site, hap_conf_within(directive, "VirtualHost"),
                              directive->argv[0]) == balancer) {
            return true;
        }
    }
    return false;
}

/* Told only by a file that loads modules itself: what others load is not to be seen in it. */
static void methods(lint_t *lint)
{
    if (!loads(lint, "proxy_balancer_module") || loads(lint, "lbmethod_byrequests_module") ||
        lint->site->has_includes) {
        return;
    }
    bool ours = loads(lint, "haproxy_module");
    for (int i = 0; i < lint->site->balancers->nelts; i++) {
        const hap_site_balancer_t *balancer = BALANCER(lint, i);
        bool plain = !balancer->lbmethod || strcmp(balancer->lbmethod, "byrequests") == 0;
        if (plain && balancer->members->nelts > 0 && !(ours && handed_over(lint, balancer))) {
            lint_found(lint, HAP_LINT_FATAL, balancer->line, "lbmethod",
                       "balancer://%s uses the method byrequests, which no LoadModule brings: "
                       "httpd does not start (AH02432), load lbmethod_byrequests_module",
                       lint_show(lint, balancer->name));
        }
    }
}

/* The host of a member's URL in one spelling, NULL for unix: and for what is none. */
static const char *host_of(const lint_t *lint, const char *url)
{
    hap_diag_t diag;
    const char *host = NULL;
    const char *start = strstr(url, "://");
    if (!start || strncmp(url, "unix:", 5) == 0) {
        return NULL;
    }
    hap_str_t rest = hap_str(start + 3);
    rest = hap_str_sub(rest, 0, hap_str_find(rest, '/', 0));
    size_t end = hap_str_find(rest, rest.n && rest.p[0] == '[' ? ']' : ':', 0);
    end += end < rest.n && rest.p[end] == ']' ? 1 : 0;
    hap_grammar_host(&host, hap_str_sub(rest, 0, end), "host", &diag, lint->pool);
    return host;
}

/* Loopback is fine while all members are on this machine, as in a trial. */
static void loopback(lint_t *lint)
{
    for (int i = 0; i < lint->site->balancers->nelts; i++) {
        const hap_site_balancer_t *balancer = BALANCER(lint, i);
        bool elsewhere = false;
        for (int k = 0; k < balancer->members->nelts; k++) {
            const char *host = host_of(lint, MEMBER(balancer, k)->url);
            elsewhere = elsewhere || (host && hap_grammar_host_kind(host) == HAP_HOST_REMOTE);
        }
        for (int k = 0; k < balancer->members->nelts; k++) {
            const hap_site_member_t *member = MEMBER(balancer, k);
            const char *host = host_of(lint, member->url);
            hap_host_kind_t kind = host ? hap_grammar_host_kind(host) : HAP_HOST_REMOTE;
            if (kind == HAP_HOST_UNSPECIFIED || (kind == HAP_HOST_LOOPBACK && elsewhere)) {
                lint_found(lint, HAP_LINT_WARNING, member->directive->line, "loopback",
                           "the member \"%s\" is this proxy's own machine, the other members are "
                           "not: name the host that the instance runs on",
                           lint_show(lint, member->url));
            }
        }
    }
}

/* Their shared memory gets one name, and the server does not start (AH01186); -t says nothing. */
static void same_key(lint_t *lint)
{
    apr_hash_t *seen = apr_hash_make(lint->pool);
    for (int i = 0; i < lint->site->balancers->nelts; i++) {
        const hap_site_balancer_t *balancer = BALANCER(lint, i);
        const char *key =
            apr_psprintf(lint->pool, "%d %s", balancer->vhost ? balancer->vhost->line : 0,
                         hap_grammar_balancer_key(hap_str(balancer->name), lint->pool));
        const hap_site_balancer_t *other = apr_hash_get(seen, key, APR_HASH_KEY_STRING);
        if (other) {
            lint_found(lint, HAP_LINT_FATAL, balancer->line, "names",
                       "balancer://%s and balancer://%s of line %d differ only in punctuation: "
                       "httpd does not start with both, rename one",
                       lint_show(lint, balancer->name), lint_show(lint, other->name), other->line);
        }
        apr_hash_set(seen, key, APR_HASH_KEY_STRING, balancer);
    }
}

lint_rule_fn *const lint_rules[] = {
    slash,
    routes,
    sticky_names,
    long_urls,
    references,
    reverses,
    shadows,
    handlers,
    per_child_max,
    lint_module_names,
    lint_doubled_keys,
    lint_map,
    lint_zones,
    methods,
    loopback,
    same_key,
    NULL,
};
