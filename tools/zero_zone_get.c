/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero zone get`: one record as each node of its store has it. Changes nothing, and shows
 * what is in the record only when it is told to.
 */
#include "zero_zone.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_base64.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "hap_zone_record.h"
#include "zero_json.h"

enum { ID_LINE_BYTES = HAP_ZONE_SID_BYTES_MAX + 2 };

/** What a node has. */
typedef struct copy_t {
    const char *node;
    bool own; /* it is one of the two that the record belongs on while all are up */
    hapstore_node_end_t end;
    const char *why; /* FAILED */
    hap_zone_open_t opened;
    size_t bytes;    /* sealed */
    const char *key; /* id of the one that it is sealed with; NULL: it is no record */
    hap_zone_record_t record;
} copy_t;

/** What is asked for, and what came of it. */
typedef struct search_t {
    const zero_args_t *args;
    const zero_zone_t *zone;
    hap_zone_keys_t *keys;
    const char *kind; /* USER or STORAGE */
    char name[HAP_ZONE_NAME_BYTES];
    copy_t copies[HAP_ZONE_NODES_MAX]; /* in the order of the configuration, as it is told */
    const copy_t *newest;              /* NULL: there is no record */
    int64_t now_s;
} search_t;

/* --- which record ----------------------------------------------------------------------------- */

/* On the command line all users of this machine could read it. */
static const char *read_id(const zero_args_t *args)
{
    char line[ID_LINE_BYTES];
    const char *given = zero_opt(args, "sid");
    if (strcmp(given, "-") != 0) {
        return given;
    }
    if (!fgets(line, sizeof(line), stdin)) {
        return "";
    }
    line[strcspn(line, "\n")] = '\0';
    return apr_pstrdup(args->pool, line);
}

static const char *lower(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, text);
    for (char *c = copy; *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
    return copy;
}

static int name_record(search_t *search)
{
    const zero_args_t *args = search->args;
    hap_str_t sid = hap_str(read_id(args));
    hap_str_t key = hap_str(zero_opt(args, "key"));
    if (sid.n == 0 || sid.n > HAP_ZONE_SID_BYTES_MAX || key.n > HAP_ZONE_SID_BYTES_MAX) {
        return zero_fail(args->command, ZERO_USAGE,
                         "-%s: has %" APR_SIZE_T_FMT " bytes, 1 to %d are allowed",
                         key.n > HAP_ZONE_SID_BYTES_MAX ? "key" : "sid",
                         key.n > HAP_ZONE_SID_BYTES_MAX ? key.n : sid.n, HAP_ZONE_SID_BYTES_MAX);
    }
    const hap_zone_id_t id = {
        .app = hap_str(lower(search->zone->app, args->pool)),
        .zone = hap_str(search->kind),
        .sid = sid,
        .key = key,
    };
    return hap_zone_name(search->name, search->keys, &id)
               ? ZERO_DONE
               : zero_fail(args->command, ZERO_IO, "libcrypto offers no HMAC-SHA256");
}

/* --- reading it ------------------------------------------------------------------------------- */

static void open_copy(search_t *search, copy_t *copy, hapstore_value_t *value)
{
    hap_str_t sealed = hap_strn(value->bytes, value->n);
    unsigned char *plain = apr_palloc(search->args->pool, value->n + 1);
    const unsigned char *key = hap_zone_sealed_key(sealed);
    copy->bytes = value->n;
    copy->key = key ? hap_zone_key_id_text(key, search->args->pool) : NULL;
    copy->opened = hap_zone_open(&copy->record, plain, sealed, search->keys,
                                 hap_strn(search->name, HAP_ZONE_NAME_BYTES));
    free(value->bytes);
    if (copy->opened == HAP_ZONE_OPENED &&
        (!search->newest || hap_zone_compare(&copy->record, &search->newest->record) > 0)) {
        search->newest = copy;
    }
}

static void read_copy(search_t *search, copy_t *copy, const hapstore_conf_t *conf, unsigned node)
{
    hapstore_ask_t ask = {.name = hap_strn(search->name, HAP_ZONE_NAME_BYTES)};
    copy->node = conf->spec->nodes[node].name;
    copy->end = HAPSTORE_NODE_FAILED;
    copy->why = "out of memory";
    hapstore_alone_t *alone = hapstore_alone_open(&hapstore_memcached, conf, node);
    if (!alone) {
        return;
    }
    copy->end = hapstore_alone_do(alone, &ask);
    if (copy->end == HAPSTORE_NODE_OK) {
        open_copy(search, copy, &ask.got);
    } else if (copy->end == HAPSTORE_NODE_FAILED) {
        copy->why = apr_pstrdup(search->args->pool, hapstore_alone_why(alone));
    }
    hapstore_alone_close(alone);
}

/* All nodes: while one of the record's own is down, another one has its copy. */
static void read_copies(search_t *search)
{
    uint8_t order[HAP_ZONE_NODES_MAX];
    const hapstore_conf_t conf = zero_zone_store(search->zone);
    hap_zone_placement(order, conf.spec, hap_strn(search->name, HAP_ZONE_NAME_BYTES));
    for (unsigned i = 0; i < conf.spec->nodes_n; i++) {
        search->copies[order[i]].own = i < HAPSTORE_COPIES;
    }
    for (unsigned i = 0; i < conf.spec->nodes_n; i++) {
        read_copy(search, &search->copies[i], &conf, i);
    }
}

static bool is_newest(const search_t *search, const copy_t *copy)
{
    return search->newest && copy->end == HAPSTORE_NODE_OK && copy->opened == HAP_ZONE_OPENED &&
           hap_zone_compare(&copy->record, &search->newest->record) == 0;
}

/* All is well when all nodes are up, and those that the record belongs on have it as it is. */
static int judge(const search_t *search)
{
    bool well = search->newest != NULL;
    for (unsigned i = 0; i < search->zone->spec.nodes_n; i++) {
        const copy_t *copy = &search->copies[i];
        well = well && copy->end != HAPSTORE_NODE_FAILED && (!copy->own || is_newest(search, copy));
    }
    return well ? ZERO_DONE : ZERO_REFUSED;
}

static uint64_t age_s(const search_t *search, const hap_zone_record_t *record)
{
    return search->now_s > record->stored_s ? (uint64_t)(search->now_s - record->stored_s) : 0;
}

/* --- text ------------------------------------------------------------------------------------- */

static const char *record_text(const search_t *search, const copy_t *copy)
{
    const hap_zone_record_t *record = &copy->record;
    apr_pool_t *pool = search->args->pool;
    const char *owner = record->owner.n ? hap_str_show(record->owner, pool) : "nobody";
    return apr_psprintf(pool,
                        "epoch %" APR_UINT64_T_FMT ", version %" APR_UINT64_T_FMT
                        ", owner %s, stored %" APR_UINT64_T_FMT " s ago for %u s, %" APR_SIZE_T_FMT
                        " bytes, key %s%s%s",
                        (apr_uint64_t)record->epoch, (apr_uint64_t)record->version, owner,
                        (apr_uint64_t)age_s(search, record), record->ttl_s, record->data.n,
                        copy->key, record->tombstone ? ", a tombstone: the session has ended" : "",
                        is_newest(search, copy) ? "" : "; older");
}

static const char *copy_text(const search_t *search, const copy_t *copy)
{
    apr_pool_t *pool = search->args->pool;
    switch (copy->end) {
    case HAPSTORE_NODE_OK:
        return copy->opened == HAP_ZONE_OPENED
                   ? record_text(search, copy)
                   : apr_psprintf(pool, "%" APR_SIZE_T_FMT " bytes that do not open: %s%s%s",
                                  copy->bytes, hap_zone_open_why(copy->opened),
                                  copy->key ? ", key " : "", copy->key ? copy->key : "");
    case HAPSTORE_NODE_FAILED:
        return apr_psprintf(pool, "down, %s", copy->why);
    default:
        return "no record";
    }
}

/* A NUL ends what zero_show takes. */
static const char *value_text(hap_str_t value, apr_pool_t *pool)
{
    const char *text = "";
    for (size_t at = 0; at <= value.n;) {
        size_t end = hap_str_find(value, '\0', at);
        const char *piece = hap_str_dup(hap_str_sub(value, at, end), pool);
        text = apr_pstrcat(pool, text, at ? "\\x00" : "", zero_show(piece, pool), NULL);
        at = end + 1;
    }
    return text;
}

static const char *text_of(const search_t *search)
{
    apr_pool_t *pool = search->args->pool;
    const char *text = apr_psprintf(pool, "%s: %s %.*s\n", search->zone->label, search->kind,
                                    HAP_ZONE_NAME_BYTES, search->name);
    for (unsigned i = 0; i < search->zone->spec.nodes_n; i++) {
        const copy_t *copy = &search->copies[i];
        if (copy->own || copy->end != HAPSTORE_NODE_NONE) {
            text = apr_psprintf(pool, "%s    %s: %s\n", text, copy->node, copy_text(search, copy));
        }
    }
    if (search->newest && zero_opt(search->args, "show-values")) {
        const char *value = value_text(search->newest->record.data, pool);
        text = apr_pstrcat(pool, text, "    value: ", value, "\n", NULL);
    }
    return text;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void record_json(zero_json_t *json, const search_t *search, const copy_t *copy)
{
    const hap_zone_record_t *record = &copy->record;
    zero_json_number(json, "epoch", record->epoch);
    zero_json_number(json, "version", record->version);
    zero_json_text(json, "owner", hap_str_dup(record->owner, search->args->pool));
    zero_json_bool(json, "tombstone", record->tombstone);
    zero_json_number(json, "age_s", age_s(search, record));
    zero_json_number(json, "ttl_s", record->ttl_s);
    zero_json_number(json, "bytes", record->data.n);
    zero_json_bool(json, "newest", is_newest(search, copy));
}

static void copy_json(zero_json_t *json, const search_t *search, const copy_t *copy)
{
    bool opened = copy->end == HAPSTORE_NODE_OK && copy->opened == HAP_ZONE_OPENED;
    zero_json_open(json, NULL, '{');
    zero_json_text(json, "node", copy->node);
    zero_json_bool(json, "up", copy->end != HAPSTORE_NODE_FAILED);
    zero_json_bool(json, "own", copy->own);
    zero_json_bool(json, "found", opened);
    if (copy->end == HAPSTORE_NODE_OK && copy->key) {
        zero_json_text(json, "key", copy->key);
    }
    if (opened) {
        record_json(json, search, copy);
    } else if (copy->end == HAPSTORE_NODE_OK) {
        zero_json_text(json, "why", hap_zone_open_why(copy->opened));
    } else if (copy->end == HAPSTORE_NODE_FAILED) {
        zero_json_text(json, "why", copy->why);
    }
    zero_json_close(json, '}');
}

static const char *base64(hap_str_t bytes, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, (size_t)apr_base64_encode_len((int)bytes.n));
    apr_base64_encode(text, bytes.n ? bytes.p : "", (int)bytes.n);
    return text;
}

static const char *json_of(const search_t *search)
{
    apr_pool_t *pool = search->args->pool;
    zero_json_t *json = zero_json_make(pool);
    zero_json_open(json, NULL, '{');
    zero_json_text(json, "app", search->zone->app);
    zero_json_text(json, "zone", search->kind);
    zero_json_text(json, "name", apr_pstrmemdup(pool, search->name, HAP_ZONE_NAME_BYTES));
    zero_json_open(json, "nodes", '[');
    for (unsigned i = 0; i < search->zone->spec.nodes_n; i++) {
        copy_json(json, search, &search->copies[i]);
    }
    zero_json_close(json, ']');
    if (search->newest && zero_opt(search->args, "show-values")) {
        zero_json_text(json, "value_base64", base64(search->newest->record.data, pool));
    }
    zero_json_close(json, '}');
    return zero_json_done(json);
}

/* --- the command ------------------------------------------------------------------------------ */

static int check_options(search_t *search)
{
    const zero_args_t *args = search->args;
    hap_diag_t diag;
    unsigned kinds = HAP_ZONE_USER;
    const char *kind = zero_opt(args, "zone");
    if (kind && (hap_zone_kinds_parse(&kinds, hap_str(kind), &diag) != APR_SUCCESS ||
                 kinds == (HAP_ZONE_USER | HAP_ZONE_STORAGE))) {
        return zero_fail(args->command, ZERO_USAGE, "-zone: \"%s\" is not USER or STORAGE",
                         hap_str_show(hap_str(kind), args->pool));
    }
    search->kind = hap_zone_kinds_text(kinds);
    return ZERO_DONE;
}

static bool same_store(const zero_zone_t *a, const zero_zone_t *b, apr_pool_t *pool)
{
    const char *key_a = a->key ? a->key : "";
    const char *key_b = b->key ? b->key : "";
    return strcmp(key_a, key_b) == 0 &&
           strcmp(hap_zone_spec_text(&a->spec, pool), hap_zone_spec_text(&b->spec, pool)) == 0;
}

/* The zone of -app; in several virtual hosts it may be there with another store in each. */
static int find_zone(search_t *search)
{
    const zero_args_t *args = search->args;
    const char *conf = zero_opt(args, "conf");
    const char *app = zero_opt(args, "app");
    apr_array_header_t *zones = NULL;
    int code = zero_zone_read(&zones, conf, args);
    for (int i = 0; code == ZERO_DONE && i < zones->nelts; i++) {
        const zero_zone_t *zone = &APR_ARRAY_IDX(zones, i, zero_zone_t);
        if (!hap_str_eq_nocase(hap_str(zone->app), hap_str(app))) {
            continue;
        }
        if (search->zone && !same_store(search->zone, zone, args->pool)) {
            return zero_fail(args->command, ZERO_REFUSED,
                             "%s: the store is another one than in line %d of %s: name a file "
                             "with one of them",
                             zone->label, search->zone->line,
                             zero_show(search->zone->file, args->pool));
        }
        search->zone = search->zone ? search->zone : zone;
    }
    if (code == ZERO_DONE && !search->zone) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%s: there is no HAZone %s in it, nor in what it includes",
                         zero_show(conf, args->pool), hap_str_show(hap_str(app), args->pool));
    }
    return code;
}

static int check_zone(search_t *search)
{
    hap_diag_t diag;
    const zero_args_t *args = search->args;
    const zero_zone_t *zone = search->zone;
    if (zone->spec.kind == HAP_ZONE_SHM) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%s: the store is %s, which is memory of the server and cannot be read "
                         "from outside",
                         zone->label, hap_zone_spec_text(&zone->spec, args->pool));
    }
    if (!zone->key) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%s: HAZone has no key=, and the server does not start with this",
                         zone->label);
    }
    int code = zero_zone_keys(&search->keys, zone, &diag, args->pool);
    return code == ZERO_DONE ? code : zero_fail(args->command, code, "%s", diag.why);
}

/* What is pasted from a cookie has the route behind the id. */
static void hint(const search_t *search)
{
    const char *sid = zero_opt(search->args, "sid");
    if (!search->newest && strchr(sid, '.')) {
        zero_note(search->args->command,
                  "an id is what stands in the cookie before the last dot, without the route");
    }
}

static int run(const zero_args_t *args)
{
    search_t *search = apr_pcalloc(args->pool, sizeof(*search));
    search->args = args;
    search->now_s = apr_time_sec(apr_time_now());
    int code = check_options(search);
    code = code == ZERO_DONE ? find_zone(search) : code;
    code = code == ZERO_DONE ? check_zone(search) : code;
    code = code == ZERO_DONE ? name_record(search) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    read_copies(search);
    const char *text = zero_opt(args, "json") ? json_of(search) : text_of(search);
    code = zero_print(args->command, hap_str(text));
    hint(search);
    return code == ZERO_DONE ? judge(search) : code;
}

static const zero_option_t options[] = {
    {"conf", "FILE", "an httpd configuration or a merged file"},
    {"app", "NAME", "the balancer's name"},
    {"sid", "ID", "the session's id, without the route; - reads a line from standard input"},
    {"zone", "ZONE", "USER or STORAGE [USER]"},
    {"key", "NAME", "of one key in the session"},
    {"show-values", NULL, "show what is in the record, too"},
    {"json", NULL, "say it in JSON; values in base64"},
    {NULL, NULL, NULL},
};

static const char *const needed[] = {"conf", "app", "sid", NULL};

const zero_command_t zero_zone_get_command = {
    .group = "zone",
    .name = "get",
    .operands = "",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .needed = needed,
    .summary = "show a record of a session zone as each memcached has it",
    .details =
        "Reads the record on the two nodes that it belongs on, and on others that have it, with\n"
        "the key file of HAZone: epoch, version, owner, age, or why it does not open, and which\n"
        "one is older. The arguments of a program are readable by all users of the machine: give\n"
        "the id of a living session with -sid=- on standard input.\n"
        "Ends with 0 when all is well, with 1 when a node is down, there is no record, one of its\n"
        "two nodes lacks it, has an older one or one that does not open, or what a file says\n"
        "is refused, with 2 for a wrong call, with 3 when a file cannot be read.\n",
    .run = run,
};
