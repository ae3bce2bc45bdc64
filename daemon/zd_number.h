/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the file in which a node keeps the number that the leader gave it, when it is not one of
 * those that the cluster began with.
 */
#ifndef ZD_NUMBER_H
#define ZD_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

#include "hap_diag.h"

/** The number; 0: there is none. False with a sentence when it cannot be read. */
bool zd_number_read(uint64_t *number, const char *dir, hap_diag_t *diag, apr_pool_t *pool);

/** Keeps it, synced. False with a sentence. */
bool zd_number_keep(const char *dir, uint64_t number, hap_diag_t *diag, apr_pool_t *pool);

#endif
