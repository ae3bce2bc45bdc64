/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the replicated state: one for all daemons, changed by commands alone, and the same on each
 * of them after the same commands. Knows no clock, no randomness, no engine.
 */
#ifndef ZD_STATE_H
#define ZD_STATE_H

#include "zd_cluster.h"
#include "zd_command.h"

enum {
    ZD_CLIENTS_MAX =
        1024, /* whose last result is kept; then the one that was seen longest ago goes */
    ZD_HISTORY_MAX = 256,
    ZD_SENTENCE_BYTES = 256
};

/** What became of a command, as V(NAME, "word"). */
#define ZD_ENDS(V)                                                                                 \
    V(DONE, "done")                                                                                \
    V(UNCHANGED, "unchanged") /* it is so already */                                               \
    V(CONFLICT, "conflict")   /* meant for another version or epoch: look, and decide again */     \
    V(REFUSED, "refused")     /* it breaks a rule; the sentence says which */                      \
    V(REPEATED, "repeated")   /* older than the client's last one: its result is not kept */

#define ZD_END_ENUM(name, word) ZD_##name,
typedef enum zd_end_t { ZD_ENDS(ZD_END_ENUM) ZD_END_COUNT } zd_end_t;
#undef ZD_END_ENUM

extern const char *const zd_end_names[ZD_END_COUNT];

typedef struct zd_result_t {
    zd_end_t end;
    uint64_t version;            /* the map's, after it */
    uint64_t epoch;              /* the fence that was granted; else 0 */
    char why[ZD_SENTENCE_BYTES]; /* a sentence for people; "" when done */
} zd_result_t;

/** One line of what happened. */
typedef struct zd_event_t {
    uint64_t index;               /* how many commands there had been, it included */
    uint64_t at_ms;               /* wall clock of who sent the command, since 1970 */
    char what[ZD_SENTENCE_BYTES]; /* subject: from -> to, reason, who */
} zd_event_t;

typedef struct zd_state_t zd_state_t;

/** An empty state, before any command. The caller's, to be freed with zd_state_free. */
zd_state_t *zd_state_make(void);
void zd_state_free(zd_state_t *state);

/**
 * Carries a command out, once: a client's command that was carried out before has the same result
 * again. Deterministic: depends on the state and the command alone. What is refused changes
 * nothing but the client's last result.
 */
zd_result_t zd_state_apply(zd_state_t *state, const zd_command_t *command);

/** The cluster as it is now. Borrows until the next command. */
const zd_cluster_t *zd_state_cluster(const zd_state_t *state);

/** The map's bytes; empty before there is one. Borrows until the next command. */
hap_str_t zd_state_map(const zd_state_t *state);

/** How many commands there have been. */
uint64_t zd_state_index(const zd_state_t *state);

/** The i-th line of the history, the newest first; NULL if there are not so many. Borrows until the
 * next command. */
const zd_event_t *zd_state_event(const zd_state_t *state, unsigned i);

/* --- snapshots --- */

/** The whole state as bytes: equal states give equal bytes. From `pool`. */
apr_status_t zd_state_save(hap_str_t *bytes, const zd_state_t *state, hap_diag_t *diag,
                           apr_pool_t *pool);

/** The state that was saved so; to be freed. NULL with a sentence in `diag` on anything else: cut,
 * damaged, another version, or what breaks a rule. */
zd_state_t *zd_state_load(hap_str_t bytes, hap_diag_t *diag);

#endif
