/* SPDX-License-Identifier: Apache-2.0 */
/* Owns building the tree of a configuration. Does not judge it. */
#include "hap_honour_model.h"

#include <apr_strings.h>

enum { DEPTH_MAX = 64 }; /* of sections in one file; the judge goes down by recursion */

struct hap_honour_tree_t {
    hap_honour_node_t top; /* without a name; what is in it is the configuration */
    apr_hash_t *index;     /* of the table */
    apr_hash_t *names;     /* that are in the tree, in lower case; the nodes */
    apr_pool_t *pool;
};

hap_honour_tree_t *hap_honour_tree_make(apr_pool_t *pool)
{
    hap_honour_tree_t *tree = apr_pcalloc(pool, sizeof(*tree));
    tree->top.name = "";
    tree->top.section = true;
    tree->index = honour_index(pool);
    tree->names = apr_hash_make(pool);
    tree->pool = pool;
    return tree;
}

hap_honour_node_t *honour_top(const hap_honour_tree_t *tree)
{
    return (hap_honour_node_t *)&tree->top;
}

static const char *key_of(const hap_honour_tree_t *tree, const char *name)
{
    char *key = apr_pstrdup(tree->pool, name);
    for (char *c = key; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    }
    return key;
}

static hap_honour_node_t *append(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                 const char *name, bool section)
{
    hap_honour_node_t *node = apr_pcalloc(tree->pool, sizeof(*node));
    node->name = name;
    node->section = section;
    node->row = honour_row(tree->index, name);
    node->parent = parent == &tree->top ? NULL : parent;
    if (parent->last) {
        parent->last->next = node;
    } else {
        parent->first = node;
    }
    parent->last = node;
    apr_hash_set(tree->names, key_of(tree, name), APR_HASH_KEY_STRING, node);
    return node;
}

/* A module can be waived by its own name. */
static void note_module(hap_honour_tree_t *tree, hap_honour_node_t *node)
{
    if (honour_is(node, "LoadModule") && node->argc > 0) {
        apr_hash_set(tree->names, key_of(tree, node->argv[0]), APR_HASH_KEY_STRING, node);
    }
}

hap_honour_node_t *hap_honour_add(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                  const char *name, const char *args, const char *file, int line)
{
    bool section = name[0] == '<';
    hap_str_t text = hap_str(args);
    text = hap_str_trim(text);
    if (section && text.n && text.p[text.n - 1] == '>') {
        text.n--;
    }
    hap_honour_node_t *node = append(tree, parent ? parent : &tree->top,
                                     apr_pstrdup(tree->pool, name + (section ? 1 : 0)), section);
    node->argv = hap_conf_words(&node->argc, text, tree->pool);
    node->file = file;
    node->line = line;
    note_module(tree, node);
    return node;
}

static bool is_deep(const hap_conf_section_t *section)
{
    int depth = 0;
    while (section && depth <= DEPTH_MAX) {
        section = section->parent;
        depth++;
    }
    return depth > DEPTH_MAX;
}

static hap_honour_node_t *place(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                const hap_conf_section_t *section, const char *file)
{
    if (!section) {
        return parent;
    }
    hap_honour_node_t *around = place(tree, parent, section->parent, file);
    if (around->last && around->last->written == section) {
        return around->last;
    }
    hap_honour_node_t *node = append(tree, around, section->name, true);
    node->argv = section->argv;
    node->argc = section->argc;
    node->file = file;
    node->line = section->line;
    node->written = section;
    return node;
}

hap_honour_node_t *hap_honour_place(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                    const hap_conf_section_t *section, const char *file)
{
    return is_deep(section) ? NULL : place(tree, parent ? parent : &tree->top, section, file);
}

hap_honour_node_t *hap_honour_add_conf(hap_honour_tree_t *tree, hap_honour_node_t *parent,
                                       const hap_conf_directive_t *directive, const char *file)
{
    hap_honour_node_t *around = hap_honour_place(tree, parent, directive->section, file);
    if (!around) {
        return NULL;
    }
    hap_honour_node_t *node = append(tree, around, directive->name, false);
    node->argv = directive->argv;
    node->argc = directive->argc;
    node->file = file;
    node->line = directive->line;
    note_module(tree, node);
    return node;
}

bool honour_is_known(const hap_honour_tree_t *tree, const char *name)
{
    const char *key = key_of(tree, name);
    return honour_row(tree->index, name) || apr_hash_get(tree->names, key, APR_HASH_KEY_STRING);
}

bool honour_is_section(const hap_honour_tree_t *tree, const char *name)
{
    const honour_row_t *row = honour_row(tree->index, name);
    return row && row->kind != HONOUR_NO_KIND;
}

honour_kind_t honour_kind(const hap_honour_node_t *node)
{
    return node->section && node->row ? node->row->kind : HONOUR_NO_KIND;
}

bool honour_is(const hap_honour_node_t *node, const char *name)
{
    return hap_str_eq_nocase(hap_str(node->name), hap_str(name));
}

const char *honour_arg(const hap_honour_node_t *node, int i)
{
    return i < node->argc ? node->argv[i] : "";
}
