/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the grammar of zero's command line: -NAME=VALUE or --NAME=VALUE, flags without a value,
 * options before, between and after operands, -- ends them. Does not check what a value means.
 */
#include "zero.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

/* All options of a command in one line: -balancer, -o=FILE */
static const char *allowed(const zero_command_t *command, apr_pool_t *pool)
{
    const char *list = "";
    for (const zero_option_t *option = command->options; option->name; option++) {
        list = apr_pstrcat(pool, list, *list ? ", " : "", "-", option->name,
                           option->value ? "=" : "", option->value ? option->value : "", NULL);
    }
    return *list ? list : "none";
}

static int find_option(const zero_command_t *command, hap_str_t name)
{
    for (int i = 0; command->options[i].name; i++) {
        if (hap_str_eq(name, hap_str(command->options[i].name))) {
            return i;
        }
    }
    return -1;
}

static int read_option(zero_args_t *args, const char *word)
{
    const zero_command_t *command = args->command;
    const char *start = word + (word[1] == '-' ? 2 : 1);
    const char *equals = strchr(start, '=');
    hap_str_t name = hap_strn(start, equals ? (size_t)(equals - start) : strlen(start));
    const char *shown = hap_str_show(name, args->pool);
    int index = find_option(command, name);
    if (index < 0) {
        return zero_fail(command, ZERO_USAGE, "unknown option -%s, allowed are %s", shown,
                         allowed(command, args->pool));
    }
    const zero_option_t *option = &command->options[index];
    if (args->values[index]) {
        return zero_fail(command, ZERO_USAGE, "-%s is given twice, give it once", shown);
    }
    if (!option->value && equals) {
        return zero_fail(command, ZERO_USAGE, "-%s takes no value, write -%s", shown, shown);
    }
    if (option->value && (!equals || equals[1] == '\0')) {
        return zero_fail(command, ZERO_USAGE, "-%s has no value, write -%s=%s", shown, shown,
                         option->value);
    }
    args->values[index] = option->value ? equals + 1 : "";
    return ZERO_DONE;
}

static int check_operands(const zero_args_t *args)
{
    const zero_command_t *command = args->command;
    if (args->operand_count < command->min_operands) {
        return zero_fail(command, ZERO_USAGE, "%s is missing, see zero help %s %s",
                         command->operands, command->group, command->name);
    }
    if (command->max_operands >= 0 && args->operand_count > command->max_operands) {
        return zero_fail(command, ZERO_USAGE,
                         "unexpected \"%s\", options are written -NAME=VALUE: %s",
                         hap_str_show(hap_str(args->operands[command->max_operands]), args->pool),
                         allowed(command, args->pool));
    }
    return ZERO_DONE;
}

static int check_needed(const zero_args_t *args)
{
    const zero_command_t *command = args->command;
    for (const char *const *name = command->needed; name && *name; name++) {
        if (!zero_opt(args, *name)) {
            return zero_fail(command, ZERO_USAGE, "-%s= is missing, see zero help %s %s", *name,
                             command->group, command->name);
        }
    }
    return ZERO_DONE;
}

int zero_opt_read(zero_args_t *args, int argc, const char *const *argv)
{
    apr_array_header_t *operands = apr_array_make(args->pool, argc ? argc : 1, sizeof(char *));
    bool options = true;
    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            int code = read_option(args, argv[i]);
            if (code != ZERO_DONE) {
                return code;
            }
        } else {
            APR_ARRAY_PUSH(operands, const char *) = argv[i];
        }
    }
    args->operands = (const char *const *)operands->elts;
    args->operand_count = operands->nelts;
    int code = check_operands(args);
    return code == ZERO_DONE ? check_needed(args) : code;
}

const char *zero_opt(const zero_args_t *args, const char *name)
{
    int index = find_option(args->command, hap_str(name));
    return index < 0 ? NULL : args->values[index];
}
