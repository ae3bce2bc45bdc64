/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the file in which the members' states outlive the server (HAStateFile). The parent reads and
 * writes it. Does not know the format: hap_statefile does.
 */
#ifndef MH_STATE_H
#define MH_STATE_H

#include <httpd.h>

/**
 * Reads the saved states into the shared segment, at the first start only: over a restart memory
 * knows better. A damaged file is named, set aside and begun anew. Parent, post_config, after the
 * members have their slots.
 */
void mh_state_load(server_rec *s, apr_pool_t *p);

/** Warns when the file's folder is not there or cannot be written. Parent, post_config. */
void mh_state_check(server_rec *s, apr_pool_t *p);

/** Writes the file if anything has changed since. Parent, monitor hook and the end. */
void mh_state_save(server_rec *s, apr_pool_t *p);

/** Has the states saved when this configuration ends. Parent, post_config. */
void mh_state_save_at_end(server_rec *s, apr_pool_t *p);

#endif
