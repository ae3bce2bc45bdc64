/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the replicated commands and their bytes (doc/zerod.md): what the log of the cluster is made
 * of. Does not carry them out: zd_apply does.
 *
 *     {"v":1,"do":"member-set","client":"f00d","seq":7,"at":1760000000000,"by":"root@hostA",...}
 *
 * One object a command, with blanks at its end up to a multiple of 8 bytes, as the engine wants it.
 */
#ifndef ZD_COMMAND_H
#define ZD_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    ZD_COMMAND_VERSION = 1,
    ZD_COMMAND_BYTES_MAX = 4096,
    ZD_COMMAND_ALIGN = 8, /* libraft: entries are multiples of that */
    ZD_CLIENT_BYTES_MAX = 63,
    ZD_WHY_BYTES_MAX = 255
};

/**
 * What a command says beside what it does, as V(MEMBER, name, kind). All commands have the first
 * four, which say for whom, for the how many-th time, when and at whose word.
 */
#define ZD_FIELDS(V)                                                                               \
    V(CLIENT, client, TEXT)   /* who waits for the result; grammar of routes */                    \
    V(SEQ, seq, NUMBER)       /* the client's own count; a command runs once for each */           \
    V(AT, at_ms, NUMBER)      /* wall clock of who sent it, since 1970: for people */              \
    V(BY, by, TEXT)           /* a person or a node: for people */                                 \
    V(EXPECT, expect, NUMBER) /* the map's version that it is meant for; 0: any */                 \
    V(UUID, uuid, TEXT)       /* of the cluster */                                                 \
    V(NODE, node, TEXT)       /* a node's id */                                                    \
    V(ADDRESS, address, TEXT) /* HOST:PORT */                                                      \
    V(ROLE, role, TEXT)       /* hap_map_role_names */                                             \
    V(ELECTABLE, electable, FLAG)                                                                  \
    V(PRESENT, present, FLAG) /* the leader hears of it */                                         \
    V(RAFT, raft, NUMBER)     /* its number in the engine; never used twice */                     \
    V(TERM, term, NUMBER)     /* the engine's, of the leader that sent it */                       \
    V(APP, app, TEXT)                                                                              \
    V(SINGLE, single, FLAG) /* active-passive */                                                   \
    V(ROUTE, route, TEXT)   /* a member's */                                                       \
    V(URL, url, TEXT)       /* a member's; none: it has no address */                              \
    V(WEIGHT, weight, NUMBER)                                                                      \
    V(ADMIN, admin, TEXT)   /* hap_admin_names */                                                  \
    V(EPOCH, epoch, NUMBER) /* the lease's that it is about; of a grant, the one before */         \
    V(HOME, home, TEXT)     /* of the daemon that gets it, as its beats say */                     \
    V(PAUSED, paused, FLAG)                                                                        \
    V(WHY, why, TEXT) /* for people */

#define ZD_FIELD_ENUM(name, member, kind) ZD_FIELD_##name,
typedef enum zd_field_t { ZD_FIELDS(ZD_FIELD_ENUM) ZD_FIELD_COUNT } zd_field_t;
#undef ZD_FIELD_ENUM

#define ZD_TEXT   const char *
#define ZD_NUMBER uint64_t
#define ZD_FLAG   bool

#define ZD_BIT(name) (UINT32_C(1) << ZD_FIELD_##name)

/** What a command does, as V(NAME, "word", fields it needs beside those that all have, fields it
 * may have beside those that any may). */
#define ZD_DOES(V)                                                                                 \
    V(INIT, "init", ZD_BIT(UUID), 0)                /* a cluster begins */                         \
    V(LEAD, "lead", ZD_BIT(NODE) | ZD_BIT(TERM), 0) /* a node is the primary now */                \
    V(PREFER, "prefer", ZD_BIT(NODE), 0)            /* it is to lead: first half of set-primary */ \
    V(NODE_SET, "node-set",                                                                        \
      ZD_BIT(NODE) | ZD_BIT(ADDRESS) | ZD_BIT(ROLE) | ZD_BIT(ELECTABLE) | ZD_BIT(RAFT), 0)         \
    V(NODE_PRESENT, "node-present", ZD_BIT(NODE) | ZD_BIT(PRESENT), 0)                             \
    V(NODE_REMOVE, "node-remove", ZD_BIT(NODE), 0)                                                 \
    V(APP_SET, "app-set", ZD_BIT(APP) | ZD_BIT(SINGLE), 0)                                         \
    V(APP_REMOVE, "app-remove", ZD_BIT(APP), 0)                                                    \
    V(APP_PAUSE, "app-pause", ZD_BIT(APP) | ZD_BIT(PAUSED), 0)                                     \
    V(MEMBER_SET, "member-set", ZD_BIT(APP) | ZD_BIT(ROUTE) | ZD_BIT(WEIGHT) | ZD_BIT(ADMIN),      \
      ZD_BIT(URL)) /* no URL: no address */                                                        \
    V(MEMBER_REMOVE, "member-remove", ZD_BIT(APP) | ZD_BIT(ROUTE), 0)                              \
    V(GRANT, "grant", ZD_BIT(APP) | ZD_BIT(ROUTE) | ZD_BIT(EPOCH) | ZD_BIT(HOME), 0)               \
    V(RELEASE, "release", ZD_BIT(APP) | ZD_BIT(EPOCH) | ZD_BIT(WHY), 0) /* of that epoch */

#define ZD_DO_ENUM(name, word, needs, may) ZD_DO_##name,
typedef enum zd_do_t { ZD_DOES(ZD_DO_ENUM) ZD_DO_COUNT } zd_do_t;
#undef ZD_DO_ENUM

/** Their words, by zd_do_t. */
extern const char *const zd_do_names[ZD_DO_COUNT];

/** A command. Fields that it does not have are NULL, 0 or false. */
typedef struct zd_command_t {
    zd_do_t what;
#define ZD_FIELD_MEMBER(name, member, kind) ZD_##kind member;
    ZD_FIELDS(ZD_FIELD_MEMBER)
#undef ZD_FIELD_MEMBER
} zd_command_t;

/** Its bytes, from `pool`. APR_EINVAL with a sentence when a field that it needs is not there, or
 * the whole is larger than ZD_COMMAND_BYTES_MAX. */
apr_status_t zd_command_encode(hap_str_t *bytes, const zd_command_t *command, hap_diag_t *diag,
                               apr_pool_t *pool);

/** Reads a command's bytes; copies into `pool`. APR_EINVAL with a sentence on another version, a
 * command or field that is unknown, missing or of the wrong type. */
apr_status_t zd_command_decode(zd_command_t *command, hap_str_t bytes, hap_diag_t *diag,
                               apr_pool_t *pool);

#endif
