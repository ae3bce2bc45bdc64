/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of zero's commands. A command's own record is at the end of its file. */
#include "zero.h"

const zero_command_t *const zero_commands[] = {
    &zero_generate_command,       &zero_merge_command,       &zero_check_command,
    &zero_explain_command,        &zero_zone_status_command, &zero_zone_get_command,
    &zero_map_show_command,       &zero_map_diff_command,    &zero_map_check_command,
    &zero_ha_init_command,        &zero_ha_status_command,   &zero_ha_roles_command,
    &zero_ha_history_command,     &zero_ha_acks_command,     &zero_ha_output_command,
    &zero_ha_switchover_command,  &zero_ha_pause_command,    &zero_ha_resume_command,
    &zero_ha_set_primary_command, &zero_ha_transfer_command, &zero_ha_join_command,
    &zero_ha_leave_command,       &zero_ha_force_command,    NULL,
};
