/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which descriptors other programs get from this one: standard input, output and error. Does
 * not open any.
 */
#ifndef ZD_FDS_H
#define ZD_FDS_H

/** Marks all descriptors but 0, 1 and 2 as closed on exec, those too that the daemon was started
 * with. The highest one that is open. */
int zd_fds_seal(void);

#endif
