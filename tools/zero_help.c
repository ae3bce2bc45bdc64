/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the texts that zero help prints; they are made from the commands' records. */
#include "zero.h"

#include <string.h>

#include <apr_strings.h>

static bool is_needed(const zero_command_t *command, const char *option)
{
    const char *const *name = command->needed;
    while (name && *name && strcmp(*name, option) != 0) {
        name++;
    }
    return name && *name;
}

static const char *synopsis(const zero_command_t *command, apr_pool_t *pool)
{
    const char *text = apr_pstrcat(pool, "zero ", command->group, " ", command->name, NULL);
    for (const zero_option_t *option = command->options; option->name; option++) {
        bool needed = is_needed(command, option->name);
        text =
            apr_pstrcat(pool, text, needed ? " -" : " [-", option->name, option->value ? "=" : "",
                        option->value ? option->value : "", needed ? "" : "]", NULL);
    }
    return apr_pstrcat(pool, text, *command->operands ? " " : "", command->operands, NULL);
}

static const char *help_of(const zero_command_t *command, apr_pool_t *pool)
{
    const char *text =
        apr_pstrcat(pool, synopsis(command, pool), "\n\n", command->details, "\n", NULL);
    for (const zero_option_t *option = command->options; option->name; option++) {
        const char *name = apr_pstrcat(pool, "-", option->name, option->value ? "=" : "",
                                       option->value ? option->value : "", NULL);
        text = apr_psprintf(pool, "%s  %-16s %s\n", text, name, option->help);
    }
    return text;
}

static const char *overview(const char *group, apr_pool_t *pool)
{
    const char *text = "";
    for (const zero_command_t *const *command = zero_commands; *command; command++) {
        if (!group || strcmp(group, (*command)->group) == 0) {
            const char *words = apr_pstrcat(pool, (*command)->group, " ", (*command)->name, NULL);
            text = apr_psprintf(pool, "%s  zero %-19s %s\n", text, words, (*command)->summary);
        }
    }
    return text;
}

static const char *all(apr_pool_t *pool)
{
    return apr_pstrcat(
        pool, "zero sets up high availability for applications behind Apache httpd.\n\n",
        overview(NULL, pool), "  zero help [GROUP [COMMAND]]\n  zero -version\n\n",
        "Options are written -NAME=VALUE or --NAME=VALUE; -- ends them, -help explains a "
        "command.\n"
        "Exit status: 0 done or unchanged, 1 refused, 2 usage, 3 input or output.\n",
        NULL);
}

int zero_help(int argc, const char *const *argv, apr_pool_t *pool)
{
    if (argc <= 0) {
        return zero_print(NULL, hap_str(all(pool)));
    }
    const char *group = overview(argv[0], pool);
    if (!*group) {
        return zero_fail(NULL, ZERO_USAGE, "unknown command \"%s\", there are:\n%s",
                         hap_str_show(hap_str(argv[0]), pool), overview(NULL, pool));
    }
    if (argc == 1) {
        return zero_print(NULL, hap_str(group));
    }
    for (const zero_command_t *const *command = zero_commands; *command; command++) {
        if (strcmp((*command)->group, argv[0]) == 0 && strcmp((*command)->name, argv[1]) == 0) {
            return zero_print(NULL, hap_str(help_of(*command, pool)));
        }
    }
    return zero_fail(NULL, ZERO_USAGE, "unknown command \"%s %s\", there are:\n%s", argv[0],
                     hap_str_show(hap_str(argv[1]), pool), group);
}
