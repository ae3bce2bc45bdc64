/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the verdict: goes over the directives of a server in the order in which httpd merges them,
 * and asks of each what it does to a mount. What directives mean is in hap_honour.def.
 */
#include "hap_honour_model.h"

#include <apr_strings.h>

/** httpd merges what stands outside of sections first, then <Proxy>, then <Location>. */
typedef enum layer_t { LAYER_SERVER, LAYER_PROXY, LAYER_LOCATION, LAYERS } layer_t;

/** The judging of one mount. */
typedef struct case_t {
    hap_honour_mount_t *mount;
    const apr_array_header_t *ignore; /* const char * */
    unsigned can;
    layer_t layer;
    bool inside; /* what comes belongs to this layer */
    honour_at_t at;
} case_t;

static const honour_region_t EVERYWHERE = {.certain = true};

static bool same_word(const char *a, const char *b)
{
    return hap_str_eq_nocase(hap_str(a), hap_str(b));
}

static bool is_waived(const case_t *c, const hap_honour_node_t *node)
{
    bool module = honour_is(node, "LoadModule");
    for (int i = 0; i < c->ignore->nelts; i++) {
        const char *name = APR_ARRAY_IDX(c->ignore, i, const char *);
        if (honour_is(node, name) || (module && same_word(honour_arg(node, 0), name))) {
            return true;
        }
    }
    return false;
}

/* --- what a directive does ------------------------------------------------------------------- */

static bool lies_under(const char *above, const char *path)
{
    size_t n = strlen(above);
    return strncmp(path, above, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void add_part(hap_honour_mount_t *mount, const char *path, hap_honour_reason_t reason)
{
    apr_array_header_t *parts = mount->parts;
    int kept = 0;
    for (int i = 0; i < parts->nelts; i++) {
        if (lies_under(APR_ARRAY_IDX(parts, i, hap_honour_part_t).path, path)) {
            return;
        }
    }
    for (int i = 0; i < parts->nelts; i++) {
        hap_honour_part_t part = APR_ARRAY_IDX(parts, i, hap_honour_part_t);
        if (!lies_under(path, part.path)) {
            APR_ARRAY_IDX(parts, kept++, hap_honour_part_t) = part;
        }
    }
    parts->nelts = kept;
    APR_ARRAY_PUSH(parts, hap_honour_part_t) = (hap_honour_part_t){path, reason};
}

static void block(hap_honour_mount_t *mount, const char *part, hap_honour_reason_t reason)
{
    if (part) {
        add_part(mount, part, reason);
    } else if (mount->lane) {
        mount->lane = false;
        mount->reason = reason;
    }
}

/* `why` is the row's own for NULL, and then of no use to who knows the directive. */
static hap_honour_reason_t because(const hap_honour_mount_t *mount, const hap_honour_node_t *node,
                                   const char *why)
{
    const char *own = node->row ? node->row->why : NULL;
    bool plain = !why || why == own;
    return (hap_honour_reason_t){
        .name = node->name,
        .file = node->file,
        .line = node->line,
        .why = plain ? apr_pstrcat(mount->parts->pool, "it ", own, NULL) : why,
        .plain = plain,
    };
}

/* What it does is said in other words than "acts on it". */
static hap_honour_reason_t because_it(const hap_honour_node_t *node, const char *does)
{
    return (hap_honour_reason_t){
        .name = node->name, .file = node->file, .line = node->line, .why = does, .whole = true};
}

/* What is waived may do what it does; what the lane can do of it, it does all the same. */
static void block_by(case_t *c, const hap_honour_node_t *node, const char *part, const char *why)
{
    if (!is_waived(c, node)) {
        block(c->mount, part, because(c->mount, node, why));
    }
}

static void act_on_path(case_t *c, const hap_honour_node_t *node, honour_region_t where,
                        const honour_path_t *path, const char *text)
{
    const char *mount = c->mount->path;
    honour_region_t there = path->pattern ? honour_region_pattern(mount, text, c->at.pool)
                                          : honour_region_path(mount, text, c->at.pool);
    where = honour_region_within(where, there);
    /* A part is told by its bytes, what a pattern fits without regard to case is not. */
    const char *part = path->nocase && there.part ? NULL : where.part;
    if (!where.outside) {
        block_by(c, node, part, NULL);
    }
}

/* In a section with a path the directive's own path is another thing, or none. */
static void act_on_paths(case_t *c, const hap_honour_node_t *node, honour_region_t where)
{
    honour_path_t path;
    bool server = c->layer == LAYER_SERVER;
    if (!server || !node->row->path(&path, node)) {
        block_by(c, node, where.part, NULL);
        return;
    }
    act_on_path(c, node, where, &path, path.text);
    if (path.also) {
        act_on_path(c, node, where, &path, path.also);
    }
}

static void honour(case_t *c, const hap_honour_node_t *node, honour_region_t where)
{
    const honour_row_t *row = node->row;
    if (row->class == HONOUR_LATER && !(c->can & row->feature)) {
        block_by(c, node, where.part, "it is not yet honoured by the lane");
        return;
    }
    if (where.part || !where.certain) {
        block_by(c, node, where.part, "it holds for some of the requests only");
        return;
    }
    const char *why = row->read(&c->at, node);
    if (why) {
        block_by(c, node, NULL, why);
    }
}

static void act(case_t *c, const hap_honour_node_t *node, honour_region_t where)
{
    const char *why = NULL;
    if (!node->row) {
        block_by(c, node, where.part, "it is not known here and may act on requests");
        return;
    }
    switch (node->row->class) {
    case HONOUR_NONE:
    case HONOUR_SECTION:
        return;
    case HONOUR_BLOCK:
        block_by(c, node, where.part, NULL);
        return;
    case HONOUR_CHECK:
        why = node->row->read(&c->at, node);
        if (why) {
            block_by(c, node, where.part, why);
        }
        return;
    case HONOUR_PATH:
        act_on_paths(c, node, where);
        return;
    case HONOUR_HELD:
    case HONOUR_LATER:
        honour(c, node, where);
        return;
    }
}

/* --- going over the tree --------------------------------------------------------------------- */

static void visit(case_t *c, const hap_honour_node_t *first, honour_region_t where);

/* A section with a path: the directives in it are merged in its layer, as a scope of their own. */
static void enter(case_t *c, const hap_honour_node_t *section, honour_region_t where,
                  honour_region_t there, layer_t layer)
{
    honour_region_t both = honour_region_within(where, there);
    const honour_at_t before = c->at;
    if (c->layer != layer || both.outside) {
        return;
    }
    c->inside = true;
    c->at.scope = section;
    c->at.location = layer == LAYER_LOCATION ? honour_arg(section, 0) : NULL;
    visit(c, section->first, both);
    c->at.scope = before.scope;
    c->at.location = before.location;
    c->inside = false;
}

static void visit_section(case_t *c, const hap_honour_node_t *node, honour_region_t where)
{
    const honour_region_t perhaps = {.certain = false};
    const char *path = c->mount->path;
    switch (honour_kind(node)) {
    case HONOUR_NO_KIND:
        if (c->inside && !is_waived(c, node)) {
            act(c, node, where);
            visit(c, node->first, where);
        }
        return;
    case HONOUR_VHOST:
    case HONOUR_SKIP:
        return;
    case HONOUR_LOCATION:
    case HONOUR_LOCATION_MATCH:
        enter(c, node, where, honour_region_location(path, node, c->at.pool), LAYER_LOCATION);
        return;
    case HONOUR_PROXY:
    case HONOUR_PROXY_MATCH:
        enter(c, node, where, honour_region_proxy(path, c->mount->target, node, c->at.pool),
              LAYER_PROXY);
        return;
    case HONOUR_PASS:
        visit(c, node->first, where);
        return;
    case HONOUR_DOUBT:
        visit(c, node->first, honour_region_within(where, perhaps));
        return;
    }
}

static void visit(case_t *c, const hap_honour_node_t *first, honour_region_t where)
{
    for (const hap_honour_node_t *node = first; node && c->mount->lane; node = node->next) {
        if (node->section) {
            visit_section(c, node, where);
        } else if (c->inside) {
            act(c, node, where);
        }
    }
}

static void visit_logs(case_t *c, const hap_honour_node_t *vhost)
{
    int next = 0;
    const char *why = NULL;
    const hap_honour_node_t *node;
    while ((node = honour_logs_join(&next, &why, &c->at, vhost)) != NULL) {
        block_by(c, node, NULL, why);
    }
}

static void visit_all(case_t *c, const hap_honour_tree_t *tree, const hap_honour_node_t *vhost)
{
    for (int layer = 0; layer < LAYERS; layer++) {
        c->layer = (layer_t)layer;
        c->inside = layer == LAYER_SERVER;
        c->at.scope = NULL;
        visit(c, honour_top(tree)->first, EVERYWHERE);
        c->at.scope = vhost;
        visit(c, vhost ? vhost->first : NULL, EVERYWHERE);
    }
    visit_logs(c, vhost);
}

/* --- the ProxyPass itself -------------------------------------------------------------------- */

static bool ends_in_slash(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && text[n - 1] == '/';
}

static bool has_word(const hap_honour_node_t *node, const char *word)
{
    for (int i = 0; i < node->argc; i++) {
        if (hap_str_eq_nocase(hap_str(node->argv[i]), hap_str(word))) {
            return true;
        }
    }
    return false;
}

/* Why a ProxyPass is none that the lane can do, whatever stands around it. */
static const char *unfit(const honour_pass_t *pass)
{
    if (pass->location) {
        return "it stands in a section, write it with its path in front of it";
    }
    if (pass->pattern || pass->path[0] != '/') {
        return "it has a pattern";
    }
    if (pass->encoded || has_word(pass->node, "interpolate") || has_word(pass->node, "noquery")) {
        return "it maps paths in a way of its own (mapping=, interpolate or noquery)";
    }
    if (ends_in_slash(pass->path) != ends_in_slash(pass->target) || strchr(pass->target, '?')) {
        return "it ends in a slash on one side only, or has a query";
    }
    return NULL;
}

/* The lane speaks http to members; one that is reached otherwise takes the others with it. */
static const honour_fact_t *member_of_other_scheme(const honour_facts_t *facts,
                                                   const hap_honour_node_t *vhost,
                                                   const char *balancer, bool *any)
{
    for (int i = 0; i < facts->members->nelts; i++) {
        const honour_fact_t *member = &APR_ARRAY_IDX(facts->members, i, honour_fact_t);
        if ((member->vhost && member->vhost != vhost) ||
            !hap_str_eq_nocase(hap_str(member->name), hap_str(balancer))) {
            continue;
        }
        *any = true;
        if (!hap_str_eq_nocase(hap_str_sub(hap_str(member->value), 0, 7), HAP_STR_LIT("http://"))) {
            return member;
        }
    }
    return NULL;
}

static void judge_target(hap_honour_mount_t *mount, const honour_facts_t *facts,
                         const hap_honour_node_t *vhost, const honour_pass_t *pass)
{
    bool any = false;
    const honour_fact_t *other = member_of_other_scheme(facts, vhost, mount->balancer, &any);
    const char *why = unfit(pass);
    if (why) {
        block(mount, NULL, because(mount, pass->node, why));
    } else if (other) {
        block(mount, NULL,
              because(mount, other->node, "it is a member that is not reached by http://"));
    } else if (!any) {
        block(mount, NULL,
              because(mount, pass->node, "it names a balancer without BalancerMember here"));
    }
}

/*
 * What a ProxyPass that httpd asks before the mount's takes away from it. One that is a mount
 * itself is looked up before, and has a verdict of its own.
 */
static void judge_earlier(hap_honour_mount_t *mount, const honour_pass_t *earlier, bool is_mount,
                          apr_pool_t *pool)
{
    honour_region_t where;
    if (earlier->location) {
        where = honour_region_location(mount->path, earlier->location, pool);
    } else if (earlier->pattern) {
        where = honour_region_pattern(mount->path, earlier->path, pool);
    } else {
        where = honour_region_path(mount->path, earlier->path, pool);
    }
    bool plain = !earlier->location && !earlier->pattern;
    if (where.outside || (where.part && is_mount && plain)) {
        return;
    }
    mount->before = plain && !where.part ? earlier->node : NULL;
    block(mount, where.part, because_it(earlier->node, "takes requests first"));
}

/* --- servers --------------------------------------------------------------------------------- */

/* NULL: it is none of ours. */
static const char *balancer_of(const honour_facts_t *facts, const hap_honour_node_t *vhost,
                               const honour_pass_t *pass)
{
    const char *name = honour_balancer_name(pass->target, facts->pool);
    return name && honour_fact(facts->balancers, vhost, name) ? name : NULL;
}

static void judge_mount(hap_honour_mount_t *mount, const honour_facts_t *facts,
                        const hap_honour_tree_t *tree, const hap_honour_node_t *vhost,
                        const apr_array_header_t *ignore, unsigned can)
{
    case_t c = {
        .mount = mount,
        .ignore = ignore,
        .can = can,
        .at = {.values = &mount->values,
               .logs = honour_logs_make(facts->pool),
               .pool = facts->pool},
    };
    honour_values_init(&mount->values, facts->pool);
    if (mount->lane) {
        visit_all(&c, tree, vhost);
    }
    if (!mount->lane) {
        apr_array_clear(mount->parts);
    }
}

static hap_honour_mount_t *add_mount(hap_honour_server_t *server, const honour_pass_t *pass,
                                     const char *balancer, apr_pool_t *pool)
{
    const char *path = strchr(pass->target + strlen("balancer://"), '/');
    hap_honour_mount_t *mount = apr_array_push(server->mounts);
    *mount = (hap_honour_mount_t){
        .pass = pass->node,
        .path = pass->path,
        .target = pass->target,
        .balancer = balancer,
        .to = path ? path : "",
        .lane = true,
        .parts = apr_array_make(pool, 2, sizeof(hap_honour_part_t)),
    };
    return mount;
}

static void judge_server(hap_honour_server_t *server, const honour_facts_t *facts,
                         const hap_honour_tree_t *tree, unsigned can)
{
    const hap_honour_node_t *vhost = server->section;
    apr_array_header_t *passes = honour_passes(facts, vhost);
    for (int i = 0; i < passes->nelts; i++) {
        const honour_pass_t *pass = APR_ARRAY_IDX(passes, i, const honour_pass_t *);
        const char *balancer = balancer_of(facts, vhost, pass);
        if (!balancer) {
            continue;
        }
        honour_lane_t lane = honour_lane(facts, vhost, balancer);
        hap_honour_mount_t *mount = add_mount(server, pass, balancer, facts->pool);
        mount->mode = lane.mode;
        mount->said = lane.node;
        if (lane.mode == HAP_HONOUR_OFF) {
            block(mount, NULL, because_it(lane.node, "is Off"));
        }
        judge_target(mount, facts, vhost, pass);
        for (int k = 0; mount->lane && k < i; k++) {
            const honour_pass_t *earlier = APR_ARRAY_IDX(passes, k, const honour_pass_t *);
            judge_earlier(mount, earlier, balancer_of(facts, vhost, earlier), facts->pool);
        }
        judge_mount(mount, facts, tree, vhost, lane.ignore, can);
    }
}

/* Those of a virtual host replace the main server's, stage by stage, wherever they stand. */
static void read_timeouts(hap_honour_values_t *values, const honour_facts_t *facts,
                          const hap_honour_node_t *vhost)
{
    honour_at_t at = {.values = values, .pool = facts->pool};
    for (int i = 0; i < facts->timeouts->nelts; i++) {
        const honour_fact_t *fact = &APR_ARRAY_IDX(facts->timeouts, i, honour_fact_t);
        if (fact->vhost == vhost) {
            honour_read_read_timeout(&at, fact->node);
        }
    }
}

static hap_honour_stage_t header_timeout(const honour_facts_t *facts,
                                         const hap_honour_node_t *vhost)
{
    hap_honour_values_t values = {0};
    read_timeouts(&values, facts, NULL);
    if (vhost) {
        read_timeouts(&values, facts, vhost);
    }
    return values.header;
}

static hap_honour_server_t *add_server(apr_array_header_t *servers, const honour_facts_t *facts,
                                       const hap_honour_node_t *vhost)
{
    const honour_fact_t *name = honour_fact(facts->names, vhost, NULL);
    hap_honour_server_t *server = apr_array_push(servers);
    *server = (hap_honour_server_t){
        .section = vhost,
        .name = name && name->vhost == vhost ? name->name : NULL,
        .header = header_timeout(facts, vhost),
        .mounts = apr_array_make(facts->pool, 2, sizeof(hap_honour_mount_t)),
    };
    return server;
}

apr_status_t hap_honour_judge(apr_array_header_t **servers, const hap_honour_tree_t *tree,
                              unsigned can, hap_diag_t *diag, apr_pool_t *pool)
{
    honour_facts_t facts;
    honour_facts_collect(&facts, tree, pool);
    apr_status_t rv = honour_lanes_read(&facts, tree, diag);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *servers = apr_array_make(pool, facts.vhosts->nelts + 1, sizeof(hap_honour_server_t));
    judge_server(add_server(*servers, &facts, NULL), &facts, tree, can);
    for (int i = 0; i < facts.vhosts->nelts; i++) {
        const hap_honour_node_t *vhost = APR_ARRAY_IDX(facts.vhosts, i, const hap_honour_node_t *);
        judge_server(add_server(*servers, &facts, vhost), &facts, tree, can);
    }
    return APR_SUCCESS;
}

static const char *place_of(const hap_honour_node_t *node, apr_pool_t *pool)
{
    const char *file = node->file ? node->file : "";
    return apr_psprintf(pool, "%s:%d", hap_str_show(hap_str(file), pool), node->line);
}

const char *hap_honour_hidden_text(const hap_honour_mount_t *mount, apr_pool_t *pool)
{
    const char *here = place_of(mount->pass, pool);
    const char *there = place_of(mount->before, pool);
    if (strcmp(here, there) == 0) {
        return apr_psprintf(pool, "ProxyPass (%s) is read twice: include that file once", here);
    }
    return apr_psprintf(pool, "ProxyPass (%s) gets no requests, that of %s takes them first", here,
                        there);
}

const char *hap_honour_server_text(const hap_honour_server_t *server, apr_pool_t *pool)
{
    const hap_honour_node_t *section = server->section;
    if (!section) {
        return "the main server";
    }
    const char *name = server->name ? server->name : honour_arg(section, 0);
    return apr_psprintf(pool, "%s (%s)", hap_str_show(hap_str(name), pool),
                        place_of(section, pool));
}

const char *hap_honour_reason_text(const hap_honour_reason_t *reason, const char *file,
                                   apr_pool_t *pool)
{
    file = file ? file : reason->file;
    const char *where =
        file ? apr_psprintf(pool, " (%s:%d)", hap_str_show(hap_str(file), pool), reason->line) : "";
    const char *name = hap_str_show(hap_str(reason->name), pool);
    if (reason->whole) {
        return apr_pstrcat(pool, name, where, " ", reason->why, NULL);
    }
    return apr_pstrcat(pool, name, where, " acts on it", reason->plain ? NULL : ": ", reason->why,
                       NULL);
}
