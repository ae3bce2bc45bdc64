/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the text of `zero modproxy explain`: a label, and behind it what happened there. */
#include "zero_explain_text.h"

#include <stdarg.h>

#include <apr_strings.h>

#include "hap_zone_spec.h"
#include "zero.h"
#include "zero_explain_lane.h"

enum {
    LABEL_WIDTH = 10,
    PASSED_SHOWN = 8, /* mounts that were asked in vain, the last ones */
    TURNS_SHOWN = 16,
    NAMES_SHOWN = 16
};

/** The text so far. */
typedef struct story_t {
    const hap_explain_t *result;
    const hap_explain_request_t *request;
    const char *conf;         /* name of the configuration */
    apr_array_header_t *said; /* const char *, pieces in their order */
    apr_pool_t *pool;
} story_t;

static void say(story_t *story, const char *label, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* One line; without a label it goes on with the step above. */
static void say(story_t *story, const char *label, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = apr_pvsprintf(story->pool, fmt, args);
    va_end(args);
    APR_ARRAY_PUSH(story->said, const char *) =
        apr_psprintf(story->pool, "%-*s%s\n", LABEL_WIDTH, label, text);
}

static const char *show(const story_t *story, const char *text)
{
    return zero_show(text, story->pool);
}

static const char *show_str(const story_t *story, hap_str_t text)
{
    return zero_show(hap_str_dup(text, story->pool), story->pool);
}

static const char *at(const story_t *story, int line)
{
    return apr_psprintf(story->pool, "%s:%d", story->conf, line);
}

static const char *route_of(const story_t *story, uint32_t member)
{
    return show(story, story->result->members[member].route);
}

static void say_request(story_t *story)
{
    const hap_explain_request_t *request = story->request;
    const hap_conf_section_t *vhost = story->result->vhost;
    say(story, "request", "%s", show_str(story, request->target));
    if (request->cookies.n) {
        say(story, "", "Cookie: %s", show_str(story, request->cookies));
    }
    if (vhost) {
        say(story, "server", "%s: <VirtualHost %s>", at(story, vhost->line),
            vhost->argc ? show(story, vhost->argv[0]) : "");
    }
}

static void say_pass(story_t *story, const hap_site_mount_t *mount, const char *verdict)
{
    say(story, "mount", "%s: %s \"%s\" \"%s\" %s", at(story, mount->directive->line),
        mount->in_location ? "ProxyPass in <Location>" : "ProxyPass", show(story, mount->context),
        show(story, mount->target), verdict);
}

static const char *why_passed(const story_t *story, const hap_site_mount_t *mount)
{
    return apr_psprintf(story->pool, "does not take it: %s is not %s or below it",
                        show(story, story->result->path), show(story, mount->context));
}

static void say_patterns(story_t *story)
{
    const apr_array_header_t *patterns = story->request->site->patterns;
    for (int i = 0; i < patterns->nelts; i++) {
        const hap_conf_directive_t *directive =
            APR_ARRAY_IDX(patterns, i, const hap_conf_directive_t *);
        const hap_conf_section_t *vhost = hap_conf_within(directive, "VirtualHost");
        if (!vhost || vhost == story->result->vhost) {
            say(story, "not seen", "%s: a %s with a pattern, which may take the request before",
                at(story, directive->line), show(story, directive->name));
        }
    }
}

static void say_includes(story_t *story)
{
    const hap_conf_t *conf = story->request->site->conf;
    const hap_conf_directive_t *first = NULL;
    int others = -1;
    for (int i = 0; i < conf->count; i++) {
        const hap_conf_directive_t *directive = &conf->directives[i];
        if (hap_site_includes(directive)) {
            first = first ? first : directive;
            others++;
        }
    }
    if (first) {
        const char *more = others ? apr_psprintf(story->pool, ", nor %d more", others) : "";
        say(story, "not seen",
            "%s: %s is not followed%s: name the file that has the ProxyPass with -conf=",
            at(story, first->line), show(story, first->name), more);
    }
}

static void say_mount(story_t *story)
{
    const hap_explain_t *result = story->result;
    const hap_site_mount_t *mount = result->mount;
    int skipped = result->passed->nelts - PASSED_SHOWN;
    if (skipped > 0) {
        say(story, "mount", "%d that come first do not take it", skipped);
    }
    for (int i = skipped > 0 ? skipped : 0; i < result->passed->nelts; i++) {
        const hap_site_mount_t *other = APR_ARRAY_IDX(result->passed, i, const hap_site_mount_t *);
        say_pass(story, other, why_passed(story, other));
    }
    if (result->end == HAP_EXPLAIN_NO_MOUNT) {
        say(story, "mount", "no ProxyPass%s takes it: the server answers by itself",
            story->request->site->has_includes ? " of this file" : "");
    } else if (result->end == HAP_EXPLAIN_EXCLUDED) {
        say_pass(story, mount, "takes it, and ! leaves it to the server itself");
    } else {
        say_pass(story, mount, "takes it: the first that matches");
    }
    say_patterns(story);
    say_includes(story);
}

static const char *word_of(const hap_options_t *options, const char *key, int index)
{
    for (size_t i = 0; i < options->n; i++) {
        if (strcmp(options->rows[i].name, key) == 0) {
            return options->rows[i].choices[index];
        }
    }
    return "";
}

static void say_sticky(story_t *story)
{
    const hap_affinity_rule_t *rule = &story->result->rule;
    bool asked = story->result->policy.policy.affinity.mode != HAP_AFFINITY_NONE;
    if (rule->mode == HAP_AFFINITY_NONE) {
        say(story, "", "sessions are not kept: %s",
            asked ? "there is no ProxySet stickysession=" : "affinity=none");
    } else if (rule->mode == HAP_AFFINITY_INSERT) {
        say(story, "", "sessions are kept by the proxy's own cookie %s",
            show_str(story, rule->cookie));
    } else {
        say(story, "", "sessions are kept by the application's cookie %s, or ;%s= in the path",
            show_str(story, rule->cookie), show_str(story, rule->path_param));
    }
}

static void say_balancer(story_t *story)
{
    const hap_explain_t *result = story->result;
    const hap_policy_t *policy = &result->policy.policy;
    say(story, "balancer", "balancer://%s, %s; HABalancer of %s hands it to mod_haproxy",
        show(story, result->balancer->name), at(story, result->balancer->line),
        at(story, result->policy.directive->line));
    say(story, "", "method=%s failover=%s retries=%u retry-budget=%u%%",
        hap_method_names[policy->method],
        word_of(&hap_policy_options, "failover", policy->failover), policy->retries,
        policy->retry_budget);
    say_sticky(story);
    if (policy->sign && result->rule.mode == HAP_AFFINITY_INSERT && !result->rule.sign) {
        say(story, "not seen", "sign=%s: signature and expiry of the cookie are not checked",
            show(story, policy->sign));
    }
}

static void say_lane(story_t *story)
{
    const apr_array_header_t *lines =
        zero_explain_lane(story->result, story->request, story->conf, story->pool);
    for (int i = 0; i < lines->nelts; i++) {
        say(story, i ? "" : "carried", "%s", APR_ARRAY_IDX(lines, i, const char *));
    }
}

/* Who owns a session is in its record, not in the request. */
static void say_zone(story_t *story)
{
    const hap_site_policy_t *zone = &story->result->zone;
    unsigned kinds = 0;
    hap_diag_t unused;
    if (zone->directive) {
        hap_zone_kinds_parse(&kinds, hap_str(zone->zone.zone), &unused);
    }
    if (kinds & HAP_ZONE_USER) {
        say(story, "not seen",
            "HAZone of %s: if another member has taken the session over, it is the owner, and that "
            "counts before the cookie (zero zone get)",
            at(story, zone->directive->line));
    }
}

static void say_session(story_t *story)
{
    const hap_affinity_t *session = &story->result->session;
    const char *why = hap_affinity_why(session->verdict);
    if (session->source == HAP_AFFINITY_FROM_NOTHING) {
        say(story, "session", "%s", why);
        return;
    }
    const char *source = session->source == HAP_AFFINITY_FROM_PATH ? "path parameter" : "cookie";
    say(story, "session", "%s \"%s\": %s", source, show_str(story, session->value), why);
    if (session->route.n) {
        say(story, "", "its route is %s", show_str(story, session->route));
    }
    say_zone(story);
}

/* What a member is told and what is believed of it, as one phrase. */
static const char *state_of(const story_t *story, const hap_explain_member_t *member)
{
    static const char *const duties[HAP_ADMIN_COUNT] = {
        [HAP_ADMIN_ENABLED] = "",
        [HAP_ADMIN_DRAIN] = "drain (keeps its sessions, takes no new ones), ",
        [HAP_ADMIN_MAINT] = "maint (takes nothing), ",
        [HAP_ADMIN_STANDBY] = "standby (only when no other can), ",
    };
    const char *duty = duties[member->admin];
    if (member->standing == HAP_STANDING_PASSIVE) {
        return apr_pstrcat(story->pool, duty, "passive (gets nothing)", NULL);
    }
    if (!story->request->state) {
        return apr_pstrcat(story->pool, duty, "assumed up", NULL);
    }
    if (!member->saved) {
        return apr_pstrcat(story->pool, duty, "not in the state file, assumed up", NULL);
    }
    hap_str_t why = member->state.member.health_why;
    const char *belief = member->verdict == HAP_HEALTH_UNKNOWN ? "unknown, which counts as up"
                                                               : hap_verdict_name(member->verdict);
    return apr_pstrcat(story->pool, duty, belief, why.n ? ": " : "",
                       why.n ? show_str(story, why) : "", NULL);
}

static const char *by_map(const story_t *story, const hap_explain_member_t *member)
{
    return !story->request->map ? ""
           : !member->mapped    ? ", as configured"
           : member->line == 0  ? ", added by the map"
                                : ", by the map";
}

static void say_map(story_t *story)
{
    const hap_map_t *map = story->request->map;
    const hap_map_app_t *app = story->result->app;
    if (!map) {
        return;
    }
    say(story, "map", "version %" APR_UINT64_T_FMT " of cluster %s %s", (apr_uint64_t)map->version,
        map->uuid, app ? "names this balancer" : "does not name this balancer");
    if (app && app->single) {
        say(story, "", "active-passive: %s is active, epoch %" APR_UINT64_T_FMT,
            app->active ? show(story, app->active) : "nobody", (apr_uint64_t)app->epoch);
    }
}

static void say_members(story_t *story)
{
    const hap_explain_t *result = story->result;
    for (uint32_t i = 0; i < result->roster->n; i++) {
        const hap_explain_member_t *member = &result->members[i];
        const hap_site_duty_t *duty = &member->duty;
        const char *weight = duty->weight == 100 ? ""
                                                 : apr_psprintf(story->pool, ", loadfactor=%g",
                                                                (double)duty->weight / 100);
        const char *set = duty->lbset ? apr_psprintf(story->pool, ", lbset=%d", duty->lbset) : "";
        say(story, i ? "" : "members", "%s %s: %s%s%s%s%s", route_of(story, i),
            show(story, member->url), state_of(story, member), weight, set,
            duty->spare ? ", spare" : "", by_map(story, member));
    }
}

/* a, b and 3 others */
static const char *names_of(const story_t *story, const uint32_t *members, uint32_t n)
{
    const char *list = "";
    uint32_t shown = n < NAMES_SHOWN ? n : NAMES_SHOWN;
    for (uint32_t i = 0; i < shown; i++) {
        const char *joint = i == 0 ? "" : i + 1 == n ? " or " : ", ";
        list = apr_pstrcat(story->pool, list, joint, route_of(story, members[i]), NULL);
    }
    return n > shown ? apr_psprintf(story->pool, "%s or one of %u others", list, n - shown) : list;
}

static const char *turns_of(const story_t *story)
{
    const hap_schedule_t *schedule = story->result->schedule;
    const char *list = "";
    uint32_t shown = schedule->length < TURNS_SHOWN ? schedule->length : TURNS_SHOWN;
    for (uint32_t i = 0; i < shown; i++) {
        list =
            apr_pstrcat(story->pool, list, i ? " " : "", route_of(story, schedule->turns[i]), NULL);
    }
    return apr_pstrcat(story->pool, list, schedule->length > shown ? " ..." : "", NULL);
}

static void say_depends(story_t *story, const hap_explain_choice_t *choice)
{
    int method = story->result->policy.policy.method;
    if (choice->pick.why == HAP_PICK_LAST_RESORT || story->result->schedule->length == 0) {
        say(story, "", "which of them is chance");
    } else if (method == HAP_METHOD_ROUND) {
        say(story, "", "which of them depends on whose turn it is: %s", turns_of(story));
    } else {
        say(story, "", "which of them is chance: the %s of two drawn at random",
            method == HAP_METHOD_LEAST ? "less busy" : "faster");
    }
}

static void say_choice(story_t *story, const char *label, const hap_explain_choice_t *choice)
{
    const char *why = hap_pick_whys[choice->pick.why];
    if (choice->pick.member < 0) {
        say(story, label, "nobody: %s; the client gets 503", why);
        return;
    }
    say(story, label, "%s: %s", names_of(story, choice->among, choice->among_n), why);
    if (choice->among_n > 1) {
        say_depends(story, choice);
    }
    bool several = choice->among_n > 1;
    const char *prefix =
        several ? apr_psprintf(story->pool,
                               "if it is %s: ", route_of(story, (uint32_t)choice->pick.member))
                : "";
    say(story, "", "%sthe request goes to %s", prefix, show(story, choice->url));
    if (choice->cookie) {
        say(story, "", "%sthe answer gets Set-Cookie: %s", prefix, show(story, choice->cookie));
    }
}

static void say_hash_key(story_t *story)
{
    const hap_policy_t *policy = &story->result->policy.policy;
    bool by_client = policy->method == HAP_METHOD_HASH && policy->hash_key == HAP_HASH_CLIENT;
    bool matters = story->result->first.pick.why == HAP_PICK_METHOD ||
                   story->result->first.pick.why == HAP_PICK_FAILOVER;
    if (by_client && matters && story->request->client.n == 0) {
        say(story, "not seen", "the client's address, by which hash goes: add -client=IP");
    }
}

static void say_retry(story_t *story)
{
    static const char *const refusals[] = {
        [HAP_EXPLAIN_NO_RETRIES] = "retries=0",
        [HAP_EXPLAIN_NO_BUDGET] = "retry-budget=0",
        [HAP_EXPLAIN_STRICT] = "failover=strict",
    };
    const hap_explain_t *result = story->result;
    if (result->first.pick.member < 0) {
        return;
    }
    say(story, "otherwise", "if no connection to %s can be made, it becomes suspect, and",
        route_of(story, (uint32_t)result->first.pick.member));
    if (result->retry == HAP_EXPLAIN_RETRY) {
        say_choice(story, "", &result->next);
    } else {
        say(story, "", "the client gets 503: %s", refusals[result->retry]);
    }
}

static void say_end(story_t *story)
{
    const hap_explain_t *result = story->result;
    const char *name = result->name ? show(story, result->name) : "";
    switch (result->end) {
    case HAP_EXPLAIN_NO_MOUNT:
    case HAP_EXPLAIN_EXCLUDED:
        break;
    case HAP_EXPLAIN_PLAIN:
        say(story, "choice", "none, there is no balancer: the request goes to %s",
            show(story, result->url));
        break;
    case HAP_EXPLAIN_UNKNOWN:
        say(story, "balancer", "balancer://%s has no BalancerMember in this file", name);
        break;
    case HAP_EXPLAIN_STOCK:
        say(story, "balancer",
            "balancer://%s has no HABalancer: mod_proxy_balancer chooses, by rules of its own",
            name);
        break;
    case HAP_EXPLAIN_MODULE:
        say_balancer(story);
        say_lane(story);
        say_session(story);
        say_map(story);
        say_members(story);
        say_hash_key(story);
        say_choice(story, "choice", &result->first);
        say_retry(story);
        break;
    }
}

const char *zero_explain_text(const hap_explain_t *result, const hap_explain_request_t *request,
                              const char *conf, apr_pool_t *pool)
{
    story_t story = {
        .result = result,
        .request = request,
        .conf = conf,
        .said = apr_array_make(pool, 32, sizeof(const char *)),
        .pool = pool,
    };
    say_request(&story);
    say_mount(&story);
    say_end(&story);
    return apr_array_pstrcat(pool, story.said, 0);
}
