/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the directives' setters. Does not act on what they set. */
#include "mh_config.h"
#include "hap_honour.h"
#include "mh_listen.h"

#include <apr_strings.h>
#include <http_core.h>

mh_main_conf_t mh_main_conf;

enum {
    MAX_MEMBERS_DEFAULT = 1024,
    MAX_MEMBERS_MIN = 16,
    LANE_THREADS_MAX = 64,
    ZONE_SESSIONS_DEFAULT = 1 << 16,
    ZONE_SESSIONS_MIN = 1 << 10,
    ZONE_SESSIONS_MAX = 1 << 24
};

void mh_config_reset(void)
{
    mh_listen_reset();
    mh_main_conf = (mh_main_conf_t){
        .max_members = MAX_MEMBERS_DEFAULT,
        .lane_threads = 1,
        .zone_sessions = ZONE_SESSIONS_DEFAULT,
    };
}

void *mh_create_server_conf(apr_pool_t *p, server_rec *s)
{
    mh_server_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->balancers = apr_array_make(p, 2, sizeof(mh_named_t));
    conf->checks = apr_array_make(p, 2, sizeof(mh_named_t));
    conf->zones = apr_array_make(p, 2, sizeof(mh_named_t));
    return conf;
}

mh_named_t *mh_config_find(const apr_array_header_t *list, const char *name)
{
    for (int i = 0; i < list->nelts; i++) {
        mh_named_t *entry = &APR_ARRAY_IDX(list, i, mh_named_t);
        if (ap_cstr_casecmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

mh_named_t mh_config_by_key(const mh_named_t *entry, const char *key)
{
    mh_named_t shown = *entry;
    for (size_t i = 0; entry->given && i < entry->options->n; i++) {
        if (entry->given[i] && strcmp(entry->options->rows[i].name, key) == 0) {
            shown.directive = entry->given[i];
        }
    }
    return shown;
}

/* A virtual host has some keys from its own lines and others from the main server's. */
static const ap_directive_t **merge_given(apr_pool_t *p, const mh_named_t *base,
                                          const mh_named_t *over)
{
    size_t n = over->options->n;
    const ap_directive_t **given = apr_palloc(p, n * sizeof(*given));
    for (size_t i = 0; i < n; i++) {
        given[i] = over->given[i] ? over->given[i] : base->given[i];
    }
    return given;
}

static apr_array_header_t *merge_named(apr_pool_t *p, const apr_array_header_t *base,
                                       const apr_array_header_t *over, const hap_options_t *options)
{
    apr_array_header_t *merged = apr_array_copy(p, over);
    for (int i = 0; i < base->nelts; i++) {
        const mh_named_t *inherited = &APR_ARRAY_IDX(base, i, mh_named_t);
        mh_named_t *own = mh_config_find(merged, inherited->name);
        if (own) {
            own->given = merge_given(p, inherited, own);
            hap_option_merge(&own->set, &inherited->set, &own->set, options);
        } else {
            APR_ARRAY_PUSH(merged, mh_named_t) = *inherited;
        }
    }
    return merged;
}

void *mh_merge_server_conf(apr_pool_t *p, void *base_, void *over_)
{
    const mh_server_conf_t *base = base_;
    const mh_server_conf_t *over = over_;
    mh_server_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->balancers = merge_named(p, base->balancers, over->balancers, &hap_policy_options);
    conf->checks = merge_named(p, base->checks, over->checks, &hap_check_options);
    conf->zones = merge_named(p, base->zones, over->zones, &hap_zone_options);
    return conf;
}

const char *mh_config_where(const ap_directive_t *directive, apr_pool_t *p)
{
    return apr_psprintf(p, "%s:%d", directive->filename, directive->line_num);
}

/* A file that is included twice has given all that is in it twice. */
static const char *given_twice(const char *what, const ap_directive_t *first,
                               const ap_directive_t *again, apr_pool_t *p)
{
    const char *there = mh_config_where(first, p);
    const char *here = mh_config_where(again, p);
    if (strcmp(there, here) == 0) {
        return apr_psprintf(p, "%s is given at %s, which is read twice: include that file once",
                            what, there);
    }
    return apr_psprintf(p, "%s is given at %s and at %s, keep one", what, there, here);
}

/* The line's keys, over the defaults. */
static const char *read_named(mh_named_t *entry, cmd_parms *cmd, int argc, char *const argv[],
                              const hap_options_t *options)
{
    if (argc < 1 || strchr(argv[0], '=')) {
        return apr_psprintf(cmd->pool,
                            "%s: the first argument is the balancer's name, as in "
                            "%s App key=value",
                            cmd->cmd->name, cmd->cmd->name);
    }
    if (strstr(argv[0], "://")) {
        return apr_psprintf(cmd->pool, "%s: name the balancer without balancer://, as in %s App",
                            cmd->cmd->name, cmd->cmd->name);
    }
    *entry = (mh_named_t){.name = argv[0], .directive = cmd->directive, .options = options};
    hap_option_defaults(&entry->set, options);
    for (int i = 1; i < argc; i++) {
        hap_diag_t diag;
        if (hap_option_set(&entry->set, options, hap_str(argv[i]), &diag, cmd->pool) !=
            APR_SUCCESS) {
            return apr_pstrdup(cmd->pool, diag.why);
        }
    }
    return NULL;
}

/*
 * The lines for one balancer are one: what merge writes says little, and the next merge replaces
 * it, so whoever tunes the balancer does it in a line of his own.
 */
static const char *join_named(cmd_parms *cmd, apr_array_header_t *list, const mh_named_t *line,
                              const hap_options_t *options)
{
    mh_named_t *entry = mh_config_find(list, line->name);
    if (!entry) {
        entry = apr_array_push(list);
        *entry = *line;
        entry->given = apr_pcalloc(cmd->pool, options->n * sizeof(*entry->given));
    } else {
        const hap_option_t *twice = hap_option_common(&entry->set, &line->set, options);
        if (twice) {
            const char *what =
                apr_psprintf(cmd->pool, "%s %s: %s=", cmd->cmd->name, line->name, twice->name);
            return given_twice(what, entry->given[twice - options->rows], line->directive,
                               cmd->pool);
        }
        hap_option_merge(&entry->set, &entry->set, &line->set, options);
        entry->directive = line->set ? line->directive : entry->directive;
    }
    for (size_t i = 0; i < options->n; i++) {
        if (line->set & (UINT64_C(1) << i)) {
            entry->given[i] = line->directive;
        }
    }
    return NULL;
}

/* Makes the value of a key that names a file absolute; NULL stays. */
static const char *make_absolute(const char **path, const char *key, apr_pool_t *p)
{
    const char *given = *path;
    *path = given ? ap_server_root_relative(p, given) : NULL;
    return given && !*path ? apr_psprintf(p, "%s=%s is not a usable path", key, given) : NULL;
}

static const char *mh_set_balancer(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mh_named_t line;
    const char *err = read_named(&line, cmd, argc, argv, &hap_policy_options);
    err = err ? err : make_absolute(&line.policy.sign, "sign", cmd->pool);
    return err ? err
               : join_named(cmd, mh_server_conf(cmd->server)->balancers, &line,
                            &hap_policy_options);
}

static const char *mh_set_check(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mh_named_t line;
    const char *err = read_named(&line, cmd, argc, argv, &hap_check_options);
    return err ? err
               : join_named(cmd, mh_server_conf(cmd->server)->checks, &line, &hap_check_options);
}

static const char *mh_set_zone(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mh_named_t line;
    const char *err = read_named(&line, cmd, argc, argv, &hap_zone_options);
    err = err ? err : make_absolute(&line.zone.key, "key", cmd->pool);
    err = err ? err : make_absolute(&line.zone.token, "token", cmd->pool);
    return err ? err
               : join_named(cmd, mh_server_conf(cmd->server)->zones, &line, &hap_zone_options);
}

/* For a directive of the main server that stands there once. */
static const char *check_single(cmd_parms *cmd, const ap_directive_t **given)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    if (!err && *given) {
        err = given_twice(cmd->cmd->name, *given, cmd->directive, cmd->pool);
    }
    *given = cmd->directive;
    return err;
}

/* Only looked at here: what it comes to is judged with the whole configuration, in mh_site. */
static const char *mh_set_lane(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    hap_honour_wish_t wish;
    hap_diag_t diag;
    apr_status_t rv = hap_honour_wish(&wish, argc, (const char *const *)argv, &diag, cmd->pool);
    return rv == APR_SUCCESS ? NULL : apr_pstrdup(cmd->pool, diag.why);
}

static const char *mh_set_max_members(cmd_parms *cmd, void *dir, const char *arg)
{
    unsigned long n;
    const char *err = check_single(cmd, &mh_main_conf.max_members_by);
    if (err) {
        return err;
    }
    if (!hap_str_uint(&n, hap_str(arg), MH_MAX_MEMBERS_MAX) || n < MAX_MEMBERS_MIN) {
        return apr_psprintf(cmd->pool, "HAMaxMembers: %s is not allowed, use %d to %d", arg,
                            MAX_MEMBERS_MIN, MH_MAX_MEMBERS_MAX);
    }
    mh_main_conf.max_members = (unsigned)n;
    return NULL;
}

static const char *mh_set_listen(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    return err ? err : mh_listen_add(cmd->pool, arg);
}

static const char *mh_set_lane_threads(cmd_parms *cmd, void *dir, const char *arg)
{
    unsigned long n;
    const char *err = check_single(cmd, &mh_main_conf.lane_threads_by);
    if (err) {
        return err;
    }
    if (!hap_str_uint(&n, hap_str(arg), LANE_THREADS_MAX) || n < 1) {
        return apr_psprintf(cmd->pool, "HALaneThreads: %s is not allowed, use 1 to %d", arg,
                            LANE_THREADS_MAX);
    }
    mh_main_conf.lane_threads = (unsigned)n;
    return NULL;
}

static const char *mh_set_lane_connections(cmd_parms *cmd, void *dir, const char *arg)
{
    unsigned long n;
    const char *err = check_single(cmd, &mh_main_conf.lane_connections_by);
    if (err) {
        return err;
    }
    if (!hap_str_uint(&n, hap_str(arg), MH_LANE_CONNECTIONS_MAX) || n < 1) {
        return apr_psprintf(cmd->pool, "HALaneConnections: %s is not allowed, use 1 to %d", arg,
                            MH_LANE_CONNECTIONS_MAX);
    }
    mh_main_conf.lane_connections = (unsigned)n;
    return NULL;
}

static const char *mh_set_zone_sessions(cmd_parms *cmd, void *dir, const char *arg)
{
    unsigned long n;
    const char *err = check_single(cmd, &mh_main_conf.zone_sessions_by);
    if (err) {
        return err;
    }
    if (!hap_str_uint(&n, hap_str(arg), ZONE_SESSIONS_MAX) || n < ZONE_SESSIONS_MIN) {
        return apr_psprintf(cmd->pool, "HAZoneSessions: %s is not allowed, use %d to %d", arg,
                            ZONE_SESSIONS_MIN, ZONE_SESSIONS_MAX);
    }
    mh_main_conf.zone_sessions = (unsigned)n;
    return NULL;
}

/* The file is replaced by rename, and whatever else stood there would be lost. */
static const char *check_replaceable(const char *path, apr_pool_t *p)
{
    apr_finfo_t info;
    if (apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_LINK, p) != APR_SUCCESS ||
        info.filetype == APR_REG || info.filetype == APR_LNK) {
        return NULL;
    }
    if (info.filetype == APR_DIR) {
        return apr_psprintf(p, "HAStateFile: %s is a folder, name a file in it", path);
    }
    return apr_psprintf(p, "HAStateFile: %s is not a regular file, name another", path);
}

static const char *mh_set_map(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = check_single(cmd, &mh_main_conf.map_by);
    if (err) {
        return err;
    }
    mh_main_conf.map = ap_server_root_relative(cmd->pool, arg);
    return mh_main_conf.map ? NULL : apr_psprintf(cmd->pool, "HAMap: %s is not a usable path", arg);
}

static const char *mh_set_state_file(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = check_single(cmd, &mh_main_conf.state_file_by);
    if (err) {
        return err;
    }
    mh_main_conf.state_file = ap_server_root_relative(cmd->pool, arg);
    if (!mh_main_conf.state_file) {
        return apr_psprintf(cmd->pool, "HAStateFile: %s is not a usable path", arg);
    }
    return check_replaceable(mh_main_conf.state_file, cmd->pool);
}

/* To httpd it is the same; the setter refuses what stands elsewhere. */
#define MAIN_CONF RSRC_CONF

#define TAKE_ARGV(name, setter, context, doc) AP_INIT_TAKE_ARGV(name, setter, NULL, context, doc),
#define TAKE1(name, setter, context, doc)     AP_INIT_TAKE1(name, setter, NULL, context, doc),
#define DIRECTIVE(name, takes, setter, context, syntax, fallback, doc)                             \
    takes(name, setter, context, syntax)

const command_rec mh_commands[] = {
#include "mh_directives.def"
    {NULL}};
