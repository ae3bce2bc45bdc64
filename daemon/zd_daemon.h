/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the running daemon: what ties configuration, engine, map file and control socket together on
 * one loop. Does not read options or files of configuration: zd_main does.
 */
#ifndef ZD_DAEMON_H
#define ZD_DAEMON_H

#include "zd_config.h"
#include "zd_tls.h"

/** What the daemon runs with. Borrowed until it ends. */
typedef struct zd_daemon_conf_t {
    const zd_config_t *config;
    const char *id;    /* its node's */
    const char *dir;   /* its own folder, absolute, which exists: log, map, control socket */
    const char *first; /* who is to lead a cluster that begins; NULL: no matter */
    bool primary;      /* this node is, where nobody has led yet */
    zd_tls_ctx_t *tls; /* NULL: it is alone */
    bool joins;        /* a cluster that there is: it does not begin one */
    uint64_t forced;   /* it goes on as the only node with a vote, in that term; 0: not so */
} zd_daemon_conf_t;

enum { ZD_DAEMON_FORCED = -1 };

/** Runs until SIGTERM or SIGINT, or until the engine gives up. The exit code of the program: 0, 1
 * with the reason in the log; ZD_DAEMON_FORCED: it is to be run again, with `forced` as
 * it has been set. */
int zd_daemon_run(zd_daemon_conf_t *conf);

#endif
