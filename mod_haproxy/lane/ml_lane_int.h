/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the files of the lane know of each other: clients, connections to members, exchanges.
 */
#ifndef ML_LANE_INT_H
#define ML_LANE_INT_H

#include "ml_deflate.h"
#include "ml_half.h"
#include "ml_lane.h"

enum {
    ML_HEAD_BYTES = 64 << 10, /* of a head that goes out, without what the owner adds */
    ML_SCRATCH_BYTES = ML_HEAD_BYTES + HAP_RELAY_EXTRA_BYTES, /* heads are written here first */
    ML_EDIT_BYTES = 32 << 10, /* values that edits make, of one head */
    ML_ADDRESS_BYTES = 48     /* an address as text */
};

typedef struct ml_server_t ml_server_t;
typedef struct ml_listener_t ml_listener_t;

/* clang-format off */
/*
 * What a client's connection does. Columns: what ends it; what follows.
 *
 *   IDLE      no byte of a request yet    first byte: HEAD; end, or KeepAliveTimeout: closed
 *   HEAD      a part of a head            all of it: HOLD, CONNECT, EXCHANGE, or given to httpd;
 *                                         end: given to httpd; too slow: 408 by httpd
 *   HOLD      waits for the owner         it says who: CONNECT, EXCHANGE; that the answer goes on:
 *                                         EXCHANGE, TUNNEL; or that it does not: as with no answer
 *   CONNECT   waits for a member          connected: EXCHANGE; nobody: 503 by httpd
 *   EXCHANGE  request and answer pass     both passed: IDLE or HEAD, or closed; 101: TUNNEL;
 *                                         no answer: CONNECT with the next member, or 502 by httpd
 *   TUNNEL    bytes pass, both ways       both ended, or none came for too long: closed;
 *                                         one is broken: both are reset
 *   LINGER    the answer was sent early   the client's end, two seconds without a byte, or thirty
 *                                         in all: closed
 *   GONE      is being freed              -
 */
typedef enum ml_state_t {
    ML_IDLE, ML_HEAD, ML_HOLD, ML_CONNECT, ML_EXCHANGE, ML_TUNNEL, ML_LINGER, ML_GONE, ML_STATES
} ml_state_t;
/* clang-format on */

/** The inner side of an exchange. */
typedef struct ml_inner_t {
    ml_exchange_t x;         /* first: what the owner sees */
    struct ml_inner_t *next; /* while it is spare */
    ml_server_t *server;     /* NULL: none at the moment */
    ml_half_t out;           /* the answer */
    size_t seen;             /* of the answer's head, as in hap_http1_find_end */
    ml_buf_t *held;   /* the block with the request's head, when the body has moved on; or NULL */
    uint64_t head_n;  /* bytes of the request's head as the member gets it */
    uint64_t written; /* bytes of the request that were written in this attempt */
    apr_time_t asked; /* when more of the body was waited for first; 0: it was not yet */
    unsigned interim; /* 1xx answers so far */
    unsigned trouble; /* the status for it if no other member is left; 0 none failed */
    bool begun; /* a member may have heard of it, and the body that was read is not as it came */
    bool idempotent;
    bool is_head;
    bool expects;     /* the client waits for 100 (Continue), and has not been sent one */
    bool begins;      /* some of the request's body has come */
    bool said;        /* the client said Keep-Alive */
    bool old_client;  /* HTTP/1.0 */
    bool keep_client; /* the client's connection goes on after this */
    bool keep_server; /* the member's does */
    bool asks;        /* for another protocol, with its Upgrade */
    bool upgrade;     /* and the member of this attempt may switch to it, and is asked */
    bool informed;    /* an interim head was sent to the client */
    bool answered;    /* a final head, or a part of it, was sent to the client */
    bool told_member; /* a tunnel's member knows that the client has ended */
    bool told_client; /* and the other way round */
    bool fresh;       /* the next attempt is with the same member, on a new connection */

    /* ml_pack.c's */
    bool gzip;            /* the client takes gzip */
    bool packs;           /* the answer's body goes through `stream` into `packed` */
    bool pack_chunks;     /* in chunks */
    bool pack_open;       /* until the connection ends */
    bool unflushed;       /* the stream may hold something back */
    size_t sliced;        /* bytes that were compressed since others had their turn */
    ml_deflate_t *stream; /* NULL: none, or it has ended */
    ml_half_t packed;     /* what came out of it */

    char data[] __attribute__((aligned(16))); /* the owner's */
} ml_inner_t;

struct ml_client_t {
    ml_lane_t *lane;
    ml_sock_t sock;
    ml_io_t io;
    ml_timer_t timer;
    ml_work_t work;      /* to be taken over by the loop */
    apr_time_t deadline; /* when the timer really means it; the timer may fire before */
    ml_link_t link;      /* in the lane's list */
    ml_half_t in;        /* the request */
    size_t seen;         /* of its head, as in hap_http1_find_end */
    ml_inner_t *inner;   /* the exchange, or NULL */
    const void *place;
    const ml_rules_t *rules;
    const ml_times_t *times; /* of the last request; NULL before the first */
    apr_time_t began;        /* when the head that comes did, or lingering */
    ml_state_t state;
    bool again; /* the timer is only for giving others their turn */
    unsigned served;
    char address[ML_ADDRESS_BYTES];
};

/** A connection to a member. */
struct ml_server_t {
    ml_lane_t *lane;
    ml_sock_t sock;
    ml_io_t io;
    ml_origin_t *origin;
    ml_link_t link;    /* in the origin's spare ones, or in those that wait for an address */
    ml_client_t *user; /* whose exchange it serves; NULL: spare */
    bool connecting;   /* until it is connected */
    bool naming;       /* it waits for an address: there is no socket */
    bool asked;        /* it has waited for a new address, as none that was known answered */
    unsigned version;  /* of the origin's addresses that it goes by */
    unsigned first;    /* address that was tried first */
    unsigned tried;    /* how many were tried */
    bool reused;       /* it has served an exchange before */
    apr_time_t expiry; /* of a spare one */
};

struct ml_lane_t {
    ml_loop_t *loop;
    const ml_lane_iface_t *iface;
    void *owner;
    size_t data_bytes;
    ml_bufs_t bufs;
    ml_deflates_t deflates;
    ml_resolve_t *resolve; /* made for the first name */
    ml_room_t *room;       /* any thread */
    ml_origin_t *origins;  /* all of them */
    ml_link_t clients;     /* all of them */
    bool draining;
    bool full;          /* the listeners wait for room */
    ml_timer_t passing; /* while it drains: to try again to give idle clients away */
    ml_listener_t *listeners;
    int nudge_fd;            /* as in ml_lane_listen; borrowed */
    ml_io_t nudge;           /* likewise: another loop writes to it */
    ml_timer_t pause;        /* until listeners are watched again */
    ml_inner_t *spare_inner; /* exchanges that are kept for the next ones */
    unsigned spare_inner_n;
    ml_client_t *parsed; /* whose head is in `request` */
    hap_http1_request_t request;
    hap_http1_answer_t answer;
    char request_text[ML_EDIT_BYTES]; /* what its edits made */
    char answer_text[ML_EDIT_BYTES];
    char scratch[ML_SCRATCH_BYTES];
};

/* --- ml_client.c: reading heads, giving away, closing ------------------------------------------
 */

/** A place for a client, before there is one: false when all are taken. Any thread. */
bool ml_room_take(ml_lane_t *lane);

/** The place is free again: no client came of it, or he has gone. Any thread. */
void ml_room_give(ml_lane_t *lane);

/** Takes a client that was accepted here, into a place that was taken. False without memory: socket
 * and place are the caller's. */
bool ml_client_begin(ml_lane_t *lane, int fd, const void *place, const char *address,
                     const ml_rules_t *rules);

/** Goes on with whatever the client's state is. May free it. */
void ml_client_run(ml_client_t *client);

/** The same in the loop's next turn: others have theirs first. */
void ml_client_run_later(ml_client_t *client);

/** What is left of the time that the client has for what it sends, `bytes` of which have come since
 * then; but not more than `most`. */
apr_interval_time_t ml_pace_left(const ml_pace_t *pace, apr_interval_time_t passed, uint64_t bytes,
                                 apr_interval_time_t most);

/** Sets the deadline of what the client is doing now. */
void ml_client_await(ml_client_t *client, apr_interval_time_t most);

/** Ends the exchange's hold of the client: the next request, or the end. May free the client. */
void ml_client_next(ml_client_t *client, bool keep);

/** Closes, at once. Frees the client and ends its exchange. */
void ml_client_close(ml_client_t *client);

/** Hands the client over with these bytes, as in ml_lane_iface_t.give; frees it. */
void ml_client_give(ml_client_t *client, hap_str_t bytes, unsigned status);

/** The same with all that was read of it. */
void ml_client_give_all(ml_client_t *client, unsigned status);

/** Of a lane that drains: has somebody else go on with a client that is idle. False if it stays for
 * now; else it is freed. */
bool ml_client_pass_on(ml_client_t *client);

/* --- ml_listen.c: accepting clients ------------------------------------------------------------
 */

/** No more clients are accepted. */
void ml_listeners_stop(ml_lane_t *lane);

/** There may be room again for those that wait for it. */
void ml_listeners_retry(ml_lane_t *lane);

/* --- ml_exchange.c: one request from beginning to end -------------------------------------------
 */

/** What a step came to. */
typedef enum ml_go_t {
    ML_GO_ON,    /* something was done, there may be more to do */
    ML_GO_WAIT,  /* a socket has to be waited for */
    ML_GO_LATER, /* there is more to do, but others have their turn first */
    ML_GO_OVER   /* the client is gone or at its next request: nothing may be touched */
} ml_go_t;

/** Frees the exchanges that are kept for the next ones. */
void ml_exchanges_clear(ml_lane_t *lane);

/** The head of a request is there: the first `bytes` of client->in. May free the client. */
void ml_exchange_begin(ml_client_t *client, size_t bytes);

/** Something may go on: sockets are ready. May free the client. */
void ml_exchange_run(ml_client_t *client);

/** The deadline has passed. May free the client. */
void ml_exchange_timeout(ml_client_t *client);

/** Ends it, whatever its state: the server's connection is closed, unless it was let go. */
void ml_exchange_end(ml_client_t *client);

/** The connection to the member is there: the request goes to it. May free the client. */
void ml_exchange_go(ml_client_t *client);

/** The member's part is over: its connection is closed, or kept for others. Nothing without one. */
void ml_exchange_let_go(ml_inner_t *inner, bool keep);

/** What httpd shall answer with this status is given to it. Frees the client. */
void ml_exchange_give(ml_client_t *client, unsigned status);

/** The answer or the tunnel cannot be completed: the client must see that it is cut. */
ml_go_t ml_exchange_cut(ml_client_t *client);

/** All of the answer is with the client's kernel. */
ml_go_t ml_exchange_finish(ml_client_t *client);

/** The tunnel has ended, for both sides. */
ml_go_t ml_exchange_part(ml_client_t *client);

/* --- ml_attempt.c: members for an exchange, one after the other ---------------------------------
 */

/** Finds a member and connects to it; when there is none the request is given away. May free the
 * client. */
void ml_attempt_begin(ml_client_t *client);

/** The connection to the member is there, or has failed. May free the client. */
void ml_attempt_connected(ml_client_t *client);

/** The member's name was looked up, with or without success. May free the client. */
void ml_attempt_named(ml_client_t *client);

/** It could not be connected to in time. May free the client. */
void ml_attempt_timeout(ml_client_t *client);

/** The attempt is over without an answer: the next member, or a page of httpd's. */
ml_go_t ml_attempt_failed(ml_client_t *client, ml_outcome_t outcome, const char *why);

/** The member has ended before its answer. One that had served before was closed while it waited.
 */
ml_go_t ml_attempt_stale(ml_client_t *client);

/** The answer is none: the request goes out again, if it can. */
ml_go_t ml_attempt_again(ml_client_t *client);

/** The answer is none that may be passed on: a page of httpd's. */
ml_go_t ml_attempt_refused(ml_client_t *client);

/** It ends for reasons that are not the member's: a page of httpd's with this status. */
ml_go_t ml_attempt_give_up(ml_client_t *client, unsigned status);

/* --- ml_answer.c: the way of the answer --------------------------------------------------------
 */

/** Passes on what there is of the answer. */
ml_go_t ml_answer_pump(ml_client_t *client);

/** What a side of a tunnel has said to its end, and is passed on, ends for the other one too. */
ml_go_t ml_answer_end_tunnel(ml_client_t *client);

/* --- ml_pack.c: answers that are compressed ----------------------------------------------------
 */

/**
 * Finds out whether the answer is compressed, and has its head say so. If it is (`packs`), its body
 * has begun. False if that does not fit.
 */
bool ml_pack_begin(ml_client_t *client, hap_http1_answer_t *answer, hap_edit_text_t *text);

/** Compresses the beginning, all of it if it is there: then the length is known. False if that does
 * not fit, or without memory. */
bool ml_pack_first(ml_client_t *client, hap_http1_answer_t *answer, hap_edit_text_t *text);

/** Compresses some more, when all that was is passed on. WAIT when there is nothing to compress. */
ml_go_t ml_pack_pump(ml_client_t *client);

/** Lets go of all that it took. */
void ml_pack_drop(ml_lane_t *lane, ml_inner_t *inner);

/* --- ml_origin.c: where members are ------------------------------------------------------------
 */

/** Looks the name up, unless that was done a moment ago. True if the answer is awaited since now.
 */
bool ml_origin_ask(ml_origin_t *origin);

void ml_link_in(ml_link_t *list, ml_link_t *link);
void ml_link_out(ml_link_t *link);

/* --- ml_server.c: connections to members -------------------------------------------------------
 */

/**
 * A connection to the origin for this client: a spare one unless `fresh`, or a new one, connected
 * or connecting, which includes that its address is not known yet. NULL if it cannot be made; then
 * `errno` says why.
 */
ml_server_t *ml_server_take(ml_origin_t *origin, ml_client_t *user, bool fresh);

/** A spare connection that is good enough for what must not be sent twice: nothing has come on it.
 */
bool ml_server_quiet(const ml_server_t *server);

/** Takes it out of those that wait for an address. */
void ml_server_named(ml_server_t *server);

/**
 * The connect has failed, or there is an address now: connects to the next address, the first one
 * if there are others than before. 0, or why it cannot.
 */
int ml_server_connect(ml_server_t *server);

/** No address that is known could be connected to, the last one for this reason: true if it waits
 * for others. Once, and not for want of what is ours. */
bool ml_server_await_name(ml_server_t *server, int error);

/** Closes the connections that wait. */
void ml_origin_close_spare(ml_origin_t *origin);

/** Closes the connection that has waited longest of each origin: others need the descriptors. False
 * if there is none. */
bool ml_origins_yield(ml_lane_t *lane);

/** How the connect went, after it became writable: 0, or why it failed. */
int ml_server_established(ml_server_t *server);

/** The user needs it no more: keeps it for others, or closes it. */
void ml_server_release(ml_server_t *server, bool keep);

#endif
