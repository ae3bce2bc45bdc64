/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns libraft: the log on disk, who leads, and carrying out what is committed on the one state.
 * All of it is for the thread of the loop.
 */
#ifndef ZD_RAFT_H
#define ZD_RAFT_H

#include <uv.h>

#include "zd_member.h"
#include "zd_net.h"
#include "zd_wish.h"

enum { ZD_ELECTION_MS = 600 /* without a sign of the leader */ };

typedef struct zd_raft_t zd_raft_t;

/** A node of the cluster as it begins. */
typedef struct zd_peer_t {
    uint64_t number; /* in the engine, from 1 */
    const char *address;
} zd_peer_t;

/** What the engine is started with. Texts are borrowed for its life. */
typedef struct zd_raft_conf_t {
    uv_loop_t *loop;
    const char *dir;        /* its own, which exists */
    uint64_t number;        /* of this node */
    const char *address;    /* of this node */
    const zd_peer_t *peers; /* all that have a vote, this one too */
    unsigned peers_n;
    unsigned election_ms; /* ZD_ELECTION_MS */
    zd_net_t *net;        /* NULL: there are no others */
    bool joins;           /* a folder without a log waits until a leader adds this node */
    uint64_t forced;      /* this node alone has a vote from now on, in that term; 0: not so */
    /* Called when the leader, the term or the state has changed, from the loop. */
    void (*changed)(void *baton);
    /* Called once after zd_raft_close, and when the engine has given up: `why` says so then. */
    void (*ended)(void *baton, const char *why);
    /* The term, the vote or the log cannot be written, as `why` says, and the engine knows no way
     * back: does not return, or has seen to it that nothing that this node does from now on is seen
     * by anybody. */
    void (*broken)(void *baton, const char *why);
    void *baton;
} zd_raft_conf_t;

/** Begins, with what is on disk; a folder without a log becomes that of a cluster of these
 * peers. APR_EINVAL or APR_EGENERAL with a sentence when the log is damaged, or cannot be read or
 * written: nothing was changed then but what libraft was removing when it was killed, which is
 * removed. */
apr_status_t zd_raft_open(zd_raft_t **raft, const zd_raft_conf_t *conf, hap_diag_t *diag);

/** How many of the commands that are carried out by now were on this disk when this run began:
 * an earlier one has seen them. */
uint64_t zd_raft_past(const zd_raft_t *raft);

/** A stream that zd_net has accepted for ZD_NET_RAFT. Takes it. */
void zd_raft_accept(zd_raft_t *raft, uint64_t number, const char *address, uv_stream_t *stream);

/** Ends the engine; commands on their way end uncommitted, then `ended` is called, after which
 * zd_raft_free may be. */
void zd_raft_close(zd_raft_t *raft);
void zd_raft_free(zd_raft_t *raft);

/** Takes a command to the log. `done` is called later, also when this node does not lead. */
void zd_raft_send(zd_raft_t *raft, zd_wish_t *wish);

/** How many of those have ended so, by zd_end_t; the last, [ZD_END_COUNT], were not committed.
 * Borrows for the engine's life. */
const uint64_t *zd_raft_ends(const zd_raft_t *raft);

/* Of NULL, a node without an engine, these up to zd_raft_state may be asked, too: it does not lead,
 * its term is 0, it knows no leader and has no state. */

/** Whether this node leads, and has carried out all that was committed before. */
bool zd_raft_leads(const zd_raft_t *raft);
uint64_t zd_raft_term(const zd_raft_t *raft);

/** Address of the node that leads as far as this one knows; NULL: unknown. Borrows. */
const char *zd_raft_leader(const zd_raft_t *raft);

/** This node is not to be taken for the leader until more than half of the nodes have confirmed
 * that it is, from now on. */
void zd_raft_doubt(zd_raft_t *raft);

/** The state. Borrows until the loop goes on. */
const zd_state_t *zd_raft_state(const zd_raft_t *raft);

/** Hands the lead over to a node that has a vote. False if it cannot be tried now, as while it is
 * being tried with another one. */
bool zd_raft_transfer(zd_raft_t *raft, uint64_t number);

/** The nodes that the engine knows: at most `room` of them. */
unsigned zd_raft_members(const zd_raft_t *raft, zd_member_t *members, unsigned room);

/** As the leader, changes one of them; false if it cannot be tried now, as while another change is
 * on its way. What comes of it is seen in zd_raft_members. */
bool zd_raft_member(zd_raft_t *raft, zd_member_change_t change, uint64_t number,
                    const char *address);

#endif
