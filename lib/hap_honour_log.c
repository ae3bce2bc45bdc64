/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which logs a mount's requests are written to, and whether the lane can fill in their
 * formats. Log directives of the main server hold for a virtual host only when it has none of its
 * own, and nicknames may be given after their use: so all are taken first and joined at the end.
 */
#include "hap_honour_model.h"

#include <apr_strings.h>

READER(custom_log);
READER(log_format);
READER(transfer_log);

static const char FORMAT_DEFAULT[] = "%h %l %u %t \"%r\" %>s %b";

/** A log directive, or a LogFormat. */
typedef struct taken_t {
    const hap_honour_node_t *node;
    const hap_honour_node_t *vhost; /* NULL: of the main server */
} taken_t;

typedef struct honour_logs_t {
    apr_array_header_t *logs;    /* taken_t of CustomLog, GlobalLog, TransferLog */
    apr_array_header_t *formats; /* taken_t of LogFormat, those of the vhost last */
} honour_logs_t;

#define TAKEN(list, i) (&APR_ARRAY_IDX(list, i, taken_t))

honour_logs_t *honour_logs_make(apr_pool_t *pool)
{
    honour_logs_t *logs = apr_palloc(pool, sizeof(*logs));
    logs->logs = apr_array_make(pool, 2, sizeof(taken_t));
    logs->formats = apr_array_make(pool, 8, sizeof(taken_t));
    return logs;
}

static const char *take(apr_array_header_t *list, const honour_at_t *at,
                        const hap_honour_node_t *node)
{
    APR_ARRAY_PUSH(list, taken_t) = (taken_t){.node = node, .vhost = at->scope};
    return NULL;
}

READER(custom_log)
{
    return take(at->logs->logs, at, node);
}

READER(transfer_log)
{
    return take(at->logs->logs, at, node);
}

READER(log_format)
{
    return take(at->logs->formats, at, node);
}

/* The format of a nickname, or what was given, which then is a format itself. */
static const char *format_of(const honour_logs_t *logs, const char *given)
{
    for (int i = logs->formats->nelts - 1; i >= 0; i--) {
        const hap_honour_node_t *node = TAKEN(logs->formats, i)->node;
        if (node->argc == 2 && strcmp(node->argv[1], given) == 0) {
            return node->argv[0];
        }
    }
    return given;
}

/* TransferLog's: the last LogFormat without a nickname, the vhost's before the main server's. */
static const char *default_format(const honour_logs_t *logs)
{
    for (int i = logs->formats->nelts - 1; i >= 0; i--) {
        const hap_honour_node_t *node = TAKEN(logs->formats, i)->node;
        if (node->argc == 1) {
            return format_of(logs, node->argv[0]);
        }
    }
    return FORMAT_DEFAULT;
}

/* --- formats --------------------------------------------------------------------------------- */

/*
 * What mod_log_config, mod_logio and mod_ssl can print of a record that has the request's line and
 * fields, the answer's status, times, counts and the balancer's variables. Not %o, %f, %n and %^:
 * the answer's fields are not kept until its end, and file names, notes, trailers and the time of
 * the first byte are made on httpd's own way only.
 */
static const char FILLED[] = "ABCDHILOPRSTUVXabcehiklmpqrstuvx";

/* One % item at the front: its letter and what stands in {}. Cuts it off. */
static char take_item(hap_str_t *argument, hap_str_t *format)
{
    size_t i = 1;
    *argument = hap_strn("", 0);
    while (i < format->n && strchr("!<>,0123456789", format->p[i]) && format->p[i]) {
        i++;
    }
    while (i < format->n && format->p[i] == '{') {
        size_t end = hap_str_find(*format, '}', i);
        *argument = hap_str_sub(*format, i + 1, end);
        i = end + 1;
        while (i < format->n && format->p[i] && strchr("!<>,0123456789", format->p[i])) {
            i++;
        }
    }
    char letter = i < format->n ? format->p[i] : '\0';
    *format = hap_str_sub(*format, i + 1, format->n);
    return letter;
}

static const char *check_item(char letter, hap_str_t argument, apr_pool_t *pool)
{
    if (letter == '%') {
        return NULL;
    }
    if (!letter || !strchr(FILLED, letter)) {
        const char *braces =
            argument.n ? apr_psprintf(pool, "{%s}", hap_str_show(argument, pool)) : "";
        return apr_psprintf(pool, "it logs %%%s%s, which the lane does not know", braces,
                            hap_str_show(hap_strn(&letter, 1), pool));
    }
    if (letter == 'e' && !hap_str_starts(argument, HAP_STR_LIT("BALANCER_"))) {
        return apr_psprintf(pool, "it logs the variable %s, which the lane does not know",
                            hap_str_show(argument, pool));
    }
    return NULL;
}

static const char *check_format(const char *format, apr_pool_t *pool)
{
    const char *why = NULL;
    hap_str_t rest = hap_str(format);
    while (!why && rest.n) {
        hap_str_t argument;
        if (rest.p[0] != '%') {
            size_t skip = rest.p[0] == '\\' ? 2 : 1;
            rest = hap_str_sub(rest, skip, rest.n);
            continue;
        }
        char letter = take_item(&argument, &rest);
        why = check_item(letter, argument, pool);
    }
    return why;
}

/* --- joining --------------------------------------------------------------------------------- */

/* Whether the vhost has a log of its own, so that the main server's do not hold. */
static bool has_own(const honour_logs_t *logs, const hap_honour_node_t *vhost)
{
    for (int i = 0; vhost && i < logs->logs->nelts; i++) {
        if (TAKEN(logs->logs, i)->vhost) {
            return true;
        }
    }
    return false;
}

static const char *join(hap_honour_log_t *log, const honour_logs_t *logs,
                        const hap_honour_node_t *node, apr_pool_t *pool)
{
    bool transfer = honour_is(node, "TransferLog");
    const char *condition = transfer ? "" : honour_arg(node, 2);
    *log = (hap_honour_log_t){
        .to = honour_arg(node, 0),
        .format = transfer ? default_format(logs) : format_of(logs, honour_arg(node, 1)),
    };
    if (hap_str_eq_nocase(hap_str_sub(hap_str(condition), 0, 4), HAP_STR_LIT("env="))) {
        log->env = condition + 4;
    } else if (*condition) {
        return "it has a condition that only httpd can test";
    }
    return check_format(log->format, pool);
}

const hap_honour_node_t *honour_logs_join(int *next, const char **why, honour_at_t *at,
                                          const hap_honour_node_t *vhost)
{
    const honour_logs_t *logs = at->logs;
    bool own = has_own(logs, vhost);
    while (*next < logs->logs->nelts) {
        hap_honour_log_t log;
        const taken_t *taken = TAKEN(logs->logs, (*next)++);
        if (own && !taken->vhost && !honour_is(taken->node, "GlobalLog")) {
            continue;
        }
        *why = join(&log, logs, taken->node, at->pool);
        if (*why) {
            return taken->node;
        }
        APR_ARRAY_PUSH(at->values->logs, hap_honour_log_t) = log;
    }
    return NULL;
}
