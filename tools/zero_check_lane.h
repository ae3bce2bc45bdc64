/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what `zero modproxy check` says about the lane. */
#ifndef ZERO_CHECK_LANE_H
#define ZERO_CHECK_LANE_H

#include "zero.h"

/**
 * Prints for each mount of the configuration in `path` whether the lane carries it, and what keeps
 * it on the standard path; nothing when that is not a server's whole configuration. ZERO_DONE,
 * whatever the verdicts are, or ZERO_IO.
 */
int zero_check_lane(const zero_args_t *args, const char *path);

#endif
