/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the HALane lines come to for a balancer in a server. Does not read their arguments:
 * hap_honour_wish does.
 */
#include "hap_honour_model.h"

#define LINE(facts, i) (&APR_ARRAY_IDX((facts)->lanes, i, honour_lane_line_t))

static bool has_name(const apr_array_header_t *names, const char *name)
{
    for (int i = 0; i < names->nelts; i++) {
        if (hap_str_eq_nocase(hap_str(APR_ARRAY_IDX(names, i, const char *)), hap_str(name))) {
            return true;
        }
    }
    return false;
}

/* What can be waived is a directive, known or not, that is there or could be. */
static apr_status_t check_waived(const hap_honour_tree_t *tree, const char *name, hap_diag_t *diag,
                                 apr_pool_t *pool)
{
    const char *shown = hap_str_show(hap_str(name), pool);
    if (honour_is_section(tree, name)) {
        hap_diag_set(diag, 0, "HALane: ignore=%s names a section, name the directives in it",
                     shown);
        return APR_EINVAL;
    }
    if (!honour_is_known(tree, name)) {
        hap_diag_set(diag, 0, "HALane: ignore=%s names no directive, correct the name", shown);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* What the main server says holds for its virtual hosts, so their balancers are known there too. */
static apr_status_t check_balancer(const honour_facts_t *facts, const honour_lane_line_t *line,
                                   const char *name, hap_diag_t *diag)
{
    for (int i = 0; i < facts->balancers->nelts; i++) {
        const honour_fact_t *fact = &APR_ARRAY_IDX(facts->balancers, i, honour_fact_t);
        bool here = !line->vhost || !fact->vhost || fact->vhost == line->vhost;
        if (here && hap_str_eq_nocase(hap_str(fact->name), hap_str(name))) {
            return APR_SUCCESS;
        }
    }
    const char *shown = hap_str_show(hap_str(name), facts->pool);
    bool slip = hap_str_eq_nocase(hap_str(name), HAP_STR_LIT("ignore"));
    hap_diag_set(diag, 0, "HALane names %s, but there is no HABalancer %s: %s", shown, shown,
                 slip ? "write ignore=NAME for directives that count as none" : "correct the name");
    return APR_EINVAL;
}

static apr_status_t read_line(honour_lane_line_t *line, const honour_facts_t *facts,
                              const hap_honour_tree_t *tree, hap_diag_t *diag)
{
    const hap_honour_node_t *node = line->node;
    hap_honour_wish_t *wish = &line->wish;
    apr_status_t rv = hap_honour_wish(wish, node->argc, node->argv, diag, facts->pool);
    for (int i = 0; rv == APR_SUCCESS && i < wish->ignore->nelts; i++) {
        rv = check_waived(tree, APR_ARRAY_IDX(wish->ignore, i, const char *), diag, facts->pool);
    }
    for (int i = 0; rv == APR_SUCCESS && i < wish->names->nelts; i++) {
        rv = check_balancer(facts, line, APR_ARRAY_IDX(wish->names, i, const char *), diag);
    }
    return rv;
}

apr_status_t honour_lanes_read(honour_facts_t *facts, const hap_honour_tree_t *tree,
                               hap_diag_t *diag)
{
    for (int i = 0; i < facts->lanes->nelts; i++) {
        hap_diag_t found;
        const hap_honour_node_t *node = LINE(facts, i)->node;
        apr_status_t rv = read_line(LINE(facts, i), facts, tree, &found);
        if (rv != APR_SUCCESS) {
            hap_diag_set(diag, 0, "%s:%d: %s", node->file ? node->file : "", node->line, found.why);
            return rv;
        }
    }
    return APR_SUCCESS;
}

/* NULL for `balancer`: the lines without names. */
static bool concerns(const honour_lane_line_t *line, const char *balancer)
{
    const apr_array_header_t *names = line->wish.names;
    return balancer ? has_name(names, balancer) : names->nelts == 0;
}

/* Joins the lines of the virtual host and of the main server. */
static void join(honour_lane_t *lane, const honour_facts_t *facts, const hap_honour_node_t *vhost,
                 const char *balancer)
{
    for (int i = 0; i < facts->lanes->nelts; i++) {
        const honour_lane_line_t *line = LINE(facts, i);
        if ((line->vhost && line->vhost != vhost) || !concerns(line, balancer)) {
            continue;
        }
        if (line->wish.mode > lane->mode) {
            lane->mode = line->wish.mode;
            lane->node = line->node;
        }
        apr_array_cat(lane->ignore, line->wish.ignore);
    }
}

/*
 * Neither the order of lines nor their place plays a part: an Off works wherever it stands, and
 * merged files that are included side by side say nothing of each other's balancers.
 */
honour_lane_t honour_lane(const honour_facts_t *facts, const hap_honour_node_t *vhost,
                          const char *balancer)
{
    honour_lane_t lane = {.ignore = apr_array_make(facts->pool, 2, sizeof(const char *))};
    join(&lane, facts, vhost, NULL);
    join(&lane, facts, vhost, balancer);
    return lane;
}
