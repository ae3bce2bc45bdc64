/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a process that reads what a script's service prints when the daemon does not any more,
 * because the script has ended or because the daemon is dead. Does not look at what it reads.
 */
#ifndef ZD_SHIM_H
#define ZD_SHIM_H

/**
 * Starts a shim for a pipe of which the caller has the reading end, `output`, and the writing end.
 * It waits until the returned descriptor is closed, by the caller or by its death, and reads from
 * then on; it ends when nobody can write to the pipe. -errno when it cannot be started.
 * The next call waits for those that have ended. Loop thread only.
 */
int zd_shim_start(int output);

#endif
