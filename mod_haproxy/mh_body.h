/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns keeping the beginning of a request's body while it is read, so that it can be read once
 * more.
 */
#ifndef MH_BODY_H
#define MH_BODY_H

#include <stdbool.h>

#include <httpd.h>

enum { MH_BODY_BYTES_MAX = 64 << 10 /* that are kept; a longer body cannot be read again */ };

typedef struct mh_body_t mh_body_t;

/** Keeps what is read of the body from here on. NULL for a request that has none. */
mh_body_t *mh_body_keep(request_rec *r);

/** The body begins anew. False if it was longer than what is kept. True for NULL. */
bool mh_body_rewind(mh_body_t *body);

void mh_body_register(void);

#endif
