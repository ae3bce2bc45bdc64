/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns how a thread begins.
 */
#include "hap_thread.h"

#include <signal.h>

int hap_thread_start(pthread_t *thread, void *(*main)(void *data), void *data)
{
    pthread_t nobodys;
    pthread_attr_t attr;
    sigset_t all;
    sigset_t before;
    int rv = pthread_attr_init(&attr);
    if (rv != 0) {
        return rv;
    }
    pthread_attr_setdetachstate(&attr, thread ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(thread ? thread : &nobodys, &attr, main, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rv;
}
