/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the readers that only say whether a directive's value does something, and the finders of the
 * paths that directives name. Takes no values.
 */
#include "hap_honour_model.h"

#include <apr_strings.h>

READER(unless_off);
READER(unless_on);
READER(unless_none);
READER(protocol_options);
READER(regex_options);
READER(allow);
READER(order);
READER(require);
READER(bad_header);
READER(max_forwards);
READER(module);
PATHS(first);
PATHS(first_pattern);
PATHS(second);
PATHS(redirect);
PATHS(redirect_pattern);
PATHS(rewrite);
PATHS(acme);

static bool arg_is(const hap_honour_node_t *node, int i, const char *text)
{
    return i < node->argc && hap_str_eq_nocase(hap_str(node->argv[i]), hap_str(text));
}

/* The whole of the arguments is this one word. */
static bool only(const hap_honour_node_t *node, const char *text)
{
    return node->argc == 1 && arg_is(node, 0, text);
}

READER(unless_off)
{
    return only(node, "off") ? NULL : node->row->why;
}

READER(unless_on)
{
    return only(node, "on") ? NULL : node->row->why;
}

READER(unless_none)
{
    return only(node, "none") ? NULL : node->row->why;
}

READER(protocol_options)
{
    for (int i = 0; i < node->argc; i++) {
        if (arg_is(node, i, "RegisteredMethods")) {
            return node->row->why;
        }
    }
    return NULL;
}

READER(regex_options)
{
    for (int i = 0; i < node->argc; i++) {
        const char *option = node->argv[i] + (strchr("+-", node->argv[i][0]) != NULL);
        if (hap_str_eq_nocase(hap_str(option), HAP_STR_LIT("ICASE")) && node->argv[i][0] != '-') {
            return node->row->why;
        }
    }
    return NULL;
}

READER(allow)
{
    bool all = node->argc == 2 && arg_is(node, 0, "from") && arg_is(node, 1, "all");
    return all ? NULL : node->row->why;
}

/* "allow,deny" refuses who is not allowed, so nobody when all are; a section's word is the last. */
READER(order)
{
    if (only(node, "deny,allow")) {
        return NULL;
    }
    const hap_honour_node_t *other = node->parent ? node->parent->first : NULL;
    for (; other; other = other->next) {
        if (honour_is(other, "Allow") && !honour_read_allow(at, other)) {
            return only(node, "allow,deny") ? NULL : node->row->why;
        }
    }
    return node->row->why;
}

READER(require)
{
    bool all = node->argc == 2 && arg_is(node, 0, "all") && arg_is(node, 1, "granted");
    return all ? NULL : node->row->why;
}

READER(bad_header)
{
    return only(node, "IsError") ? NULL : node->row->why;
}

READER(max_forwards)
{
    return only(node, "-1") ? NULL : node->row->why;
}

READER(module)
{
    static const char *const known[] = {
#define MODULE(name) name,
#include "hap_honour_modules.def"
#undef MODULE
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(honour_arg(node, 0), known[i]) == 0) {
            return NULL;
        }
    }
    return apr_psprintf(at->pool, "it adds %s, which is not known here and may act by itself",
                        hap_str_show(hap_str(honour_arg(node, 0)), at->pool));
}

/* --- which paths ----------------------------------------------------------------------------- */

/* Only what begins with a slash is a path; the rest, such as http://, could be about any. */
static bool is_path(honour_path_t *path, const char *text)
{
    *path = (honour_path_t){.text = text};
    return text[0] == '/';
}

PATHS(first)
{
    return is_path(path, honour_arg(node, 0));
}

PATHS(first_pattern)
{
    *path = (honour_path_t){.text = honour_arg(node, 0), .pattern = true};
    return true;
}

PATHS(second)
{
    return is_path(path, honour_arg(node, 1));
}

/* Redirect [status] path [URL]; a status is a word or a number. */
static int redirect_at(const hap_honour_node_t *node)
{
    const char *first = honour_arg(node, 0);
    bool status = first[0] >= '0' && first[0] <= '9';
    status = status || arg_is(node, 0, "permanent") || arg_is(node, 0, "temp") ||
             arg_is(node, 0, "seeother") || arg_is(node, 0, "gone");
    return status ? 1 : 0;
}

PATHS(redirect)
{
    return is_path(path, honour_arg(node, redirect_at(node)));
}

PATHS(redirect_pattern)
{
    *path = (honour_path_t){.text = honour_arg(node, redirect_at(node)), .pattern = true};
    return true;
}

/* Flags in brackets may say NC; whatever has such letters counts as saying it. */
PATHS(rewrite)
{
    *path = (honour_path_t){.text = honour_arg(node, 0), .pattern = true};
    path->nocase = node->argc > 2;
    return true;
}

PATHS(acme)
{
    *path = (honour_path_t){
        .text = "/.well-known/acme-challenge",
        .also = "/.httpd",
    };
    return true;
}
