/* SPDX-License-Identifier: Apache-2.0 */
/* Owns scripts that a test runs on its own loop: how they end, what they print, who is left. */
#ifndef UNIT_SCRIPT_H
#define UNIT_SCRIPT_H

#include "folder.h"
#include "process.h"
#include "zd_script.h"

enum {
    SCRIPT_LIMIT_MS = 20000, /* no script comes near it */
    SCRIPT_SOON_MS = 5000,
    SCRIPT_SHORT_MS = 1000
};

extern uv_loop_t script_loop;
extern zd_script_end_t script_end; /* how the last one has ended; texts are from unit_pool */
extern int script_ends;            /* how many have, since the last one began */
extern char script_dir[FOLDER_BYTES];
extern const char *script_mark; /* NAME=VALUE of this test's processes */
extern const char *script_shim; /* file of the shim of those that begin; NULL: it has none */

/** Begins a test, and ends it with all of its processes. */
void script_setup(void);
void script_finish(void);

/** Begins one; waits for the end of the one that runs; both. */
zd_script_t *script_begin(const char *const *argv, const char *const *env, unsigned limit_ms);
void script_wait(void);
void script_run(const char *const *argv, const char *const *env, unsigned limit_ms);

/** Runs a text of sh, marked, whose first argument is the folder. */
void script_sh(const char *text, unsigned limit_ms);

/** What the last one has printed. */
const char *script_output(void);

/** Kills who has the mark, and `more` unless that is NULL; who is below the shim with that file in
 * the folder. How many. */
unsigned script_reap(const char *more);
unsigned script_reap_below(const char *name);

/** The number in a file of the folder, once it is there. */
pid_t script_pid(const char *name);

/** Makes an empty file in the folder. */
void script_touch(const char *name);

/** For script_sh: a service, run by `run`, which says its number in the file pid. Once there is a
 * file go it prints more than a pipe holds, and makes the file printed. */
#define SCRIPT_CHATTY(run)                                                                         \
    "cat >$1/service <<'END'\n"                                                                    \
    "echo $$ >$1/pid\n"                                                                            \
    "echo started\n"                                                                               \
    "while [ ! -e $1/go ]; do sleep 0.01; done\n"                                                  \
    "seq 1 300000 && touch $1/printed\n"                                                           \
    "exec sleep 60\n"                                                                              \
    "END\n"                                                                                        \
    "(setsid " run " sh $1/service $1 &)\n"                                                        \
    "while [ ! -s $1/pid ]; do sleep 0.01; done\n"

#endif
