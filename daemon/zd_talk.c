/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one line up, and a list of callers. */
#include "zd_talk.h"

#include <stdlib.h>
#include <string.h>

#include "hap_grammar.h"
#include "hap_map.h"
#include "zd_log.h"

enum { LINE_BYTES_MAX = 4 * HAP_MAP_BYTES_MAX /* a map with each of its bytes escaped fits */ };

struct zd_caller_t {
    zd_talk_t *talk;
    zd_caller_t *next;
    zd_lines_t *lines;
    uint64_t number;
    char node[HAP_ROUTE_MAX_BYTES + 1]; /* "": not said yet */
};

/* One of zd_net that is under way. */
typedef struct call_t {
    zd_talk_t *talk;
} call_t;

struct zd_talk_t {
    zd_talk_conf_t conf;
    uv_timer_t again;
    zd_lines_t *up; /* NULL: there is none */
    zd_caller_t *callers;
    uint64_t callers_n;                 /* that there have been */
    unsigned calls;                     /* that are under way */
    call_t *calling;                    /* the one of them that counts; NULL: none */
    unsigned turn;                      /* the next address to ask */
    char address[ZD_NET_ADDRESS_BYTES]; /* "": one after the other */
    char called[ZD_NET_ADDRESS_BYTES];  /* to which there is a way, or one is being looked for */
    bool rests;
    bool closing;
    bool closed; /* the timer is */
};

static void maybe_free(zd_talk_t *talk)
{
    if (talk->closed && talk->calls == 0) {
        free(talk);
    }
}

/* --- up --------------------------------------------------------------------------------------- */

static void call(zd_talk_t *talk);

/* Whose own word this is needs not be told, and would be in the middle of it. */
static void hang_up(zd_talk_t *talk)
{
    talk->called[0] = '\0';
    talk->calling = NULL;
    if (talk->up) {
        zd_lines_close(talk->up);
        talk->up = NULL;
    }
}

/* Who does not answer, or no more, may be dead: the others are asked who leads now. */
static void doubt(zd_talk_t *talk)
{
    talk->called[0] = '\0';
    if (talk->conf.addresses_n > 0) {
        talk->address[0] = '\0';
    }
}

static void again(uv_timer_t *timer)
{
    call(timer->data);
}

static void call_later(zd_talk_t *talk)
{
    if (!talk->closing) {
        uv_timer_start(&talk->again, again, ZD_TALK_AGAIN_MS, 0);
    }
}

static void up_ended(void *baton, const char *why);

static void up_came(void *baton, json_t *object)
{
    zd_talk_t *talk = baton;
    if (object) {
        talk->conf.told(talk->conf.baton, object);
        return;
    }
    zd_lines_close(talk->up);
    up_ended(talk, "what it says is no object of JSON");
}

static void up_ended(void *baton, const char *why)
{
    zd_talk_t *talk = baton;
    talk->up = NULL;
    doubt(talk);
    talk->conf.up(talk->conf.baton, false);
    call_later(talk);
}

/* A way to somebody who is not to be called any more leads nowhere. */
static void connected(void *baton, uv_stream_t *stream, const char *why)
{
    call_t *ended = baton;
    zd_talk_t *talk = ended->talk;
    const zd_lines_conf_t conf = {
        .bytes_max = LINE_BYTES_MAX, .came = up_came, .ended = up_ended, .baton = talk};
    bool counts = ended == talk->calling && !talk->closing;
    free(ended);
    talk->calls--;
    if (counts && stream) {
        talk->up = zd_lines_open(stream, &conf);
    } else if (stream) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
    }
    if (counts) {
        talk->calling = NULL;
        if (!stream) {
            doubt(talk);
        }
        if (talk->up) {
            talk->conf.up(talk->conf.baton, true);
        } else {
            talk->called[0] = '\0';
            call_later(talk);
        }
    }
    maybe_free(talk);
}

static bool dial(zd_talk_t *talk)
{
    call_t *begun = calloc(1, sizeof(*begun));
    if (!begun) {
        return false;
    }
    begun->talk = talk;
    if (!zd_net_connect(talk->conf.net, ZD_NET_TALK, talk->called, connected, begun)) {
        free(begun);
        return false;
    }
    talk->calling = begun;
    talk->calls++;
    return true;
}

/* One at a time, but for those to somebody who is not to be called any more: a host that stands
 * still takes seconds to fail, and a lease ends in that time. */
static void call(zd_talk_t *talk)
{
    const char *address = talk->address;
    if (talk->closing || talk->rests || talk->up || talk->calling) {
        return;
    }
    if (!address[0]) {
        if (talk->conf.addresses_n == 0) {
            return;
        }
        address = talk->conf.addresses[talk->turn++ % talk->conf.addresses_n];
    }
    memmove(talk->called, address, strlen(address) + 1);
    if (!dial(talk)) {
        call_later(talk);
    }
}

void zd_talk_call(zd_talk_t *talk, const char *address)
{
    talk->rests = false;
    address = address ? address : "";
    if (strlen(address) >= sizeof(talk->address)) {
        return;
    }
    memmove(talk->address, address, strlen(address) + 1);
    if (address[0] && strcmp(talk->called, address) != 0) {
        hang_up(talk);
    }
    call(talk);
}

void zd_talk_next(zd_talk_t *talk)
{
    talk->rests = false;
    talk->address[0] = '\0';
    hang_up(talk);
    call_later(talk);
}

void zd_talk_rest(zd_talk_t *talk)
{
    talk->rests = true;
    hang_up(talk);
}

void zd_talk_say_up(zd_talk_t *talk, json_t *object)
{
    if (talk->up) {
        zd_lines_say(talk->up, object);
    } else {
        json_decref(object);
    }
}

bool zd_talk_is_up(const zd_talk_t *talk)
{
    return talk->up != NULL;
}

/* --- callers ---------------------------------------------------------------------------------- */

static void forget(zd_caller_t *caller)
{
    zd_caller_t **at = &caller->talk->callers;
    while (*at != caller) {
        at = &(*at)->next;
    }
    *at = caller->next;
    free(caller);
}

static void caller_came(void *baton, json_t *object)
{
    zd_caller_t *caller = baton;
    if (object) {
        caller->talk->conf.heard(caller->talk->conf.baton, caller, object);
        return;
    }
    zd_lines_close(caller->lines);
    forget(caller);
}

static void caller_ended(void *baton, const char *why)
{
    forget(baton);
}

void zd_talk_accept(zd_talk_t *talk, uv_stream_t *stream)
{
    zd_caller_t *caller = talk->closing ? NULL : calloc(1, sizeof(*caller));
    const zd_lines_conf_t conf = {
        .bytes_max = LINE_BYTES_MAX, .came = caller_came, .ended = caller_ended, .baton = caller};
    if (!caller) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return;
    }
    caller->talk = talk;
    caller->lines = zd_lines_open(stream, &conf);
    if (!caller->lines) {
        free(caller);
        return;
    }
    caller->number = ++talk->callers_n;
    caller->next = talk->callers;
    talk->callers = caller;
}

void zd_talk_name(zd_caller_t *caller, const char *node)
{
    zd_talk_t *talk = caller->talk;
    if (strcmp(caller->node, node) == 0 || strlen(node) >= sizeof(caller->node)) {
        return;
    }
    for (zd_caller_t *other = talk->callers, *next; other; other = next) {
        next = other->next;
        if (other != caller && strcmp(other->node, node) == 0) {
            zd_lines_close(other->lines);
            forget(other);
        }
    }
    memcpy(caller->node, node, strlen(node) + 1);
}

uint64_t zd_caller_number(const zd_caller_t *caller)
{
    return caller->number;
}

void zd_talk_say(zd_caller_t *caller, json_t *object)
{
    zd_lines_say(caller->lines, object);
}

void zd_talk_say_to(zd_talk_t *talk, const char *node, json_t *object)
{
    for (zd_caller_t *caller = talk->callers; caller; caller = caller->next) {
        if (strcmp(caller->node, node) == 0) {
            zd_talk_say(caller, object);
            return;
        }
    }
    json_decref(object);
}

void zd_talk_reply(zd_talk_t *talk, uint64_t caller, json_t *object)
{
    for (zd_caller_t *one = talk->callers; one; one = one->next) {
        if (one->number == caller) {
            zd_talk_say(one, object);
            return;
        }
    }
    json_decref(object);
}

/* --- beginning and ending --------------------------------------------------------------------- */

zd_talk_t *zd_talk_open(const zd_talk_conf_t *conf)
{
    zd_talk_t *talk = calloc(1, sizeof(*talk));
    if (talk) {
        talk->conf = *conf;
        talk->rests = true;
        uv_timer_init(conf->loop, &talk->again);
        talk->again.data = talk;
    }
    return talk;
}

static void timer_closed(uv_handle_t *handle)
{
    zd_talk_t *talk = handle->data;
    talk->closed = true;
    maybe_free(talk);
}

void zd_talk_close(zd_talk_t *talk)
{
    talk->closing = true;
    hang_up(talk);
    while (talk->callers) {
        zd_lines_close(talk->callers->lines);
        forget(talk->callers);
    }
    uv_close((uv_handle_t *)&talk->again, timer_closed);
}
