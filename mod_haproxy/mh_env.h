/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the BALANCER_* variables of a request, which mean what they mean for mod_proxy_balancer. */
#ifndef MH_ENV_H
#define MH_ENV_H

#include <httpd.h>

#include "mh_choice.h"

/** Sets them, and mod_proxy_balancer's notes, for the member that was chosen. */
void mh_env_set(const mh_choice_t *choice, request_rec *r);

#endif
