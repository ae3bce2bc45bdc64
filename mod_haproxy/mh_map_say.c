/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the words for what a map has changed, one line each. */
#include "mh_map_say.h"

#include <apr_strings.h>

#include "mh_log.h"

enum { WEIGHT_UNIT = 100 };

/** What is said of. */
typedef struct say_t {
    const mh_app_t *app;
    uint64_t version;
    apr_pool_t *pool;
} say_t;

static void line(const say_t *say, const char *text)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, say->app->server, "%s: %s", say->app->name, text);
}

static void of_member(const say_t *say, const mh_member_t *member, const char *text)
{
    line(say, apr_pstrcat(say->pool, "member ", member->name, ": ", text, NULL));
}

static const char *by(const say_t *say)
{
    return apr_psprintf(say->pool, "by map %" APR_UINT64_T_FMT, (apr_uint64_t)say->version);
}

static bool is_there(const mh_member_t *member)
{
    return member && member->standing != HAP_STANDING_GONE;
}

static const hap_member_t *row_of(const mh_lineup_t *lineup, const mh_member_t *member)
{
    return &lineup->roster->members[member - lineup->members];
}

/* Its word; "as configured" of one that the map does not name. */
static const char *told(const hap_member_t *row)
{
    if (!row->mapped) {
        return "as configured";
    }
    for (int i = 0; i < HAP_ADMIN_COUNT; i++) {
        if (hap_shared_admin_flags((hap_admin_t)i) == row->told) {
            return hap_admin_names[i];
        }
    }
    return "";
}

static void said_anew(const say_t *say, const mh_lineup_t *from, const mh_lineup_t *to,
                      const mh_member_t *was, const mh_member_t *now)
{
    const hap_member_t *before = row_of(from, was);
    const hap_member_t *after = row_of(to, now);
    bool news = before->told != after->told;
    if (now->kept && !was->kept) {
        of_member(say, now,
                  apr_psprintf(say->pool, "not removed %s: no other member can be used", by(say)));
    }
    if (was->worker != now->worker) {
        of_member(say, now,
                  apr_psprintf(say->pool, "moved %s, %s -> %s", by(say), was->worker->s->name_ex,
                               now->worker->s->name_ex));
    }
    if (news) {
        of_member(say, now,
                  apr_psprintf(say->pool, "%s -> %s, %s", told(before), told(after), by(say)));
    }
    if (before->weight != after->weight) {
        of_member(say, now,
                  apr_psprintf(say->pool, "weight %.4g -> %.4g, %s",
                               (double)before->weight / WEIGHT_UNIT,
                               (double)after->weight / WEIGHT_UNIT, by(say)));
    }
}

static const char *active_of(const mh_lineup_t *lineup)
{
    for (uint32_t i = 0; lineup->roster->kind.single && i < lineup->roster->n; i++) {
        if (lineup->members[i].standing == HAP_STANDING_SERVES) {
            return lineup->members[i].name;
        }
    }
    return lineup->roster->kind.single ? "nobody" : "all";
}

static void say_active(const say_t *say, const mh_lineup_t *was, const mh_lineup_t *now)
{
    const hap_roster_kind_t *before = &was->roster->kind;
    const hap_roster_kind_t *after = &now->roster->kind;
    bool same = strcmp(active_of(was), active_of(now)) == 0;
    if (same && before->single == after->single && before->epoch == after->epoch) {
        return;
    }
    const char *epoch = after->epoch ? apr_psprintf(say->pool, ", epoch %" APR_UINT64_T_FMT,
                                                    (apr_uint64_t)after->epoch)
                                     : "";
    line(say, apr_psprintf(say->pool, "active: %s -> %s%s, %s", active_of(was), active_of(now),
                           epoch, by(say)));
}

void mh_map_say(const mh_lineup_t *was, const mh_lineup_t *now, uint64_t version, apr_pool_t *p)
{
    const say_t say = {now->app, version, p};
    for (uint32_t i = 0; i < now->roster->n; i++) {
        const mh_member_t *member = &now->members[i];
        const mh_member_t *before = mh_lineup_find(was, member->name);
        if (is_there(before) && is_there(member)) {
            said_anew(&say, was, now, before, member);
        } else if (is_there(member)) {
            of_member(&say, member,
                      apr_psprintf(p, "added %s, %s", by(&say), member->worker->s->name_ex));
        } else if (is_there(before)) {
            of_member(&say, before, apr_psprintf(p, "removed %s", by(&say)));
        }
    }
    say_active(&say, was, now);
}
