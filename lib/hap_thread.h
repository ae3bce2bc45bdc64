/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HAP_THREAD_H
#define HAP_THREAD_H

#include <pthread.h>

/** Starts a thread that takes no signals, not even in its first instructions: those are the
 * program's, and none may end up in a thread that the program does not know.
 * @param thread to be joined; NULL: it is detached, nobody waits for it
 * @return 0 or an error of pthread_create. */
int hap_thread_start(pthread_t *thread, void *(*main)(void *data), void *data);

#endif
