/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lines that the daemon writes to its standard error: `TIME zerod[ID]: TEXT`, the time in
 * UTC. Does not decide what is said.
 */
#ifndef ZD_LOG_H
#define ZD_LOG_H

/** Whose lines they are. Borrows for ever. */
void zd_log_open(const char *id);

/** One line. */
void zd_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
