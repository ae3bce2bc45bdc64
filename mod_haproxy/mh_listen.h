/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the sockets of HAListen: addresses that the lanes' loops accept on by themselves. They stay
 * open over restarts, as httpd's own do. Does not accept.
 */
#ifndef MH_LISTEN_H
#define MH_LISTEN_H

#include <stdbool.h>

#include <httpd.h>

/** Notes an address, written as for Listen; a sentence when it is none. Configuration. */
const char *mh_listen_add(apr_pool_t *p, const char *address);

/** Forgets the addresses of the last configuration. */
void mh_listen_reset(void);

/** There is an address. */
bool mh_listen_any(void);

/** The addresses as text: "*:80, [::1]:8080"; "" without one. From `p`. */
const char *mh_listen_names(apr_pool_t *p);

/** Looks whether Listen has one of them, too: APR_EINVAL after a line in the log. check_config. */
apr_status_t mh_listen_check(server_rec *s, apr_pool_t *ptemp);

/** Opens the sockets that are not open yet, and closes those that are not wanted any more. Parent,
 * open_logs. */
apr_status_t mh_listen_open(apr_pool_t *ptemp, server_rec *s);

/** The i-th socket, or -1 behind the last one. */
int mh_listen_socket(unsigned i);

/** The eventfd of all who accept from these sockets, in this and other processes. */
int mh_listen_nudge(void);

/**
 * Closes this process's descriptors of the sockets, which others go on with. They may be httpd's by
 * now, which closes its own. A child that leaves, once none of its loops accepts any more.
 */
void mh_listen_leave(void);

/** Has a graceful stop end the sockets as it ends those of httpd. Parent, child_status of a child
 * that has started; once is enough. */
void mh_listen_watch_stop(apr_pool_t *pconf);

#endif
