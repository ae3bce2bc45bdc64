/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keys of nodes and members, and their order. */
#include "hap_map_json.h"

#include <apr_strings.h>

/* --- nodes ------------------------------------------------------------------------------------ */

json_t *hap_map_node_json(const hap_map_node_t *node)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "id", node->id, "address", node->address, "role",
                     hap_map_role_names[node->role], "electable", node->electable);
}

void hap_map_read_node(hap_map_node_t *node, hap_json_reader_t *reader, const json_t *object)
{
    node->id = hap_json_text(reader, object, "id");
    node->address = hap_json_text(reader, object, "address");
    node->role = hap_json_word(reader, object, "role", hap_map_role_names, HAP_MAP_ROLE_COUNT);
    node->electable = hap_json_flag(reader, object, "electable");
}

/* --- members ---------------------------------------------------------------------------------- */

static json_t *member_json(const hap_map_member_t *member)
{
    return json_pack("{s:s, s:s?, s:i, s:s}", "route", member->route, "url", member->url, "weight",
                     (int)member->weight, "admin", hap_admin_names[member->admin]);
}

json_t *hap_map_members_json(const hap_map_app_t *app)
{
    json_t *members = json_array();
    for (unsigned i = 0; i < app->members_n; i++) {
        hap_json_append(&members, member_json(&app->members[i]));
    }
    return members;
}

/* A weight that does not fit is one that nobody may have. */
static void read_member(hap_map_member_t *member, hap_json_reader_t *reader, const json_t *object)
{
    member->route = hap_json_text(reader, object, "route");
    member->url = hap_json_text_or_null(reader, object, "url");
    uint64_t weight = hap_json_number(reader, object, "weight");
    member->weight = weight <= HAP_MAP_WEIGHT_MAX ? (unsigned)weight : 0;
    member->admin = hap_json_word(reader, object, "admin", hap_admin_names, HAP_ADMIN_COUNT);
}

void hap_map_read_members(hap_map_app_t *app, hap_json_reader_t *reader, const json_t *object)
{
    const json_t *array;
    const char *where = reader->where;
    hap_map_member_t *members = hap_json_list(reader, &array, &app->members_n, object, "members",
                                              HAP_MAP_MEMBERS_MAX, sizeof(*members));
    for (unsigned i = 0; i < app->members_n; i++) {
        reader->where = apr_psprintf(reader->pool, "%s member %u", app->name, i + 1);
        read_member(&members[i], reader, json_array_get(array, i));
    }
    reader->where = where;
    app->members = members;
}
