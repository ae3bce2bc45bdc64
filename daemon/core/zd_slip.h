/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns saying what is wrong with a text that is no JSON, so that whoever wrote it by hand finds it.
 * Does not read JSON: jansson does.
 */
#ifndef ZD_SLIP_H
#define ZD_SLIP_H

#include <apr_pools.h>
#include <jansson.h>

#include "hap_diag.h"

/** Line and sentence of what jansson has refused. */
void zd_slip_say(hap_diag_t *diag, const json_error_t *error, apr_pool_t *pool);

#endif
