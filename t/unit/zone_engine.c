/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the model of the store: see the header. The names are those of lib/store/hapstore_run.c. */
#include "zone_engine.h"

static void go(engine_t *engine, engine_op_t *op);

void engine_init(engine_t *engine)
{
    memset(engine, 0, sizeof(*engine));
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        engine->node[i].up = true;
    }
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void change(engine_node_t *node, bool there, const hap_zone_record_t *record)
{
    if (node->there) {
        node->old[node->olds++ % ENGINE_OLD] = node->record;
    }
    node->there = there;
    if (there) {
        node->record = *record;
        node->token = ++node->tokens;
    }
}

/* A connection that is new knows nothing of old tokens. */
static engine_end_t put(engine_node_t *node, engine_message_t *message)
{
    if (node->generation != message->generation ||
        (node->there ? node->token : 0) != message->token) {
        return ENGINE_CHANGED;
    }
    change(node, true, &message->record);
    message->token = node->token;
    return ENGINE_OK;
}

static engine_end_t get(const engine_node_t *node, engine_message_t *message)
{
    message->token = node->there ? node->token : 0;
    message->record = node->record;
    return node->there ? ENGINE_OK : ENGINE_NONE;
}

static engine_end_t reach(engine_t *engine, engine_message_t *message)
{
    engine_node_t *node = &engine->node[message->node];
    if (!node->up || (!message->put && node->generation != message->generation)) {
        return ENGINE_FAILED;
    }
    return message->put ? put(node, message) : get(node, message);
}

void engine_late(engine_t *engine, unsigned i)
{
    engine_message_t message = engine->late[i];
    engine->late[i] = engine->late[--engine->lates];
    reach(engine, &message);
}

void engine_empty(engine_t *engine, unsigned node)
{
    change(&engine->node[node], false, NULL);
}

void engine_turn_back(engine_t *engine, unsigned node, unsigned records)
{
    engine_node_t *of = &engine->node[node];
    if (records > 0 && records <= of->olds && records <= ENGINE_OLD) {
        hap_zone_record_t old = of->old[(of->olds - records) % ENGINE_OLD];
        change(of, true, &old);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

static bool lives(const engine_copy_t *copy)
{
    return copy->asked && !copy->dead;
}

static bool has(const engine_copy_t *copy, const hap_zone_record_t *record)
{
    return copy->found && hap_zone_compare(&copy->record, record) == 0;
}

static void want_none(engine_op_t *op)
{
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        op->copy[i].wanted = false;
    }
}

static void want_get(engine_t *engine, engine_copy_t *copy, unsigned node)
{
    copy->wanted = copy->waits = copy->asked = true;
    copy->found = false;
    copy->generation = engine->node[node].generation;
    copy->failures = engine->node[node].failures;
    copy->message = (engine_message_t){.node = node, .generation = copy->generation};
}

static void want_put(engine_copy_t *copy, unsigned node, const hap_zone_record_t *record)
{
    copy->wanted = copy->waits = true;
    copy->message = (engine_message_t){.put = true,
                                       .node = node,
                                       .generation = copy->generation,
                                       .token = copy->token,
                                       .record = *record};
}

static unsigned count(const engine_op_t *op, engine_end_t end)
{
    unsigned n = 0;
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        n += op->copy[i].wanted && op->copy[i].end == end;
    }
    return n;
}

/* --- the phases ------------------------------------------------------------------------------- */

/* When all nodes have the record the next operation need not read it. */
static void note_recent(const engine_op_t *op)
{
    engine_recent_t *recent = op->recent;
    if (!recent) {
        return;
    }
    recent->known = op->how == ENGINE_DONE && op->found;
    recent->record = op->record;
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        const engine_copy_t *copy = &op->copy[i];
        recent->known = recent->known && lives(copy) && has(copy, &op->record);
        recent->token[i] = copy->token;
        recent->generation[i] = copy->generation;
    }
}

static void end(engine_op_t *op, engine_how_t how, const hap_zone_record_t *record)
{
    op->phase = ENGINE_OVER;
    op->how = how;
    op->found = record != NULL;
    if (record) {
        op->record = *record;
    }
    note_recent(op);
}

static void read_copies(engine_t *engine, engine_op_t *op)
{
    op->phase = ENGINE_READ;
    want_none(op);
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        if (!op->copy[i].dead) {
            want_get(engine, &op->copy[i], i);
        }
    }
    go(engine, op);
}

static void again(engine_t *engine, engine_op_t *op)
{
    if (++op->tries >= ENGINE_TRIES) {
        end(op, ENGINE_CONFLICT, NULL);
        return;
    }
    read_copies(engine, op);
}

static void mend(engine_t *engine, engine_op_t *op)
{
    const hap_zone_record_t found = op->copy[op->newest].record;
    op->phase = ENGINE_MENDED;
    want_none(op);
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        if (lives(&op->copy[i]) && !has(&op->copy[i], &found)) {
            want_put(&op->copy[i], i, &found);
        }
    }
    go(engine, op);
}

/* To so many of the nodes that live, from this place on. How many there are. */
static unsigned want_puts(engine_op_t *op, unsigned from, unsigned most)
{
    unsigned n = 0;
    want_none(op);
    for (unsigned i = from; i < ENGINE_NODES && n < most; i++) {
        if (lives(&op->copy[i])) {
            want_put(&op->copy[i], i, &op->next);
            n++;
        }
    }
    return n;
}

static void store(engine_t *engine, engine_op_t *op)
{
    bool by_first = op->wish.act >= HAP_ZONE_WRITE;
    want_puts(op, 0, by_first ? 1 : ENGINE_NODES);
    op->phase = by_first ? ENGINE_DECIDED : ENGINE_STORED;
    go(engine, op);
}

static void find_newest(engine_op_t *op)
{
    op->newest = -1;
    for (int i = 0; i < ENGINE_NODES; i++) {
        const engine_copy_t *copy = &op->copy[i];
        if (lives(copy) && copy->found &&
            (op->newest < 0 || hap_zone_compare(&copy->record, &op->copy[op->newest].record) > 0)) {
            op->newest = i;
        }
    }
}

static bool any_lives(const engine_op_t *op)
{
    bool any = false;
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        any = any || lives(&op->copy[i]);
    }
    return any;
}

static void choose(engine_t *engine, engine_op_t *op)
{
    if (!any_lives(op)) {
        end(op, ENGINE_UNREACHED, NULL);
        return;
    }
    find_newest(op);
    const hap_zone_record_t *now = op->newest < 0 ? NULL : &op->copy[op->newest].record;
    if (op->tried && now && hap_zone_compare(now, &op->next) == 0) {
        mend(engine, op);
        return;
    }
    if (op->won) {
        end(op, ENGINE_DONE, &op->next);
        return;
    }
    op->verdict = hap_zone_decide(&op->next, now, &op->wish);
    if (op->verdict == HAP_ZONE_STORE) {
        store(engine, op);
    } else if (now) {
        op->tried = false;
        mend(engine, op);
    } else {
        end(op, ENGINE_DONE, NULL);
    }
}

static void stored(engine_t *engine, engine_op_t *op)
{
    op->tried = true;
    if (count(op, ENGINE_CHANGED) || (!count(op, ENGINE_OK) && !op->won)) {
        again(engine, op);
    } else {
        end(op, ENGINE_DONE, &op->next);
    }
}

static void decided(engine_t *engine, engine_op_t *op)
{
    unsigned first = 0;
    if (!count(op, ENGINE_OK)) {
        op->tried = op->tried || !count(op, ENGINE_CHANGED);
        again(engine, op);
        return;
    }
    while (!op->copy[first].wanted) {
        first++;
    }
    op->won = true;
    op->phase = ENGINE_STORED;
    want_puts(op, first + 1, ENGINE_NODES);
    go(engine, op);
}

static void mended(engine_t *engine, engine_op_t *op)
{
    if (op->wish.act != HAP_ZONE_LOOK && count(op, ENGINE_CHANGED)) {
        again(engine, op);
    } else {
        end(op, ENGINE_DONE, &op->copy[op->newest].record);
    }
}

/* Goes on, unless something is on its way. */
static void go(engine_t *engine, engine_op_t *op)
{
    static void (*const phases[])(engine_t *, engine_op_t *) = {
        [ENGINE_READ] = choose,
        [ENGINE_DECIDED] = decided,
        [ENGINE_STORED] = stored,
        [ENGINE_MENDED] = mended,
    };
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        if (op->copy[i].waits) {
            return;
        }
    }
    phases[op->phase](engine, op);
}

/* --- for others ------------------------------------------------------------------------------- */

/* As if the copies had been read when the last operation ended. */
static bool is_known(const engine_t *engine, engine_op_t *op)
{
    const engine_recent_t *recent = op->recent;
    if (!recent || !recent->known || op->wish.act != HAP_ZONE_PUT ||
        hap_zone_decide(&op->next, &recent->record, &op->wish) != HAP_ZONE_STORE) {
        return false;
    }
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        engine_copy_t *copy = &op->copy[i];
        copy->asked = true;
        copy->token = recent->token[i];
        copy->generation = recent->generation[i];
        copy->failures = engine->node[i].failures;
    }
    return true;
}

void engine_begin(engine_t *engine, engine_op_t *op, const hap_zone_wish_t *wish,
                  engine_recent_t *recent)
{
    memset(op, 0, sizeof(*op));
    op->wish = *wish;
    op->recent = recent;
    op->newest = -1;
    if (is_known(engine, op)) {
        op->verdict = HAP_ZONE_STORE;
        store(engine, op);
    } else {
        read_copies(engine, op);
    }
}

bool engine_waits(const engine_op_t *op, unsigned node)
{
    return op->phase != ENGINE_OVER && op->copy[node].waits;
}

static engine_end_t meet(engine_t *engine, engine_message_t *message, engine_fate_t fate)
{
    engine_end_t end = ENGINE_FAILED;
    if (fate == ENGINE_ARRIVES || fate == ENGINE_UNHEARD) {
        end = reach(engine, message);
    } else if (fate == ENGINE_IS_LATE && message->put && engine->lates < ENGINE_LATE) {
        engine->late[engine->lates++] = *message;
    }
    return fate == ENGINE_ARRIVES ? end : ENGINE_FAILED;
}

void engine_step(engine_t *engine, engine_op_t *op, unsigned node, engine_fate_t fate)
{
    engine_copy_t *copy = &op->copy[node];
    copy->waits = false;
    copy->end = meet(engine, &copy->message, fate);
    if (copy->end == ENGINE_FAILED) {
        copy->dead = true;
    } else if (!copy->message.put || copy->end == ENGINE_OK) {
        copy->found = copy->end == ENGINE_OK;
        copy->token = copy->message.token;
        copy->record = copy->message.record;
    }
    go(engine, op);
}

void engine_abandon(engine_t *engine, engine_op_t *op, engine_fate_t fate)
{
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        if (engine_waits(op, i)) {
            meet(engine, &op->copy[i].message, fate);
        }
    }
    op->phase = ENGINE_OVER;
}
