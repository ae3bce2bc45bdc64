/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the parts of hap_honour share: rows of the table, regions of a mount, and the place
 * that a reader works at. Only hap_honour*.c include it.
 */
#ifndef HAP_HONOUR_MODEL_H
#define HAP_HONOUR_MODEL_H

#include "hap_honour.h"

/** What becomes of a mount that a directive acts on. */
typedef enum honour_class_t {
    HONOUR_NONE,    /* it cannot act on what the lane carries */
    HONOUR_HELD,    /* the lane does it, with the values that the reader takes */
    HONOUR_LATER,   /* likewise, by a lane that has the feature */
    HONOUR_CHECK,   /* it acts unless the reader finds that its value does nothing */
    HONOUR_PATH,    /* it acts on the paths that it names */
    HONOUR_BLOCK,   /* it acts */
    HONOUR_SECTION, /* see `kind` */
} honour_class_t;

/** What a section does with the directives in it. */
typedef enum honour_kind_t {
    HONOUR_NO_KIND, /* it is no section, or one that counts as a directive */
    HONOUR_VHOST,
    HONOUR_LOCATION,
    HONOUR_LOCATION_MATCH,
    HONOUR_PROXY,
    HONOUR_PROXY_MATCH,
    HONOUR_PASS,  /* they count as if it were not there */
    HONOUR_DOUBT, /* they may hold for a request or not */
    HONOUR_SKIP,  /* they do not count */
} honour_kind_t;

/** The paths of one mount that something acts on. */
typedef struct honour_region_t {
    bool outside;     /* none */
    const char *part; /* this one and what is below; NULL: all */
    bool certain;     /* on each of them, and not perhaps */
} honour_region_t;

/** Where a directive stands while a reader looks at it. */
typedef struct honour_at_t {
    hap_honour_values_t *values;
    const hap_honour_node_t *scope; /* <VirtualHost>, <Location> or <Proxy>; NULL: main server */
    const char *location;           /* path of the <Location> around it; NULL: none */
    struct honour_logs_t *logs;     /* see hap_honour_log.c */
    const void *deflate_scope;      /* private to the reader of AddOutputFilterByType */
    apr_pool_t *pool;
} honour_at_t;

/** Takes the values of a directive. NULL when the lane can do it, else why not: "it ...". */
typedef const char *honour_read_fn(honour_at_t *at, const hap_honour_node_t *node);

/** Which paths a directive names. False: there is no telling. */
typedef struct honour_path_t {
    const char *text;
    const char *also; /* one more, or NULL */
    bool pattern;     /* a regular expression */
    bool nocase;      /* without regard to case */
} honour_path_t;
typedef bool honour_path_fn(honour_path_t *path, const hap_honour_node_t *node);

/** A row of hap_honour.def. */
typedef struct hap_honour_row_t {
    const char *name;
    const char *why; /* for the page, and for the reason: "it ..." or, when held, "is ..." */
    honour_read_fn *read;
    honour_path_fn *path;
    honour_class_t class;
    honour_kind_t kind;
    unsigned feature; /* of HONOUR_LATER */
} honour_row_t;

/** A ProxyPass or ProxyPassMatch. */
typedef struct honour_pass_t {
    const hap_honour_node_t *node;
    const hap_honour_node_t *vhost;
    const hap_honour_node_t *location; /* the section around it that has a path, or NULL */
    const char *path;                  /* NULL: there is none */
    const char *target;                /* "" without */
    bool pattern;                      /* `path` is one */
    bool encoded;                      /* mapping=: asked before all others */
} honour_pass_t;

/** Something that belongs to a server. */
typedef struct honour_fact_t {
    const hap_honour_node_t *node;
    const hap_honour_node_t *vhost;
    const char *name;  /* of a balancer or a server */
    const char *value; /* a member's URL */
} honour_fact_t;

/** A HALane line. */
typedef struct honour_lane_line_t {
    const hap_honour_node_t *node;
    const hap_honour_node_t *vhost;
    hap_honour_wish_t wish; /* filled in by honour_lanes_read */
} honour_lane_line_t;

/** What the HALane lines say of a balancer in a server, joined. */
typedef struct honour_lane_t {
    hap_honour_mode_t mode;
    const hap_honour_node_t *node; /* the line that says so; NULL when there is none */
    apr_array_header_t *ignore;    /* const char * */
} honour_lane_t;

/** What the verdict needs from all over the tree. */
typedef struct honour_facts_t {
    apr_array_header_t *vhosts;    /* const hap_honour_node_t * */
    apr_array_header_t *passes;    /* honour_pass_t */
    apr_array_header_t *members;   /* honour_fact_t */
    apr_array_header_t *balancers; /* honour_fact_t of HABalancer */
    apr_array_header_t *names;     /* honour_fact_t of ServerName */
    apr_array_header_t *lanes;     /* honour_lane_line_t */
    apr_array_header_t *timeouts;  /* honour_fact_t of RequestReadTimeout */
    apr_pool_t *pool;
} honour_facts_t;

/* hap_honour_table.c */
const honour_row_t *honour_row(apr_hash_t *index, const char *name);
apr_hash_t *honour_index(apr_pool_t *pool);

/* hap_honour_tree.c */
/* Whether the table has a directive or the tree has it, or a module. */
bool honour_is_known(const hap_honour_tree_t *tree, const char *name);
/* Whether the table has it as a section. */
bool honour_is_section(const hap_honour_tree_t *tree, const char *name);
hap_honour_node_t *honour_top(const hap_honour_tree_t *tree);
honour_kind_t honour_kind(const hap_honour_node_t *node);
bool honour_is(const hap_honour_node_t *node, const char *name);
const char *honour_arg(const hap_honour_node_t *node, int i); /* "" behind the last one */

/* hap_honour_region.c: which part of `mount` a path, pattern or glob is about */
honour_region_t honour_region_path(const char *mount, const char *path, apr_pool_t *pool);
honour_region_t honour_region_pattern(const char *mount, const char *pattern, apr_pool_t *pool);
honour_region_t honour_region_location(const char *mount, const hap_honour_node_t *section,
                                       apr_pool_t *pool);
/* which part of a mount a <Proxy> section is about */
honour_region_t honour_region_proxy(const char *mount, const char *target,
                                    const hap_honour_node_t *section, apr_pool_t *pool);
honour_region_t honour_region_within(honour_region_t outer, honour_region_t inner);

/* hap_honour_facts.c */
void honour_facts_collect(honour_facts_t *facts, const hap_honour_tree_t *tree, apr_pool_t *pool);
/* The balancer's name in balancer://NAME/path, NULL if there is none. */
const char *honour_balancer_name(const char *url, apr_pool_t *pool);
/* A fact of this name (NULL: any) in the vhost, else in the main server, the last one; or NULL. */
const honour_fact_t *honour_fact(const apr_array_header_t *list, const hap_honour_node_t *vhost,
                                 const char *name);
/* The passes that httpd asks in this vhost, in its order (const honour_pass_t *). */
apr_array_header_t *honour_passes(const honour_facts_t *facts, const hap_honour_node_t *vhost);

/* hap_honour_lane.c */
/* Reads the arguments of all HALane lines. APR_EINVAL with file, line and a sentence. */
apr_status_t honour_lanes_read(honour_facts_t *facts, const hap_honour_tree_t *tree,
                               hap_diag_t *diag);
/* What they come to for a balancer. */
honour_lane_t honour_lane(const honour_facts_t *facts, const hap_honour_node_t *vhost,
                          const char *balancer);

/* hap_honour_values.c */
honour_read_fn honour_read_read_timeout;
void honour_values_init(hap_honour_values_t *values, apr_pool_t *pool);

/* hap_honour_log.c: log directives are taken as they come and joined at the end */
struct honour_logs_t *honour_logs_make(apr_pool_t *pool);
/* Joins from log *next on; the one that the lane cannot fill in and why, or NULL at the end. */
const hap_honour_node_t *honour_logs_join(int *next, const char **why, honour_at_t *at,
                                          const hap_honour_node_t *vhost);

/* The readers that hap_honour.def names. */
#define READER(name) const char *honour_read_##name(honour_at_t *at, const hap_honour_node_t *node)
#define PATHS(name)  bool honour_path_##name(honour_path_t *path, const hap_honour_node_t *node)

#endif
