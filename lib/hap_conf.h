/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading the text of an Apache configuration into directives with their lines and sections.
 * Does not interpret any: Include, Define, Use and ${NAME} stay as they are written, and every
 * <If...> section is taken as if its condition held.
 */
#ifndef HAP_CONF_H
#define HAP_CONF_H

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

/** A section: <NAME args>. */
typedef struct hap_conf_section_t {
    const char *name; /* as written, without the < */
    const char *const *argv;
    int argc;
    int line;
    const struct hap_conf_section_t *parent; /* NULL at the top */
} hap_conf_section_t;

/** A directive outside or inside a section. */
typedef struct hap_conf_directive_t {
    const char *name;        /* as written; httpd compares without case */
    const char *const *argv; /* words as ap_getword_conf would give them: without quotes */
    int argc;
    int line;                          /* of its first physical line, from 1 */
    const hap_conf_section_t *section; /* innermost one, NULL at the top */
} hap_conf_directive_t;

/** A file's directives in their order. */
typedef struct hap_conf_t {
    const hap_conf_directive_t *directives;
    int count;
} hap_conf_t;

/**
 * Reads a configuration as httpd does: a backslash at the end of a line continues it, # begins a
 * comment only at the start of a line, words may be quoted with " or '. APR_EINVAL with the line
 * for a NUL byte, a section that is not closed or a close without its section. Copies into `pool`.
 */
apr_status_t hap_conf_parse(hap_conf_t *conf, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool);

/** Cuts arguments into words as ap_getword_conf does. From `pool`. */
const char *const *hap_conf_words(int *count, hap_str_t args, apr_pool_t *pool);

/** Whether the directive has this name; without case, as httpd does. */
bool hap_conf_is(const hap_conf_directive_t *directive, const char *name);

/** The innermost section of this name around the directive, or NULL. Borrows from the conf. */
const hap_conf_section_t *hap_conf_within(const hap_conf_directive_t *directive, const char *name);

/**
 * The value of the first argument KEY=value from index `from`, or NULL; KEY without case. Borrows
 * from the conf.
 */
const char *hap_conf_param(const hap_conf_directive_t *directive, int from, const char *key);

/**
 * Of the directives of this name with this first argument, both without case: the one that gives
 * KEY=value in this <VirtualHost> (NULL: the main server), else in the main server, else NULL.
 * Borrows from the conf.
 */
const hap_conf_directive_t *hap_conf_giving(const hap_conf_t *conf, const hap_conf_section_t *vhost,
                                            const char *name, const char *first, const char *key);

#endif
