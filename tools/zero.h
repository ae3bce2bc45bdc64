/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the files of the zero command share: exit codes, the shape of a command, and how it
 * speaks to the user. Decisions about fragments and configurations are in lib/.
 */
#ifndef ZERO_H
#define ZERO_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

/** How zero ends. */
enum {
    ZERO_DONE = 0,    /* done, or nothing to change */
    ZERO_REFUSED = 1, /* a conflict, a failed check, a difference with -diff, no choice */
    ZERO_USAGE = 2,   /* an unknown option or a malformed value */
    ZERO_IO = 3,      /* a file could not be read or written */
};

enum {
    ZERO_MAX_OPTIONS = 16,
    ZERO_FILE_MODE = 0666 /* of a new file, less the umask: what is in it is no secret */
};

/** An option of a command; the table ends with a NULL name. */
typedef struct zero_option_t {
    const char *name;  /* without the dash */
    const char *value; /* what it takes, for the help; NULL for a flag */
    const char *help;
} zero_option_t;

/** A command line that has been read. */
typedef struct zero_args_t {
    const struct zero_command_t *command;
    const char *values[ZERO_MAX_OPTIONS]; /* by index of the command's options; NULL: not given;
                                             "" for a flag that was */
    const char *const *operands;
    int operand_count;
    apr_pool_t *pool;
} zero_args_t;

/** A command. */
typedef struct zero_command_t {
    const char *group;    /* modproxy, zone, map, ha */
    const char *name;     /* merge */
    const char *operands; /* for the help; "" for none */
    int min_operands;
    int max_operands; /* -1: any number */
    const zero_option_t *options;
    const char *const *needed;           /* options that must be given, up to NULL; NULL: none */
    const char *summary;                 /* half a sentence */
    const char *details;                 /* paragraphs for the help */
    int (*run)(const zero_args_t *args); /* gives the exit code */
} zero_command_t;

/** All commands, up to NULL. */
extern const zero_command_t *const zero_commands[];

/** The records of the commands, each at the end of its file. */
extern const zero_command_t zero_generate_command;
extern const zero_command_t zero_merge_command;
extern const zero_command_t zero_check_command;
extern const zero_command_t zero_explain_command;
extern const zero_command_t zero_zone_status_command;
extern const zero_command_t zero_zone_get_command;
extern const zero_command_t zero_map_show_command;
extern const zero_command_t zero_map_diff_command;
extern const zero_command_t zero_map_check_command;
extern const zero_command_t zero_ha_init_command;
extern const zero_command_t zero_ha_status_command;
extern const zero_command_t zero_ha_roles_command;
extern const zero_command_t zero_ha_history_command;
extern const zero_command_t zero_ha_acks_command;
extern const zero_command_t zero_ha_output_command;
extern const zero_command_t zero_ha_switchover_command;
extern const zero_command_t zero_ha_pause_command;
extern const zero_command_t zero_ha_resume_command;
extern const zero_command_t zero_ha_set_primary_command;
extern const zero_command_t zero_ha_transfer_command;
extern const zero_command_t zero_ha_join_command;
extern const zero_command_t zero_ha_leave_command;
extern const zero_command_t zero_ha_force_command;

/** Says `zero GROUP NAME: ` and a sentence on stderr; gives `code` back. */
int zero_fail(const zero_command_t *command, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** The same for something in a file: `zero GROUP NAME: FILE:LINE: why`; no line when it is 0. */
int zero_fail_at(const zero_command_t *command, int code, const char *path, const hap_diag_t *diag);

/**
 * The same for a file that hapio_file_read did not give, with `rv` from it: one that is too big is
 * refused like other content, all else is input or output.
 */
int zero_fail_read(const zero_command_t *command, apr_status_t rv, const char *path,
                   const hap_diag_t *diag);

/** Says a sentence on stderr that does not change how the command ends. */
void zero_note(const zero_command_t *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Writes to stdout and makes sure that it got there. ZERO_DONE or ZERO_IO. */
int zero_print(const zero_command_t *command, hap_str_t text);

/** A path or another text from outside, fit for a message. Allocates from `pool`. */
const char *zero_show(const char *text, apr_pool_t *pool);

/**
 * Reads options and operands of args->command from argv. ZERO_DONE or ZERO_USAGE, which it has
 * explained. Borrows argv.
 */
int zero_opt_read(zero_args_t *args, int argc, const char *const *argv);

/** The value of an option by its name, NULL if it was not given. */
const char *zero_opt(const zero_args_t *args, const char *name);

/** Prints the help of everything, of a group, or of one command. ZERO_DONE, ZERO_USAGE or ZERO_IO.
 */
int zero_help(int argc, const char *const *argv, apr_pool_t *pool);

#endif
