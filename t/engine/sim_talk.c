/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the connections between daemons, as zd_talk.c has them: a node calls the one that leads, or
 * one after the other. What one side says comes in its order or not at all; where the network is
 * cut or the host is down it waits, until that is mended or the connection breaks. A side whose
 * process is gone hears nothing, and the other learns of that when it says something.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "zd_talk.h"

enum { BREAKS_PERCENT = 15 };

typedef struct text_t {
    struct text_t *next;
    char *json;     /* NULL: that there is a connection */
    bool last;      /* hung up */
    uint64_t at_us; /* when it is there, if nothing comes in between */
} text_t;

/* What goes one way. */
typedef struct way_t {
    text_t *texts; /* the oldest first */
    bool moving;
} way_t;

enum { CALLER, CALLED };

struct sim_conn_t {
    sim_conn_t *next;
    sim_t *sim;
    sim_node_t *ends[2];
    uint64_t runs[2];
    bool open[2];
    bool reached; /* the other host has answered */
    bool is_up;   /* for the caller */
    uint64_t number;
    way_t ways[2]; /* by who says it */
};

/* --- what one side says ----------------------------------------------------------------------- */

static void move(sim_conn_t *conn, int side);

static bool is_open(const sim_conn_t *conn, int side)
{
    const sim_node_t *node = conn->ends[side];
    return conn->open[side] && node->up && node->run == conn->runs[side];
}

static text_t *take(way_t *way)
{
    text_t *text = way->texts;
    way->texts = text->next;
    return text;
}

static void free_text(text_t *text)
{
    free(text->json);
    free(text);
}

static void say(sim_conn_t *conn, int side, char *json, bool last)
{
    sim_t *sim = conn->sim;
    text_t **at = &conn->ways[side].texts;
    uint64_t us = 100 + sim_random(sim, sim->delay_ms * 2 * SIM_US_A_MS) +
                  (uint64_t)(side == CALLED ? sim->answer_ms : 0) * SIM_US_A_MS;
    while (*at) {
        at = &(*at)->next;
    }
    *at = calloc(1, sizeof(**at));
    sim_must(*at != NULL, "no memory");
    (*at)->json = json;
    (*at)->last = last;
    (*at)->at_us = sim->now_us + us;
    move(conn, side);
}

static void hang_up(sim_conn_t *conn, int side)
{
    if (conn->open[side]) {
        conn->open[side] = false;
        say(conn, side, NULL, true);
    }
}

/* --- what the other side gets ----------------------------------------------------------------- */

static void call_later(sim_node_t *node);

/* Who does not answer, or no more, may be dead: the others are asked who leads now. */
static void lost_up(sim_node_t *node)
{
    bool was_up = node->up_conn->is_up;
    node->up_conn = NULL;
    node->calls = -1;
    if (was_up) {
        sim_node_way(node, false);
    }
    call_later(node);
}

static void lost(sim_conn_t *conn, int side)
{
    sim_node_t *node = conn->ends[side];
    conn->open[side] = false;
    if (side == CALLED) {
        if (node->callers[conn->ends[CALLER]->place] == conn) {
            node->callers[conn->ends[CALLER]->place] = NULL;
        }
    } else if (node->up_conn == conn) {
        lost_up(node);
    }
}

/* It has waited too long for the other side. */
static void break_off(sim_conn_t *conn, int side)
{
    if (is_open(conn, side)) {
        hang_up(conn, side);
        lost(conn, side);
    }
}

/* The number says which connection, and which side of it. */
static void broke(sim_node_t *node, void *baton, uint64_t number)
{
    for (sim_conn_t *conn = node->sim->conns; conn; conn = conn->next) {
        if (conn->number == number >> 1) {
            break_off(conn, (int)(number & 1));
            return;
        }
    }
}

static void breaks(sim_conn_t *conn, int side)
{
    if (is_open(conn, side)) {
        sim_in(conn->sim, SIM_MESSAGE, conn->ends[side], 0, broke, NULL,
               conn->number << 1 | (uint64_t)side);
    }
}

static void get(sim_conn_t *conn, int side, const text_t *text)
{
    sim_node_t *node = conn->ends[side];
    if (text->last) {
        lost(conn, side);
    } else if (!text->json && side == CALLED) {
        say(conn, CALLED, NULL, false);
    } else if (!text->json) {
        conn->is_up = true;
        sim_node_way(node, true);
    } else {
        json_t *object = json_loads(text->json, 0, NULL);
        sim_must(object != NULL, "what was said is no JSON");
        if (side == CALLED) {
            sim_node_heard(node, conn, object);
        } else {
            sim_node_told(node, object);
        }
        json_decref(object);
    }
}

/* It is there: whoever is not there any more answers that. */
static void arrived(sim_node_t *node, void *baton, uint64_t side)
{
    sim_conn_t *conn = baton;
    int to = side == CALLER ? CALLED : CALLER;
    text_t *text = take(&conn->ways[side]);
    conn->ways[side].moving = false;
    move(conn, (int)side);
    if (is_open(conn, to)) {
        get(conn, to, text);
    } else if (!text->last && conn->open[to]) {
        hang_up(conn, to);
    }
    free_text(text);
}

/* The process of the other side is gone: its host says so. */
static void void_arrived(sim_node_t *node, void *baton, uint64_t side)
{
    if (!node->sim->over) {
        arrived(node, baton, side);
    }
}

/* In the host: what arrives there waits for the process. */
static void comes(sim_node_t *node, void *baton, uint64_t side)
{
    sim_t *sim = node->sim;
    sim_conn_t *conn = baton;
    int to = side == CALLER ? CALLED : CALLER;
    if (sim->cut[conn->ends[side]->place][node->place] || node->down) {
        if (sim_chance(sim, BREAKS_PERCENT)) {
            breaks(conn, (int)sim_random(sim, 2));
        }
        sim_in(sim, SIM_HOST, node, sim_between(sim, 20, 800) * SIM_US_A_MS, comes, conn, side);
        return;
    }
    conn->reached = true;
    const sim_event_t event = {
        .at_us = sim->now_us,
        .order = ++sim->order,
        .where = is_open(conn, to) ? SIM_MESSAGE : SIM_HOST,
        .node = node,
        .run = is_open(conn, to) ? node->run : 0,
        .act = arrived,
        .drop = void_arrived,
        .baton = conn,
        .number = side,
    };
    sim_push(sim, &event);
}

static void move(sim_conn_t *conn, int side)
{
    sim_t *sim = conn->sim;
    way_t *way = &conn->ways[side];
    if (way->moving || !way->texts) {
        return;
    }
    way->moving = true;
    uint64_t at_us = way->texts->at_us;
    sim_in(sim, SIM_HOST, conn->ends[side == CALLER ? CALLED : CALLER],
           at_us > sim->now_us ? at_us - sim->now_us : 0, comes, conn, (uint64_t)side);
}

/* --- calling ---------------------------------------------------------------------------------- */

static bool is_over(const sim_conn_t *conn)
{
    return !is_open(conn, CALLER) && !is_open(conn, CALLED) && !conn->ways[CALLER].moving &&
           !conn->ways[CALLED].moving;
}

static void free_conn(sim_conn_t *conn)
{
    for (int side = 0; side < 2; side++) {
        while (conn->ways[side].texts) {
            free_text(take(&conn->ways[side]));
        }
    }
    free(conn);
}

static void sweep(sim_t *sim)
{
    for (sim_conn_t **at = &sim->conns; *at;) {
        sim_conn_t *conn = *at;
        if (is_over(conn)) {
            *at = conn->next;
            free_conn(conn);
        } else {
            at = &conn->next;
        }
    }
}

/* Whoever does not answer is not waited for: neither a host, nor a process of it. */
static void no_hello(sim_node_t *node, void *baton, uint64_t number)
{
    sim_conn_t *conn = node->up_conn;
    if (conn && conn->number == number && !conn->is_up) {
        break_off(conn, CALLER);
    }
}

static void not_reached(sim_node_t *node, void *baton, uint64_t number)
{
    const sim_conn_t *conn = node->up_conn;
    if (conn && conn->number == number && !conn->reached) {
        no_hello(node, baton, number);
    }
}

static void dial(sim_node_t *node, int place)
{
    sim_t *sim = node->sim;
    sim_conn_t *conn = calloc(1, sizeof(*conn));
    sim_must(conn != NULL, "no memory");
    sweep(sim);
    *conn = (sim_conn_t){
        .next = sim->conns,
        .sim = sim,
        .ends = {node, &sim->nodes[place]},
        .runs = {node->run, sim->nodes[place].run},
        .open = {true, true},
        .number = ++sim->numbers,
    };
    sim->conns = conn;
    node->up_conn = conn;
    say(conn, CALLER, NULL, false);
    sim_in(sim, SIM_TIMER, node, sim_node_us(node, ZD_NET_CONNECT_MS), not_reached, NULL,
           conn->number);
    sim_in(sim, SIM_TIMER, node, sim_node_us(node, ZD_NET_HELLO_MS), no_hello, NULL, conn->number);
}

static int next_place(sim_node_t *node)
{
    unsigned place;
    do {
        place = node->asks++ % node->sim->n;
    } while (place == node->place || node->sim->nodes[place].observes);
    return (int)place;
}

static void call(sim_node_t *node)
{
    if (!node->rests && !node->up_conn) {
        dial(node, node->calls >= 0 ? node->calls : next_place(node));
    }
}

static void again(sim_node_t *node, void *baton, uint64_t number)
{
    if (number == node->again) {
        call(node);
    }
}

/* One timer, which begins anew. */
static void call_later(sim_node_t *node)
{
    node->again = ++node->sim->numbers;
    sim_in(node->sim, SIM_TIMER, node, sim_node_us(node, ZD_TALK_AGAIN_MS), again, NULL,
           node->again);
}

static void hang_up_own(sim_node_t *node)
{
    sim_conn_t *conn = node->up_conn;
    node->up_conn = NULL;
    if (conn) {
        hang_up(conn, CALLER);
    }
}

void sim_talk_call(sim_node_t *node, int place)
{
    const sim_conn_t *conn = node->up_conn;
    node->rests = false;
    node->calls = place;
    if (place >= 0 && conn && conn->ends[CALLED]->place != (unsigned)place) {
        hang_up_own(node);
    }
    call(node);
}

void sim_talk_next(sim_node_t *node)
{
    node->rests = false;
    node->calls = -1;
    hang_up_own(node);
    call_later(node);
}

void sim_talk_rest(sim_node_t *node)
{
    node->rests = true;
    hang_up_own(node);
}

/* --- saying ----------------------------------------------------------------------------------- */

static void say_json(sim_conn_t *conn, int side, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    sim_must(text != NULL, "no JSON");
    if (is_open(conn, side)) {
        say(conn, side, text, false);
    } else {
        free(text);
    }
}

void sim_talk_up(sim_node_t *node, json_t *object)
{
    if (node->up_conn && node->up_conn->is_up) {
        say_json(node->up_conn, CALLER, object);
    } else {
        json_decref(object);
    }
}

void sim_talk_back(sim_node_t *node, sim_conn_t *conn, json_t *object)
{
    say_json(conn, CALLED, object);
}

void sim_talk_to(sim_node_t *node, const char *to, json_t *object)
{
    for (unsigned i = 0; i < node->sim->n; i++) {
        if (node->callers[i] && strcmp(node->sim->nodes[i].id, to) == 0) {
            say_json(node->callers[i], CALLED, object);
            return;
        }
    }
    json_decref(object);
}

void sim_talk_name(sim_node_t *node, sim_conn_t *conn, const char *id)
{
    unsigned from = conn->ends[CALLER]->place;
    sim_must(strcmp(node->sim->nodes[from].id, id) == 0, "a beat of somebody else");
    if (node->callers[from] && node->callers[from] != conn) {
        hang_up(node->callers[from], CALLED);
    }
    node->callers[from] = conn;
}

/* --- ends ------------------------------------------------------------------------------------- */

/* The kernel hangs up for a process that is dead, unless it is gone, too. */
void sim_talk_crash(sim_node_t *node)
{
    for (sim_conn_t *conn = node->sim->conns; conn; conn = conn->next) {
        for (int side = 0; side < 2; side++) {
            if (conn->ends[side] == node && conn->runs[side] == node->run && !node->down) {
                hang_up(conn, side);
            }
        }
    }
    node->up_conn = NULL;
    node->calls = -1;
    node->rests = true;
    node->asks = 0;
    memset(node->callers, 0, sizeof(node->callers));
}

void sim_talk_free(sim_t *sim)
{
    while (sim->conns) {
        sim_conn_t *conn = sim->conns;
        sim->conns = conn->next;
        free_conn(conn);
    }
}
