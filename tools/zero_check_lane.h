/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what `zero modproxy check` says about the lane. */
#ifndef ZERO_CHECK_LANE_H
#define ZERO_CHECK_LANE_H

#include "zero.h"
#include "zero_tree.h"

/**
 * Prints for each mount of the configuration `tree`, which was read from `path`, whether the lane
 * carries it, and what keeps it on the standard path; nothing when that is not a server's
 * configuration. `why` is why it could not be read to its end, or NULL. ZERO_DONE, whatever the
 * verdicts are, or ZERO_IO.
 */
int zero_check_lane(const zero_args_t *args, const char *path, const zero_tree_t *tree,
                    const hap_diag_t *why);

#endif
