/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading /proc. */
#include "process.h"

#include <stdio.h>

#include <apr_strings.h>

#include "unit.h"

char process_state(pid_t pid, pid_t *parent)
{
    char state = 0;
    int ppid = 0;
    FILE *in = fopen(apr_psprintf(unit_pool, "/proc/%d/stat", (int)pid), "r");
    if (in && fscanf(in, "%*d (%*[^)]) %c %d", &state, &ppid) != 2) {
        state = 0;
    }
    if (in) {
        fclose(in);
    }
    if (parent) {
        *parent = (pid_t)ppid;
    }
    return state;
}

pid_t process_parent(pid_t pid)
{
    pid_t parent;
    process_state(pid, &parent);
    CU_ASSERT_TRUE_FATAL(parent > 1); /* it is killed: 0 would be all of us */
    return parent;
}

bool process_lives(pid_t pid)
{
    char state = process_state(pid, NULL);
    return state && state != 'Z' && state != 'X';
}

bool process_comes_to_end(pid_t pid)
{
    for (int i = 0; i < UNIT_TURNS && process_lives(pid); i++) {
        unit_rest();
    }
    return !process_lives(pid);
}
