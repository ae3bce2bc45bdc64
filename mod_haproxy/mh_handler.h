/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the handler ha-health: what other balancers and people ask to know whether we serve. */
#ifndef MH_HANDLER_H
#define MH_HANDLER_H

#include <httpd.h>

/** SetHandler ha-health. */
int mh_handler_health(request_rec *r);

#endif
