/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which User-Agents are httpd's affair, by BrowserMatch: the verdicts that one loop has come
 * to, for each mount. Loop thread only.
 */
#ifndef MH_AGENTS_H
#define MH_AGENTS_H

#include "mh_site.h"

typedef struct mh_agents_t mh_agents_t;

/** Allocates from p. */
mh_agents_t *mh_agents_create(apr_pool_t *p);

/** What becomes of such a client is httpd's to say. */
bool mh_agents_leave(mh_agents_t *agents, const mh_mount_t *mount, const hap_http1_request_t *head);

#endif
