/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the proxies and the instances of the model: see zone_world.h. */
#include "zone_world.h"

#include <stdarg.h>
#include <stdio.h>

enum { NOW_S = 1000000, TTL_S = 1800, AGAIN_MAX = 2 };

static const char *const routes[WORLD_INSTANCES] = {"A", "B"};

/* --- small things ----------------------------------------------------------------------------- */

void world_say(world_t *world, const char *fmt, ...)
{
    va_list args;
    if (world->trace) {
        va_start(args, fmt);
        vfprintf(stderr, fmt, args);
        va_end(args);
        fputc('\n', stderr);
    }
}

size_t world_draw(world_t *world, size_t n)
{
    return unit_random(&world->random, n);
}

bool world_chance(world_t *world, unsigned percent)
{
    return world_draw(world, 100) < percent;
}

int world_index(const world_t *world, const world_request_t *request)
{
    return (int)(request - world->request);
}

const char *world_route(int instance)
{
    return routes[instance];
}

uint64_t world_writes_of(const hap_zone_record_t *record)
{
    uint64_t writes = 0;
    if (record->data.n == sizeof(writes)) {
        memcpy(&writes, record->data.p, sizeof(writes));
    }
    return writes;
}

int world_owner_of(const hap_zone_record_t *record)
{
    for (int i = 0; i < WORLD_INSTANCES; i++) {
        if (hap_str_eq(record->owner, hap_str(routes[i]))) {
            return i;
        }
    }
    return WORLD_NOBODY;
}

bool world_runs_op(const world_request_t *request)
{
    return request->phase == WORLD_LOOKS || request->phase == WORLD_TAKES ||
           request->phase == WORLD_STORES;
}

void world_init(world_t *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->random.state = seed;
    engine_init(&world->engine);
    for (int i = 0; i < WORLD_INSTANCES; i++) {
        world->instance[i].runs = true;
    }
    world->looks_each_time = world_chance(world, 50);
}

/* --- instances: doc/zones.md, "What the application has to do" ---------------------------------
 */

/* Rule 2. */
static void restore(world_instance_t *mine, const world_request_t *request)
{
    const hap_zone_record_t *told = &request->told;
    if (!mine->has || request->epoch > mine->epoch ||
        (request->epoch == mine->epoch && told->version > mine->version)) {
        mine->has = true;
        mine->epoch = request->epoch;
        mine->version = told->version;
        mine->writes = world_writes_of(told);
    }
}

/* Rules 1 to 5. False when the state is needed first. */
static bool settle(world_instance_t *mine, const world_request_t *request)
{
    bool stale = mine->has && request->epoch > mine->epoch;
    switch (request->tell) {
    case WORLD_RESTORE:
        restore(mine, request);
        return true;
    case WORLD_FENCE:
        return mine->has && !stale;
    case WORLD_GONE:
        mine->has = false;
        return true;
    case WORLD_NONE:
    case WORLD_ERROR:
        mine->has = mine->has && !stale;
        return true;
    }
    return true;
}

/* A session of its own, under epoch 1. */
static void make_session(world_instance_t *mine)
{
    mine->has = true;
    mine->epoch = 1;
    mine->version = 0;
    mine->writes = 0;
}

/* Rule 6. */
static void serve(world_t *world, world_instance_t *mine, world_request_t *request)
{
    request->said = request->makes ? WORLD_ISSUED : WORLD_NOTHING;
    if (request->kind == WORLD_WRITE && world->writes < WORLD_WRITES) {
        request->said = WORLD_PUT;
        request->bit = 1ULL << world->writes++;
        mine->version++;
        mine->writes |= request->bit;
    } else if (request->kind == WORLD_TOUCH) {
        request->said = WORLD_TOUCHED;
    } else if (request->kind == WORLD_LOGOUT) {
        request->said = WORLD_DEL;
        mine->has = false;
        world->ending = true;
    }
    request->version = mine->version;
    request->writes = mine->writes;
}

void world_process(world_t *world, world_request_t *request)
{
    static const char *const said[] = {"shows",   "issues", "puts",          "touches",
                                       "ends it", "misses", "has no session"};
    world_instance_t *mine = &world->instance[request->instance];
    request->phase = WORLD_ANSWERED;
    request->said = WORLD_NO_SESSION;
    if (request->makes) {
        make_session(mine);
    } else if (!settle(mine, request)) {
        request->said = WORLD_MISS;
    }
    if (mine->has && request->said != WORLD_MISS) {
        serve(world, mine, request);
    }
    world_say(world, "r%d: %s %s; has epoch %d version %d writes %lx", world_index(world, request),
              routes[request->instance], said[request->said], (int)mine->epoch, (int)mine->version,
              (unsigned long)mine->writes);
}

/* --- what a proxy knows: hap_zone_table ------------------------------------------------------- */

static bool is_older(const world_known_t *a, const world_known_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch;
    }
    return a->gone != b->gone ? b->gone : a->version < b->version;
}

static void remember(world_proxy_t *proxy, const world_known_t *known)
{
    proxy->seen = proxy->seen > known->epoch ? proxy->seen : known->epoch;
    if (!proxy->table.known || !is_older(known, &proxy->table)) {
        proxy->table = *known;
    }
}

static world_known_t known_of(const hap_zone_record_t *record)
{
    return (world_known_t){.known = true,
                           .live = !record->tombstone,
                           .gone = record->tombstone,
                           .epoch = record->epoch,
                           .version = record->version,
                           .owner = world_owner_of(record)};
}

/* mh_zone_note */
static void note(world_t *world, const world_request_t *request)
{
    const engine_op_t *op = &request->op;
    world_known_t known = {.known = true, .owner = WORLD_NOBODY};
    if (op->how == ENGINE_DONE) {
        known = op->found ? known_of(&op->record) : known;
        remember(&world->proxy[request->proxy], &known);
    }
}

/* --- the visit: mod_haproxy/mh_visit.c ---------------------------------------------------------
 */

static void choose(world_t *world, world_request_t *request);

static void run(world_t *world, world_request_t *request, world_phase_t phase, hap_zone_wish_t wish)
{
    wish.now_s = NOW_S;
    wish.ttl_s = TTL_S;
    wish.tie = (uint32_t)world_draw(world, UINT32_MAX);
    request->phase = phase;
    request->op_acked = world->acked;
    request->op_was_gone = world->gone;
    request->op_seen = world->proxy[request->proxy].seen;
    request->op_began = world->now;
    request->op_alone = true;
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        world_request_t *other = &world->request[i];
        if (other != request && world_runs_op(other)) {
            request->op_alone = other->op_alone = false;
        }
    }
    engine_begin(&world->engine, &request->op, &wish, &world->proxy[request->proxy].recent);
    world->events[WORLD_N_KNOWN] += request->op.phase == ENGINE_STORED;
}

void world_end(world_t *world, world_request_t *request, const char *how)
{
    world_say(world, "r%d: over, %s", world_index(world, request), how);
    request->phase = WORLD_FREE;
}

static void tell(world_t *world, world_request_t *request, world_tell_t what, uint64_t epoch)
{
    static const char *const words[] = {"fence", "restore", "none", "gone", "error"};
    const world_instance_t *to = &world->instance[request->instance];
    request->phase = WORLD_AWAY;
    request->tell = what;
    request->epoch = epoch;
    request->life = to->dead ? to->life - 1 : to->life;
    world_say(world, "r%d: P%d sends to %s: %s, epoch %d", world_index(world, request),
              request->proxy, routes[request->instance], words[what], (int)epoch);
}

static bool recall(world_t *world, world_request_t *request)
{
    const world_known_t *table = &world->proxy[request->proxy].table;
    if (table->known) {
        request->known = *table;
    }
    return table->known;
}

static void take(world_t *world, world_request_t *request)
{
    run(world, request, WORLD_TAKES,
        (hap_zone_wish_t){.act = HAP_ZONE_TAKE,
                          .epoch = request->known.epoch,
                          .version = request->known.version,
                          .owner = hap_str(routes[request->instance])});
}

/* mh_visit_send */
static void send_to(world_t *world, world_request_t *request)
{
    const world_known_t *known = &request->known;
    if (known->known && known->live && known->owner == request->instance && !request->missed) {
        tell(world, request, WORLD_FENCE, known->epoch);
    } else if (known->known && known->live) {
        take(world, request);
    } else if (known->known && known->gone) {
        tell(world, request, WORLD_GONE, 0);
    } else {
        tell(world, request, request->missed ? WORLD_NONE : WORLD_FENCE, 0);
    }
}

/* Proxies are not always right about instances. */
static bool seems_usable(world_t *world, int instance)
{
    return world_chance(world, world->instance[instance].runs ? 90 : 30);
}

/* The owner, unless it cannot be used; or whoever the cookie names. */
static void choose(world_t *world, world_request_t *request)
{
    int owner = request->known.known ? request->known.owner : WORLD_NOBODY;
    if (owner != WORLD_NOBODY) {
        request->instance = seems_usable(world, owner) ? owner : (owner + 1) % WORLD_INSTANCES;
    }
    send_to(world, request);
}

void world_look(world_t *world, world_request_t *request, int proxy)
{
    if (request->phase == WORLD_FREE) {
        *request = (world_request_t){.proxy = proxy, .kind = WORLD_READ};
    }
    recall(world, request);
    run(world, request, WORLD_LOOKS,
        (hap_zone_wish_t){.act = HAP_ZONE_LOOK,
                          .epoch = request->known.epoch,
                          .version = request->known.version});
}

static world_kind_t draw_kind(world_t *world)
{
    size_t n = world_draw(world, 100);
    return n < 45 ? WORLD_WRITE : n < 75 ? WORLD_READ : n < 98 ? WORLD_TOUCH : WORLD_LOGOUT;
}

void world_begin(world_t *world, world_request_t *request, int proxy)
{
    *request = (world_request_t){
        .proxy = proxy,
        .kind = draw_kind(world),
        .makes = !world->begun,
        .instance = (int)world_draw(world, WORLD_INSTANCES),
        .acked = world->acked,
        .was_gone = world->gone,
        .known = {.owner = WORLD_NOBODY},
    };
    if (request->makes) {
        world->begun = true;
        request->kind = world_chance(world, 70) ? WORLD_WRITE : WORLD_READ;
        tell(world, request, WORLD_FENCE, 0);
    } else if (!recall(world, request) || world->looks_each_time || world_chance(world, 30)) {
        request->phase = WORLD_LOOKS;
        world_look(world, request, proxy);
    } else {
        choose(world, request);
    }
}

static void looked(world_t *world, world_request_t *request)
{
    if (request->op.how == ENGINE_DONE && request->op.verdict != HAP_ZONE_LOST) {
        recall(world, request);
    }
    choose(world, request);
}

/* begin_anew */
static void begin_anew(world_t *world, world_request_t *request)
{
    world_known_t *known = &request->known;
    bool begun = known->epoch > request->op.wish.epoch;
    bool mine =
        known->owner == request->instance && (begun || request->op.verdict == HAP_ZONE_NONE);
    world->events[WORLD_N_BEGUN_ANEW]++;
    if (begun && !mine) {
        choose(world, request);
        return;
    }
    if (!mine) {
        *known = (world_known_t){
            .known = true, .live = true, .epoch = known->epoch + 1, .owner = request->instance};
        remember(&world->proxy[request->proxy], known);
    }
    tell(world, request, WORLD_NONE, known->epoch);
}

static void took(world_t *world, world_request_t *request)
{
    const engine_op_t *op = &request->op;
    if (op->how != ENGINE_DONE) {
        world->events[WORLD_N_UNPROTECTED]++;
        tell(world, request, WORLD_ERROR, 0);
        return;
    }
    recall(world, request);
    if (op->verdict == HAP_ZONE_STORE || op->verdict == HAP_ZONE_KEEP) {
        world->events[WORLD_N_TAKEN]++;
        world_watch_take(world, request);
        request->told = op->record;
        tell(world, request, op->record.version ? WORLD_RESTORE : WORLD_NONE, op->record.epoch);
    } else if (op->verdict == HAP_ZONE_FENCED) {
        world->events[WORLD_N_FOLLOWED]++;
        request->known = known_of(&op->record);
        choose(world, request);
    } else if (op->verdict == HAP_ZONE_GONE) {
        tell(world, request, WORLD_GONE, 0);
    } else {
        begin_anew(world, request);
    }
}

/* --- the answer: mod_haproxy/mh_visit_hear.c ---------------------------------------------------
 */

static void turn_down(world_t *world, world_request_t *request, bool repeatable)
{
    if (!repeatable || request->agains++ >= AGAIN_MAX) {
        world_end(world, request, "turned down");
        return;
    }
    request->bit = 0;
    recall(world, request);
    choose(world, request);
}

static void fence(world_t *world, world_request_t *request)
{
    world->events[WORLD_N_FENCED]++;
    turn_down(world, request, request->kind == WORLD_READ || request->kind == WORLD_TOUCH);
}

static void miss(world_t *world, world_request_t *request)
{
    bool first = !request->missed;
    world->events[WORLD_N_MISSED]++;
    request->missed = true;
    turn_down(world, request, first);
}

static bool is_overtaken(const world_t *world, const world_request_t *request)
{
    const world_known_t *now = &world->proxy[request->proxy].table;
    return request->epoch && now->known && now->live && now->epoch > request->epoch;
}

static hap_zone_wish_t wish_of(const world_t *world, const world_request_t *request)
{
    static const hap_zone_act_t acts[] = {
        [WORLD_ISSUED] = HAP_ZONE_ISSUE,
        [WORLD_PUT] = HAP_ZONE_PUT,
        [WORLD_TOUCHED] = HAP_ZONE_TOUCH,
        [WORLD_DEL] = HAP_ZONE_DEL,
    };
    return (hap_zone_wish_t){.act = acts[request->said],
                             .epoch = request->epoch,
                             .version = request->version,
                             .owner = hap_str(routes[request->instance]),
                             .fresh = request->makes || request->known.live};
}

static void obey(world_t *world, world_request_t *request)
{
    hap_zone_wish_t wish = wish_of(world, request);
    for (unsigned i = 0; i < world->writes; i++) {
        if (request->bit == 1ULL << i) {
            world->state[i] = request->writes;
            wish.data = hap_strn((const char *)&world->state[i], sizeof(world->state[i]));
        }
    }
    run(world, request, WORLD_STORES, wish);
}

void world_hear(world_t *world, world_request_t *request)
{
    if (request->proxy == WORLD_NOBODY) {
        world_end(world, request, "nobody hears it");
    } else if (request->said == WORLD_MISS) {
        miss(world, request);
    } else if (is_overtaken(world, request)) {
        fence(world, request);
    } else if (request->said != WORLD_NOTHING && request->said != WORLD_NO_SESSION) {
        obey(world, request);
    } else {
        world->events[WORLD_N_SHOWN]++;
        if (request->said == WORLD_NOTHING) {
            world_watch_answer(world, request);
        }
        world_end(world, request, "shown");
    }
}

static void stored(world_t *world, world_request_t *request)
{
    const engine_op_t *op = &request->op;
    bool kept = op->verdict == HAP_ZONE_STORE || op->verdict == HAP_ZONE_KEEP;
    if (op->how != ENGINE_DONE) {
        world->events[WORLD_N_UNPROTECTED]++;
    } else if (op->verdict == HAP_ZONE_FENCED) {
        fence(world, request);
        return;
    } else if (kept && request->said == WORLD_PUT) {
        world->events[WORLD_N_ACKED]++;
        world_watch_put(world, request);
        world_watch_answer(world, request);
    } else if (kept && request->said == WORLD_DEL) {
        world->events[WORLD_N_ENDED]++;
        world_watch_del(world, request);
    } else if (kept) {
        world_watch_stored(world, request);
    }
    world_end(world, request, "told");
}

/* --- operations ------------------------------------------------------------------------------- */

static void show_op(world_t *world, const world_request_t *request)
{
    static const char *const acts[] = {"look", "issue", "put", "touch", "del", "take"};
    const engine_op_t *op = &request->op;
    hap_zone_record_t none = {.epoch = 0};
    const hap_zone_record_t *record = op->found ? &op->record : &none;
    world_say(world, "r%d: P%d %s: %s%s; epoch %d version %d %.*s%s writes %lx",
              world_index(world, request), request->proxy, acts[op->wish.act],
              op->how == ENGINE_DONE ? "" : "in vain, ", hap_zone_verdict_why(op->verdict),
              (int)record->epoch, (int)record->version, HAP_STR_ARG(record->owner),
              record->tombstone ? "tombstone" : "", (unsigned long)world_writes_of(record));
}

void world_ran(world_t *world, world_request_t *request)
{
    show_op(world, request);
    world->events[WORLD_N_RETRIED] += request->op.tries > 0;
    world_watch_op(world, request);
    note(world, request);
    if (request->phase == WORLD_LOOKS) {
        looked(world, request);
    } else if (request->phase == WORLD_TAKES) {
        took(world, request);
    } else {
        stored(world, request);
    }
}
