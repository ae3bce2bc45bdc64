/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns method=hash: the same key goes to the same member, by rendezvous.
 *
 * The roster remembers the best few members of each bucket of keys, over all members whatever
 * their state: a member that goes away moves only its own keys, each to its second choice, and
 * they come back with it. Who is not in the round, as a standby or a member of a later set, is
 * passed over likewise.
 */
#include "hap_pick.h"

static bool may_take(const hap_selector_t *selector, const hap_pick_request_t *request,
                     uint32_t member)
{
    return selector->schedule->is_ready[member] && hap_pick_eligible(selector, request, member);
}

static int choose(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    const hap_roster_t *roster = selector->roster;
    if (!roster->ranks) {
        return -1;
    }
    uint32_t bucket = (uint32_t)(request->hash >> 20) & roster->rank_mask;
    const uint16_t *ranks = &roster->ranks[(size_t)bucket * HAP_HASH_RANKS];
    for (int rank = 0; rank < HAP_HASH_RANKS; rank++) {
        if (may_take(selector, request, ranks[rank])) {
            return (int)ranks[rank];
        }
    }
    int best = -1;
    double best_score = 0;
    for (uint32_t i = 0; i < roster->n; i++) {
        double score = hap_roster_score(&roster->members[i], bucket);
        if (score > best_score && may_take(selector, request, i)) {
            best = (int)i;
            best_score = score;
        }
    }
    return best;
}

const hap_pick_method_t hap_pick_hash = {.choose = choose};
