/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns ProxyPassReverse for members whose address is the map's: mod_proxy knows only those of the
 * configuration. The standard path; in the lane hap_relay does it.
 */
#ifndef MH_REVERSE_H
#define MH_REVERSE_H

#include "mh_request.h"

/** Maps what the head of the member's answer says of its own address. Nothing for others. */
void mh_reverse(mh_request_t *request);

#endif
