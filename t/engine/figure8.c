/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule of Figure 8 of the Raft paper, on the libraft that is installed: an entry of an
 * earlier term reaches a majority, and must not count as committed by that alone, as another leader
 * may overwrite it still. libraft before 0.18 gives two state machines different entries here, so a
 * daemon that is built on that serves one host only. Exit 0 if the library does what its version
 * says.
 *
 * Servers 0 to 4 are S1 to S5 of the paper; a server that crashes there is cut off here.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <raft.h>
#include <raft/fixture.h>

enum { SERVERS = 5, APPLIED_MAX = 64, WAIT_MS = 10000, ENTRY_BYTES = 8 };

/* What a server's state machine has been given. */
typedef struct machine_t {
    char applied[APPLIED_MAX][ENTRY_BYTES];
    unsigned n;
} machine_t;

static machine_t machines[SERVERS];
static struct raft_fsm fsms[SERVERS];
static struct raft_fixture fixture;
static unsigned acknowledged[2]; /* of the entries a and b */

/* Of the program, not of the library. */
static void must(int holds, const char *what)
{
    if (!holds) {
        printf("figure8: %s\n", what);
        exit(1);
    }
}

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    machine_t *machine = fsm->data;
    must(machine->n < APPLIED_MAX && buf->len == ENTRY_BYTES, "an entry that nobody sent");
    memcpy(machine->applied[machine->n++], buf->base, ENTRY_BYTES);
    *result = NULL;
    return 0;
}

static int no_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    return RAFT_CANCELED;
}

static int no_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    return RAFT_CANCELED;
}

static void begin(void)
{
    struct raft_configuration all;
    must(raft_fixture_initialize(&fixture) == 0, "no fixture");
    for (int i = 0; i < SERVERS; i++) {
        fsms[i] = (struct raft_fsm){.version = 1,
                                    .data = &machines[i],
                                    .apply = apply,
                                    .snapshot = no_snapshot,
                                    .restore = no_restore};
        must(raft_fixture_grow(&fixture, &fsms[i]) == 0, "no server");
    }
    must(raft_fixture_configuration(&fixture, SERVERS, &all) == 0 &&
             raft_fixture_bootstrap(&fixture, &all) == 0 && raft_fixture_start(&fixture) == 0,
         "no start");
    raft_configuration_close(&all);
}

/* Both ways, between one server and those of the set. */
static void link_to(unsigned one, unsigned set, int up)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        if (i == one || !(set & 1u << i)) {
            continue;
        }
        if (up) {
            raft_fixture_desaturate(&fixture, one, i);
            raft_fixture_desaturate(&fixture, i, one);
        } else {
            raft_fixture_saturate(&fixture, one, i);
            raft_fixture_saturate(&fixture, i, one);
        }
    }
}

/* Only the servers of the set hear one another. */
static void only(unsigned set)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        link_to(i, ~0u, 0);
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        if (set & 1u << i) {
            link_to(i, set, 1);
        }
    }
}

static void on_applied(struct raft_apply *request, int status, void *result)
{
    unsigned *count = request->data;
    *count += status == 0;
    free(request);
}

static void submit(unsigned leader, const char *entry, unsigned *count)
{
    struct raft_apply *request = calloc(1, sizeof(*request));
    struct raft_buffer buf = {.base = raft_malloc(ENTRY_BYTES), .len = ENTRY_BYTES};
    must(request && buf.base, "no memory");
    request->data = count;
    strncpy(buf.base, entry, ENTRY_BYTES);
    must(raft_apply(raft_fixture_get(&fixture, leader), request, &buf, 1, on_applied) == 0,
         "the leader takes no entry");
}

/* When it is the leader, and then no longer. */
static int is_leader(unsigned i)
{
    return raft_state(raft_fixture_get(&fixture, i)) == RAFT_LEADER;
}

static void step_until_leads(unsigned i, int leads)
{
    for (int ms = 0; ms < WAIT_MS && is_leader(i) != leads; ms++) {
        raft_fixture_step_until_elapsed(&fixture, 1);
    }
    must(is_leader(i) == leads, leads ? "nobody is elected" : "a leader that nobody hears stays");
}

/* Its timer runs out first. The fixture takes times of one to two election timeouts. */
static void favour(unsigned one)
{
    enum { SOON_MS = 1000, LATE_MS = 2000 };
    for (unsigned i = 0; i < SERVERS; i++) {
        unsigned ms = i == one ? SOON_MS : LATE_MS;
        struct raft *raft = raft_fixture_get(&fixture, i);
        raft_fixture_set_randomized_election_timeout(&fixture, i, ms);
        if (raft_state(raft) == RAFT_FOLLOWER) {
            raft->follower_state.randomized_election_timeout = ms;
        }
    }
}

static void elect(unsigned i)
{
    favour(i);
    step_until_leads(i, 1);
}

static void step_until_stored(unsigned i, raft_index index)
{
    for (int ms = 0; ms < WAIT_MS && raft_last_index(raft_fixture_get(&fixture, i)) < index; ms++) {
        raft_fixture_step_until_elapsed(&fixture, 1);
    }
    must(raft_last_index(raft_fixture_get(&fixture, i)) >= index, "an entry does not arrive");
}

static int has_applied(unsigned i, const char *entry)
{
    for (unsigned k = 0; k < machines[i].n; k++) {
        if (strncmp(machines[i].applied[k], entry, ENTRY_BYTES) == 0) {
            return 1;
        }
    }
    return 0;
}

/* NULL: what was acknowledged is everywhere, and all have applied the same. */
static const char *what_is_lost(void)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        if ((acknowledged[0] && !has_applied(i, "a")) ||
            (acknowledged[1] && !has_applied(i, "b"))) {
            return "an acknowledged entry";
        }
        if (machines[i].n != machines[0].n ||
            memcmp(machines[i].applied, machines[0].applied, sizeof(machines[0].applied)) != 0) {
            return "an entry that another server has applied";
        }
    }
    return NULL;
}

int main(void)
{
    begin();
    /* (a) S1 leads, and its entry gets to S2 alone. */
    elect(0);
    raft_fixture_step_until_elapsed(&fixture, 500);
    only(1u << 0 | 1u << 1);
    submit(0, "a", &acknowledged[0]);
    raft_index at = raft_last_index(raft_fixture_get(&fixture, 0));
    step_until_stored(1, at);
    /* (b) It is cut off; S5 is elected by S3 and S4, and keeps an entry to itself. */
    only(1u << 2 | 1u << 3 | 1u << 4);
    step_until_leads(0, 0);
    elect(4);
    only(0);
    submit(4, "b", &acknowledged[1]);
    step_until_leads(4, 0);
    /* (c) S5 is cut off; S1 is elected by S2 and S3, and its entry gets to S3: to a majority. */
    only(1u << 0 | 1u << 1 | 1u << 2);
    elect(0);
    step_until_stored(2, at);
    raft_fixture_step_until_elapsed(&fixture, 20);
    /* (d) It is cut off; S5 can be heard again, and whoever may be is elected. */
    only(1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);
    step_until_leads(0, 0);
    favour(4);
    raft_fixture_step_until_elapsed(&fixture, WAIT_MS);
    only(~0u);
    raft_fixture_step_until_elapsed(&fixture, WAIT_MS);
    const char *lost = what_is_lost();
    printf("figure8: %s, acknowledged a: %u, b: %u; lost: %s\n",
           has_applied(0, "a") ? "a survives" : "b survives", acknowledged[0], acknowledged[1],
           lost ? lost : "nothing");
    raft_fixture_close(&fixture);
    return (lost != NULL) == ZD_RAFT_LOSES ? 0 : 1;
}
