/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the tests of hap_honour share: configurations as text, and verdicts as text. */
#ifndef HAP_UNIT_HONOUR_H
#define HAP_UNIT_HONOUR_H

#include "hap_honour.h"

/** A balancer that the lane can take, in four lines, and its mount, in one. */
#define HONOUR_APP                                                                                 \
    "<Proxy balancer://App>\nBalancerMember http://a:1 route=a\n</Proxy>\nHABalancer App\n"
#define HONOUR_MOUNT "ProxyPass /App balancer://App/App\n"

/** The servers of this text, by a lane that can do `can`; NULL and *why when it is refused. */
apr_array_header_t *honour_servers(const char **why, const char *text, unsigned can);

/** The mount `i` of server `k` of these lines behind HONOUR_APP and HONOUR_MOUNT. */
const hap_honour_mount_t *honour_mount(const char *text, int k, int i);

/** The values of the only mount; the test fails if it is not the lane's. */
const hap_honour_values_t *honour_values(const char *text);

/**
 * The verdicts of these lines behind HONOUR_APP and HONOUR_MOUNT; the first one is line 6. A mount
 * is "PATH lane" or "PATH NAME:LINE", a part "PATH! NAME:LINE", a virtual host begins with its line
 * and a bar. Those of servers without a mount are not there.
 */
const char *honour_verdict(const char *text);

/** The same without the two in front, by a lane that can do `can`. */
const char *honour_verdict_of(const char *text, unsigned can);

/** Why the first mount of these lines behind the two is not the lane's, as a user reads it. */
const char *honour_why(const char *text);

#endif
