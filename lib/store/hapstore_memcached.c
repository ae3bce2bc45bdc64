/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a memcached as a node: one connection, on which questions are sent without waiting for the
 * answers to earlier ones. Does not decide what a failure means to others, nor how the connection
 * is had: see hapstore_reach.
 *
 * An ask waits (`waiting`), then has a slot, up to its answer. Numbers go with the questions and
 * come back with the answers, so that no answer is taken for another's. After anything but the
 * right answer in time the connection is thrown away.
 *
 * A connection that has worked may be closed by a node that is well, as a restarted one is. So what
 * was read on it is asked again on a new one, once. What was to be stored is UNSURE then: it may
 * have been stored, and the new node's tokens are not the old one's.
 *
 * An ask ends after the budget, however long its node takes for those before it. As long as it
 * answers one after the other that is no failure of the node.
 */
#include "hapstore_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hapstore_meta.h"
#include "hapstore_reach.h"
#include "hapstore_time.h"

enum {
    SLOTS = 64,              /* a power of two */
    UNSENT_BYTES = 64 << 10, /* that are given slots before what has one was sent */
    IN_BYTES = 32 << 10,
    VALUE_BYTES_MAX = 2 << 20, /* more than any record */
    PIECES = 3,                /* of a question: its line, the value, its end */
    WHY_BYTES = 96,
    CONNECT_MS_MAX = 50
};

/* A question that was sent, or is about to be. */
typedef struct slot_t {
    hapstore_ask_t *ask; /* NULL: nobody waits for the answer any more, or it is a probe */
    bool probe;
    bool put;
    bool refused; /* before all of it was sent, which the node reads over */
    uint32_t number;
    int64_t since_ms;
    size_t line_n;
    char line[HAPSTORE_META_LINE_BYTES];
    hap_str_t value;
} slot_t;

typedef struct handle_t {
    hapstore_asker_t *asker;
    hapstore_reach_t reach;
    int budget_ms;   /* of an ask */
    bool wants_out;  /* EPOLLOUT is watched */
    bool proven;     /* an answer came through it */
    uint32_t number; /* of the connection */
    uint32_t asked;  /* number of the last question */
    bool wants_probe;
    hapstore_ask_t *waiting, **waiting_end;
    /* From `first` up to `end`, of which those from `unsent` on were not sent; by their rest. */
    slot_t slots[SLOTS];
    unsigned first, unsent, end;
    size_t sent;         /* bytes of slot `unsent` */
    int64_t progress_ms; /* when the last answer came, or what comes first was asked */
    char in[IN_BYTES];
    size_t in_n;
    char *value; /* that is being read; NULL none */
    size_t value_n, value_at;
    hapstore_meta_t answer; /* its */
} handle_t;

static slot_t *slot_at(handle_t *handle, unsigned i)
{
    return &handle->slots[i % SLOTS];
}

/* --- the end of asks -------------------------------------------------------------------------- */

static void end_ask(handle_t *handle, hapstore_ask_t *ask, hapstore_node_end_t end)
{
    if (ask) {
        hapstore_tell_ended(handle->asker, ask, end);
    }
}

static void wait_for_slot(handle_t *handle, hapstore_ask_t *ask)
{
    ask->next = NULL;
    *handle->waiting_end = ask;
    handle->waiting_end = &ask->next;
}

static hapstore_ask_t *take_waiting(handle_t *handle)
{
    hapstore_ask_t *ask = handle->waiting;
    if (ask) {
        handle->waiting = ask->next;
        handle->waiting_end = ask->next ? handle->waiting_end : &handle->waiting;
    }
    return ask;
}

/* In front of those that wait. */
static void ask_again(handle_t *handle, hapstore_ask_t *ask)
{
    ask->again = true;
    ask->next = handle->waiting;
    handle->waiting_end = ask->next ? handle->waiting_end : &ask->next;
    handle->waiting = ask;
}

static void close_connection(handle_t *handle)
{
    hapstore_reach_close(&handle->reach);
    free(handle->value);
    handle->value = NULL;
    handle->in_n = 0;
    handle->sent = 0;
}

static void fail_all(handle_t *handle)
{
    hapstore_ask_t *ask;
    for (; handle->first != handle->end; handle->first++) {
        end_ask(handle, slot_at(handle, handle->first)->ask, HAPSTORE_NODE_FAILED);
    }
    handle->unsent = handle->end;
    while ((ask = take_waiting(handle)) != NULL) {
        end_ask(handle, ask, HAPSTORE_NODE_FAILED);
    }
    handle->wants_probe = false;
}

static void fail(handle_t *handle, const char *why)
{
    close_connection(handle);
    hapstore_tell_failed(handle->asker, why);
    fail_all(handle);
}

static void fail_within(handle_t *handle, const char *what)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof(why), "%s within %d ms", what, handle->budget_ms);
    fail(handle, why);
}

/* --- the connection --------------------------------------------------------------------------- */

static void connected(handle_t *handle)
{
    handle->proven = false;
    handle->number++;
    handle->wants_out = true; /* as it is watched so far */
    handle->asker->fresh = true;
}

/* Nobody waits longer than the budget, however many addresses there are. A look-up goes on. */
static void end_wait(handle_t *handle)
{
    int64_t until_ms = handle->waiting ? handle->waiting->since_ms + handle->budget_ms : INT64_MAX;
    bool looks = handle->reach.state == HAPSTORE_REACH_LOOKING;
    if (hapstore_now_ms() >= until_ms) {
        fail_within(handle, looks ? "its name was not found" : "no connection");
    } else {
        hapstore_tell_due(handle->asker, until_ms);
    }
}

static void reach(handle_t *handle)
{
    handle->reach.hurry = handle->waiting != NULL;
    switch (hapstore_reach_go(&handle->reach)) {
    case HAPSTORE_REACH_UP:
        connected(handle);
        break;
    case HAPSTORE_REACH_DOWN:
        fail(handle, handle->reach.why);
        break;
    case HAPSTORE_REACH_LOOKING:
    case HAPSTORE_REACH_CONNECTING:
        end_wait(handle);
        break;
    }
}

static void answered(handle_t *handle, hapstore_node_end_t end)
{
    slot_t *slot = slot_at(handle, handle->first++);
    hapstore_ask_t *ask = slot->ask;
    handle->progress_ms = hapstore_now_ms();
    handle->proven = true;
    if (slot->probe) {
        hapstore_tell_answers(handle->asker);
    }
    if (ask) {
        ask->got_token = (hapstore_token_t){handle->answer.token, handle->number};
        ask->got = (hapstore_value_t){handle->value, handle->value ? handle->value_n : 0};
        handle->value = NULL;
        end_ask(handle, ask, end);
    }
    free(handle->value);
    handle->value = NULL;
}

/* --- asking ----------------------------------------------------------------------------------- */

static slot_t *take_slot(handle_t *handle, hapstore_ask_t *ask, int64_t since_ms)
{
    if (handle->first == handle->end && handle->progress_ms < since_ms) {
        handle->progress_ms = since_ms;
    }
    slot_t *slot = slot_at(handle, handle->end++);
    slot->ask = ask;
    slot->probe = ask == NULL;
    slot->put = ask && ask->put;
    slot->refused = false;
    slot->since_ms = since_ms;
    slot->number = ++handle->asked;
    slot->value = hap_strn(NULL, 0);
    return slot;
}

/* memcached counts in ticks of a second of its own, so a second may be gone at once. */
static uint32_t life_s(uint32_t ttl_s)
{
    return ttl_s < HAP_ZONE_TTL_S_MAX ? ttl_s + 1 : HAP_ZONE_TTL_S_MAX;
}

/* What was read on another connection says nothing of what is there now. */
static bool is_stale(const handle_t *handle, const hapstore_ask_t *ask)
{
    return ask->put && ask->token.number && ask->token.connection != handle->number;
}

static size_t give_slot(handle_t *handle, hapstore_ask_t *ask)
{
    if (is_stale(handle, ask)) {
        end_ask(handle, ask, HAPSTORE_NODE_CHANGED);
        return 0;
    }
    slot_t *slot = take_slot(handle, ask, ask->since_ms);
    if (ask->put) {
        slot->value = ask->value;
        slot->line_n = hapstore_meta_put(slot->line, ask->name, ask->value.n, life_s(ask->ttl_s),
                                         ask->token.number, slot->number);
    } else {
        slot->line_n = hapstore_meta_get(slot->line, ask->name, slot->number);
    }
    return slot->line_n + slot->value.n;
}

/* What has a slot ends with its answer alone, so nothing gets one that cannot be sent. */
static void give_slots(handle_t *handle)
{
    size_t bytes = 0;
    if (handle->unsent != handle->end) {
        return;
    }
    if (handle->wants_probe && handle->end - handle->first < SLOTS) {
        handle->wants_probe = false;
        slot_t *slot = take_slot(handle, NULL, hapstore_now_ms());
        slot->line_n = hapstore_meta_get(slot->line, HAP_STR_LIT("haz1:probe"), slot->number);
    }
    while (handle->waiting && handle->end - handle->first < SLOTS && bytes < UNSENT_BYTES) {
        bytes += give_slot(handle, take_waiting(handle));
    }
    if (handle->first != handle->end) {
        hapstore_tell_due(handle->asker, handle->progress_ms + handle->budget_ms);
    }
}

/* The pieces of a slot's question behind its first bytes. */
static unsigned add_pieces(struct iovec *pieces, slot_t *slot, size_t skip)
{
    const struct iovec all[PIECES] = {
        {slot->line, slot->line_n},
        {(void *)(uintptr_t)slot->value.p, slot->value.n},
        {(void *)(uintptr_t) "\r\n", slot->put ? 2 : 0},
    };
    unsigned n = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        size_t skipped = skip < all[i].iov_len ? skip : all[i].iov_len;
        skip -= skipped;
        if (skipped < all[i].iov_len) {
            pieces[n++] =
                (struct iovec){(char *)all[i].iov_base + skipped, all[i].iov_len - skipped};
        }
    }
    return n;
}

static size_t question_bytes(const slot_t *slot)
{
    return slot->line_n + slot->value.n + (slot->put ? 2 : 0);
}

static void count_sent(handle_t *handle, size_t n)
{
    handle->sent += n;
    while (handle->unsent != handle->end &&
           handle->sent >= question_bytes(slot_at(handle, handle->unsent))) {
        const slot_t *slot = slot_at(handle, handle->unsent++);
        handle->sent -= question_bytes(slot);
        if (slot->refused) {
            answered(handle, HAPSTORE_NODE_TOO_LARGE);
        }
    }
}

/* False when the connection does not take more now; then it may be gone. */
static bool send_some(handle_t *handle)
{
    struct iovec pieces[SLOTS * PIECES];
    unsigned n = 0;
    size_t skip = handle->sent;
    for (unsigned i = handle->unsent; i != handle->end; i++) {
        n += add_pieces(&pieces[n], slot_at(handle, i), skip);
        skip = 0;
    }
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n};
    ssize_t sent = sendmsg(handle->reach.fd, &message, MSG_NOSIGNAL);
    if (sent > 0) {
        count_sent(handle, (size_t)sent);
    }
    return sent > 0;
}

static void watch(handle_t *handle, bool out)
{
    if (out != handle->wants_out) {
        handle->wants_out = out;
        hapstore_tell_watch(handle->asker, handle->reach.fd, EPOLLIN | (out ? EPOLLOUT : 0U), true);
    }
}

/* An error is seen by who reads, together with what came before it. */
static void memcached_flush(void *data)
{
    handle_t *handle = data;
    hapstore_reach_state_t state = handle->reach.state;
    bool wants = handle->waiting || handle->wants_probe;
    if (wants && (state == HAPSTORE_REACH_DOWN || state == HAPSTORE_REACH_LOOKING)) {
        reach(handle);
    }
    if (handle->reach.state != HAPSTORE_REACH_UP) {
        return;
    }
    do {
        give_slots(handle);
    } while (handle->unsent != handle->end && send_some(handle));
    watch(handle, handle->unsent != handle->end);
}

static void memcached_ask(void *data, hapstore_ask_t *ask)
{
    handle_t *handle = data;
    ask->since_ms = hapstore_now_ms();
    ask->again = false;
    wait_for_slot(handle, ask);
}

static void memcached_probe(void *data)
{
    handle_t *handle = data;
    handle->wants_probe = true;
    handle->asker->fresh = true;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* It was closed: by a node that is well, if it has worked. The youngest first, so that the oldest
 * is in front in the end. */
static void closed(handle_t *handle)
{
    unsigned first = handle->first;
    unsigned end = handle->end;
    if (!handle->proven && first != end) {
        fail(handle, "it closed the connection");
        return;
    }
    close_connection(handle);
    handle->first = handle->unsent = end;
    while (end != first) {
        slot_t *slot = slot_at(handle, --end);
        handle->wants_probe = handle->wants_probe || slot->probe;
        if (slot->ask && slot->put) {
            end_ask(handle, slot->ask, HAPSTORE_NODE_UNSURE);
        } else if (slot->ask && !slot->ask->again) {
            ask_again(handle, slot->ask);
        } else {
            end_ask(handle, slot->ask, HAPSTORE_NODE_FAILED);
        }
    }
    handle->asker->fresh = true;
}

static const char *begin_value(handle_t *handle, const slot_t *slot)
{
    const hapstore_meta_t *answer = &handle->answer;
    if (slot->put || !answer->token || answer->value_n > VALUE_BYTES_MAX) {
        return "an answer that makes no sense";
    }
    handle->value = malloc(answer->value_n + 2);
    handle->value_n = answer->value_n;
    handle->value_at = 0;
    return handle->value ? NULL : "out of memory";
}

/* What an answer without a value means, by what was asked. */
static const struct {
    bool put;
    hapstore_meta_says_t says;
    hapstore_node_end_t end;
} meanings[] = {
    {false, HAPSTORE_META_NONE, HAPSTORE_NODE_NONE},
    {true, HAPSTORE_META_DONE, HAPSTORE_NODE_OK},
    {true, HAPSTORE_META_NOT_DONE, HAPSTORE_NODE_CHANGED},
    {true, HAPSTORE_META_TOO_LARGE, HAPSTORE_NODE_TOO_LARGE},
};

/* A refusal and, before 1.6.10, "there is none" have no number. */
static bool may_be_unnumbered(hapstore_meta_says_t says)
{
    return says == HAPSTORE_META_NONE || says == HAPSTORE_META_TOO_LARGE;
}

/* Why it is none, or NULL. */
static const char *take_line(handle_t *handle, hap_str_t line)
{
    const hapstore_meta_t *answer = &handle->answer;
    handle->answer = hapstore_meta_read(line);
    slot_t *slot = slot_at(handle, handle->first);
    if (handle->first == handle->unsent) {
        slot->refused = handle->sent > 0 && answer->says == HAPSTORE_META_TOO_LARGE;
        return slot->refused ? NULL : "an answer to no question";
    }
    if (answer->numbered && answer->number != slot->number) {
        return "the answer to another question";
    }
    if (answer->says == HAPSTORE_META_OLD) {
        return "it is no memcached of version 1.6 or newer";
    }
    bool bound = answer->numbered || may_be_unnumbered(answer->says);
    if (bound && answer->says == HAPSTORE_META_VALUE) {
        return begin_value(handle, slot);
    }
    for (size_t i = 0; bound && i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (meanings[i].put == slot->put && meanings[i].says == answer->says) {
            answered(handle, meanings[i].end);
            return NULL;
        }
    }
    return "an answer that makes no sense";
}

/* Bytes of the value and of its line's end. How many of them it took. */
static size_t take_value(handle_t *handle, const char *bytes, size_t n)
{
    size_t left = handle->value_n + 2 - handle->value_at;
    size_t taken = n < left ? n : left;
    memcpy(handle->value + handle->value_at, bytes, taken);
    handle->value_at += taken;
    return taken;
}

static const char *end_value(handle_t *handle)
{
    if (memcmp(handle->value + handle->value_n, "\r\n", 2) != 0) {
        return "an answer that makes no sense";
    }
    answered(handle, HAPSTORE_NODE_OK);
    return NULL;
}

/* Takes one line, or a piece of a value. How many bytes it took, 0: there is no whole line. */
static size_t take_one(handle_t *handle, const char *bytes, size_t n, const char **why)
{
    if (handle->value) {
        size_t taken = take_value(handle, bytes, n);
        *why = handle->value_at == handle->value_n + 2 ? end_value(handle) : NULL;
        return taken;
    }
    const char *end = memchr(bytes, '\n', n);
    if (end == NULL) {
        *why = n > HAPSTORE_META_ANSWER_BYTES_MAX ? "an answer that makes no sense" : NULL;
        return 0;
    }
    size_t line_n = (size_t)(end - bytes);
    bool whole = line_n > 0 && end[-1] == '\r' && line_n <= HAPSTORE_META_ANSWER_BYTES_MAX;
    *why = whole ? take_line(handle, hap_strn(bytes, line_n - 1)) : "an answer that makes no sense";
    return line_n + 1;
}

/* All that is there. False when the connection is gone by that. */
static bool take_all(handle_t *handle)
{
    size_t at = 0;
    const char *why = NULL;
    while (at < handle->in_n) {
        size_t taken = take_one(handle, handle->in + at, handle->in_n - at, &why);
        if (why) {
            fail(handle, why);
            return false;
        }
        if (taken == 0) {
            break;
        }
        at += taken;
    }
    memmove(handle->in, handle->in + at, handle->in_n - at);
    handle->in_n -= at;
    return true;
}

static void receive(handle_t *handle)
{
    for (;;) {
        size_t room = IN_BYTES - handle->in_n;
        ssize_t got = recv(handle->reach.fd, handle->in + handle->in_n, room, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            closed(handle);
            return;
        }
        handle->in_n += (size_t)got;
        if (!take_all(handle) || (size_t)got < room) {
            return;
        }
    }
}

static void memcached_ready(void *data, uint32_t events)
{
    handle_t *handle = data;
    if (handle->reach.state == HAPSTORE_REACH_CONNECTING) {
        reach(handle);
    } else if (handle->reach.state == HAPSTORE_REACH_UP &&
               (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        receive(handle);
    }
    handle->asker->fresh = true;
}

/* --- time ------------------------------------------------------------------------------------- */

/* Of a question that was sent whole nobody has to wait for the answer. */
static void give_up_late(handle_t *handle, int64_t now_ms)
{
    int64_t before_ms = now_ms - handle->budget_ms;
    for (unsigned i = handle->first; i != handle->unsent; i++) {
        slot_t *slot = slot_at(handle, i);
        if (slot->ask && slot->since_ms <= before_ms) {
            end_ask(handle, slot->ask, HAPSTORE_NODE_FAILED);
            slot->ask = NULL;
        }
    }
    while (handle->waiting && handle->waiting->since_ms <= before_ms) {
        end_ask(handle, take_waiting(handle), HAPSTORE_NODE_FAILED);
    }
}

static int64_t next_late_ms(const handle_t *handle)
{
    int64_t since_ms = handle->progress_ms;
    for (unsigned i = handle->first; i != handle->unsent; i++) {
        const slot_t *slot = &handle->slots[i % SLOTS];
        if (slot->ask && slot->since_ms < since_ms) {
            since_ms = slot->since_ms;
            break;
        }
    }
    if (handle->waiting && handle->waiting->since_ms < since_ms) {
        since_ms = handle->waiting->since_ms;
    }
    return since_ms + handle->budget_ms;
}

static void tick_up(handle_t *handle, int64_t now_ms)
{
    if (handle->first == handle->end) {
        return;
    }
    if (now_ms - handle->progress_ms >= handle->budget_ms) {
        fail_within(handle, "no answer");
        return;
    }
    give_up_late(handle, now_ms);
    int64_t due_ms = next_late_ms(handle);
    hapstore_tell_due(handle->asker, due_ms > now_ms ? due_ms : now_ms + 1);
}

static void memcached_tick(void *data, int64_t now_ms)
{
    handle_t *handle = data;
    if (handle->reach.state == HAPSTORE_REACH_UP) {
        tick_up(handle, now_ms);
    } else if (handle->reach.state != HAPSTORE_REACH_DOWN) {
        reach(handle);
    }
}

/* --- start and end ---------------------------------------------------------------------------- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

static void *memcached_open(hapstore_asker_t *asker, const hapstore_conf_t *conf, unsigned index)
{
    handle_t *handle = calloc(1, sizeof(*handle));
    if (handle) {
        handle->asker = asker;
        handle->budget_ms = (int)apr_time_as_msec(conf->budget);
        handle->waiting_end = &handle->waiting;
        hapstore_reach_init(&handle->reach, asker, &conf->spec->nodes[index],
                            least(handle->budget_ms, CONNECT_MS_MAX));
    }
    return handle;
}

static void memcached_close(void *data)
{
    handle_t *handle = data;
    close_connection(handle);
    fail_all(handle);
    hapstore_reach_end(&handle->reach);
    free(handle);
}

const hapstore_node_iface_t hapstore_memcached = {
    .kind = "memcached",
    .open = memcached_open,
    .ask = memcached_ask,
    .probe = memcached_probe,
    .flush = memcached_flush,
    .ready = memcached_ready,
    .tick = memcached_tick,
    .close = memcached_close,
};
