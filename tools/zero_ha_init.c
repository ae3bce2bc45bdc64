/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero ha init`: a config.json for zerod (doc/zerod.md) from Smart Server's config/servers,
 * and the secret that goes with it. Does not talk to daemons.
 */
#include "zero_ha.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "hap_grammar.h"
#include "hap_map.h"
#include "hap_servers.h"
#include "io/hapio_file.h"
#include "io/hapio_secret.h"

#define DEFAULT_SECRET  "secret"
#define DEFAULT_DATA    "/var/lib/zerod" /* as the unit has it */
#define DEFAULT_ACTIVE  "./ensure-active %i"
#define DEFAULT_PASSIVE "./ensure-passive %i"
#define WITNESS         "witness"

enum {
    SERVERS_BYTES_MAX = 1 << 20,
    CONFIG_BYTES_MAX = 1 << 20,
    DEFAULT_PORT = 7946,
    TIMEOUT_MS = 5000,
    RETRIES = 3,
    SECRET_BYTES = 32,
    INDENT = 4
};

/* What is to be in the file. */
typedef struct init_t {
    const zero_args_t *args;
    const char *app;
    apr_array_header_t *hosts; /* const char *; the first one is replica 0 */
    const char *witness;       /* host; NULL: none */
    unsigned port;
    unsigned url_port; /* 0: proxies are not told where the replicas are */
    const char *active;
    const char *passive;
    const char *secret; /* as it stands in the file */
} init_t;

/* --- options ---------------------------------------------------------------------------------- */

static int misused(const init_t *init, const hap_diag_t *diag)
{
    return zero_fail(init->args->command, ZERO_USAGE, "%s", diag->why);
}

static int read_port(unsigned *port, const char *name, const init_t *init)
{
    hap_diag_t diag;
    const char *given = zero_opt(init->args, name);
    const char *field = apr_pstrcat(init->args->pool, "-", name, NULL);
    if (given &&
        hap_grammar_port(port, hap_str(given), field, &diag, init->args->pool) != APR_SUCCESS) {
        return misused(init, &diag);
    }
    return ZERO_DONE;
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

static int read_command(const char **command, const char *name, const char *otherwise,
                        const init_t *init)
{
    const zero_args_t *args = init->args;
    const char *given = zero_opt(args, name);
    *command = given ? given : otherwise;
    const char *why = hap_str_trim(hap_str(*command)).n == 0 ? "names no program"
                      : hap_grammar_open_quote(*command)     ? "a quote is not closed"
                      : !is_utf8(*command)                   ? "is not UTF-8"
                                                             : NULL;
    return why ? zero_fail(args->command, ZERO_USAGE, "-%s=%s: %s", name,
                           zero_show(*command, args->pool), why)
               : ZERO_DONE;
}

static int read_servers(init_t *init)
{
    const zero_args_t *args = init->args;
    const char *path = zero_opt(args, "servers");
    hap_str_t text;
    hap_diag_t diag = {0, ""};
    apr_status_t rv = hapio_file_read(&text, path, SERVERS_BYTES_MAX, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (hap_servers_parse(&init->hosts, text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    return ZERO_DONE;
}

/* It has a vote of its own only on a host of its own. */
static int read_witness(init_t *init)
{
    const zero_args_t *args = init->args;
    const char *given = zero_opt(args, WITNESS);
    hap_diag_t diag;
    if (!given) {
        return ZERO_DONE;
    }
    if (hap_grammar_host(&init->witness, hap_str(given), "-" WITNESS, &diag, args->pool) !=
        APR_SUCCESS) {
        return misused(init, &diag);
    }
    for (int i = 0; i < init->hosts->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(init->hosts, i, const char *), init->witness) == 0) {
            return zero_fail(args->command, ZERO_REFUSED,
                             "-" WITNESS "=%s: is a server already, use another host",
                             init->witness);
        }
    }
    if (hap_grammar_host_kind(init->witness) == HAP_HOST_UNSPECIFIED ||
        init->hosts->nelts == HAP_MAP_NODES_MAX) {
        return zero_fail(args->command, ZERO_REFUSED, "-" WITNESS "=%s: %s", init->witness,
                         init->hosts->nelts == HAP_MAP_NODES_MAX
                             ? "there are as many servers as there may be nodes"
                             : "is an address to listen at, use that of the host");
    }
    return ZERO_DONE;
}

static int read_secret_path(init_t *init)
{
    const char *given = zero_opt(init->args, "secret");
    init->secret = given ? given : DEFAULT_SECRET;
    if (!is_utf8(init->secret)) {
        return zero_fail(init->args->command, ZERO_USAGE, "-secret=%s: is not UTF-8",
                         zero_show(init->secret, init->args->pool));
    }
    return ZERO_DONE;
}

static int read_app(init_t *init)
{
    hap_diag_t diag;
    init->app = zero_opt(init->args, "app");
    if (hap_grammar_app(hap_str(init->app), "-app", &diag, init->args->pool) != APR_SUCCESS) {
        return misused(init, &diag);
    }
    return ZERO_DONE;
}

static int read_all(init_t *init)
{
    int code = read_app(init);
    code = code == ZERO_DONE ? read_port(&init->port, "port", init) : code;
    code = code == ZERO_DONE ? read_port(&init->url_port, "url-port", init) : code;
    code = code == ZERO_DONE ? read_command(&init->active, "active", DEFAULT_ACTIVE, init) : code;
    code =
        code == ZERO_DONE ? read_command(&init->passive, "passive", DEFAULT_PASSIVE, init) : code;
    code = code == ZERO_DONE ? read_secret_path(init) : code;
    code = code == ZERO_DONE ? read_servers(init) : code;
    return code == ZERO_DONE ? read_witness(init) : code;
}

/* --- config.json ------------------------------------------------------------------------------ */

/* The command of one replica: %i is its id. */
static const char *for_replica(const char *command, const char *id, apr_pool_t *pool)
{
    const char *made = "";
    const char *at;
    while ((at = strstr(command, "%i"))) {
        made = apr_pstrcat(pool, made, apr_pstrmemdup(pool, command, (size_t)(at - command)), id,
                           NULL);
        command = at + strlen("%i");
    }
    return apr_pstrcat(pool, made, command, NULL);
}

static const char *address_of(const init_t *init, const char *host)
{
    return apr_psprintf(init->args->pool, "%s:%u", host, init->port);
}

/* Where proxies reach the replica, if they would take that. */
static int check_url(const init_t *init, const char *id, const char *url)
{
    hap_diag_t diag;
    const hap_map_member_t member = {.route = id, .url = url, .weight = 1};
    if (hap_map_check_member(&member, init->app, &diag, init->args->pool) != APR_SUCCESS) {
        return zero_fail(init->args->command, ZERO_REFUSED, "%s", diag.why);
    }
    return ZERO_DONE;
}

static int add_replica(json_t *root, json_t *nodes, const init_t *init, int i)
{
    apr_pool_t *pool = init->args->pool;
    const char *id = apr_itoa(pool, i);
    const char *host = APR_ARRAY_IDX(init->hosts, i, const char *);
    const char *address = address_of(init, host);
    json_array_append_new(json_object_get(root, "replicaIdList"), json_string(id));
    json_object_set_new(root, apr_pstrcat(pool, "ensure-active-", id, NULL),
                        json_string(for_replica(init->active, id, pool)));
    json_object_set_new(root, apr_pstrcat(pool, "ensure-passive-", id, NULL),
                        json_string(for_replica(init->passive, id, pool)));
    if (!init->url_port) {
        json_object_set_new(nodes, id, json_string(address));
        return ZERO_DONE;
    }
    const char *url = apr_psprintf(pool, "http://%s:%u", host, init->url_port);
    json_object_set_new(nodes, id, json_pack("{s:s, s:s}", "address", address, "url", url));
    return check_url(init, id, url);
}

/* Keys in the order of the page, so that it is read as that is. */
static json_t *begin_root(const init_t *init)
{
    return json_pack("{s:s, s:[]}", "appName", init->app, "replicaIdList");
}

static void end_root(json_t *root, json_t *nodes, const init_t *init)
{
    if (init->witness) {
        json_object_set_new(nodes, WITNESS,
                            json_pack("{s:s, s:s}", "address", address_of(init, init->witness),
                                      "role", hap_map_role_names[HAP_MAP_WITNESS]));
    }
    json_object_set_new(root, "timeout", json_integer(TIMEOUT_MS));
    json_object_set_new(root, "noOfRetryAttempts", json_integer(RETRIES));
    json_object_set(root, "nodes", nodes);
    json_object_set_new(root, "secretFile", json_string(init->secret));
    json_object_set_new(root, "dataDir", json_string(DEFAULT_DATA));
}

static int make_text(hap_str_t *text, const init_t *init)
{
    int code = ZERO_DONE;
    json_t *root = begin_root(init);
    json_t *nodes = json_object();
    for (int i = 0; i < init->hosts->nelts && code == ZERO_DONE; i++) {
        code = add_replica(root, nodes, init, i);
    }
    end_root(root, nodes, init);
    char *made = json_dumps(root, JSON_INDENT(INDENT) | JSON_PRESERVE_ORDER);
    *text = hap_str(apr_pstrcat(init->args->pool, made ? made : "", "\n", NULL));
    free(made);
    json_decref(nodes);
    json_decref(root);
    return code;
}

/* --- files ------------------------------------------------------------------------------------ */

/* A file with other content may be the one that a cluster runs by. */
static int check_target(const init_t *init, const char *path, hap_str_t text)
{
    const zero_args_t *args = init->args;
    hap_str_t now;
    hap_diag_t diag;
    apr_status_t rv = hapio_file_read(&now, path, CONFIG_BYTES_MAX, &diag, args->pool);
    if (APR_STATUS_IS_ENOENT(rv) || (rv == APR_SUCCESS && hap_str_eq(now, text))) {
        return ZERO_DONE;
    }
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (!zero_opt(args, "force")) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%s: is there and says something else, use another name, or -force to "
                         "replace it",
                         zero_show(path, args->pool));
    }
    return ZERO_DONE;
}

/* A path in config.json begins in the folder of that. */
static const char *secret_path(const init_t *init, const char *config)
{
    const char *slash = strrchr(config, '/');
    if (init->secret[0] == '/' || !slash) {
        return init->secret;
    }
    return apr_psprintf(init->args->pool, "%.*s/%s", (int)(slash - config), config, init->secret);
}

/* One that zerod would refuse is said here. */
static int check_secret(const init_t *init, const char *path)
{
    hapio_secret_t secret;
    hap_diag_t diag;
    if (hapio_secret_read(&secret, path, &diag) != APR_SUCCESS) {
        return zero_fail(init->args->command, ZERO_IO, "%s: %s", zero_show(path, init->args->pool),
                         diag.why);
    }
    size_t n = hap_str_trim(hapio_secret_text(&secret)).n;
    hapio_secret_wipe(&secret);
    if (n < SECRET_BYTES) {
        return zero_fail(init->args->command, ZERO_REFUSED,
                         "%s: has less than %d bytes, remove it to have one made",
                         zero_show(path, init->args->pool), SECRET_BYTES);
    }
    return ZERO_DONE;
}

static int make_secret(const init_t *init, const char *path)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 1];
    hap_diag_t diag;
    const zero_args_t *args = init->args;
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return zero_fail(args->command, ZERO_IO, "there are no random numbers: %s",
                         strerror(errno));
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        text[2 * i] = hex[bytes[i] >> 4];
        text[2 * i + 1] = hex[bytes[i] & 15];
    }
    text[sizeof(text) - 1] = '\n';
    apr_status_t rv = hapio_file_write_own(path, hap_strn(text, sizeof(text)), &diag, args->pool);
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(text, sizeof(text));
    if (rv != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_IO, path, &diag);
    }
    zero_note(args->command, "%s: made; copy it to all nodes with config.json, mode 0600",
              zero_show(path, args->pool));
    return ZERO_DONE;
}

static int settle_secret(const init_t *init, const char *config)
{
    struct stat info;
    const char *path = secret_path(init, config);
    if (lstat(path, &info) == 0) {
        return check_secret(init, path);
    }
    if (errno != ENOENT) {
        return zero_fail(init->args->command, ZERO_IO, "%s: %s", zero_show(path, init->args->pool),
                         strerror(errno));
    }
    return make_secret(init, path);
}

static void remark(const init_t *init)
{
    if (init->hosts->nelts == 2 && !init->witness) {
        zero_note(init->args->command,
                  "two nodes agree only together: when one host is lost nobody takes over; give a "
                  "third host the vote, such as the proxy's, with -" WITNESS "=HOST");
    }
    if (init->hosts->nelts == 1 && init->witness) {
        zero_note(init->args->command, "one server and a witness agree only together: the witness "
                                       "is of use with two servers");
    }
}

static int write_files(const init_t *init, const char *path, hap_str_t text)
{
    hap_diag_t diag;
    int code = check_target(init, path, text);
    code = code == ZERO_DONE ? settle_secret(init, path) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    if (hapio_file_write(path, text, ZERO_FILE_MODE, &diag, init->args->pool) != APR_SUCCESS) {
        return zero_fail_at(init->args->command, ZERO_IO, path, &diag);
    }
    return ZERO_DONE;
}

static int run(const zero_args_t *args)
{
    hap_str_t text;
    init_t init = {.args = args, .port = DEFAULT_PORT};
    const char *path = zero_opt(args, "o");
    int code = read_all(&init);
    code = code == ZERO_DONE ? make_text(&text, &init) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    remark(&init);
    if (strcmp(path, "-") == 0) {
        return zero_print(args->command, text);
    }
    return write_files(&init, path, text);
}

/* --- the command ------------------------------------------------------------------------------ */

static const char *const needed[] = {"o", "app", "servers", NULL};

static const zero_option_t options[] = {
    {"o", "FILE", "the config.json to write; - prints it, and makes no secret"},
    {"app", "NAME", "the application's name, which is that of its balancer"},
    {"servers", "FILE", "a host a line: its replicas, in the order of their ids"},
    {"port", "NUMBER", "of the daemons [7946]"},
    {"url-port", "NUMBER", "of the service, for proxies; without it they are not told"},
    {"active", "COMMAND", "ensures that the service runs, %i is the id [./ensure-active %i]"},
    {"passive", "COMMAND", "ensures that it does not [./ensure-passive %i]"},
    {"witness", "HOST", "a further host that has a vote, and no replica"},
    {"secret", "FILE", "as it stands in config.json: from the folder of that [secret]"},
    {"force", NULL, "replace another config.json"},
    {NULL, NULL, NULL},
};

const zero_command_t zero_ha_init_command = {
    .group = "ha",
    .name = "init",
    .operands = "",
    .options = options,
    .needed = needed,
    .summary = "write a config.json for zerod from a list of servers",
    .details =
        "The first host of the list is replica 0, which is the first active one when nothing else "
        "is\n"
        "known; # begins a comment. A secret is made, mode 0600, if there is none. The same call "
        "again\n"
        "changes nothing. Both files go to all nodes, into the folder where zerod is started: "
        "/etc/zerod.\n",
    .run = run,
};
