/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from ap_conftree to hap_honour's tree. */
#include "mh_honour.h"

#include <apr_strings.h>
#include <http_config.h>

/*
 * httpd has resolved <IfModule> and the like, Include, Define and macros while it read; of these
 * nothing is in the tree but what they came to.
 */
static void add_all(hap_honour_tree_t *tree, hap_honour_node_t *parent, const ap_directive_t *first)
{
    for (const ap_directive_t *directive = first; directive; directive = directive->next) {
        hap_honour_node_t *node =
            hap_honour_add(tree, parent, directive->directive, directive->args, directive->filename,
                           directive->line_num);
        add_all(tree, node, directive->first_child);
    }
}

/* LoadModule is carried out while the configuration is read and is not in the tree. */
static void add_modules(hap_honour_tree_t *tree, apr_pool_t *p)
{
    for (int i = 0; ap_loaded_modules[i]; i++) {
        const char *name = ap_find_module_short_name(ap_loaded_modules[i]->module_index);
        const char *args =
            apr_psprintf(p, "%s_module %s", name ? name : "unnamed", ap_loaded_modules[i]->name);
        hap_honour_add(tree, NULL, "LoadModule", args, NULL, 0);
    }
}

hap_honour_tree_t *mh_honour_tree(apr_pool_t *p)
{
    hap_honour_tree_t *tree = hap_honour_tree_make(p);
    add_modules(tree, p);
    add_all(tree, NULL, ap_conftree);
    return tree;
}

/* A virtual host is known by the line that it begins in. */
static bool is_server(const hap_honour_node_t *section, const server_rec *s)
{
    if (!s->is_virtual || !section) {
        return !s->is_virtual && !section;
    }
    return section->line == (int)s->defn_line_number && section->file && s->defn_name &&
           strcmp(section->file, s->defn_name) == 0;
}

const hap_honour_server_t *mh_honour_server(const apr_array_header_t *servers, const server_rec *s)
{
    for (int i = 0; i < servers->nelts; i++) {
        const hap_honour_server_t *server = &APR_ARRAY_IDX(servers, i, hap_honour_server_t);
        if (is_server(server->section, s)) {
            return server;
        }
    }
    return NULL;
}
