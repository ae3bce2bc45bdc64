/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns joining fragments: order, grouping, conflicts, and what changes between two merges. Does
 * not know the text: hap_merge_text does.
 */
#include "hap_merge.h"

#include <stdlib.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "hap_zone_spec.h"

static const char *source_of(const hap_fragment_t *fragment, apr_pool_t *pool)
{
    if (fragment->source) {
        return fragment->source;
    }
    return apr_psprintf(pool, "%s %s:%u", fragment->app, fragment->host, fragment->port);
}

static int by_address(const hap_fragment_t *a, const hap_fragment_t *b)
{
    int diff = strcmp(a->host, b->host);
    return diff ? diff : (a->port > b->port) - (a->port < b->port);
}

/* The order inside an application; the source only makes messages the same in any order. */
static int by_app_and_route(const void *left, const void *right)
{
    const hap_fragment_t *a = left;
    const hap_fragment_t *b = right;
    int diff = strcmp(a->app, b->app);
    diff = diff ? diff : strcmp(a->route, b->route);
    diff = diff ? diff : by_address(a, b);
    return diff ? diff : strcmp(a->source ? a->source : "", b->source ? b->source : "");
}

static int by_app_and_address(const void *left, const void *right)
{
    const hap_fragment_t *a = *(const hap_fragment_t *const *)left;
    const hap_fragment_t *b = *(const hap_fragment_t *const *)right;
    int diff = strcmp(a->app, b->app);
    diff = diff ? diff : by_address(a, b);
    return diff ? diff : strcmp(a->route, b->route);
}

/* httpd takes the first ProxyPass that matches, so the longer context has to come first. */
static int by_context(const void *left, const void *right)
{
    const hap_fragment_t *a = ((const hap_merge_app_t *)left)->members;
    const hap_fragment_t *b = ((const hap_merge_app_t *)right)->members;
    size_t a_length = strlen(a->context);
    size_t b_length = strlen(b->context);
    int diff = (a_length < b_length) - (a_length > b_length);
    diff = diff ? diff : strcmp(a->app, b->app);
    return diff ? diff : strcmp(a->context, b->context);
}

static const char *shown(const char *value)
{
    return value ? value : "none";
}

static bool same_value(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The fields that all members of an application share. */
static const char *const shared_names[] = {"context", "path", "sticky", "health", "upgrade"};
enum { SHARED = sizeof(shared_names) / sizeof(shared_names[0]) };

static void shared_values(const char *values[SHARED], const hap_fragment_t *fragment)
{
    values[0] = fragment->context;
    values[1] = fragment->path;
    values[2] = fragment->sticky;
    values[3] = fragment->health;
    values[4] = fragment->upgrade;
}

static apr_status_t check_shared(const hap_fragment_t *a, const hap_fragment_t *b, hap_diag_t *diag,
                                 apr_pool_t *pool)
{
    const char *of_a[SHARED];
    const char *of_b[SHARED];
    shared_values(of_a, a);
    shared_values(of_b, b);
    for (int i = 0; i < SHARED; i++) {
        if (!same_value(of_a[i], of_b[i])) {
            hap_diag_set(diag, 0,
                         "application %s: %s is %s in %s but %s in %s: make them the same, then "
                         "run zero modproxy generate again",
                         a->app, shared_names[i], shown(of_a[i]), source_of(a, pool),
                         shown(of_b[i]), source_of(b, pool));
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

/* `a` and `b` are neighbours in the order by route, both of one application. */
static apr_status_t check_pair(const hap_fragment_t *a, const hap_fragment_t *b, bool balancer,
                               hap_diag_t *diag, apr_pool_t *pool)
{
    if (!balancer) {
        hap_diag_set(diag, 0,
                     "application %s has more than one fragment (%s, %s): use -balancer to make "
                     "them one balancer",
                     a->app, source_of(a, pool), source_of(b, pool));
        return APR_EINVAL;
    }
    if (strcmp(a->route, b->route) == 0) {
        hap_diag_set(diag, 0,
                     "application %s: the route %s is in %s and in %s: give each instance its "
                     "own with zero modproxy generate -route=NAME",
                     a->app, a->route, source_of(a, pool), source_of(b, pool));
        return APR_EINVAL;
    }
    return check_shared(a, b, diag, pool);
}

static apr_status_t check_addresses(const hap_merge_t *merge, hap_diag_t *diag, apr_pool_t *pool)
{
    const hap_fragment_t **order = apr_palloc(pool, merge->member_count * sizeof(*order));
    for (size_t i = 0; i < merge->member_count; i++) {
        order[i] = &merge->members[i];
    }
    qsort(order, merge->member_count, sizeof(*order), by_app_and_address);
    for (size_t i = 1; i < merge->member_count; i++) {
        const hap_fragment_t *a = order[i - 1];
        const hap_fragment_t *b = order[i];
        if (strcmp(a->app, b->app) == 0 && by_address(a, b) == 0) {
            hap_diag_set(
                diag, 0,
                "application %s: %s:%u is in %s and in %s: one instance cannot be two members",
                a->app, a->host, a->port, source_of(a, pool), source_of(b, pool));
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t check_hosts(const hap_merge_t *merge, hap_diag_t *diag, apr_pool_t *pool)
{
    const hap_fragment_t *local = NULL;
    bool remote = false;
    for (size_t i = 0; i < merge->member_count; i++) {
        const hap_fragment_t *member = &merge->members[i];
        if (hap_grammar_host_kind(member->host) == HAP_HOST_REMOTE) {
            remote = true;
        } else if (!local) {
            local = member;
        }
    }
    if (!remote || !local) {
        return APR_SUCCESS;
    }
    hap_diag_set(diag, 0,
                 "%s names %s, which the proxy takes for itself, while other fragments name other "
                 "hosts: run zero modproxy generate -host=NAME with the name that the proxy "
                 "reaches it by",
                 source_of(local, pool), local->host);
    return APR_EINVAL;
}

static apr_status_t check_contexts(const hap_merge_t *merge, hap_diag_t *diag, apr_pool_t *pool)
{
    apr_hash_t *seen = apr_hash_make(pool);
    for (size_t i = 0; i < merge->app_count; i++) {
        const hap_fragment_t *member = merge->apps[i].members;
        const hap_fragment_t *other = apr_hash_get(seen, member->context, APR_HASH_KEY_STRING);
        if (other) {
            hap_diag_set(diag, 0,
                         "applications %s and %s both have the context %s (%s, %s): give one of "
                         "them another with -context=PATH, or both one name with -app=NAME if they "
                         "are instances of one application",
                         other->app, member->app, member->context, source_of(other, pool),
                         source_of(member, pool));
            return APR_EINVAL;
        }
        apr_hash_set(seen, member->context, APR_HASH_KEY_STRING, member);
    }
    return APR_SUCCESS;
}

/*
 * httpd names a balancer's shared memory after its name in lower case with _ for punctuation; two
 * that come out the same share one piece, and the server does not start (AH01186).
 */
static apr_status_t check_balancers(const hap_merge_t *merge, hap_diag_t *diag, apr_pool_t *pool)
{
    apr_hash_t *seen = apr_hash_make(pool);
    for (size_t i = 0; merge->balancer && i < merge->app_count; i++) {
        const char *app = merge->apps[i].members->app;
        const char *key = hap_grammar_balancer_key(hap_str(app), pool);
        const char *other = apr_hash_get(seen, key, APR_HASH_KEY_STRING);
        if (other) {
            hap_diag_set(diag, 0,
                         "applications %s and %s: httpd cannot tell balancers apart whose names "
                         "differ only in case or punctuation, rename one with -app=NAME",
                         other, app);
            return APR_EINVAL;
        }
        apr_hash_set(seen, key, APR_HASH_KEY_STRING, app);
    }
    return APR_SUCCESS;
}

static apr_status_t group(hap_merge_t *merge, hap_diag_t *diag, apr_pool_t *pool)
{
    merge->apps = apr_pcalloc(pool, merge->member_count * sizeof(*merge->apps));
    merge->app_count = 0;
    for (size_t i = 0; i < merge->member_count; i++) {
        const hap_fragment_t *member = &merge->members[i];
        if (i == 0 || strcmp(member[-1].app, member->app) != 0) {
            merge->apps[merge->app_count++].members = member;
        } else {
            apr_status_t rv = check_pair(member - 1, member, merge->balancer, diag, pool);
            if (rv != APR_SUCCESS) {
                return rv;
            }
        }
        merge->apps[merge->app_count - 1].count++;
    }
    return APR_SUCCESS;
}

static apr_status_t check_count(size_t count, hap_diag_t *diag)
{
    if (count == 0) {
        hap_diag_set(diag, 0, "there is nothing to merge: name at least one fragment");
        return APR_EINVAL;
    }
    if (count > HAP_MERGE_MAX_MEMBERS) {
        hap_diag_set(diag, 0,
                     "%" APR_SIZE_T_FMT " fragments are too many, at most %d can be merged", count,
                     HAP_MERGE_MAX_MEMBERS);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t hap_merge_build(hap_merge_t *merge, const hap_fragment_t *fragments, size_t count,
                             bool balancer, hap_diag_t *diag, apr_pool_t *pool)
{
    apr_status_t rv = check_count(count, diag);
    for (size_t i = 0; rv == APR_SUCCESS && i < count; i++) {
        rv = hap_fragment_check(&fragments[i], diag, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    hap_merge_t built = {.balancer = balancer, .member_count = count};
    built.members = apr_pmemdup(pool, fragments, count * sizeof(*fragments));
    qsort(built.members, count, sizeof(*built.members), by_app_and_route);
    rv = group(&built, diag, pool);
    if (rv == APR_SUCCESS) {
        qsort(built.apps, built.app_count, sizeof(*built.apps), by_context);
        rv = check_addresses(&built, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = check_hosts(&built, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = check_contexts(&built, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = check_balancers(&built, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        *merge = built;
    }
    return rv;
}

apr_status_t hap_merge_check_zones(const hap_merge_t *merge, const hap_merge_zones_t *zones,
                                   hap_diag_t *diag)
{
    for (size_t i = 0; zones->kinds & HAP_ZONE_USER && i < merge->app_count; i++) {
        const hap_fragment_t *one = merge->apps[i].members;
        if (!one->sticky) {
            hap_diag_set(diag, 0,
                         "application %s has no session cookie, so there is no session whose "
                         "state could be kept: give -sticky=COOKIE to zero modproxy generate on "
                         "its hosts, or merge it into a file of its own",
                         one->app);
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

/* A newline is in neither part, so two different members never get the same key. */
static const char *key_of(const hap_fragment_t *member, apr_pool_t *pool)
{
    return apr_pstrcat(pool, member->app, "\n", member->route, NULL);
}

static apr_hash_t *members_by_key(const hap_merge_t *merge, apr_pool_t *pool)
{
    apr_hash_t *index = apr_hash_make(pool);
    for (size_t i = 0; i < merge->member_count; i++) {
        apr_hash_set(index, key_of(&merge->members[i], pool), APR_HASH_KEY_STRING,
                     &merge->members[i]);
    }
    return index;
}

static bool same_member(const hap_fragment_t *a, const hap_fragment_t *b)
{
    return strcmp(a->app, b->app) == 0 && strcmp(a->context, b->context) == 0 &&
           strcmp(a->path, b->path) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port &&
           strcmp(a->route, b->route) == 0 && same_value(a->sticky, b->sticky) &&
           same_value(a->health, b->health) && same_value(a->upgrade, b->upgrade);
}

apr_status_t hap_merge_prove(const hap_merge_t *merge, const hap_fragment_t *fragments,
                             size_t count, hap_diag_t *diag, apr_pool_t *pool)
{
    apr_hash_t *index = members_by_key(merge, pool);
    for (size_t i = 0; i < count; i++) {
        const hap_fragment_t *member =
            apr_hash_get(index, key_of(&fragments[i], pool), APR_HASH_KEY_STRING);
        if (!member || !same_member(member, &fragments[i])) {
            hap_diag_set(diag, 0, "the member of %s is not in it as it should be",
                         source_of(&fragments[i], pool));
            return APR_EINVAL;
        }
    }
    if (merge->member_count != count) {
        hap_diag_set(diag, 0, "it has %" APR_SIZE_T_FMT " members, not %" APR_SIZE_T_FMT,
                     merge->member_count, count);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* What diff writes to, and for whom. */
typedef struct diff_t {
    apr_array_header_t *sentences;
    apr_pool_t *pool;
} diff_t;

static void say(diff_t *diff, const char *sentence)
{
    APR_ARRAY_PUSH(diff->sentences, const char *) = sentence;
}

static void diff_member(diff_t *diff, const hap_fragment_t *before, const hap_fragment_t *after)
{
    const hap_fragment_t *one = after ? after : before;
    const char *url = hap_fragment_url(one, diff->pool);
    if (!before || !after) {
        say(diff, apr_psprintf(diff->pool, "app %s: member %s %s (%s)", one->app, one->route,
                               after ? "added" : "removed", url));
    } else if (by_address(before, after) != 0) {
        say(diff, apr_psprintf(diff->pool, "app %s: member %s moved from %s to %s", one->app,
                               one->route, hap_fragment_url(before, diff->pool), url));
    }
}

/* Both lists are in the order of routes: one walk over both. */
static void diff_members(diff_t *diff, const hap_merge_app_t *before, const hap_merge_app_t *after)
{
    size_t i = 0;
    size_t j = 0;
    while (i < before->count || j < after->count) {
        int order = 0;
        if (i == before->count || j == after->count) {
            order = i == before->count ? 1 : -1;
        } else {
            order = strcmp(before->members[i].route, after->members[j].route);
        }
        diff_member(diff, order <= 0 ? &before->members[i] : NULL,
                    order >= 0 ? &after->members[j] : NULL);
        i += order <= 0;
        j += order >= 0;
    }
}

static void diff_app(diff_t *diff, const hap_merge_app_t *before, const hap_merge_app_t *after)
{
    if (!before || !after) {
        const hap_merge_app_t *one = after ? after : before;
        say(diff, apr_psprintf(diff->pool, "app %s: %s (context %s, members: %" APR_SIZE_T_FMT ")",
                               one->members->app, after ? "added" : "removed",
                               one->members->context, one->count));
        return;
    }
    const char *was[SHARED];
    const char *is[SHARED];
    shared_values(was, before->members);
    shared_values(is, after->members);
    for (int i = 0; i < SHARED; i++) {
        if (!same_value(was[i], is[i])) {
            say(diff,
                apr_psprintf(diff->pool, "app %s: %s changed from %s to %s", after->members->app,
                             shared_names[i], shown(was[i]), shown(is[i])));
        }
    }
    diff_members(diff, before, after);
}

const char *hap_merge_lane_word(hap_merge_lane_t lane)
{
    static const char *const words[] = {
        [HAP_MERGE_LANE_UNSAID] = NULL,
        [HAP_MERGE_LANE_ON] = "On",
        [HAP_MERGE_LANE_OFF] = "Off",
    };
    return words[lane];
}

static void diff_lane(diff_t *diff, const hap_merge_t *before, const hap_merge_t *after)
{
    if (before->balancer && after->balancer && before->lane != after->lane) {
        say(diff, apr_psprintf(diff->pool, "HALane changed from %s to %s",
                               shown(hap_merge_lane_word(before->lane)),
                               shown(hap_merge_lane_word(after->lane))));
    }
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const hap_merge_app_t *)left)->members->app,
                  ((const hap_merge_app_t *)right)->members->app);
}

static hap_merge_app_t *apps_by_name(const hap_merge_t *merge, apr_pool_t *pool)
{
    /* Nothing has no array either, and neither function takes NULL for one. */
    if (merge->app_count == 0) {
        return NULL;
    }
    hap_merge_app_t *apps = apr_pmemdup(pool, merge->apps, merge->app_count * sizeof(*apps));
    qsort(apps, merge->app_count, sizeof(*apps), by_name);
    return apps;
}

static void diff_zones(diff_t *diff, const hap_merge_t *before, const hap_merge_t *after)
{
    const char *was = hap_merge_zones_text(&before->zones, diff->pool);
    const char *is = hap_merge_zones_text(&after->zones, diff->pool);
    if (before->balancer && after->balancer && !same_value(was, is)) {
        say(diff, apr_psprintf(diff->pool, "HAZone changed from %s to %s", shown(was), shown(is)));
    }
}

apr_array_header_t *hap_merge_diff(const hap_merge_t *before, const hap_merge_t *after,
                                   apr_pool_t *pool)
{
    diff_t diff = {apr_array_make(pool, 8, sizeof(const char *)), pool};
    hap_merge_app_t *was = apps_by_name(before, pool);
    hap_merge_app_t *is = apps_by_name(after, pool);
    size_t i = 0;
    size_t j = 0;
    if (before->balancer != after->balancer) {
        say(&diff, after->balancer ? "applications become balancers"
                                   : "applications are no longer balancers");
    }
    diff_lane(&diff, before, after);
    diff_zones(&diff, before, after);
    while (i < before->app_count || j < after->app_count) {
        int order = 0;
        if (i == before->app_count || j == after->app_count) {
            order = i == before->app_count ? 1 : -1;
        } else {
            order = by_name(&was[i], &is[j]);
        }
        diff_app(&diff, order <= 0 ? &was[i] : NULL, order >= 0 ? &is[j] : NULL);
        i += order <= 0;
        j += order >= 0;
    }
    return diff.sentences;
}
