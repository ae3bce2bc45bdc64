/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the files of the visit share. Not for others. */
#ifndef MH_VISIT_INT_H
#define MH_VISIT_INT_H

#include "mh_visit.h"

/** The chosen member's route. */
const char *mh_visit_member(const mh_visit_t *visit);

void mh_visit_count(mh_visit_t *visit, mh_zone_count_t what);

/** Has the choice go to who owns the session, as far as that is known. */
void mh_visit_prefer_owner(mh_visit_t *visit);

/** The next operation, on the record of this session, and the step after it. As that says when
 * there is no store; else true: the operation is to be run. */
bool mh_visit_run(mh_visit_t *visit, hap_str_t sid, hap_zone_wish_t wish,
                  bool (*then)(mh_visit_t *visit));

#endif
