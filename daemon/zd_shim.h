/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the process that every script runs under: it starts the script, says how that has ended,
 * and stays for as long as anything lives that the script has begun. Does not look at what is
 * printed, and kills nobody.
 */
#ifndef ZD_SHIM_H
#define ZD_SHIM_H

#include <stdint.h>
#include <sys/types.h>

#define ZD_SHIM_NAME "zd-shim" /* as /proc has it */

enum { ZD_SHIM_MARK_FD = 3 }; /* in the shim: the mark's file; whose processes these are */

/** What a shim says. */
typedef enum zd_shim_kind_t {
    ZD_SHIM_STARTED, /* `value` is the script's pid, which is its process group's */
    ZD_SHIM_FAILED,  /* `value` is the errno of why the script cannot be run */
    ZD_SHIM_ENDED    /* `value` is its status, as waitpid has it */
} zd_shim_kind_t;

typedef struct zd_shim_said_t {
    zd_shim_kind_t kind;
    int value;
    uint64_t at_ns; /* on CLOCK_MONOTONIC */
} zd_shim_said_t;

typedef struct zd_shim_conf_t {
    const char *const *argv; /* up to NULL; the first is a path, or a name in the PATH of `env` */
    char *const *env;        /* all of it, up to NULL */
    const char *mark;        /* path, made unless it is there; NULL: nobody's */
    int reads;               /* the ends of the pipe of what is printed */
    int writes;
} zd_shim_conf_t;

typedef struct zd_shim_t {
    pid_t script;
    int channel; /* what it says; the caller's to close, which has the shim read what is printed */
} zd_shim_t;

/**
 * Starts a shim and the script, in a session of its own, with nothing to read, default signals and
 * no descriptors but the three; waits until it has a pid, not until it could be executed. `conf` is
 * used meanwhile; the caller closes the ends of the pipe. Each process that the script leaves
 * behind, wherever it goes, is below the shim, which reads what these print when the caller has
 * closed `channel` or is dead, and ends when nobody is there any more and nobody can print. -errno
 * when it cannot be started. The next call waits for shims that have ended. Loop thread only.
 */
int zd_shim_start(zd_shim_t *shim, const zd_shim_conf_t *conf);

/** 1: it has said something; 0: not yet; -1: it was killed, or has said all. Does not wait. */
int zd_shim_hear(zd_shim_said_t *said, int channel);

#endif
