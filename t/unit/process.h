/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a test asks about processes, its own and others. */
#ifndef UNIT_PROCESS_H
#define UNIT_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/** Its state as ps has it, and its parent unless that is NULL; 0: there is none. */
char process_state(pid_t pid, pid_t *parent);

/** Its parent; the test ends if that is not there any more. */
pid_t process_parent(pid_t pid);

/** Whether it is there, and has not ended; whether it has ended in the end. */
bool process_lives(pid_t pid);
bool process_comes_to_end(pid_t pid);

#endif
