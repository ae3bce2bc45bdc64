/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the visits of the standard path: they wait in the request's thread, and tell and hear
 * through httpd's tables. What a visit does is mh_visit's.
 */
#ifndef MH_REQUEST_ZONE_H
#define MH_REQUEST_ZONE_H

#include "mh_request.h"

/** Before a member is chosen: finds out who has the session. Nothing for a request without. */
void mh_request_zone_find(mh_request_t *request);

/** The same before a member is chosen once more. */
void mh_request_zone_find_again(mh_request_t *request);

/** A member was chosen: finds out what he is told. False if one is to be chosen anew. */
bool mh_request_zone_send(mh_request_t *request);

/** The request is about to go to him: puts that into its head. */
void mh_request_zone_tell(mh_request_t *request);

/** The client has sent names of the family, which were taken out. */
void mh_request_zone_stripped(mh_request_t *request);

/** The head of the member's answer is there, in request->said and the request's tables: takes in
 * what it says, and sets `refused`. */
void mh_request_zone_hear(mh_request_t *request);

/**
 * After an answer that must not be passed on: true if the request can be sent again, and then it is
 * as it was before it was sent.
 */
bool mh_request_zone_again(mh_request_t *request);

/** Registers what keeps bodies. */
void mh_request_zone_register(void);

#endif
