/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation of whole daemons (sim.h). Without arguments: what make check has time for. For
 * longer: sim -seeds=10000 -steps=100000. What fails is repeated with -seed.
 *
 *     sim [-seed=N] [-seeds=N] [-steps=N] [-break=WHAT] [-loud]
 *     sim -breaks    what can be broken, one a line
 *
 * Exit: 0 nothing was found, 1 something was, 2 it could not run. With -break=WHAT, what is broken
 * has to be found by one of the seeds: 0 if it was. That a daemon dies finds nothing but
 * -break=disk, of which libraft does not survive all.
 */
#include "sim.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>

#define SIM_BREAK_NAME(name, word) [SIM_BREAK_##name] = word,
const char *const sim_break_names[] = {SIM_BREAKS(SIM_BREAK_NAME)};
#undef SIM_BREAK_NAME

typedef struct ask_t {
    sim_conf_t conf;
    uint64_t seeds;
    bool breaks; /* it is asked what can be broken */
} ask_t;

static const char *value_of(const char *arg, const char *name)
{
    size_t n = strlen(name);
    return strncmp(arg, name, n) == 0 ? arg + n : NULL;
}

static bool read_arg(ask_t *ask, const char *arg)
{
    const char *value;
    if ((value = value_of(arg, "-seeds="))) {
        ask->seeds = strtoull(value, NULL, 10);
    } else if ((value = value_of(arg, "-seed="))) {
        ask->conf.seed = strtoull(value, NULL, 10);
    } else if ((value = value_of(arg, "-steps="))) {
        ask->conf.steps = strtoull(value, NULL, 10);
    } else if ((value = value_of(arg, "-break="))) {
        int what = hap_str_word(hap_str(value), sim_break_names, SIM_BREAK_COUNT);
        ask->conf.broken = (sim_break_t)what;
        return what >= 0;
    } else if (strcmp(arg, "-breaks") == 0) {
        ask->breaks = true;
    } else {
        ask->conf.loud = strcmp(arg, "-loud") == 0;
        return ask->conf.loud;
    }
    return true;
}

static void print_breaks(void)
{
    for (int i = SIM_BREAK_NOTHING + 1; i < SIM_BREAK_COUNT; i++) {
        printf("%s\n", sim_break_names[i]);
    }
}

static void print_sum(uint64_t seeds)
{
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " s: %" PRIu64 " commands, %" PRIu64
           " acknowledged, %" PRIu64 " terms, %" PRIu64 " grants, %" PRIu64 " snapshots read, "
           "%" PRIu64 " crashes, %" PRIu64 " stops, %" PRIu64 " cuts, %" PRIu64 " guards\n",
           seeds, sim_sum.virtual_ms / 1000, sim_sum.commands, sim_sum.acknowledged, sim_sum.terms,
           sim_sum.grants, sim_sum.restores, sim_sum.crashes, sim_sum.pauses, sim_sum.cuts,
           sim_sum.guards);
}

/* Libraft, or this program, has run into what it does not survive: the seed is said, too. In the
 * handler of a signal memory may not be had. */
static void crashed(int number)
{
    char line[160];
    const sim_t *sim = sim_now;
    int n = snprintf(line, sizeof(line),
                     "sim: seed %" PRIu64 ", step %" PRIu64 ", at %" PRIu64
                     ".000 s: a daemon dies of signal %d\n",
                     sim->conf.seed, sim->step, sim->now_us / 1000000, number);
    (void)!write(STDOUT_FILENO, line, (size_t)n);
    _exit(sim->conf.broken == SIM_BREAK_DISK ? 0 : 1);
}

static int run(ask_t *ask)
{
    uint64_t found = 0;
    uint64_t n = 0;
    bool broken = ask->conf.broken != SIM_BREAK_NOTHING;
    while (n < ask->seeds && !(broken && found)) {
        found += !sim_run(&ask->conf);
        ask->conf.seed++;
        n++;
        fflush(stdout);
    }
    print_sum(n);
    if (broken) {
        printf("sim: -break=%s: %s\n", sim_break_names[ask->conf.broken],
               found ? "found" : "not found");
        return found ? 0 : 1;
    }
    return found ? 1 : 0;
}

int main(int argc, char **argv)
{
    ask_t ask = {.conf = {.seed = 1, .steps = 100000}, .seeds = 24};
    for (int i = 1; i < argc; i++) {
        if (!read_arg(&ask, argv[i])) {
            fprintf(stderr, "sim: %s: see the top of sim.c\n", argv[i]);
            return 2;
        }
    }
    if (ask.breaks) {
        print_breaks();
        return 0;
    }
    apr_initialize();
    signal(SIGABRT, crashed);
    signal(SIGSEGV, crashed);
    int code = run(&ask);
    apr_terminate();
    return code;
}
