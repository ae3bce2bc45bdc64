/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns that no name of the zones' family crosses the standard path (doc/zones.md, L1), and listens
 * to what members say under such names. Does not judge or store it.
 */
#ifndef MH_STRIP_H
#define MH_STRIP_H

#include <mod_proxy.h>

#include "mh_request.h"

/** Before each attempt: the request goes to this member without the family's names, and what the
 * member says is listened to. */
void mh_strip_begin(mh_request_t *request, const proxy_worker *worker);

/** After it: sees to a head that was not passed on. */
void mh_strip_end(mh_request_t *request);

/** Takes the family's names out of an answer that is about to be sent, whoever put them there. */
void mh_strip_answer(request_rec *r);

/** Registers what mh_strip_begin needs. */
void mh_strip_register(void);

#endif
