/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading the scoreboard, and what prefork does not say there by itself. */
#include "mh_takers.h"

#include <ap_mpm.h>
#include <http_config.h>
#include <httpd.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <signal.h>
#include <unistd.h>

#include "mh_child.h"

enum { WITHIN_US = 2000000 /* httpd looks once a second whether children are missing */ };

static const char *pid_file; /* once this child leaves */

static int process_limit(void)
{
    int limit = 0;
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit);
    return limit;
}

/* Without threads nothing but the status of its only worker tells that a child is leaving. */
static bool is_leaving(int slot, const process_score *process)
{
    if (mh_child_is_threaded()) {
        return process->quiescing;
    }
    const worker_score *worker = ap_get_scoreboard_worker_from_indexes(slot, 0);
    return !worker || worker->status == SERVER_GRACEFUL || worker->status == SERVER_DEAD;
}

/* Of this generation or the next one. */
static bool others_serve(void)
{
    for (int i = 0, limit = process_limit(); i < limit; i++) {
        const process_score *process = ap_get_scoreboard_process(i);
        if (process && process->pid && process->pid != getpid() && !is_leaving(i, process)) {
            return true;
        }
    }
    return false;
}

/* Of this process; NULL if another one has taken its slot over. */
static process_score *own_process(int *slot)
{
    for (int i = 0, limit = process_limit(); i < limit; i++) {
        process_score *process = ap_get_scoreboard_process(i);
        if (process && process->pid == getpid()) {
            *slot = i;
            return process;
        }
    }
    return NULL;
}

/* The old children of a restart are told to leave before there are new ones. */
static bool is_restart(void)
{
    int generation = 0;
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    return generation != ap_get_scoreboard_global()->running_generation;
}

static bool has_pid_file(void)
{
    return pid_file && access(pid_file, F_OK) == 0;
}

/* prefork calls no end of a child graceful, but those that are not come from the handler of their
 * signal, which is blocked there. */
bool mh_takers_is_graceful(int said)
{
    sigset_t blocked;
    if (said || mh_child_is_threaded()) {
        return said != 0;
    }
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return !sigismember(&blocked, SIGTERM) && !sigismember(&blocked, SIGHUP);
}

/* For is_leaving of the others. */
void mh_takers_leave(apr_pool_t *p)
{
    int slot;
    pid_file = ap_server_root_relative(p, ap_pid_fname);
    if (!mh_child_is_threaded() && own_process(&slot)) {
        ap_update_child_status_from_indexes(slot, 0, SERVER_GRACEFUL, NULL);
    }
}

/*
 * Who was told to leave before its threads were there has not said so, and worker starts nobody in
 * the slot of a child that has no thread marked as dead: both would wait for each other.
 */
void mh_takers_stay(void)
{
    int slot;
    int threads = 0;
    process_score *process = mh_child_is_threaded() ? own_process(&slot) : NULL;
    if (!process) {
        return;
    }
    if (!process->quiescing) {
        process->quiescing = 1;
    }
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    for (int i = 0; i < threads; i++) {
        ap_update_child_status_from_indexes(slot, i, SERVER_DEAD, NULL);
    }
}

/*
 * Children of a restart that has only begun do not know of it when they are told to leave, and one
 * that leaves alone is replaced. When new children are late, it may be for want of the slots that
 * the old ones hold; what is given waits for them. A server that ends removes its PidFile when it
 * has told its children.
 */
ml_takers_t mh_takers_find(apr_time_t since)
{
    return others_serve()                       ? ML_TAKERS_NOW
           : apr_time_now() - since < WITHIN_US ? ML_TAKERS_SOON
           : is_restart() || has_pid_file()     ? ML_TAKERS_NOW
                                                : ML_TAKERS_NONE;
}
