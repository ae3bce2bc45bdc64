/* SPDX-License-Identifier: Apache-2.0 */
/* Owns finding the zones of a configuration, and their keys. Does not print, and asks no node. */
#include "zero_zone.h"

#include <errno.h>

#include <apr_strings.h>

#include "hap_grammar.h"
#include "hap_site.h"
#include "io/hapio_file.h"
#include "io/hapio_secret.h"
#include "zero_tree.h"

/** Zones while they are collected. */
typedef struct reader_t {
    const zero_args_t *args;
    const zero_tree_t *tree;
    hap_conf_t conf; /* our own lines, in the order of tree->ours */
    const hap_site_t *site;
    apr_array_header_t *zones; /* zero_zone_t */
} reader_t;

static const char *file_of(const reader_t *reader, const hap_conf_directive_t *line)
{
    return APR_ARRAY_IDX(reader->tree->ours, line - reader->conf.directives, zero_tree_line_t).file;
}

static int refuse(const reader_t *reader, const hap_conf_directive_t *line, const char *why)
{
    return zero_fail(reader->args->command, ZERO_REFUSED, "%s:%d: %s",
                     zero_show(file_of(reader, line), reader->args->pool), line->line, why);
}

static const char *below_root(const reader_t *reader, const char *path)
{
    return path && path[0] != '/' ? apr_pstrcat(reader->args->pool, reader->tree->root, path, NULL)
                                  : path;
}

/* The line that gives this key in the server of `first`, which is where the zone was met. */
static const hap_conf_directive_t *giving(const reader_t *reader, const hap_site_policy_t *joined,
                                          const hap_conf_directive_t *first, const char *key)
{
    const hap_conf_directive_t *line = hap_conf_giving(
        &reader->conf, hap_conf_within(first, "VirtualHost"), "HAZone", first->argv[0], key);
    return line ? line : joined->directive;
}

static int add_zone(reader_t *reader, const hap_site_policy_t *joined,
                    const hap_conf_directive_t *first)
{
    hap_diag_t diag;
    const char *app = first->argv[0];
    apr_pool_t *pool = reader->args->pool;
    const hap_conf_directive_t *line = joined->directive;
    const hap_conf_directive_t *token = giving(reader, joined, first, "token");
    zero_zone_t zone = {
        .app = app,
        .label = apr_psprintf(pool, "%s:%d: %s", zero_show(file_of(reader, line), pool), line->line,
                              zero_show(app, pool)),
        .file = file_of(reader, line),
        .line = line->line,
        .key = below_root(reader, joined->zone.key),
        .token = below_root(reader, joined->zone.token),
        .token_conf = file_of(reader, token),
        .token_line = token->line,
        .policy = joined->zone,
    };
    const char *wrong = NULL;
    if (hap_zone_kinds_parse(&zone.kinds, hap_str(zone.policy.zone), &diag) != APR_SUCCESS) {
        wrong = "zone";
    } else if (hap_zone_spec_parse(&zone.spec, hap_str(zone.policy.store), &diag, pool) !=
               APR_SUCCESS) {
        wrong = "store";
    }
    if (wrong) {
        return refuse(reader, giving(reader, joined, first, wrong),
                      apr_psprintf(pool, "HAZone: %s", diag.why));
    }
    APR_ARRAY_PUSH(reader->zones, zero_zone_t) = zone;
    return ZERO_DONE;
}

static const char *name_of(const hap_conf_directive_t *line)
{
    return line->argv[0];
}

static bool same_name(const hap_conf_directive_t *a, const hap_conf_directive_t *b)
{
    return hap_str_eq_nocase(hap_str(name_of(a)), hap_str(name_of(b)));
}

/* Whether a line before this one has made the balancer of this server known. */
static bool is_known(const reader_t *reader, const hap_conf_directive_t *line)
{
    for (const hap_conf_directive_t *one = reader->conf.directives; one < line; one++) {
        if (hap_conf_is(one, line->name) && same_name(one, line) &&
            hap_conf_within(one, "VirtualHost") == hap_conf_within(line, "VirtualHost")) {
            return true;
        }
    }
    return false;
}

/*
 * HABalancer says which balancers there are: HAZone in the main server may only be there for those
 * of virtual hosts to inherit from. It counts by itself in a file that has no more than that.
 */
static bool is_balancer(const reader_t *reader, const hap_conf_directive_t *line)
{
    if (hap_conf_is(line, "HABalancer")) {
        return true;
    }
    for (int i = 0; i < reader->conf.count; i++) {
        const hap_conf_directive_t *one = &reader->conf.directives[i];
        if (hap_conf_is(one, "HABalancer") && same_name(one, line)) {
            return false;
        }
    }
    return true;
}

/* The line of that number for the same balancer. */
static const hap_conf_directive_t *wrong_line(const reader_t *reader,
                                              const hap_conf_directive_t *line, int number)
{
    const hap_conf_directive_t *all = reader->conf.directives;
    int i = 0;
    while (i < reader->conf.count && (all[i].line != number || !same_name(&all[i], line))) {
        i++;
    }
    return i < reader->conf.count ? &all[i] : line;
}

static int read_zone(reader_t *reader, const hap_conf_directive_t *line)
{
    hap_diag_t diag;
    hap_site_policy_t joined;
    if (!is_balancer(reader, line) || is_known(reader, line)) {
        return ZERO_DONE;
    }
    if (hap_site_policy(&joined, reader->site, hap_conf_within(line, "VirtualHost"), name_of(line),
                        &hap_zone_options, &diag, reader->args->pool) != APR_SUCCESS) {
        return refuse(reader, wrong_line(reader, line, diag.line), diag.why);
    }
    return joined.directive ? add_zone(reader, &joined, line) : ZERO_DONE;
}

static hap_conf_t lines_of(const zero_tree_t *tree, apr_pool_t *pool)
{
    const int n = tree->ours->nelts;
    hap_conf_directive_t *lines = apr_palloc(pool, ((size_t)n + 1) * sizeof(*lines));
    for (int i = 0; i < n; i++) {
        lines[i] = APR_ARRAY_IDX(tree->ours, i, zero_tree_line_t).directive;
    }
    return (hap_conf_t){.directives = lines, .count = n};
}

int zero_zone_read(apr_array_header_t **zones, const char *path, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    zero_tree_t tree;
    /* Read by itself first, so that what is wrong with this file is said as ever. */
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    rv = zero_tree_read(&tree, path, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        bool refused = rv == APR_EINVAL || rv == EFBIG;
        return zero_fail(args->command, refused ? ZERO_REFUSED : ZERO_IO, "%s",
                         zero_show(diag.why, args->pool));
    }
    reader_t reader = {
        .args = args,
        .tree = &tree,
        .conf = lines_of(&tree, args->pool),
        .zones = apr_array_make(args->pool, 2, sizeof(zero_zone_t)),
    };
    reader.site = hap_site_read(&reader.conf, args->pool);
    int code = ZERO_DONE;
    for (int i = 0; code == ZERO_DONE && i < reader.conf.count; i++) {
        code = read_zone(&reader, &reader.conf.directives[i]);
    }
    *zones = reader.zones;
    return code;
}

int zero_zone_keys(hap_zone_keys_t **keys, const zero_zone_t *zone, hap_diag_t *diag,
                   apr_pool_t *pool)
{
    hap_diag_t found;
    hapio_secret_t secret;
    const char *shown = zero_show(zone->key, pool);
    if (hapio_secret_read(&secret, zone->key, &found) != APR_SUCCESS) {
        hap_diag_set(diag, 0, "%s %s", shown, found.why);
        return ZERO_IO;
    }
    apr_status_t rv = hap_zone_keys_parse(keys, hapio_secret_text(&secret), &found, pool);
    hapio_secret_wipe(&secret);
    if (rv != APR_SUCCESS) {
        const char *line = found.line ? apr_psprintf(pool, ":%d", found.line) : "";
        hap_diag_set(diag, 0, "%s%s: %s", shown, line, found.why);
        return ZERO_REFUSED;
    }
    return ZERO_DONE;
}

hapstore_conf_t zero_zone_store(const zero_zone_t *zone)
{
    return (hapstore_conf_t){
        .spec = &zone->spec,
        .budget = zone->policy.budget,
    };
}
