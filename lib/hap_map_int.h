/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what reading and writing a map share. */
#ifndef HAP_MAP_INT_H
#define HAP_MAP_INT_H

#include "hap_envelope.h"

extern const hap_envelope_kind_t hap_map_kind;

#endif
