/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a script of a replica while it runs: its processes, its time and what it prints. Does not
 * know what it is for, and has nothing to do with a service that it leaves running.
 */
#ifndef ZD_SCRIPT_H
#define ZD_SCRIPT_H

#include <stdbool.h>

#include <uv.h>

#include "hap_str.h"

enum {
    ZD_SCRIPT_OUTPUT_BYTES = 64 << 10, /* the last of what is printed */
    ZD_SCRIPT_GIVE_UP_MS = 1000        /* after SIGKILL */
};

/** How a script has ended. Borrowed until `done` returns. */
typedef struct zd_script_end_t {
    const char *why;  /* a sentence: it could not be started; NULL: it was */
    int code;         /* its exit code; -1: it has none */
    int signal;       /* by which it has ended; 0: none */
    bool timed_out;   /* its time was over, whatever it ended with then */
    bool lives;       /* not even SIGKILL has ended it: it hangs in the kernel, as on a dead disk */
    unsigned ms;      /* that it ran */
    hap_str_t output; /* the end of what it printed, to standard output and error */
} zd_script_end_t;

/** What is run. Its texts are used in zd_script_run, and may go then. */
typedef struct zd_script_conf_t {
    const char *const *argv; /* up to NULL; the first is a path, or a name in PATH. No shell */
    const char *const *env;  /* NAME=VALUE up to NULL, which win over the daemon's own; or NULL */
    const char *mark;  /* path of a file that says whose processes these are, for zd_reap; made
                        * unless it is there; NULL: nobody's */
    unsigned limit_ms; /* from 1 */
    void (*done)(void *baton, const zd_script_end_t *end);
    void *baton;
} zd_script_conf_t;

typedef struct zd_script_t zd_script_t;

/**
 * Starts a script under a shim (zd_shim.h), in a session and process group of its own, with nothing
 * to read and none of the daemon's descriptors. `done` is called later, once, however it ends: when
 * the script itself has ended, and nothing of it is left in the loop. Services that it has left
 * running go on, and may print for as long as they like. A tenth of the limit, at most a second,
 * before the limit SIGTERM goes to the group; when the script has ended of that, and at the limit,
 * SIGKILL does. Who has not ended ZD_SCRIPT_GIVE_UP_MS later is given up. The script is valid until
 * `done`. NULL: there is no memory, and `done` is not called.
 */
zd_script_t *zd_script_run(uv_loop_t *loop, const zd_script_conf_t *conf);

/** SIGKILL to its process group; `done` follows. Nothing when it has ended already. */
void zd_script_kill(zd_script_t *script);

#endif
