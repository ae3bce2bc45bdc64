/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the store wants of a node: to read one value, and to replace it if it is still the one
 * that was read. Nothing in here waits; a node says when something has ended. One thread at a time
 * calls.
 */
#ifndef HAPSTORE_NODE_H
#define HAPSTORE_NODE_H

#include "hapstore.h"

/** How it went. */
typedef enum hapstore_node_end_t {
    HAPSTORE_NODE_OK,
    HAPSTORE_NODE_NONE,      /* get: there is no value */
    HAPSTORE_NODE_CHANGED,   /* put: it is another one by now, or is there, or is not */
    HAPSTORE_NODE_UNSURE,    /* put: it was stored or not, which only a look can tell */
    HAPSTORE_NODE_TOO_LARGE, /* put: it does not take this; trying again is of no use */
    HAPSTORE_NODE_FAILED     /* it was not reached, not in time, or talks nonsense */
} hapstore_node_end_t;

/** Says which value of a name a node has. A node that begins anew may give the same number to
 * another one, so it holds for the connection only that it came by. */
typedef struct hapstore_token_t {
    uint64_t number; /* 0: there is no value, or it is not known */
    uint32_t connection;
} hapstore_token_t;

/** A value that was read. */
typedef struct hapstore_value_t {
    char *bytes; /* from malloc; its owner's */
    size_t n;
} hapstore_value_t;

/** What is wanted of a node. The asker's, untouched until it has ended. */
typedef struct hapstore_ask_t {
    hap_str_t name;
    bool put; /* else a get */
    hap_str_t value;
    uint32_t ttl_s;
    hapstore_token_t token; /* put: number 0: there must be none */

    /* what came of it */
    hapstore_node_end_t end;
    hapstore_value_t got;       /* OK of a get: the value, the asker's */
    hapstore_token_t got_token; /* OK: of what the node has now; number 0: it did not say */

    /* the node's, while it has it */
    struct hapstore_ask_t *next;
    int64_t since_ms;
    bool again; /* it was sent before, to no answer */
} hapstore_ask_t;

typedef struct hapstore_asker_t hapstore_asker_t;

/** What a node tells who asks it. */
typedef struct hapstore_asker_iface_t {
    /** The ask has its end. */
    void (*ended)(hapstore_asker_t *asker, hapstore_ask_t *ask);
    /** It is not to be asked any more until it answers a probe. Why: part of a sentence. */
    void (*failed)(hapstore_asker_t *asker, const char *why);
    /** It has answered a probe. */
    void (*answers)(hapstore_asker_t *asker);
    /** Have `tick` called at this time, at the latest. */
    void (*due)(hapstore_asker_t *asker, int64_t due_ms);
    /** Have `ready` called when the descriptor is ready; `change`: it was watched before. A closed
     * one is not watched any more. */
    bool (*watch)(hapstore_asker_t *asker, int fd, uint32_t events, bool change);
} hapstore_asker_iface_t;

/** Who asks a node; embedded in what it belongs to. */
struct hapstore_asker_t {
    const hapstore_asker_iface_t *iface;
    bool fresh; /* something is to be sent: have `flush` called before there is a wait */
};

static inline void hapstore_tell_ended(hapstore_asker_t *asker, hapstore_ask_t *ask,
                                       hapstore_node_end_t end)
{
    ask->end = end;
    asker->iface->ended(asker, ask);
}

static inline void hapstore_tell_failed(hapstore_asker_t *asker, const char *why)
{
    asker->iface->failed(asker, why);
}

static inline void hapstore_tell_answers(hapstore_asker_t *asker)
{
    asker->iface->answers(asker);
}

static inline void hapstore_tell_due(hapstore_asker_t *asker, int64_t due_ms)
{
    asker->iface->due(asker, due_ms);
}

static inline bool hapstore_tell_watch(hapstore_asker_t *asker, int fd, uint32_t events,
                                       bool change)
{
    return asker->iface->watch(asker, fd, events, change);
}

typedef struct hapstore_node_iface_t {
    const char *kind;
    /** A handle. NULL without memory. */
    void *(*open)(hapstore_asker_t *asker, const hapstore_conf_t *conf, unsigned index);
    /** Begins it. It may end within the call. */
    void (*ask)(void *handle, hapstore_ask_t *ask);
    /** Asks whether it answers, looking its name up again if it could not be reached. */
    void (*probe)(void *handle);
    /** After some asks: what was not sent yet is. May be NULL. */
    void (*flush)(void *handle);
    /** EPOLL* bits of what it watches. May be NULL. */
    void (*ready)(void *handle, uint32_t events);
    /** Ends what has lasted too long. May be NULL. */
    void (*tick)(void *handle, int64_t now_ms);
    /** Ends all, FAILED. */
    void (*close)(void *handle);
} hapstore_node_iface_t;

extern const hapstore_node_iface_t hapstore_memcached; /* hapstore_memcached.c */
extern const hapstore_node_iface_t hapstore_shm;       /* hapstore_shm.c */

#endif
