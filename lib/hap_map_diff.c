/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the sentences in which one map becomes another one. */
#include "hap_map_diff.h"

#include <stdarg.h>
#include <inttypes.h>

#include <apr_strings.h>

typedef struct diff_t {
    apr_array_header_t *sentences;
    const char *where; /* what they are about; "" for the map itself */
    apr_pool_t *pool;
} diff_t;

static void say(diff_t *diff, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(diff_t *diff, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = apr_pvsprintf(diff->pool, fmt, args);
    va_end(args);
    APR_ARRAY_PUSH(diff->sentences, const char *) =
        apr_pstrcat(diff->pool, diff->where, text, NULL);
}

static const char *or_none(const char *text)
{
    return text ? text : "none";
}

static void say_text(diff_t *diff, const char *what, const char *before, const char *after)
{
    if (strcmp(or_none(before), or_none(after)) != 0) {
        say(diff, "%s %s -> %s", what, or_none(before), or_none(after));
    }
}

/* --- the map ---------------------------------------------------------------------------------- */

/* ", NAME 1 -> 2", or with the one number when it is still the same. */
static const char *number(diff_t *diff, const char *name, uint64_t before, uint64_t after)
{
    if (before == after) {
        return apr_psprintf(diff->pool, ", %s %" PRIu64, name, after);
    }
    return apr_psprintf(diff->pool, ", %s %" PRIu64 " -> %" PRIu64, name, before, after);
}

static void diff_head(diff_t *diff, const hap_map_t *before, const hap_map_t *after)
{
    const char *was = or_none(before->primary);
    const char *is = or_none(after->primary);
    if (strcmp(before->uuid, after->uuid) != 0) {
        say(diff, "cluster %s -> %s, which is another one", before->uuid, after->uuid);
    }
    if (before->version != after->version) {
        say(diff, "version %" PRIu64 " -> %" PRIu64, before->version, after->version);
    }
    if (strcmp(was, is) != 0) {
        say(diff, "primary %s -> %s%s", was, is, number(diff, "term", before->term, after->term));
    } else if (before->term != after->term) {
        say(diff, "primary %s%s", is, number(diff, "term", before->term, after->term));
    }
}

/* --- nodes ------------------------------------------------------------------------------------ */

static const char *electable(const hap_map_node_t *node)
{
    return node->electable ? "electable" : "not electable";
}

static void diff_node(diff_t *diff, const hap_map_node_t *before, const hap_map_node_t *after)
{
    diff->where = apr_psprintf(diff->pool, "node %s: ", after->id);
    if (!before) {
        say(diff, "added, %s, %s, %s", hap_map_role_names[after->role], electable(after),
            after->address);
        return;
    }
    say_text(diff, "address", before->address, after->address);
    say_text(diff, "role", hap_map_role_names[before->role], hap_map_role_names[after->role]);
    if (before->electable != after->electable) {
        say(diff, "%s -> %s", electable(before), electable(after));
    }
}

static void diff_nodes(diff_t *diff, const hap_map_t *before, const hap_map_t *after)
{
    for (unsigned i = 0; i < after->nodes_n; i++) {
        diff_node(diff, hap_map_node(before, hap_str(after->nodes[i].id)), &after->nodes[i]);
    }
    diff->where = "";
    for (unsigned i = 0; i < before->nodes_n; i++) {
        if (!hap_map_node(after, hap_str(before->nodes[i].id))) {
            say(diff, "node %s: gone", before->nodes[i].id);
        }
    }
}

/* --- applications ----------------------------------------------------------------------------- */

static void diff_member(diff_t *diff, const hap_map_member_t *before, const hap_map_member_t *after)
{
    if (!before) {
        say(diff, "added, %s, weight %u, %s", after->url ? after->url : "no url", after->weight,
            hap_admin_names[after->admin]);
        return;
    }
    say_text(diff, "url", before->url, after->url);
    if (before->weight != after->weight) {
        say(diff, "weight %u -> %u", before->weight, after->weight);
    }
    if (before->admin != after->admin) {
        say(diff, "%s -> %s", hap_admin_names[before->admin], hap_admin_names[after->admin]);
    }
}

static void diff_members(diff_t *diff, const hap_map_app_t *before, const hap_map_app_t *after)
{
    for (unsigned i = 0; i < after->members_n; i++) {
        const hap_map_member_t *member = &after->members[i];
        diff->where = apr_psprintf(diff->pool, "%s: member %s: ", after->name, member->route);
        diff_member(diff, hap_map_member(before, hap_str(member->route)), member);
    }
    diff->where = "";
    for (unsigned i = 0; i < before->members_n; i++) {
        if (!hap_map_member(after, hap_str(before->members[i].route))) {
            say(diff, "%s: member %s: gone", after->name, before->members[i].route);
        }
    }
}

static const char *kind(const hap_map_app_t *app)
{
    return app->single ? "active on one member" : "active on all members";
}

static void diff_active(diff_t *diff, const hap_map_app_t *before, const hap_map_app_t *after)
{
    const char *was = or_none(before->active);
    const char *is = or_none(after->active);
    const char *epoch = number(diff, "epoch", before->epoch, after->epoch);
    if (strcmp(was, is) != 0) {
        say(diff, "active %s -> %s%s", was, is, epoch);
    } else if (before->epoch != after->epoch) {
        say(diff, "active %s%s", is, epoch);
    }
}

static void diff_app(diff_t *diff, const hap_map_app_t *before, const hap_map_app_t *after)
{
    const hap_map_app_t nothing = {.name = after->name, .single = after->single};
    diff->where = apr_psprintf(diff->pool, "%s: ", after->name);
    if (!before) {
        say(diff, "added, %s", kind(after));
        before = &nothing;
    } else if (before->single != after->single) {
        say(diff, "%s -> %s", kind(before), kind(after));
    }
    diff_active(diff, before, after);
    diff_members(diff, before, after);
}

static void diff_apps(diff_t *diff, const hap_map_t *before, const hap_map_t *after)
{
    for (unsigned i = 0; i < after->apps_n; i++) {
        diff_app(diff, hap_map_app(before, hap_str(after->apps[i].name)), &after->apps[i]);
    }
    diff->where = "";
    for (unsigned i = 0; i < before->apps_n; i++) {
        if (!hap_map_app(after, hap_str(before->apps[i].name))) {
            say(diff, "%s: gone", before->apps[i].name);
        }
    }
}

apr_array_header_t *hap_map_diff(const hap_map_t *before, const hap_map_t *after, apr_pool_t *pool)
{
    diff_t diff = {
        .sentences = apr_array_make(pool, 8, sizeof(const char *)), .where = "", .pool = pool};
    diff_head(&diff, before, after);
    diff_nodes(&diff, before, after);
    diff_apps(&diff, before, after);
    return diff.sentences;
}
