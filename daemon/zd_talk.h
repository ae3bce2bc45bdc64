/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way from this node to the leader, and those from other nodes to this one. What goes over
 * them is objects of JSON; whose they are is known by their first beat. Does not know who leads: it
 * is told, or asks one node after the other.
 */
#ifndef ZD_TALK_H
#define ZD_TALK_H

#include "zd_lines.h"
#include "zd_net.h"

enum { ZD_TALK_AGAIN_MS = 100 /* after which the next node is called */ };

typedef struct zd_talk_t zd_talk_t;

/** Somebody who has connected to this node. */
typedef struct zd_caller_t zd_caller_t;

typedef struct zd_talk_conf_t {
    uv_loop_t *loop;
    zd_net_t *net;
    /* The other nodes that may lead, to ask when nobody is known to. Borrowed for its life. */
    const char *const *addresses;
    unsigned addresses_n;
    /* A caller says something. Borrows. */
    void (*heard)(void *baton, zd_caller_t *caller, json_t *object);
    /* The node that was called says something. Borrows. */
    void (*told)(void *baton, json_t *object);
    /* There is a way, or it has broken; not what the owner's own calls end. */
    void (*up)(void *baton, bool is_up);
    void *baton;
} zd_talk_conf_t;

/** NULL: no memory. */
zd_talk_t *zd_talk_open(const zd_talk_conf_t *conf);

/** Calls the node at HOST:PORT from now on, instead of the one before; NULL: one after the other of
 * the addresses. When that fails or breaks
 * all are asked again. Copies. */
void zd_talk_call(zd_talk_t *talk, const char *address);

/** Whoever was called is of no use: hangs up, and calls the next of the addresses in a while. */
void zd_talk_next(zd_talk_t *talk);

/** This node leads: it calls nobody. */
void zd_talk_rest(zd_talk_t *talk);

/** Says something to the node that was called. Takes `object`; it is lost when there is no way. */
void zd_talk_say_up(zd_talk_t *talk, json_t *object);
bool zd_talk_is_up(const zd_talk_t *talk);

/** A stream that zd_net has accepted for ZD_NET_TALK. Takes it. */
void zd_talk_accept(zd_talk_t *talk, uv_stream_t *stream);

/** This is who the caller is; an earlier one of that name is hung up on. Copies. */
void zd_talk_name(zd_caller_t *caller, const char *node);

/** Of this caller, and of no other one that comes later. */
uint64_t zd_caller_number(const zd_caller_t *caller);

/** Says something to a caller, or to the one of that name or number, if it is there yet. Takes
 * `object`. */
void zd_talk_say(zd_caller_t *caller, json_t *object);
void zd_talk_say_to(zd_talk_t *talk, const char *node, json_t *object);
void zd_talk_reply(zd_talk_t *talk, uint64_t caller, json_t *object);

/** Hangs up on all. Frees itself when the loop has turned. */
void zd_talk_close(zd_talk_t *talk);

#endif
