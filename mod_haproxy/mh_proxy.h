/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the hooks into mod_proxy: the standard path of a request. */
#ifndef MH_PROXY_H
#define MH_PROXY_H

/** Registers the hooks and the lbmethod provider `ha`. */
void mh_proxy_register(void);

#endif
