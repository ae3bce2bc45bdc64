/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the client of the control socket. A connection for each question: one that was given up
 * would hold up the next.
 */
#include "zero_ha.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>

#include "zero_json.h"

enum {
    ANSWER_BYTES_MAX = 16 << 20,
    ANSWER_BYTES_FIRST = 64 << 10,
    LOOK_MS = 100, /* between two looks */
    LOOK_S = 2,    /* for an answer to one */
    WAIT_S_MAX = 86400
};

/* --- a connection ----------------------------------------------------------------------------- */

/* How long is left, as the socket's own timeout; false: nothing is. */
static bool set_timeout(int fd, int option, apr_time_t until)
{
    apr_interval_time_t left = until - apr_time_now();
    if (left <= 0) {
        return false;
    }
    const struct timeval time = {.tv_sec = apr_time_sec(left), .tv_usec = apr_time_usec(left)};
    return setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)) == 0;
}

static apr_status_t late(hap_diag_t *diag, const zero_ha_t *ha)
{
    hap_diag_set(diag, 0, "%s: zerod does not answer in time, its log may say why",
                 zero_show(ha->socket, ha->args->pool));
    return APR_TIMEUP;
}

static apr_status_t unreachable(hap_diag_t *diag, const zero_ha_t *ha, int error)
{
    const char *shown = zero_show(ha->socket, ha->args->pool);
    if (error == ENOENT || error == ECONNREFUSED) {
        hap_diag_set(diag, 0, "%s: zerod does not run, systemctl start zerod@ID starts it", shown);
    } else if (error == EACCES || error == EPERM) {
        hap_diag_set(diag, 0, "%s: may not be used, run this as root or as the user of zerod",
                     shown);
    } else {
        hap_diag_set(diag, 0, "%s: cannot be reached: %s", shown, strerror(error));
    }
    return error;
}

/* A full queue of connections is waited for, too, as long as the socket's timeout. */
static apr_status_t connect_to(int fd, const zero_ha_t *ha, apr_time_t until, hap_diag_t *diag)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(ha->socket) >= sizeof(address.sun_path)) {
        return unreachable(diag, ha, ENAMETOOLONG);
    }
    apr_cpystrn(address.sun_path, ha->socket, sizeof(address.sun_path));
    if (!set_timeout(fd, SO_SNDTIMEO, until)) {
        return late(diag, ha);
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return errno == EAGAIN ? late(diag, ha) : unreachable(diag, ha, errno);
    }
    return APR_SUCCESS;
}

static apr_status_t hung_up(hap_diag_t *diag, const zero_ha_t *ha)
{
    hap_diag_set(diag, 0,
                 "%s: zerod has hung up: it answers root and its own user alone, or has just ended",
                 zero_show(ha->socket, ha->args->pool));
    return APR_EOF;
}

static apr_status_t send_line(int fd, hap_str_t line, const zero_ha_t *ha, apr_time_t until,
                              hap_diag_t *diag)
{
    for (size_t n = 0; n < line.n;) {
        if (!set_timeout(fd, SO_SNDTIMEO, until)) {
            return late(diag, ha);
        }
        ssize_t put = send(fd, line.p + n, line.n - n, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR && errno != EAGAIN) {
            return hung_up(diag, ha);
        }
        n += put > 0 ? (size_t)put : 0;
    }
    return APR_SUCCESS;
}

static apr_status_t too_long(hap_diag_t *diag, const zero_ha_t *ha)
{
    hap_diag_set(diag, 0, "%s: the answer has more than %d bytes",
                 zero_show(ha->socket, ha->args->pool), ANSWER_BYTES_MAX);
    return APR_ENOSPC;
}

static apr_status_t read_line(const char **line, int fd, const zero_ha_t *ha, apr_time_t until,
                              hap_diag_t *diag)
{
    size_t size = ANSWER_BYTES_FIRST;
    size_t n = 0;
    char *bytes = apr_palloc(ha->args->pool, size);
    while (!memchr(bytes, '\n', n)) {
        if (n == size) {
            char *more = size < ANSWER_BYTES_MAX ? apr_palloc(ha->args->pool, 2 * size) : NULL;
            if (!more) {
                return too_long(diag, ha);
            }
            bytes = memcpy(more, bytes, n);
            size *= 2;
        }
        if (!set_timeout(fd, SO_RCVTIMEO, until)) {
            return late(diag, ha);
        }
        ssize_t got = recv(fd, bytes + n, size - n, 0);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
            return hung_up(diag, ha);
        }
        n += got > 0 ? (size_t)got : 0;
    }
    *(char *)memchr(bytes, '\n', n) = '\0';
    *line = bytes;
    return APR_SUCCESS;
}

static apr_status_t talk(const char **answer, const zero_ha_t *ha, const char *line,
                         apr_time_t until, hap_diag_t *diag)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return unreachable(diag, ha, errno);
    }
    apr_status_t rv = connect_to(fd, ha, until, diag);
    rv = rv == APR_SUCCESS ? send_line(fd, hap_str(line), ha, until, diag) : rv;
    rv = rv == APR_SUCCESS ? read_line(answer, fd, ha, until, diag) : rv;
    close(fd);
    return rv;
}

/* --- questions -------------------------------------------------------------------------------- */

static apr_status_t drop(void *object)
{
    json_decref(object);
    return APR_SUCCESS;
}

/* As a line that is sent; drops it. */
static const char *line_of(json_t *question, apr_pool_t *pool)
{
    char *text = json_dumps(question, JSON_COMPACT);
    const char *line = apr_pstrcat(pool, text ? text : "", "\n", NULL);
    free(text);
    json_decref(question);
    return line;
}

apr_status_t zero_ha_try(zero_ha_answer_t *answer, const zero_ha_t *ha, json_t *question,
                         apr_interval_time_t patience, hap_diag_t *diag)
{
    apr_pool_t *pool = ha->args->pool;
    const char *text = NULL;
    json_error_t error;
    apr_status_t rv = talk(&text, ha, line_of(question, pool), apr_time_now() + patience, diag);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json_t *object = json_loads(text, 0, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        hap_diag_set(diag, 0, "%s: the answer is no JSON object: is that zerod?",
                     zero_show(ha->socket, pool));
        return APR_EINVAL;
    }
    apr_pool_cleanup_register(pool, object, drop, apr_pool_cleanup_null);
    *answer = (zero_ha_answer_t){.object = object, .text = text};
    answer->error = zero_ha_text(object, "error", NULL, ha);
    return APR_SUCCESS;
}

int zero_ha_ask(zero_ha_answer_t *answer, const zero_ha_t *ha, json_t *question)
{
    hap_diag_t diag;
    const zero_command_t *command = ha->args->command;
    apr_status_t rv = zero_ha_try(answer, ha, question, apr_time_from_sec(ZERO_HA_ASK_S), &diag);
    if (rv != APR_SUCCESS) {
        return zero_fail(command, ZERO_IO, "%s", diag.why);
    }
    return answer->error ? zero_fail(command, ZERO_REFUSED, "%s", answer->error) : ZERO_DONE;
}

int zero_ha_cluster(const json_t **cluster, const zero_ha_t *ha)
{
    zero_ha_answer_t answer;
    int code = zero_ha_ask(&answer, ha, json_pack("{s:s}", "ask", "cluster"));
    if (code == ZERO_DONE) {
        *cluster = answer.object;
    }
    return code;
}

/* --- commands --------------------------------------------------------------------------------- */

/* Whether the leader that was asked leads no more: then the command may be carried out or not, and
 * nothing comes of asking again but the answer. */
static bool is_lost(const zero_ha_answer_t *answer)
{
    return answer->error && (json_object_get(answer->object, "why") ||
                             strcmp(answer->error, "this node does not lead") == 0);
}

/* A command is carried out once for each client. */
static const char *make_client(apr_pool_t *pool)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        number = (uint64_t)apr_time_now() ^ (uint64_t)getpid() << 32;
    }
    return apr_psprintf(pool, "zero-%016" PRIx64, number);
}

zero_ha_end_t zero_ha_end(const zero_ha_answer_t *answer, const zero_ha_t *ha)
{
    return (zero_ha_end_t){.end = zero_ha_text(answer->object, "end", "", ha),
                           .why = zero_ha_text(answer->object, "why", "", ha)};
}

int zero_ha_judge(const zero_ha_t *ha, const zero_ha_end_t *end)
{
    if (strcmp(end->end, "done") == 0 || strcmp(end->end, "unchanged") == 0) {
        return ZERO_DONE;
    }
    return zero_fail(ha->args->command, ZERO_REFUSED, "%s",
                     *end->why ? end->why : "zerod has refused it and does not say why");
}

int zero_ha_order(zero_ha_end_t *end, const zero_ha_t *ha, json_t *command)
{
    zero_ha_answer_t answer;
    hap_diag_t diag;
    apr_status_t rv;
    apr_time_t until = apr_time_now() + apr_time_from_sec(ZERO_HA_ASK_S);
    json_object_set_new(command, "client", json_string(make_client(ha->args->pool)));
    json_object_set_new(command, "seq", json_integer(1));
    for (;;) {
        rv = zero_ha_try(&answer, ha, json_pack("{s:s, s:O}", "ask", "command", "command", command),
                         apr_time_from_sec(ZERO_HA_ASK_S), &diag);
        if (rv != APR_SUCCESS || !is_lost(&answer) || apr_time_now() >= until) {
            break;
        }
        apr_sleep(apr_time_from_msec(LOOK_MS));
    }
    json_decref(command);
    if (rv != APR_SUCCESS) {
        return zero_fail(ha->args->command, ZERO_IO, "%s", diag.why);
    }
    if (answer.error) {
        return zero_fail(ha->args->command, ZERO_REFUSED, "%s", answer.error);
    }
    *end = zero_ha_end(&answer, ha);
    return ZERO_DONE;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* One look, with a pool of its own: there may be thousands. */
static apr_status_t look_once(bool *came, const zero_ha_t *ha, zero_ha_look_fn *look, void *baton,
                              hap_diag_t *diag)
{
    zero_ha_answer_t answer;
    zero_args_t args = *ha->args;
    zero_ha_t one = *ha;
    apr_pool_create(&args.pool, ha->args->pool);
    one.args = &args;
    apr_status_t rv = zero_ha_try(&answer, &one, json_pack("{s:s}", "ask", "cluster"),
                                  apr_time_from_sec(LOOK_S), diag);
    *came = rv == APR_SUCCESS && !answer.error && look(baton, answer.object);
    apr_pool_destroy(args.pool);
    return rv;
}

int zero_ha_wait(bool *came, const zero_ha_t *ha, apr_interval_time_t patience,
                 zero_ha_look_fn *look, void *baton)
{
    hap_diag_t diag;
    apr_time_t until = apr_time_now() + patience;
    for (;;) {
        apr_status_t rv = look_once(came, ha, look, baton, &diag);
        if (rv != APR_SUCCESS && rv != APR_TIMEUP) {
            return zero_fail(ha->args->command, ZERO_IO, "%s", diag.why);
        }
        if (*came || apr_time_now() >= until) {
            return ZERO_DONE;
        }
        apr_sleep(apr_time_from_msec(LOOK_MS));
    }
}

int zero_ha_patience(apr_interval_time_t *patience, const zero_args_t *args,
                     apr_interval_time_t otherwise)
{
    unsigned long seconds = 0;
    const char *given = zero_opt(args, "wait");
    if (given && (!hap_str_uint(&seconds, hap_str(given), WAIT_S_MAX) || seconds == 0)) {
        return zero_fail(args->command, ZERO_USAGE, "-wait=%s: use 1 to %d seconds",
                         hap_str_show(hap_str(given), args->pool), WAIT_S_MAX);
    }
    *patience = given ? apr_time_from_sec((apr_interval_time_t)seconds) : otherwise;
    return ZERO_DONE;
}

/* --- what answers say ------------------------------------------------------------------------- */

const json_t *zero_ha_node(const json_t *cluster, const char *id)
{
    size_t i;
    const json_t *node;
    const json_t *nodes = json_object_get(cluster, "nodes");
    json_array_foreach(nodes, i, node)
    {
        const char *its = json_string_value(json_object_get(node, "id"));
        if (its && strcmp(its, id) == 0) {
            return node;
        }
    }
    return NULL;
}

const char *zero_ha_text(const json_t *object, const char *key, const char * or,
                         const zero_ha_t *ha)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? zero_show(text, ha->args->pool) : or ;
}

json_int_t zero_ha_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static int say(const zero_ha_t *ha, bool changed, const char *text)
{
    if (!zero_opt(ha->args, "json")) {
        const char *end = changed ? "\n" : ": nothing is changed\n";
        return zero_print(ha->args->command, hap_str(apr_pstrcat(ha->args->pool, text, end, NULL)));
    }
    zero_json_t *json = zero_json_make(ha->args->pool);
    zero_json_open(json, NULL, '{');
    zero_json_bool(json, "changed", changed);
    zero_json_text(json, "said", text);
    zero_json_close(json, '}');
    return zero_print(ha->args->command, hap_str(zero_json_done(json)));
}

int zero_ha_done(const zero_ha_t *ha, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = apr_pvsprintf(ha->args->pool, fmt, args);
    va_end(args);
    return say(ha, true, text);
}

int zero_ha_unchanged(const zero_ha_t *ha, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = apr_pvsprintf(ha->args->pool, fmt, args);
    va_end(args);
    return say(ha, false, text);
}
