/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what an operation does: reading the copies, taking the newest, and replacing each with a
 * compare-and-swap. Does not know how a node is reached.
 *
 *             | leads to
 *   ----------+-----------------------------------------------------------------------------
 *   READ      | READ while more nodes have to be asked, else CHOOSE
 *   CHOOSE    | STORED when there is a new record, DECIDED when it is one of L2, MENDED when
 *             | copies lack the one there is, else the end
 *   DECIDED   | STORED for the other copies, READ when somebody was faster
 *   STORED    | READ when somebody was faster, else the end
 *   MENDED    | READ when somebody was faster, else the end
 *
 * A PUT of a record that is known from the last operation begins with STORED, as if its copies had
 * been read when that one ended.
 */
#include "hapstore_int.h"

#include <stdlib.h>
#include <time.h>

#include <openssl/rand.h>

enum {
    TRIES_AT_ONCE = 2, /* before there are pauses */
    PAUSE_MS_MAX = 32
};

typedef enum next_t {
    GO_ON, /* with the phase that is set now */
    LEFT   /* it waits for something, or has ended: it must not be touched */
} next_t;

static hap_str_t name_of(const hapstore_run_t *run)
{
    return hap_strn(run->op->name, HAP_ZONE_NAME_BYTES);
}

/* --- copies ----------------------------------------------------------------------------------- */

static void forget(hapstore_copy_t *copy)
{
    free(copy->value.bytes);
    free(copy->plain);
    copy->value = (hapstore_value_t){NULL, 0};
    copy->token = (hapstore_token_t){0, 0};
    copy->plain = NULL;
    copy->opened = false;
}

/* What does not open counts as none; its token stays, so that it can be replaced. */
static void open_value(hapstore_copy_t *copy)
{
    hapstore_run_t *run = copy->run;
    hap_str_t sealed = hap_strn(copy->value.bytes, copy->value.n);
    copy->plain = malloc(sealed.n + 1);
    if (copy->plain == NULL) {
        return;
    }
    hap_zone_open_t end =
        hap_zone_open(&copy->record, copy->plain, sealed, run->store->conf->keys, name_of(run));
    copy->opened = end == HAP_ZONE_OPENED;
    if (!copy->opened && run->tries == 0) {
        run->op->unopened++;
        run->op->why_unopened = end;
    }
}

void hapstore_run_heard(hapstore_copy_t *copy)
{
    hapstore_run_t *run = copy->run;
    hapstore_ask_t *ask = &copy->ask;
    /* A node that is unsure each time is of no use. */
    if (ask->end == HAPSTORE_NODE_UNSURE && copy->unsure) {
        ask->end = HAPSTORE_NODE_FAILED;
    }
    copy->unsure = copy->unsure || ask->end == HAPSTORE_NODE_UNSURE;
    copy->dead = ask->end == HAPSTORE_NODE_FAILED;
    if (ask->end == HAPSTORE_NODE_OK) {
        copy->token = ask->got_token;
    }
    if (ask->end == HAPSTORE_NODE_OK && !ask->put) {
        copy->value = ask->got;
        open_value(copy);
    }
    run->left--;
    if (run->left == 0) {
        hapstore_go_on(run);
    }
}

static bool lives(const hapstore_copy_t *copy)
{
    return copy->asked && !copy->dead;
}

/* Asks all nodes whose copies are wanted. One more is counted, so that the run does not go on from
 * within an ask that ends at once. */
static next_t post(hapstore_run_t *run, hapstore_phase_t then)
{
    run->phase = then;
    run->left = 1;
    for (unsigned i = 0; i < run->copies_n; i++) {
        run->left += run->copies[i].wanted;
    }
    for (unsigned i = 0; i < run->copies_n; i++) {
        hapstore_copy_t *copy = &run->copies[i];
        if (copy->wanted) {
            hapstore_ask(&run->store->nodes[copy->node], &copy->ask);
        }
    }
    run->left--;
    return run->left == 0 ? GO_ON : LEFT;
}

static void want_none(hapstore_run_t *run)
{
    for (unsigned i = 0; i < run->copies_n; i++) {
        run->copies[i].wanted = false;
    }
}

static void want_get(hapstore_copy_t *copy)
{
    copy->asked = copy->wanted = true;
    copy->ask = (hapstore_ask_t){.name = name_of(copy->run)};
}

static void want_put(hapstore_copy_t *copy, uint32_t ttl_s)
{
    copy->wanted = true;
    copy->ask = (hapstore_ask_t){
        .name = name_of(copy->run),
        .put = true,
        .value = copy->run->putting,
        .ttl_s = ttl_s,
        .token = copy->token,
    };
}

/* Of the copies of the last step, how many had this end. */
static unsigned count(const hapstore_run_t *run, hapstore_node_end_t end)
{
    unsigned n = 0;
    for (unsigned i = 0; i < run->copies_n; i++) {
        n += run->copies[i].wanted && run->copies[i].ask.end == end;
    }
    return n;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void discard(hapstore_run_t *run)
{
    for (unsigned i = 0; i < run->copies_n; i++) {
        forget(&run->copies[i]);
    }
    free(run->sealed);
    free(run);
}

static unsigned places(const hapstore_run_t *run)
{
    return run->copies_n < HAPSTORE_COPIES ? run->copies_n : HAPSTORE_COPIES;
}

/* When the nodes whose turn it is all have the record, the next operation need not read it. */
static void note_recent(hapstore_run_t *run)
{
    const hapstore_op_t *op = run->op;
    hapstore_token_t tokens[HAPSTORE_COPIES] = {{0, 0}};
    bool known = op->end == HAPSTORE_DONE && op->found && op->copies == places(run);
    for (unsigned i = 0; known && i < places(run); i++) {
        tokens[i] = run->copies[i].token;
        known = lives(&run->copies[i]) && tokens[i].number != 0;
    }
    if (known) {
        hapstore_recent_note(run->store->recent, op->name, &op->record, tokens);
    } else {
        hapstore_recent_forget(run->store->recent, op->name);
    }
}

static next_t end(hapstore_run_t *run, hapstore_end_t how)
{
    run->op->end = how;
    note_recent(run);
    hapstore_op_ended(run->store, run->op);
    discard(run);
    return LEFT;
}

/* The record is the caller's from now on, and so is what it borrows from. */
static void hand_over(hapstore_run_t *run, const hap_zone_record_t *record)
{
    hapstore_op_t *op = run->op;
    op->found = true;
    op->record = *record;
    if (run->newest) {
        op->plain = run->newest->plain;
        run->newest->plain = NULL;
    }
}

/* --- the phases ------------------------------------------------------------------------------- */

/* Enough are two nodes that answer and one that has it; else those that come next in the order. */
static next_t read_copies(hapstore_run_t *run)
{
    unsigned living = 0;
    bool found = false;
    for (unsigned i = 0; i < run->copies_n; i++) {
        living += lives(&run->copies[i]);
        found = found || (lives(&run->copies[i]) && run->copies[i].opened);
    }
    unsigned want = living < HAPSTORE_COPIES ? HAPSTORE_COPIES - living : HAPSTORE_COPIES;
    want = living >= HAPSTORE_COPIES && found ? 0 : want;
    unsigned wanted = 0;
    want_none(run);
    for (unsigned i = 0; i < run->copies_n && wanted < want; i++) {
        hapstore_copy_t *copy = &run->copies[i];
        if (!copy->asked && !copy->dead && !hapstore_is_down(&run->store->nodes[copy->node])) {
            want_get(copy);
            wanted++;
        }
    }
    if (wanted == 0) {
        run->phase = HAPSTORE_CHOOSE;
        return GO_ON;
    }
    return post(run, HAPSTORE_READ);
}

static hapstore_copy_t *newest(hapstore_run_t *run)
{
    hapstore_copy_t *found = NULL;
    for (unsigned i = 0; i < run->copies_n; i++) {
        hapstore_copy_t *copy = &run->copies[i];
        if (lives(copy) && copy->opened &&
            (!found || hap_zone_compare(&copy->record, &found->record) > 0)) {
            found = copy;
        }
    }
    return found;
}

static bool has(const hapstore_copy_t *copy, const hap_zone_record_t *record)
{
    return copy->opened && hap_zone_compare(&copy->record, record) == 0;
}

/* Puts what was found to those of the first nodes that lack it. Nothing is decided by what is on
 * one node alone: somebody may have stored another record on the other one meanwhile, which counts.
 * A record that has had its time ends on one node before the other: put again it would never end.
 */
static next_t mend(hapstore_run_t *run)
{
    const hapstore_copy_t *found = run->newest;
    const int64_t now_s = run->op->wish.now_s;
    unsigned left = HAPSTORE_COPIES;
    unsigned lacking = 0;
    run->putting = hap_strn(found->value.bytes, found->value.n);
    want_none(run);
    for (unsigned i = 0; i < run->copies_n && left; i++) {
        hapstore_copy_t *copy = &run->copies[i];
        if (!lives(copy)) {
            continue;
        }
        left--;
        if (has(copy, &found->record)) {
            run->op->copies++;
        } else if (!hap_zone_is_over(&found->record, now_s)) {
            want_put(copy, hap_zone_rest_s(&found->record, now_s));
            lacking++;
        }
    }
    if (lacking == 0) {
        want_none(run);
        run->phase = HAPSTORE_MENDED;
        return GO_ON;
    }
    return post(run, HAPSTORE_MENDED);
}

/* DONE, or why not. */
static hapstore_end_t seal(hapstore_run_t *run)
{
    unsigned char nonce[HAP_ZONE_NONCE_BYTES];
    free(run->sealed);
    size_t bytes = hap_zone_sealed_bytes(&run->next);
    run->sealed = malloc(bytes);
    if (run->sealed == NULL || RAND_bytes(nonce, sizeof(nonce)) != 1) {
        return HAPSTORE_UNREACHED;
    }
    size_t n = hap_zone_seal(run->sealed, &run->next, run->store->conf->keys, name_of(run), nonce);
    run->putting = hap_strn((const char *)run->sealed, n);
    return n ? HAPSTORE_DONE : HAPSTORE_REFUSED;
}

/* A node that did not answer in time, and is not down for all: others may let it decide. */
static bool is_first_doubtful(const hapstore_run_t *run)
{
    for (unsigned i = 0; i < run->copies_n && !lives(&run->copies[i]); i++) {
        const hapstore_copy_t *copy = &run->copies[i];
        if (copy->dead && !hapstore_breaker_is_open(&run->store->nodes[copy->node])) {
            return true;
        }
    }
    return false;
}

static void note_owner_before(hapstore_run_t *run)
{
    hap_str_t owner = {NULL, 0};
    if (run->op->wish.act == HAP_ZONE_TAKE && run->newest) {
        owner = run->newest->record.owner;
    }
    size_t n = owner.n < sizeof(run->op->from) ? owner.n : 0;
    memcpy(run->op->from, n ? owner.p : "", n);
    run->op->from[n] = '\0';
}

/* The first so many nodes behind this place. How many there are. */
static unsigned want_puts(hapstore_run_t *run, unsigned behind, unsigned most)
{
    unsigned n = 0;
    want_none(run);
    for (unsigned i = behind; i < run->copies_n && n < most; i++) {
        if (lives(&run->copies[i])) {
            want_put(&run->copies[i], run->next.ttl_s);
            n++;
        }
    }
    return n;
}

/*
 * Of two that put at once each may have one node for a moment. States say by their versions which
 * of them stays. Who writes over what he has read must know that it was that, and nobody may have
 * seen it otherwise: there the first node alone decides, and the other copy follows.
 */
static next_t store(hapstore_run_t *run)
{
    bool by_first = run->op->wish.act >= HAP_ZONE_WRITE;
    hapstore_end_t refusal = seal(run);
    if (refusal != HAPSTORE_DONE) {
        return end(run, refusal);
    }
    if (by_first && is_first_doubtful(run)) {
        return end(run, HAPSTORE_UNREACHED);
    }
    note_owner_before(run);
    want_puts(run, 0, by_first ? 1 : HAPSTORE_COPIES);
    return post(run, by_first ? HAPSTORE_DECIDED : HAPSTORE_STORED);
}

static bool any_lives(const hapstore_run_t *run)
{
    for (unsigned i = 0; i < run->copies_n; i++) {
        if (lives(&run->copies[i])) {
            return true;
        }
    }
    return false;
}

/* It was stored, and somebody may have built on it since. */
static next_t end_overtaken(hapstore_run_t *run)
{
    run->next.owner = run->newest ? run->newest->record.owner : hap_strn(NULL, 0);
    run->op->copies = 1;
    hand_over(run, &run->next);
    return end(run, HAPSTORE_DONE);
}

static next_t choose(hapstore_run_t *run)
{
    hapstore_op_t *op = run->op;
    if (!any_lives(run)) {
        return end(run, HAPSTORE_UNREACHED);
    }
    run->newest = newest(run);
    op->copies = 0;
    /* What an earlier try has stored on one node is no other's record to decide on. */
    if (run->tried && run->newest && has(run->newest, &run->next)) {
        return mend(run);
    }
    if (run->won) {
        return end_overtaken(run);
    }
    const hap_zone_record_t *now = run->newest ? &run->newest->record : NULL;
    op->verdict = hap_zone_decide(&run->next, now, &op->wish);
    if (op->verdict == HAP_ZONE_STORE) {
        return store(run);
    }
    op->from[0] = '\0';
    run->tried = false;
    return now ? mend(run) : end(run, HAPSTORE_DONE);
}

/* --- beginning anew --------------------------------------------------------------------------- */

static int64_t pause_ms(unsigned tries)
{
    unsigned char random = 0;
    unsigned growth = tries - TRIES_AT_ONCE;
    unsigned most = growth < 5 ? 1U << growth : PAUSE_MS_MAX;
    (void)RAND_bytes(&random, 1);
    return 1 + random % most;
}

static next_t anew(hapstore_run_t *run)
{
    for (unsigned i = 0; i < run->copies_n; i++) {
        forget(&run->copies[i]);
        run->copies[i].asked = false;
    }
    run->unread = false;
    run->phase = HAPSTORE_READ;
    return GO_ON;
}

/* On one node it is, whatever the other one says each time. */
static bool is_stored(const hapstore_run_t *run)
{
    return run->won || (run->tried && run->newest && has(run->newest, &run->next));
}

static next_t again(hapstore_run_t *run)
{
    if (++run->tries >= HAPSTORE_TRIES) {
        return is_stored(run) ? end_overtaken(run) : end(run, HAPSTORE_CONFLICT);
    }
    anew(run);
    if (run->tries <= TRIES_AT_ONCE) {
        return GO_ON;
    }
    hapstore_clock_add(run, hapstore_now_ms() + pause_ms(run->tries));
    return LEFT;
}

static unsigned lacked(const hapstore_run_t *run)
{
    unsigned n = 0;
    for (unsigned i = 0; i < run->copies_n; i++) {
        const hapstore_copy_t *copy = &run->copies[i];
        n += copy->wanted && copy->ask.end == HAPSTORE_NODE_OK && run->newest &&
             !has(copy, &run->newest->record);
    }
    return n;
}

/* Without a node that failed all have refused it. Else others may be left, that did not. */
static next_t none_stored(hapstore_run_t *run)
{
    run->tried = true;
    return count(run, HAPSTORE_NODE_FAILED) ? again(run) : end(run, HAPSTORE_REFUSED);
}

static next_t stored(hapstore_run_t *run)
{
    unsigned put = count(run, HAPSTORE_NODE_OK);
    bool lacks = run->unread && count(run, HAPSTORE_NODE_FAILED);
    if (lacks || count(run, HAPSTORE_NODE_CHANGED) || count(run, HAPSTORE_NODE_UNSURE)) {
        run->tried = true;
        return again(run);
    }
    if (!put && !run->won) {
        return none_stored(run);
    }
    run->op->copies += put;
    run->op->repaired += lacked(run);
    hand_over(run, &run->next);
    return end(run, HAPSTORE_DONE);
}

static next_t decided(hapstore_run_t *run)
{
    unsigned first = 0;
    if (count(run, HAPSTORE_NODE_CHANGED) || count(run, HAPSTORE_NODE_UNSURE)) {
        run->tried = run->tried || count(run, HAPSTORE_NODE_UNSURE);
        return again(run);
    }
    if (!count(run, HAPSTORE_NODE_OK)) {
        return none_stored(run);
    }
    while (!run->copies[first].wanted) {
        first++;
    }
    run->won = true;
    run->op->copies = 1;
    run->op->repaired += lacked(run);
    run->phase = HAPSTORE_STORED;
    return want_puts(run, first + 1, HAPSTORE_COPIES - 1) ? post(run, HAPSTORE_STORED) : GO_ON;
}

static next_t mended(hapstore_run_t *run)
{
    unsigned put = count(run, HAPSTORE_NODE_OK);
    bool changed = count(run, HAPSTORE_NODE_CHANGED) || count(run, HAPSTORE_NODE_UNSURE);
    if (run->op->wish.act != HAP_ZONE_LOOK && changed) {
        return again(run);
    }
    run->op->copies += put;
    run->op->repaired += run->tried ? 0 : put;
    hand_over(run, &run->newest->record);
    return end(run, HAPSTORE_DONE);
}

/* --- the machine ------------------------------------------------------------------------------ */

static next_t (*const phases[HAPSTORE_PHASES])(hapstore_run_t *) = {
    [HAPSTORE_READ] = read_copies, [HAPSTORE_CHOOSE] = choose, [HAPSTORE_DECIDED] = decided,
    [HAPSTORE_STORED] = stored,    [HAPSTORE_MENDED] = mended,
};

void hapstore_run_go(hapstore_run_t *run)
{
    while (phases[run->phase](run) == GO_ON) {
    }
}

static hapstore_run_t *make(hapstore_t *made_for, hapstore_op_t *op)
{
    unsigned n = made_for->nodes_n;
    hapstore_run_t *run = calloc(1, sizeof(*run) + n * sizeof(run->copies[0]));
    if (run == NULL || RAND_bytes((unsigned char *)&op->wish.tie, sizeof(op->wish.tie)) != 1) {
        free(run);
        return NULL;
    }
    uint8_t order[HAP_ZONE_NODES_MAX] = {0};
    run->store = made_for;
    run->op = op;
    run->copies_n = n;
    if (made_for->conf->spec->kind == HAP_ZONE_MEMCACHED) {
        hap_zone_placement(order, made_for->conf->spec, name_of(run));
    }
    for (unsigned i = 0; i < n; i++) {
        run->copies[i].run = run;
        run->copies[i].node = order[i];
    }
    return run;
}

/* The results as they are when nothing comes of it. */
static void reset(hapstore_op_t *op)
{
    op->end = HAPSTORE_UNREACHED;
    op->verdict = HAP_ZONE_NONE;
    op->found = false;
    op->from[0] = '\0';
    op->copies = op->repaired = op->unopened = 0;
    op->plain = NULL;
    op->wish.now_s = (int64_t)time(NULL);
}

/* Whether all that is to be read first is known. What is not to be stored then is decided by what
 * is stored now. */
static bool is_known(hapstore_run_t *run)
{
    hap_zone_record_t record;
    hapstore_token_t tokens[HAPSTORE_COPIES];
    const hap_zone_wish_t *wish = &run->op->wish;
    bool known = wish->act == HAP_ZONE_PUT &&
                 hapstore_recent_find(run->store->recent, run->op->name, &record, tokens) &&
                 hap_zone_decide(&run->next, &record, wish) == HAP_ZONE_STORE;
    for (unsigned i = 0; known && i < places(run); i++) {
        hapstore_copy_t *copy = &run->copies[i];
        known = !hapstore_is_down(&run->store->nodes[copy->node]);
        copy->asked = true;
        copy->token = tokens[i];
    }
    return known;
}

void hapstore_run_begin(hapstore_t *begun_in, hapstore_op_t *op)
{
    reset(op);
    hapstore_run_t *run = make(begun_in, op);
    if (run == NULL) {
        hapstore_op_ended(begun_in, op);
        return;
    }
    if (is_known(run)) {
        op->verdict = HAP_ZONE_STORE;
        run->unread = true;
        if (store(run) == LEFT) {
            return;
        }
    } else {
        anew(run);
    }
    hapstore_run_go(run);
}
