/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the memory in which all children of a server, of old configurations too, agree which map is
 * in force: its bytes, so that a child that begins while the file is damaged has it, and what is
 * wrong with the file, so that it is said once. Does not read files or maps.
 */
#ifndef MH_MAP_BOARD_H
#define MH_MAP_BOARD_H

#include <httpd.h>

#include "hap_str.h"

/** Takes over the board of the last configuration, if that had the same file, or makes one. Parent,
 * post_config. Errors are the system's. */
apr_status_t mh_map_board_open(server_rec *s, const char *path);

/** How many maps have been put up: a child that has seen this one has nothing to do. Any thread. */
uint64_t mh_map_board_serial(void);

/** An eventfd that is written to with every map, and that nobody reads: for EPOLLET. */
int mh_map_board_bell(void);

/** Takes the lock; one thread of a process at a time. The kernel frees it with the process. */
void mh_map_board_lock(void);
void mh_map_board_unlock(void);

/** The map that is in force; empty when there is none yet. Borrows, until the lock is given back.
 * Under the lock. */
hap_str_t mh_map_board_text(void);

/** Puts up the next one, and rings. Under the lock. */
void mh_map_board_put(hap_str_t text);

/** What is wrong with the file is this, empty nothing: true if that was not known. Under the lock.
 */
bool mh_map_board_trouble(const char *why);

#endif
