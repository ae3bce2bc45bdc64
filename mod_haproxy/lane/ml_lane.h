/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lane of one loop: clients' connections, connections to members, and the exchanges
 * between them. Knows HTTP/1 as lib/ reads it, and nothing of httpd: where a request goes, who gets
 * it and what becomes of a connection that is not the lane's, it asks through ml_lane_iface_t.
 *
 * Everything here is the loop thread's, but for ml_lane_add and ml_room_taken.
 */
#ifndef ML_LANE_H
#define ML_LANE_H

#include "hap_deflate.h"
#include "hap_relay.h"
#include "ml_loop.h"
#include "ml_resolve.h"

typedef struct ml_lane_t ml_lane_t;
typedef struct ml_client_t ml_client_t;
typedef struct ml_exchange_t ml_exchange_t;
typedef struct ml_origin_t ml_origin_t;

/** How many clients the lanes of a process hold, all together. The owner's; stays until they end.
 */
typedef struct ml_room_t {
    unsigned most;  /* at once */
    unsigned taken; /* atomic */
} ml_room_t;

/** How fast a client has to send: the time that it has for all. */
typedef struct ml_pace_t {
    apr_interval_time_t first;    /* at first; 0: it has all the time */
    apr_interval_time_t most;     /* in the end; 0: no matter how much */
    apr_interval_time_t per_byte; /* more, for each byte that came */
} ml_pace_t;

/** What holds on a client's connection, whichever virtual host its requests are for. */
typedef struct ml_rules_t {
    hap_http1_limits_t limits; /* of a head: what is beyond them is none of the lane's */
    apr_interval_time_t idle;  /* Timeout: without a byte of a head */
    ml_pace_t head; /* from its first byte; of a connection's first one, from the start */
} ml_rules_t;

/** Times and limits of a request's virtual host. */
typedef struct ml_times_t {
    ml_pace_t body;                 /* of a request, since more of it was waited for first */
    apr_interval_time_t keep_alive; /* KeepAliveTimeout; 0: connections are not kept */
    apr_interval_time_t idle;       /* Timeout: without a byte to or from the client */
    unsigned requests;              /* MaxKeepAliveRequests; 0 unlimited */
} ml_times_t;

/**
 * Where a member is, and the connections to it that wait for a request. All zero but for the first
 * part before ml_origin_begin; stays as long as the lane, or until it is retired and not used.
 */
struct ml_origin_t {
    const char *name;                    /* of its host, or its address; borrowed */
    uint16_t port;                       /* likewise */
    apr_interval_time_t name_keep;       /* how often the name is looked up */
    apr_interval_time_t connect_timeout; /* to connect, to each of its addresses */
    apr_interval_time_t timeout;         /* without a byte from the member */
    apr_interval_time_t keep;            /* how long a connection waits; 0: not at all */
    unsigned spare_max;                  /* how many wait at most */

    /* private */
    ml_lane_t *lane;
    bool named;              /* `name` has to be looked up */
    bool answered;           /* it was, whatever came of it */
    ml_addrs_t addrs;        /* none: not known (yet) */
    unsigned best;           /* the one that could be connected to last */
    unsigned version;        /* of addrs */
    ml_question_t *question; /* asked, not answered */
    apr_time_t asked;        /* when, on the loop's clock */
    ml_timer_t again;        /* asks the next time */
    ml_origin_t *next;       /* in the lane's list */
    ml_link_t waiting;       /* connections that need an address first */
    ml_link_t spare;         /* those that wait for a request, the last used first */
    unsigned spare_n;
    unsigned servers_n; /* connections, spare ones included */
    bool retired;
};

/** How an attempt with a member ended. */
typedef enum ml_outcome_t {
    ML_OUTCOME_SERVED,     /* it answered, whatever */
    ML_OUTCOME_SHORTAGE,   /* there was no descriptor, port or memory for a connection */
    ML_OUTCOME_NO_CONNECT, /* no connection could be made, nothing was sent */
    ML_OUTCOME_FAILED,     /* it failed on the request */
    ML_OUTCOME_TIMED_OUT,  /* it did not answer in time */
    ML_OUTCOME_UNKNOWN     /* nothing can be said of it */
} ml_outcome_t;

/** What is to be done with a request whose head is there. */
typedef enum ml_route_t {
    ML_ROUTE_TAKE, /* `route` has filled in the exchange */
    ML_ROUTE_GIVE  /* it is none of the lane's */
} ml_route_t;

/** What came of looking for a member. */
typedef enum ml_choice_t {
    ML_CHOICE_MEMBER, /* `choose` has filled in the exchange */
    ML_CHOICE_NOBODY, /* there is none */
    ML_CHOICE_LATER,  /* it is not known yet: `choose` is asked again after ml_exchange_resume */
    ML_CHOICE_GIVE /* none in the lane: whoever it is given to may find one, if it can be given */
} ml_choice_t;

/** What is to be done with an answer whose head is there. */
typedef enum ml_heard_t {
    ML_HEARD_PASS,  /* it is passed on */
    ML_HEARD_LATER, /* not before ml_exchange_resume, after which `heard` is asked again */
    ML_HEARD_AGAIN, /* it is no answer: the request goes to whom `choose` says now, if it can still
                       be sent again; else as REFUSE */
    ML_HEARD_REFUSE /* the client gets a page of httpd's instead */
} ml_heard_t;

/** Who would take a client that a lane which drains has no use for. */
typedef enum ml_takers_t {
    ML_TAKERS_NONE, /* nobody, now or later */
    ML_TAKERS_SOON, /* nobody yet, but somebody will come */
    ML_TAKERS_NOW   /* somebody */
} ml_takers_t;

/** One request and its answer, as the owner sees it. */
struct ml_exchange_t {
    ml_client_t *client;
    /* set by `route` */
    const hap_relay_t *relay;
    hap_str_t self; /* as in hap_relay_back_t; borrowed until `ended` */
    const ml_times_t *times;
    const hap_deflate_t *deflate; /* how answers are compressed; NULL: not at all */
    /* set by `choose` */
    ml_origin_t *origin;
    hap_str_t host;        /* as in hap_relay_to_t; borrowed until the next `choose` or `ended` */
    hap_str_t base;        /* likewise */
    hap_str_t extra;       /* as in hap_relay_to_t; likewise */
    hap_relay_map_t alias; /* as in hap_relay_back_t; likewise */
    /* set before `settled` when an attempt has failed */
    const char *why; /* what was wrong; static */
    int error;       /* of a connection that could not be made; else 0 */
    /* for the log */
    unsigned status;         /* of the answer; 0 none was sent */
    uint64_t received_bytes; /* from the client, head included */
    uint64_t sent_bytes;     /* to the client, likewise */
    uint64_t sent_heads;     /* of them, in heads */
    bool whole;              /* all of the answer was sent */
    bool keep;               /* the client's connection goes on */
    apr_time_t began;        /* on the loop's clock: when the head was there */
    hap_str_t bytes;         /* the head as it came; stays until `ended` */
};

/** The owner's part of an exchange: as many bytes as the lane was made with, zero at first. */
void *ml_exchange_data(ml_exchange_t *x);

/** The request may be repeated, RFC 9110 9.2.2. */
bool ml_exchange_is_idempotent(const ml_exchange_t *x);

/** The owner of the lane it is in. */
void *ml_exchange_owner(const ml_exchange_t *x);

/**
 * Applies the edits of `relay`, once `route` has set it, to the request's head: what
 * ml_exchange_head gives from then on. False when they do not fit: it is none of the lane's.
 */
bool ml_exchange_edit(ml_exchange_t *x);

/** What `choose` or `heard` said to wait for is there. May end the exchange. Not within a call of
 * the owner's. */
void ml_exchange_resume(ml_exchange_t *x);

/** The request's head; valid until the next call for another exchange, or `ended` is over. */
const hap_http1_request_t *ml_exchange_head(ml_exchange_t *x);

/** Who runs the lane. All are called in the loop thread and must not block. */
typedef struct ml_lane_iface_t {
    /** Where does this request go? */
    ml_route_t (*route)(ml_exchange_t *x, const void *place);
    /** A member for it, the next one if it was asked before. A request that a member has heard of
     * cannot be given: then GIVE is as NOBODY. */
    ml_choice_t (*choose)(ml_exchange_t *x);
    /** The chosen member may switch to this protocol, which is the value of an Upgrade. */
    bool (*may_switch)(ml_exchange_t *x, hap_str_t protocol);
    /** The head of a final answer is there, or of one that begins a tunnel, as the member wrote it:
     * what is to be done with it? */
    ml_heard_t (*heard)(ml_exchange_t *x, const hap_http1_answer_t *answer);
    /** The head of the member's answer goes out. The value of a Set-Cookie that it needs, in at
     * most `room` bytes at `value`; 0 none. */
    size_t (*answered)(ml_exchange_t *x, const hap_http1_answer_t *answer, char *value,
                       size_t room);
    /** The attempt has ended. True if another may be made, should that be possible. */
    bool (*settled)(ml_exchange_t *x, ml_outcome_t outcome, bool again);
    /** The exchange has ended, well or not: the log. */
    void (*ended)(ml_exchange_t *x);
    /**
     * Takes the client's socket, and gives it to somebody who reads on behind these bytes. With a
     * status other than 0 the answer shall be that one, to the request that the bytes are, and the
     * last. Without bytes it is a client that may go on in another lane. False if it could not be
     * done: the lane closes the socket.
     */
    bool (*give)(void *owner, int fd, const void *place, hap_str_t bytes, unsigned status);
    /** A client was accepted: where, for `route`, and what holds there, which stays. NULL: nobody
     * wants him. */
    const void *(*arrived)(void *owner, int fd, const ml_rules_t **rules);
    /** While the lane drains: is there somebody who would take a client that is given? */
    ml_takers_t (*takers)(void *owner);
    /** The member that this origin belongs to has other addresses now. */
    void (*moved)(void *owner, const ml_origin_t *origin);
    /** The date of now, as in the Date field. Borrowed until the next call. */
    hap_str_t (*date)(void *owner);
} ml_lane_iface_t;

/** A lane in a loop. `data_bytes` as in ml_exchange_data. On the heap. NULL without memory. */
ml_lane_t *ml_lane_create(ml_loop_t *loop, const ml_lane_iface_t *iface, void *owner,
                          ml_room_t *room, size_t data_bytes);

/**
 * Takes a client's socket over: non-blocking, its own descriptor. `place` is handed to `route`,
 * `rules` stay; `address` is the client's. The socket is closed when the lane has ended. Any
 * thread. False when there is no room or memory or the loop has ended: the socket is the caller's
 * then.
 */
bool ml_lane_add(ml_lane_t *lane, int fd, const void *place, const char *address,
                 const ml_rules_t *rules);

/**
 * Accepts clients from a listening socket, which stays the caller's, until the lane drains. While
 * there is no room they wait in the socket's queue. `nudge_fd` is an eventfd, non-blocking and the
 * same one for all lanes of all processes that have these sockets; it is the caller's likewise.
 */
apr_status_t ml_lane_listen(ml_lane_t *lane, int fd, int nudge_fd);

/**
 * Takes no more clients: those that are idle are given to others, and so are the rest after their
 * answer. Until there are others, or when these have their hands full, it goes on serving. Where
 * there never will be any they are closed.
 */
void ml_lane_drain(ml_lane_t *lane);

/** Clients that are there, for the drain and for status pages. Any thread. */
unsigned ml_room_taken(const ml_room_t *room);

/** Closes everything at once, and frees. After the loop has ended. */
void ml_lane_destroy(ml_lane_t *lane);

/**
 * An origin before its first use. Its name is looked up from now on, aside: who needs a connection
 * before the first answer waits for it. A lookup that fails leaves things as they are.
 */
void ml_origin_begin(ml_lane_t *lane, ml_origin_t *origin);

/** The member is there no more: what waits for a request is closed, as is the rest when it is free.
 */
void ml_origin_retire(ml_origin_t *origin);

/** Retired, and without connections: it may be freed, if not within a call of the lane's. */
bool ml_origin_is_over(const ml_origin_t *origin);

/** Is forgotten by its lane. It is over. */
void ml_origin_end(ml_origin_t *origin);

/** The client's address, as text. */
const char *ml_client_address(const ml_client_t *client);

/** How many requests came on this connection before. */
unsigned ml_client_served(const ml_client_t *client);

#endif
