/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making a balancer without httpd. */
#include "farm.h"

#include <apr_strings.h>

enum { ROWS = 4 };

void farm_make(farm_t *farm, uint32_t n, hap_method_t method, apr_pool_t *pool)
{
    const hap_geometry_t geometry = {.slots = n, .balancers = 1, .rows = ROWS};
    memset(farm, 0, sizeof(*farm));
    farm->pool = pool;
    farm->n = n;
    size_t size = hap_shared_size(&geometry);
    char *memory = apr_pcalloc(pool, size + HAP_CACHE_LINE);
    uintptr_t aligned = ((uintptr_t)memory + HAP_CACHE_LINE - 1) & ~(uintptr_t)(HAP_CACHE_LINE - 1);
    hap_shared_view(&farm->shared, &geometry, (void *)aligned);
    hap_option_defaults(&farm->policy, &hap_policy_options);
    farm->policy.method = method;
    farm->members = apr_pcalloc(pool, n * sizeof(hap_member_t));
    for (uint32_t i = 0; i < n; i++) {
        farm->members[i].route = hap_str(apr_psprintf(pool, "h%u", i));
        farm->members[i].slot = i;
        farm->members[i].weight = 100;
    }
    farm->request.wanted = -1;
    farm->request.draw = 42;
    farm_build(farm);
}

void farm_build(farm_t *farm)
{
    farm->selector = (hap_selector_t){
        .policy = &farm->policy,
        .roster = hap_roster_make(
            farm->members, farm->n,
            (hap_roster_kind_t){.hashed = farm->policy.method == HAP_METHOD_HASH}, farm->pool),
        .shared = &farm->shared,
    };
    farm_schedule(farm);
}

void farm_schedule(farm_t *farm)
{
    farm->selector.schedule = hap_schedule_make(farm->selector.roster, &farm->shared, farm->pool);
}

void farm_flags(farm_t *farm, uint32_t member, uint32_t set, uint32_t clear)
{
    hap_shared_flags(&farm->shared, member, set, clear);
}

hap_pick_t farm_pick(farm_t *farm)
{
    farm->request.draw = hap_pick_redraw(farm->request.draw) * 0x2545f4914f6cdd1dULL;
    return hap_pick(&farm->selector, &farm->request);
}
