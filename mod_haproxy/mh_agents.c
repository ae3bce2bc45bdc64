/* SPDX-License-Identifier: Apache-2.0 */
/* Owns remembering, up to a number of them. */
#include "mh_agents.h"

#include <apr_hash.h>

enum {
    AGENT_BYTES = 512, /* of a User-Agent that is remembered; longer ones are httpd's */
    AGENTS_MAX = 1024
};

struct mh_agents_t {
    apr_pool_t *pool;     /* cleared when there are too many */
    apr_hash_t *verdicts; /* mount and User-Agent -> "yes" or "no" */
};

mh_agents_t *mh_agents_create(apr_pool_t *p)
{
    mh_agents_t *agents = apr_palloc(p, sizeof(*agents));
    apr_pool_create(&agents->pool, p);
    agents->verdicts = apr_hash_make(agents->pool);
    return agents;
}

bool mh_agents_leave(mh_agents_t *agents, const mh_mount_t *mount, const hap_http1_request_t *head)
{
    static const char yes[] = "yes";
    static const char no[] = "no";
    hap_str_t agent = hap_strn("", 0);
    if (mount->agents->nelts == 0) {
        return false;
    }
    for (unsigned i = 0; i < head->head.fields_n; i++) {
        if (head->head.fields[i].id == HAP_FIELD_USER_AGENT) {
            agent = head->head.fields[i].value;
        }
    }
    char key[sizeof(mount) + AGENT_BYTES];
    if (agent.n > AGENT_BYTES) {
        return true;
    }
    memcpy(key, &mount, sizeof(mount));
    memcpy(key + sizeof(mount), agent.p, agent.n);
    apr_ssize_t key_n = (apr_ssize_t)(sizeof(mount) + agent.n);
    const char *verdict = apr_hash_get(agents->verdicts, key, key_n);
    if (!verdict) {
        if (apr_hash_count(agents->verdicts) == AGENTS_MAX) {
            apr_pool_clear(agents->pool);
            agents->verdicts = apr_hash_make(agents->pool);
        }
        apr_pool_t *p = agents->pool;
        verdict = mh_site_leaves(mount, hap_str_dup(agent, p)) ? yes : no;
        apr_hash_set(agents->verdicts, apr_pmemdup(p, key, (apr_size_t)key_n), key_n, verdict);
    }
    return verdict == yes;
}
