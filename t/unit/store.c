/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making stores for tests. */
#include "store.h"

#include <poll.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "unit.h"

enum { LOOKS = 10000 };

/* On a thread of a store, which must not touch unit_pool. */
static void note(void *data, const char *line)
{
    shelf_t *shelf = data;
    pthread_mutex_lock(&shelf->lock);
    if (shelf->lines_n < STORE_LINES) {
        apr_cpystrn(shelf->lines[shelf->lines_n++], line, STORE_LINE_BYTES);
    }
    pthread_mutex_unlock(&shelf->lock);
}

shelf_t *shelf_of_ports(const uint16_t *ports, unsigned n)
{
    static const unsigned char key[HAP_ZONE_KEY_BYTES] = "not as random as it should be";
    shelf_t *shelf = apr_pcalloc(unit_pool, sizeof(*shelf));
    shelf->budget_ms = STORE_BUDGET_MS;
    shelf->spec.kind = HAP_ZONE_MEMCACHED;
    shelf->spec.nodes_n = n;
    for (unsigned i = 0; i < n; i++) {
        shelf->spec.nodes[i] = (hap_zone_node_t){"127.0.0.1", ports[i],
                                                 apr_psprintf(unit_pool, "127.0.0.1:%u", ports[i])};
    }
    CU_ASSERT_EQUAL_FATAL(hap_zone_keys_make(&shelf->keys, key, unit_pool), APR_SUCCESS);
    shelf->breakers = apr_pcalloc(unit_pool, HAP_ZONE_NODES_MAX * sizeof(*shelf->breakers));
    pthread_mutex_init(&shelf->lock, NULL);
    return shelf;
}

shelf_t *shelf_make(unsigned nodes, const char *option)
{
    uint16_t ports[HAP_ZONE_NODES_MAX];
    memcached_server_t servers[HAP_ZONE_NODES_MAX] = {{0}};
    for (unsigned i = 0; i < nodes; i++) {
        memcached_up(&servers[i], option);
        ports[i] = servers[i].port;
    }
    shelf_t *shelf = shelf_of_ports(ports, nodes);
    memcpy(shelf->servers, servers, sizeof(servers));
    return shelf;
}

void shelf_clear(shelf_t *shelf)
{
    for (unsigned i = 0; i < shelf->spec.nodes_n; i++) {
        memcached_kill(&shelf->servers[i]);
    }
}

hapstore_t *store_open_idle(shelf_t *shelf)
{
    hapstore_t *store = NULL;
    hapstore_conf_t *conf = apr_pcalloc(unit_pool, sizeof(*conf));
    *conf = (hapstore_conf_t){.spec = &shelf->spec,
                              .keys = shelf->keys,
                              .budget = apr_time_from_msec(shelf->budget_ms),
                              .probe = apr_time_from_msec(STORE_PROBE_MS),
                              .breakers = shelf->breakers,
                              .shm = shelf->shm,
                              .say = note,
                              .say_data = shelf};
    CU_ASSERT_EQUAL_FATAL(hapstore_create(&store, conf, unit_pool), APR_SUCCESS);
    return store;
}

hapstore_t *store_open(shelf_t *shelf)
{
    hapstore_t *store = store_open_idle(shelf);
    CU_ASSERT_EQUAL_FATAL(hapstore_serve(store), APR_SUCCESS);
    return store;
}

void shelf_wait_up(shelf_t *shelf, unsigned node)
{
    for (int i = 0; i < LOOKS && shelf->breakers[node].open; i++) {
        poll(NULL, 0, 1);
    }
    CU_ASSERT_EQUAL(shelf->breakers[node].open, 0);
}

void shelf_up(shelf_t *shelf, unsigned node)
{
    memcached_up(&shelf->servers[node], NULL);
    shelf_wait_up(shelf, node);
}

unsigned shelf_said(shelf_t *shelf, const char *text)
{
    unsigned n = 0;
    pthread_mutex_lock(&shelf->lock);
    for (unsigned i = 0; i < shelf->lines_n; i++) {
        n += strstr(shelf->lines[i], text) != NULL;
    }
    pthread_mutex_unlock(&shelf->lock);
    return n;
}

const char *shelf_sid(int i)
{
    return apr_psprintf(unit_pool, "session%d", i);
}

void shelf_name(const shelf_t *shelf, char name[HAP_ZONE_NAME_BYTES + 1], const char *sid)
{
    hap_zone_id_t id = {hap_str("app"), hap_str("USER"), hap_str(sid), {NULL, 0}};
    CU_ASSERT_TRUE(hap_zone_name(name, shelf->keys, &id));
    name[HAP_ZONE_NAME_BYTES] = '\0';
}

unsigned shelf_node(const shelf_t *shelf, const char *sid, unsigned place)
{
    char name[HAP_ZONE_NAME_BYTES + 1];
    uint8_t order[HAP_ZONE_NODES_MAX];
    shelf_name(shelf, name, sid);
    hap_zone_placement(order, &shelf->spec, hap_strn(name, HAP_ZONE_NAME_BYTES));
    return order[place];
}

static hapstore_op_t *op_for(const shelf_t *shelf, const char *sid, hap_zone_act_t act)
{
    hapstore_op_t *op = calloc(1, sizeof(*op));
    char name[HAP_ZONE_NAME_BYTES + 1];
    shelf_name(shelf, name, sid);
    memcpy(op->name, name, HAP_ZONE_NAME_BYTES);
    op->wish.act = act;
    op->wish.ttl_s = 1800;
    op->wish.owner = HAP_STR_LIT("hostA");
    op->wish.fresh = true;
    return op;
}

hapstore_op_t *do_look(hapstore_t *store, const shelf_t *shelf, const char *sid)
{
    hapstore_op_t *op = op_for(shelf, sid, HAP_ZONE_LOOK);
    hapstore_wait(store, op);
    return op;
}

hapstore_op_t *do_put(hapstore_t *store, const shelf_t *shelf, const char *sid, uint64_t version,
                      const char *data)
{
    hapstore_op_t *op = op_for(shelf, sid, HAP_ZONE_PUT);
    op->wish.version = version;
    op->wish.data = hap_str(data);
    hapstore_wait(store, op);
    return op;
}

hapstore_op_t *do_take(hapstore_t *store, const shelf_t *shelf, const char *sid, uint64_t epoch,
                       const char *owner)
{
    hapstore_op_t *op = op_for(shelf, sid, HAP_ZONE_TAKE);
    op->wish.epoch = epoch;
    op->wish.owner = hap_str(owner);
    hapstore_wait(store, op);
    return op;
}

hapstore_op_t *do_write(hapstore_t *store, const shelf_t *shelf, const char *sid,
                        hap_zone_condition_t condition, const char *data)
{
    hapstore_op_t *op = op_for(shelf, sid, HAP_ZONE_WRITE);
    op->wish.condition = condition;
    op->wish.data = hap_str(data);
    hapstore_wait(store, op);
    return op;
}

hapstore_op_t *do_overwrite(hapstore_t *store, const shelf_t *shelf, const char *sid,
                            const hap_zone_record_t *over, const char *data)
{
    hapstore_op_t *op = op_for(shelf, sid, HAP_ZONE_WRITE);
    op->wish.condition = HAP_ZONE_MATCH;
    op->wish.epoch = over->epoch;
    op->wish.version = over->version;
    op->wish.match_tie = over->tie;
    op->wish.data = hap_str(data);
    hapstore_wait(store, op);
    return op;
}

static const char *told(hapstore_op_t *op)
{
    static const char *const ends[] = {"DONE", "CONFLICT", "UNREACHED", "REFUSED"};
    const char *text = ends[op->end];
    if (op->end == HAPSTORE_DONE) {
        text = op->found
                   ? apr_psprintf(unit_pool, "%u %.*s", op->copies, HAP_STR_ARG(op->record.data))
                   : hap_zone_verdict_why(op->verdict);
    }
    hapstore_op_clear(op);
    free(op);
    return text;
}

const char *put(hapstore_t *store, const shelf_t *shelf, const char *sid, uint64_t version,
                const char *data)
{
    return told(do_put(store, shelf, sid, version, data));
}

const char *look(hapstore_t *store, const shelf_t *shelf, const char *sid)
{
    return told(do_look(store, shelf, sid));
}

hapstore_node_end_t node_get(hapstore_alone_t *alone, hap_str_t name, hapstore_value_t *value,
                             hapstore_token_t *token)
{
    hapstore_ask_t ask = {.name = name};
    hapstore_node_end_t end = hapstore_alone_do(alone, &ask);
    *value = ask.got;
    *token = end == HAPSTORE_NODE_OK ? ask.got_token : no_token;
    return end;
}

hapstore_node_end_t node_put(hapstore_alone_t *alone, hap_str_t name, hap_str_t value,
                             uint32_t ttl_s, hapstore_token_t token)
{
    hapstore_ask_t ask = {
        .name = name, .put = true, .value = value, .ttl_s = ttl_s, .token = token};
    return hapstore_alone_do(alone, &ask);
}
