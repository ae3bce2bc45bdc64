/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the transition table of a member's health. Does not know what a probe is made of. */
#include "hap_health.h"

#include <stdarg.h>
#include <stdio.h>

typedef enum event_t { EVENT_OK, EVENT_FAILED, EVENT_SUSPECT, EVENTS } event_t;

typedef struct step_t {
    hap_health_t *health;
    const hap_health_rule_t *rule; /* NULL for EVENT_SUSPECT, which counts nothing */
    apr_time_t now;
    const char *why;
    hap_health_change_t change; /* filled by the action */
} step_t;

typedef void action_t(step_t *step);

static void copy_why(char *to, const char *from)
{
    size_t n = 0;
    for (; from && from[n] && n < HAP_HEALTH_WHY_BYTES - 1; n++) {
        to[n] = from[n] >= 0x20 && from[n] < 0x7f ? from[n] : '?';
    }
    to[n] = '\0';
}

static void tell(step_t *step, hap_health_kind_t kind, unsigned count, unsigned needed)
{
    step->change.kind = kind;
    step->change.to = (hap_verdict_t)step->health->verdict;
    step->change.count = count;
    step->change.needed = needed;
    copy_why(step->change.why, step->why);
}

static void turn(step_t *step, hap_verdict_t to, unsigned needed)
{
    hap_health_t *health = step->health;
    health->verdict = to;
    health->suspect = 0;
    health->streak = 0;
    health->since = step->now;
    copy_why(health->why, step->why);
    tell(step, HAP_HEALTH_VERDICT, needed, needed);
}

/* The first good answer is all it takes to know. */
static void greet(step_t *step)
{
    turn(step, HAP_HEALTH_UP, 1);
}

static void count_up(step_t *step)
{
    step->health->streak++;
    if (step->health->streak >= step->rule->rise) {
        turn(step, HAP_HEALTH_UP, step->health->streak);
    }
}

static void count_down(step_t *step)
{
    step->health->streak++;
    copy_why(step->health->why, step->why);
    if (step->health->streak >= step->rule->fall) {
        turn(step, HAP_HEALTH_DOWN, step->health->streak);
    }
}

static void confirm_up(step_t *step)
{
    hap_health_t *health = step->health;
    if (health->streak == 0 && !health->suspect) {
        return; /* the usual case writes nothing that readers share */
    }
    bool suspect = health->suspect;
    health->streak = 0;
    health->suspect = 0;
    copy_why(health->why, step->why);
    if (suspect) {
        tell(step, HAP_HEALTH_TRUST, 1, 1);
    }
}

static void confirm_down(step_t *step)
{
    step->health->streak = 0;
    copy_why(step->health->why, step->why);
}

static void doubt(step_t *step)
{
    if (step->health->suspect) {
        return;
    }
    step->health->suspect = 1;
    copy_why(step->health->why, step->why);
    tell(step, HAP_HEALTH_DOUBT, 0, 0);
}

/* A member that is down cannot be suspected of it. */
static void ignore(step_t *step)
{
    (void)step;
}

/* clang-format off */
static action_t *const actions[EVENTS][HAP_HEALTH_VERDICTS] = {
    /*                 UNKNOWN     UP          DOWN         */
    [EVENT_OK]      = {greet,      confirm_up, count_up},
    [EVENT_FAILED]  = {count_down, count_down, confirm_down},
    [EVENT_SUSPECT] = {doubt,      doubt,      ignore},
};
/* clang-format on */

static hap_health_change_t run(step_t step, event_t event)
{
    /* The record lies in shared memory: a verdict that cannot be is one that is not known. */
    if (step.health->verdict >= HAP_HEALTH_VERDICTS) {
        step.health->verdict = HAP_HEALTH_UNKNOWN;
    }
    step.change.kind = HAP_HEALTH_SAME;
    step.change.from = step.change.to = (hap_verdict_t)step.health->verdict;
    actions[event][step.health->verdict](&step);
    return step.change;
}

static void record(hap_health_t *health, bool ok, apr_time_t now)
{
    health->history = health->history << 1 | (ok ? 1 : 0);
    health->checked = now;
    if (health->seen < HAP_HEALTH_HISTORY) {
        health->seen++;
    }
}

const char *hap_verdict_name(hap_verdict_t verdict)
{
    static const char *const names[] = {"unknown", "up", "down"};
    return (unsigned)verdict < HAP_HEALTH_VERDICTS ? names[verdict] : names[0];
}

apr_status_t hap_health_rule_check(const hap_health_rule_t *rule, hap_diag_t *diag)
{
    static const apr_interval_time_t ms = 1000;
    const struct {
        const char *key;
        const char *unit;
        int64_t value, least, most;
    } rows[] = {
        {"interval", "ms", rule->interval / ms, 100, 3600000},
        {"timeout", "ms", rule->timeout / ms, 10, 600000},
        {"rise", "", rule->rise, 1, 100},
        {"fall", "", rule->fall, 1, 100},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool small = rows[i].value < rows[i].least;
        if (!small && rows[i].value <= rows[i].most) {
            continue;
        }
        hap_diag_set(diag, 0, "%s=%lld%s is too %s, use %lld%s or %s", rows[i].key,
                     (long long)rows[i].value, rows[i].value ? rows[i].unit : "",
                     small ? "small" : "large", (long long)(small ? rows[i].least : rows[i].most),
                     rows[i].unit, small ? "more" : "less");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

void hap_health_init(hap_health_t *health, apr_time_t now)
{
    *health = (hap_health_t){.verdict = HAP_HEALTH_UNKNOWN, .since = now};
}

hap_health_change_t hap_health_probed(hap_health_t *health, const hap_health_rule_t *rule,
                                      hap_check_end_t how, apr_time_t now, const char *why)
{
    bool ok = how == HAP_CHECK_GOOD;
    if (how == HAP_CHECK_NONE) {
        return (hap_health_change_t){.kind = HAP_HEALTH_SAME};
    }
    record(health, ok, now);
    if (ok && rule->connects_only && health->suspect && now < health->unproved) {
        return (hap_health_change_t){.kind = HAP_HEALTH_SAME};
    }
    health->answers = how != HAP_CHECK_DEAD;
    return run((step_t){.health = health, .rule = rule, .now = now, .why = why},
               ok ? EVENT_OK : EVENT_FAILED);
}

hap_health_change_t hap_health_suspect(hap_health_t *health, const char *why, apr_time_t unproved)
{
    if (!health->suspect) {
        health->unproved = unproved;
    }
    return run((step_t){.health = health, .why = why}, EVENT_SUSPECT);
}

apr_interval_time_t hap_health_delay(const hap_health_t *health, const hap_health_rule_t *rule,
                                     uint32_t draw)
{
    if (health->streak != 0 || health->suspect) {
        return rule->interval / 4;
    }
    if (rule->on_demand && health->verdict != HAP_HEALTH_DOWN) {
        return HAP_HEALTH_NEVER;
    }
    apr_interval_time_t tenth = rule->interval / 10;
    return rule->interval - tenth + (apr_interval_time_t)(((uint64_t)tenth * 2 * draw) >> 32);
}

apr_interval_time_t hap_health_first(const hap_health_t *health, const hap_health_rule_t *rule,
                                     uint32_t draw)
{
    if (health->streak != 0 || health->suspect) {
        return 0;
    }
    if (rule->on_demand && health->verdict != HAP_HEALTH_DOWN) {
        return HAP_HEALTH_NEVER;
    }
    return (apr_interval_time_t)(((uint64_t)rule->interval * draw) >> 32);
}

apr_interval_time_t hap_health_window(const hap_health_rule_t *rule)
{
    return rule->interval * (apr_interval_time_t)rule->fall + rule->timeout;
}

bool hap_health_stale(const hap_health_t *health, const hap_health_rule_t *rule, apr_time_t now)
{
    apr_interval_time_t window = hap_health_window(rule);
    return health->checked < now - window || health->checked > now + window;
}

/* Appends to a line of `size` bytes, cutting what does not fit. */
__attribute__((format(printf, 4, 5))) static size_t append(char *line, size_t size, size_t at,
                                                           const char *fmt, ...)
{
    if (at >= size) {
        return at;
    }
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line + at, size - at, fmt, args);
    va_end(args);
    return n < 0 ? at : at + (size_t)n;
}

void hap_health_line(char *line, size_t size, hap_str_t member, const hap_health_change_t *change)
{
    if (size == 0) {
        return;
    }
    line[0] = '\0';
    if (change->kind == HAP_HEALTH_SAME) {
        return;
    }
    size_t at = append(line, size, 0, "member %.*s: %s", HAP_STR_ARG(member),
                       hap_verdict_name(change->from));
    if (change->kind == HAP_HEALTH_VERDICT) {
        at = append(line, size, at, " -> %s", hap_verdict_name(change->to));
    } else {
        at = append(line, size, at,
                    change->kind == HAP_HEALTH_DOUBT ? ", now suspect" : ", no longer suspect");
    }
    if (change->why[0]) {
        at = append(line, size, at, ", %s", change->why);
    }
    if (change->needed) {
        append(line, size, at, ", %u of %u probe%s %s", change->count, change->needed,
               change->needed == 1 ? "" : "s",
               change->to == HAP_HEALTH_DOWN ? "failed" : "succeeded");
    }
}

void hap_passive_ok(hap_passive_t *passive)
{
    /* Read first: a healthy member's line stays shared between all caches. */
    if (__atomic_load_n(&passive->errors, __ATOMIC_RELAXED) != 0) {
        __atomic_store_n(&passive->errors, 0, __ATOMIC_RELAXED);
    }
}

bool hap_passive_error(hap_passive_t *passive, unsigned limit)
{
    return __atomic_add_fetch(&passive->errors, 1, __ATOMIC_RELAXED) == limit;
}
