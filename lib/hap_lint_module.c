/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lint rules about the module's own directives. Does not know what their keys mean: the
 * module says that when it reads them.
 */
#include "hap_lint_model.h"

#include <apr_strings.h>

#include "hap_grammar.h"

static void unknown_name(lint_t *lint, const hap_conf_directive_t *directive)
{
    lint_found(lint, lint->site->has_includes ? HAP_LINT_WARNING : HAP_LINT_ERROR, directive->line,
               "unknown",
               "%s names %s, but there is no <Proxy \"balancer://%s\">%s: correct the name",
               lint_show(lint, directive->name), lint_show(lint, directive->argv[0]),
               lint_show(lint, directive->argv[0]),
               lint->site->has_includes ? " in this file or what it includes" : "");
}

static bool has_directive(const lint_t *lint, const char *name)
{
    for (int i = 0; i < lint->conf->count; i++) {
        if (hap_conf_is(&lint->conf->directives[i], name)) {
            return true;
        }
    }
    return false;
}

/* The directives that say something of a balancer, key by key. */
static const char *const ours[] = {"HABalancer", "HACheck", "HAZone", NULL};

/* Which of ours a directive is, as it is spelt above; NULL: none. */
static const char *our_name(const hap_conf_directive_t *directive)
{
    int i = 0;
    while (ours[i] && !hap_conf_is(directive, ours[i])) {
        i++;
    }
    return directive->argc > 0 ? ours[i] : NULL;
}

void lint_module_names(lint_t *lint)
{
    bool inherits = !has_directive(lint, "ProxyInherit");
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (!our_name(directive)) {
            continue;
        }
        const hap_conf_section_t *vhost = hap_conf_within(directive, "VirtualHost");
        if (!hap_site_balancer(lint->site, vhost, directive->argv[0])) {
            if (!lint_is_elsewhere(lint, directive->argv[0])) {
                unknown_name(lint, directive);
            }
        } else if (vhost && inherits && hap_site_balancer(lint->site, NULL, directive->argv[0])) {
            lint_found(lint, HAP_LINT_ERROR, directive->line, "place",
                       "%s is in a <VirtualHost>, but balancer://%s is the main server's: the "
                       "module does not start with this, put it there",
                       lint_show(lint, directive->name), lint_show(lint, directive->argv[0]));
        }
    }
}

/* What the module says of a directive of the main server that stands there once. */
void lint_map(lint_t *lint)
{
    const hap_conf_directive_t *first = NULL;
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (!hap_conf_is(directive, "HAMap")) {
            continue;
        }
        if (hap_conf_within(directive, "VirtualHost")) {
            lint_found(lint, HAP_LINT_ERROR, directive->line, "place",
                       "HAMap is for the whole server: the module does not start with it in a "
                       "<VirtualHost>, put it outside");
        } else if (first) {
            lint_found(lint, HAP_LINT_ERROR, directive->line, "twice",
                       "HAMap is given in line %d already: the module does not start with both, "
                       "keep one",
                       first->line);
        }
        first = first ? first : directive;
    }
}

/* Where a key of a balancer stood first, in one server: there it stands once, over all lines. */
static void check_keys(lint_t *lint, const hap_conf_directive_t *directive, apr_hash_t *seen)
{
    const hap_conf_section_t *vhost = hap_conf_within(directive, "VirtualHost");
    const char *name = hap_grammar_balancer_key(hap_str(directive->argv[0]), lint->pool);
    const char *what = our_name(directive);
    for (int i = 1; i < directive->argc; i++) {
        hap_str_t pair = hap_str(directive->argv[i]);
        hap_str_t key = hap_str_sub(pair, 0, hap_str_find(pair, '=', 0));
        const char *place = apr_psprintf(lint->pool, "%d %s %s %.*s", vhost ? vhost->line : 0, what,
                                         name, HAP_STR_ARG(key));
        const hap_conf_directive_t *first = apr_hash_get(seen, place, APR_HASH_KEY_STRING);
        if (first) {
            lint_found(lint, HAP_LINT_ERROR, directive->line, "twice",
                       "%s %s: %s= is given in line %d already: the module does not start with "
                       "both, keep one",
                       lint_show(lint, directive->name), lint_show(lint, directive->argv[0]),
                       hap_str_show(key, lint->pool), first->line);
        } else {
            apr_hash_set(seen, place, APR_HASH_KEY_STRING, directive);
        }
    }
}

void lint_doubled_keys(lint_t *lint)
{
    apr_hash_t *seen = apr_hash_make(lint->pool);
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (our_name(directive)) {
            check_keys(lint, directive, seen);
        }
    }
}
