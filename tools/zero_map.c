/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero map show`, `diff` and `check`: what is in the file in which a daemon keeps the cluster
 * map. Only reads it.
 */
#include "zero.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "hap_map.h"
#include "hap_map_diff.h"
#include "io/hapio_file.h"
#include "zero_table.h"

/* --- reading ---------------------------------------------------------------------------------- */

static int read_map(const hap_map_t **map, hap_str_t *text, const char *path,
                    const zero_args_t *args)
{
    hap_diag_t diag = {0, ""};
    apr_status_t rv = hapio_file_read(text, path, HAP_MAP_BYTES_MAX, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (hap_map_decode(map, *text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    return ZERO_DONE;
}

static const char *counted(unsigned n, const char *what, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%u %s%s", n, what, n == 1 ? "" : "s");
}

static const char *head_of(const hap_map_t *map, apr_pool_t *pool)
{
    const char *term = apr_psprintf(pool, "%" PRIu64, map->term);
    return apr_psprintf(pool, "map %" PRIu64 " of %s, term %s, %s%s", map->version, map->uuid, term,
                        map->primary ? "primary " : "no primary", map->primary ? map->primary : "");
}

/* --- show ------------------------------------------------------------------------------------- */

static void add_nodes(apr_array_header_t *lines, const hap_map_t *map)
{
    apr_array_header_t *rows = zero_rows((int)map->nodes_n + 1, lines->pool);
    zero_row_add(rows, (zero_row_t){{"node", "address", "role", "electable", ""}});
    for (unsigned i = 0; i < map->nodes_n; i++) {
        const hap_map_node_t *node = &map->nodes[i];
        bool leads = map->primary && strcmp(node->id, map->primary) == 0;
        zero_row_add(rows, (zero_row_t){{node->id, node->address, hap_map_role_names[node->role],
                                         node->electable ? "yes" : "no", leads ? "primary" : ""}});
    }
    zero_table_add(lines, rows);
}

static const char *active_text(const hap_map_app_t *app, apr_pool_t *pool)
{
    if (!app->single) {
        return "active on all members";
    }
    return apr_psprintf(pool, "active on %s, epoch %" PRIu64, app->active ? app->active : "none",
                        app->epoch);
}

static void add_app(apr_array_header_t *lines, const hap_map_app_t *app)
{
    apr_pool_t *pool = lines->pool;
    apr_array_header_t *rows = zero_rows((int)app->members_n + 1, pool);
    zero_row_add(rows, (zero_row_t){{"member", "url", "weight", "admin", ""}});
    for (unsigned i = 0; i < app->members_n; i++) {
        const hap_map_member_t *member = &app->members[i];
        bool active = app->active && strcmp(member->route, app->active) == 0;
        zero_row_add(rows, (zero_row_t){{member->route, member->url ? member->url : "none",
                                         apr_psprintf(pool, "%u", member->weight),
                                         hap_admin_names[member->admin], active ? "active" : ""}});
    }
    zero_line_add(lines, apr_pstrcat(pool, app->name, ": ", active_text(app, pool), NULL));
    zero_table_add(lines, rows);
}

static const char *map_text(const hap_map_t *map, apr_pool_t *pool)
{
    apr_array_header_t *lines = zero_lines(pool);
    zero_line_add(lines, head_of(map, pool));
    zero_line_add(lines, "");
    add_nodes(lines, map);
    for (unsigned i = 0; i < map->apps_n; i++) {
        zero_line_add(lines, "");
        add_app(lines, &map->apps[i]);
    }
    return zero_lines_text(lines, pool);
}

static int run_show(const zero_args_t *args)
{
    const hap_map_t *map;
    hap_str_t text;
    int code = read_map(&map, &text, args->operands[0], args);
    if (code != ZERO_DONE) {
        return code;
    }
    if (zero_opt(args, "json")) {
        size_t body = hap_str_find(text, '\n', 0) + 1;
        return zero_print(args->command, hap_str_sub(text, body, text.n));
    }
    return zero_print(args->command, hap_str(map_text(map, args->pool)));
}

/* --- diff ------------------------------------------------------------------------------------- */

static int run_diff(const zero_args_t *args)
{
    const hap_map_t *before;
    const hap_map_t *after;
    hap_str_t text;
    int code = read_map(&before, &text, args->operands[0], args);
    code = code == ZERO_DONE ? read_map(&after, &text, args->operands[1], args) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    apr_array_header_t *changes = hap_map_diff(before, after, args->pool);
    if (changes->nelts == 0) {
        return ZERO_DONE;
    }
    code = zero_print(args->command, hap_str(zero_lines_text(changes, args->pool)));
    return code == ZERO_DONE ? ZERO_REFUSED : code;
}

/* --- check ------------------------------------------------------------------------------------ */

static int check_one(const char *path, const zero_args_t *args)
{
    const hap_map_t *map;
    hap_str_t text;
    int code = read_map(&map, &text, path, args);
    if (code != ZERO_DONE) {
        return code;
    }
    const char *line =
        apr_pstrcat(args->pool, zero_show(path, args->pool), ": ", head_of(map, args->pool), ", ",
                    counted(map->nodes_n, "node", args->pool), ", ",
                    counted(map->apps_n, "application", args->pool), "\n", NULL);
    return zero_print(args->command, hap_str(line));
}

static int run_check(const zero_args_t *args)
{
    int worst = ZERO_DONE;
    for (int i = 0; i < args->operand_count; i++) {
        int code = check_one(args->operands[i], args);
        worst = code > worst ? code : worst;
    }
    return worst;
}

/* --- the commands ----------------------------------------------------------------------------- */

static const zero_option_t show_options[] = {
    {"json", NULL, "as it is in the file, which is JSON"},
    {NULL, NULL, NULL},
};

static const zero_option_t no_options[] = {
    {NULL, NULL, NULL},
};

const zero_command_t zero_map_show_command = {
    .group = "map",
    .name = "show",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = show_options,
    .summary = "show the cluster map that a daemon keeps",
    .details =
        "Shows which nodes there are, who leads them, and which members each application has.\n"
        "FILE is hal<id>/map in the daemon's dataDir. A damaged one is refused.\n",
    .run = run_show,
};

const zero_command_t zero_map_diff_command = {
    .group = "map",
    .name = "diff",
    .operands = "OLD NEW",
    .min_operands = 2,
    .max_operands = 2,
    .options = no_options,
    .summary = "say what has changed between two cluster maps",
    .details = "Says it in a line for each change. Ends with 0 when both say the same, with 1 when "
               "they do\n"
               "not or a file is damaged, with 3 when one cannot be read.\n",
    .run = run_diff,
};

const zero_command_t zero_map_check_command = {
    .group = "map",
    .name = "check",
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = -1,
    .options = no_options,
    .summary = "look whether cluster maps are whole",
    .details = "Says of each file which map it is, or the line and what is wrong. Ends with 1 when "
               "one is\n"
               "damaged, with 3 when one cannot be read.\n",
    .run = run_check,
};
