/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the verdict whether the lane may carry a mount: it must never bypass what the administrator
 * configured, so every directive that acts on the mount's requests has to be one that the lane
 * honours (lib/hap_honour.def, doc/lane-directives.md). Does not read files, nor httpd's records:
 * who calls fills a tree. Does not carry requests.
 */
#ifndef HAP_HONOUR_H
#define HAP_HONOUR_H

#include <apr_errno.h>
#include <apr_tables.h>

#include "hap_conf.h"
#include "hap_honour_values.h"

/* --- the configuration as a tree ------------------------------------------------------------- */

/** A directive or a section, in its place. Read-only to all but hap_honour_add. */
typedef struct hap_honour_node_t {
    const char *name;        /* as written, a section's without its < */
    const char *const *argv; /* words, without quotes */
    int argc;
    const char *file; /* NULL: it stands in none */
    int line;
    bool section;
    const struct hap_honour_row_t *row;       /* what is known of it, NULL: nothing */
    const struct hap_honour_node_t *parent;   /* NULL: at the top */
    struct hap_honour_node_t *first, *last;   /* what is in a section */
    struct hap_honour_node_t *next;           /* behind it in the same section */
    const struct hap_conf_section_t *written; /* the section that hap_conf read, or NULL */
} hap_honour_node_t;

/** A configuration, with what it includes in place of the Include. */
typedef struct hap_honour_tree_t hap_honour_tree_t;

/** An empty tree, from `pool`, as all that is added to it. */
hap_honour_tree_t *hap_honour_tree_make(apr_pool_t *pool);

/**
 * Adds the next directive in `parent` (NULL: at the top). As in httpd's own tree a section's name
 * begins with < and its arguments may end in >. Copies name and arguments, borrows `file`.
 */
hap_honour_node_t *hap_honour_add(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                  const char *name, const char *args, const char *file, int line);

/**
 * Adds the next directive of a file that hap_conf read, within the sections that it stands in,
 * which are made as they come; the whole file is in `parent` (NULL: at the top). Borrows both.
 * NULL when sections are nested beyond reason.
 */
hap_honour_node_t *hap_honour_add_conf(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                       const hap_conf_directive_t *directive, const char *file);

/** Likewise for a section that hap_conf read. NULL for `section`: what the whole file is in. */
hap_honour_node_t *hap_honour_place(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                    const hap_conf_section_t *section, const char *file);

/* --- HALane ---------------------------------------------------------------------------------- */

/** In the order of their strength: of several that hold for a balancer the last one counts. */
typedef enum hap_honour_mode_t {
    HAP_HONOUR_UNSET,   /* there is no HALane: nothing goes through the lane */
    HAP_HONOUR_ON,      /* what can goes through the lane */
    HAP_HONOUR_REQUIRE, /* that a mount cannot is an error */
    HAP_HONOUR_OFF,     /* nothing goes through the lane */
} hap_honour_mode_t;

/** HALane On|Off|Require [BALANCER...] [ignore=NAME,...] */
typedef struct hap_honour_wish_t {
    hap_honour_mode_t mode;
    apr_array_header_t *names;  /* const char *: balancers; none: it holds for all */
    apr_array_header_t *ignore; /* const char *: directives that shall keep nothing away */
} hap_honour_wish_t;

/** Reads the arguments of HALane. APR_EINVAL with a sentence. Copies into `pool`. */
apr_status_t hap_honour_wish(hap_honour_wish_t *wish, int argc, const char *const *argv,
                             hap_diag_t *diag, apr_pool_t *pool);

/* --- the verdict ----------------------------------------------------------------------------- */

/** Why something stays on the standard path. Borrows from the tree. */
typedef struct hap_honour_reason_t {
    const char *name; /* of the directive, NULL: there is no reason */
    const char *file; /* where it stands, NULL: in no file */
    int line;
    const char *why; /* what it does, "it ..." */
    bool plain;      /* `why` holds for the directive whatever its arguments */
    bool whole;      /* `why` goes on behind the name, without "it", and is all there is to say */
} hap_honour_reason_t;

/** A part of a mount's paths that stays on the standard path: this path and all below it. */
typedef struct hap_honour_part_t {
    const char *path; /* without a slash at its end */
    hap_honour_reason_t reason;
} hap_honour_part_t;

/** A ProxyPass to a balancer that HABalancer names. */
typedef struct hap_honour_mount_t {
    const hap_honour_node_t *pass;
    const char *path;                /* as written; of one in <Location>, the section's */
    const char *target;              /* balancer://NAME/path */
    const char *balancer;            /* NAME */
    const char *to;                  /* path of the target; "" without */
    hap_honour_mode_t mode;          /* what HALane says of it */
    const hap_honour_node_t *said;   /* the line that says so; NULL when unset */
    bool lane;                       /* the lane can carry it, and HALane is not Off */
    hap_honour_reason_t reason;      /* why not; name is NULL when lane */
    const hap_honour_node_t *before; /* the ProxyPass that takes all its requests; NULL: none */
    apr_array_header_t *parts;       /* hap_honour_part_t; empty unless lane */
    hap_honour_values_t values;      /* what the lane has to do; only when lane */
} hap_honour_mount_t;

/** The main server or a <VirtualHost>. */
typedef struct hap_honour_server_t {
    const hap_honour_node_t *section; /* NULL: the main server */
    const char *name;                 /* ServerName; NULL without */
    hap_honour_stage_t header;        /* of RequestReadTimeout, for connections to this server */
    apr_array_header_t *mounts; /* hap_honour_mount_t, in the order in which httpd asks them: the
                                   first whose path fits has the request */
} hap_honour_server_t;

/**
 * Judges every mount of every server (hap_honour_server_t, the main server first). `can` says
 * which of the features (HAP_HONOUR_CAN_...) the lane has. APR_EINVAL with a sentence for a HALane
 * that is wrong, or names or waives what there is not. Borrows from the tree; the rest from `pool`.
 */
apr_status_t hap_honour_judge(apr_array_header_t **servers, const hap_honour_tree_t *tree,
                              unsigned can, hap_diag_t *diag, apr_pool_t *pool);

/**
 * "RewriteRule (rewrite.conf:12) acts on it", and ": it ..." behind that where the name alone does
 * not say it; or what is to be said instead, as in "HALane (httpd.conf:3) is Off". `file` stands
 * for the reason's own unless it is NULL. From `pool`.
 */
const char *hap_honour_reason_text(const hap_honour_reason_t *reason, const char *file,
                                   apr_pool_t *pool);

/**
 * Of a mount with another ProxyPass before it: "ProxyPass (b.conf:6) gets no requests, that of
 * a.conf:9 takes them first". From `pool`.
 */
const char *hap_honour_hidden_text(const hap_honour_mount_t *mount, apr_pool_t *pool);

/** "the main server", or "www.example (sites/www.conf:1)". From `pool`. */
const char *hap_honour_server_text(const hap_honour_server_t *server, apr_pool_t *pool);

/* --- the table, for its page ----------------------------------------------------------------- */

/** A row as its page shows it. */
typedef struct hap_honour_entry_t {
    const char *name;
    const char *verdict; /* the class, in words */
    const char *meaning; /* goes on after "it " */
    bool section;        /* it is one, and nothing else */
} hap_honour_entry_t;

/** Row `i` of the table, by name; false behind the last one. */
bool hap_honour_entry(hap_honour_entry_t *entry, size_t i);

#endif
