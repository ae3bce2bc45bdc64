/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns finding a daemon of this host: its control socket lies in the folder hal<id> of its dataDir.
 * Of config.json it reads no more than that takes; zerod -n checks it.
 */
#include "zero_ha.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "hap_grammar.h"
#include "io/hapio_file.h"

#define DEFAULT_CONFIG "/etc/zerod/config.json"
#define FOLDER_FRONT   "hal"
#define SOCKET_NAME    "control.sock"

enum { CONFIG_BYTES_MAX = 1 << 20, TIMEOUT_MS_MAX = 3600000 };

/* What of config.json is needed here. */
typedef struct config_t {
    const char *path;
    const char *data_dir;
} config_t;

static const char *folder_of(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    return slash ? apr_pstrmemdup(pool, path, (size_t)(slash - path) + 1) : "";
}

/* HAL has texts of digits, too. */
static apr_interval_time_t timeout_of(const json_t *root)
{
    const json_t *value = json_object_get(root, "timeout");
    unsigned long ms = 0;
    if (json_is_string(value)) {
        hap_str_uint(&ms, hap_str(json_string_value(value)), TIMEOUT_MS_MAX);
    } else if (json_integer_value(value) > 0 && json_integer_value(value) <= TIMEOUT_MS_MAX) {
        ms = (unsigned long)json_integer_value(value);
    }
    return apr_time_from_msec((apr_interval_time_t)ms);
}

/* A path in config.json begins in the folder of that, where daemons are started. */
static void take_config(zero_ha_t *ha, config_t *config, const json_t *root)
{
    apr_pool_t *pool = ha->args->pool;
    const char *dir = json_string_value(json_object_get(root, "dataDir"));
    const char *app = json_string_value(json_object_get(root, "appName"));
    dir = dir && *dir ? dir : ".";
    config->data_dir = dir[0] == '/' ? apr_pstrdup(pool, dir)
                                     : apr_pstrcat(pool, folder_of(config->path, pool), dir, NULL);
    ha->app = app ? apr_pstrdup(pool, app) : NULL;
    ha->lease = timeout_of(root);
}

static int read_config(zero_ha_t *ha, config_t *config)
{
    const zero_args_t *args = ha->args;
    hap_str_t text;
    hap_diag_t diag = {0, ""};
    json_error_t error;
    const char *given = zero_opt(args, "c");
    config->path = given ? given : DEFAULT_CONFIG;
    apr_status_t rv = hapio_file_read(&text, config->path, CONFIG_BYTES_MAX, &diag, args->pool);
    if (APR_STATUS_IS_ENOENT(rv) && !given) {
        return zero_fail(args->command, ZERO_IO,
                         "there is no " DEFAULT_CONFIG ", say where it is with -c=config.json, or "
                         "where the daemon's socket is with -socket=PATH");
    }
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, config->path, &diag);
    }
    json_t *root = json_loadb(text.p, text.n, 0, &error);
    if (!json_is_object(root)) {
        hap_diag_set(&diag, root ? 1 : error.line,
                     "is no JSON object: zerod -c %s -n says what is wrong",
                     zero_show(config->path, args->pool));
        json_decref(root);
        return zero_fail_at(args->command, ZERO_REFUSED, config->path, &diag);
    }
    take_config(ha, config, root);
    json_decref(root);
    return ZERO_DONE;
}

static const char *socket_of(const config_t *config, const char *id, apr_pool_t *pool)
{
    return apr_pstrcat(pool, config->data_dir, "/" FOLDER_FRONT, id, "/" SOCKET_NAME, NULL);
}

/* Ids of the daemons that have a socket in `dir`. */
static apr_array_header_t *ids_in(DIR *dir, const config_t *config, apr_pool_t *pool)
{
    struct stat info;
    const struct dirent *entry;
    apr_array_header_t *ids = apr_array_make(pool, 2, sizeof(const char *));
    while ((entry = readdir(dir))) {
        const char *id = entry->d_name + strlen(FOLDER_FRONT);
        if (strncmp(entry->d_name, FOLDER_FRONT, strlen(FOLDER_FRONT)) == 0 &&
            lstat(socket_of(config, id, pool), &info) == 0 && S_ISSOCK(info.st_mode)) {
            APR_ARRAY_PUSH(ids, const char *) = apr_pstrdup(pool, id);
        }
    }
    return ids;
}

static int find_only(const char **id, const config_t *config, const zero_args_t *args)
{
    const char *shown = zero_show(config->data_dir, args->pool);
    DIR *dir = opendir(config->data_dir);
    if (!dir) {
        return zero_fail(args->command, ZERO_IO, "%s: %s%s", shown, strerror(errno),
                         errno == EACCES ? ", run this as root or as the user of zerod"
                         : errno == ENOENT
                             ? ": zerod has never run here, systemctl start zerod@ID starts it"
                             : "");
    }
    apr_array_header_t *ids = ids_in(dir, config, args->pool);
    closedir(dir);
    if (ids->nelts == 0) {
        return zero_fail(args->command, ZERO_IO,
                         "%s: no daemon's socket is there: zerod does not run, systemctl start "
                         "zerod@ID starts it; or this is to be run as root",
                         shown);
    }
    if (ids->nelts > 1) {
        return zero_fail(args->command, ZERO_USAGE,
                         "%s: there are several daemons, say which one with -i=ID: %s", shown,
                         zero_show(apr_array_pstrcat(args->pool, ids, ' '), args->pool));
    }
    *id = APR_ARRAY_IDX(ids, 0, const char *);
    return ZERO_DONE;
}

int zero_ha_find(zero_ha_t *ha, const zero_args_t *args)
{
    config_t config = {.path = NULL};
    hap_diag_t diag;
    const char *id = zero_opt(args, "i");
    *ha = (zero_ha_t){.args = args, .socket = zero_opt(args, "socket")};
    if (ha->socket && (id || zero_opt(args, "c"))) {
        return zero_fail(args->command, ZERO_USAGE, "give -socket=PATH, or -c=FILE and -i=ID");
    }
    if (ha->socket) {
        return ZERO_DONE;
    }
    if (id && hap_grammar_route(hap_str(id), "-i", &diag, args->pool) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    int code = read_config(ha, &config);
    if (code == ZERO_DONE && !id) {
        code = find_only(&id, &config, args);
    }
    if (code == ZERO_DONE) {
        ha->socket = socket_of(&config, id, args->pool);
    }
    return code;
}
