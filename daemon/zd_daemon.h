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
    zd_tls_ctx_t *tls; /* NULL: it is alone */
} zd_daemon_conf_t;

/** Runs until SIGTERM or SIGINT, or until the engine gives up. The exit code of the program: 0, 1
 * with the reason in the log. */
int zd_daemon_run(const zd_daemon_conf_t *conf);

#endif
