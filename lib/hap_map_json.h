/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the JSON of a map's nodes and members, for the map and for whatever else holds them. Does
 * not judge what they say: hap_map_encode does.
 */
#ifndef HAP_MAP_JSON_H
#define HAP_MAP_JSON_H

#include "hap_json.h"
#include "hap_map.h"

/** A node, and the list of an application's members; the caller's, to be released. NULL when there
 * is no memory, or a text is not UTF-8. */
json_t *hap_map_node_json(const hap_map_node_t *node);
json_t *hap_map_members_json(const hap_map_app_t *app);

/** Takes them out of `object` again; copies into the reader's pool. Members come from its list
 * "members", go into `app`, and are called after its name when one is refused. */
void hap_map_read_node(hap_map_node_t *node, hap_json_reader_t *reader, const json_t *object);
void hap_map_read_members(hap_map_app_t *app, hap_json_reader_t *reader, const json_t *object);

#endif
