/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero modproxy generate`: where an instance's properties come from, and their defaults.
 * Does not know the fragment's format: hap_fragment does.
 */
#include "zero.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hap_fragment.h"
#include "hap_zeroconfig.h"
#include "io/hapio_file.h"

static const char config_path[] = "config/zero.config";

/* What an application that puts its /config/apacheRouteID into sessions calls their cookie. */
static const char session_cookie[] = "zsessionid";

enum {
    CONFIG_MAX_BYTES = 1 << 20,
    DEFAULT_PORT = 8080,
    HOST_NAME_BYTES = 256, /* HOST_NAME_MAX and a NUL, with room */
};

/* The folder may be without a configuration; one that is there must be right. */
static int read_config(hap_zeroconfig_t *config, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    apr_status_t rv = hapio_file_read(&text, config_path, CONFIG_MAX_BYTES, &diag, args->pool);
    if (APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_ENOTDIR(rv)) {
        return ZERO_DONE;
    }
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, config_path, &diag);
    }
    if (hap_zeroconfig_parse(config, text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, config_path, &diag);
    }
    return ZERO_DONE;
}

typedef apr_status_t check_fn(hap_str_t, const char *, hap_diag_t *, apr_pool_t *);

/* Sets *field to the option's value if it was given and is right. */
static int take_option(const char **field, const char *name, check_fn *check,
                       const zero_args_t *args)
{
    hap_diag_t diag;
    const char *value = zero_opt(args, name);
    if (!value) {
        return ZERO_DONE;
    }
    const char *shown = apr_pstrcat(args->pool, "-", name, NULL);
    if (check(hap_str(value), shown, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    *field = value;
    return ZERO_DONE;
}

static int take_app(hap_fragment_t *fragment, const hap_zeroconfig_t *config,
                    const zero_args_t *args)
{
    hap_diag_t diag;
    char folder[4096];
    fragment->app = config->name;
    int code = take_option(&fragment->app, "app", hap_grammar_app, args);
    if (code != ZERO_DONE || fragment->app) {
        return code;
    }
    if (!getcwd(folder, sizeof(folder))) {
        return zero_fail(args->command, ZERO_IO, "this folder has no name, use -app=NAME");
    }
    fragment->app = apr_pstrdup(args->pool, strrchr(folder, '/') + 1);
    if (hap_grammar_app(hap_str(fragment->app), "the folder's name", &diag, args->pool) !=
        APR_SUCCESS) {
        return zero_fail(args->command, ZERO_REFUSED, "%s; or name the application with -app=NAME",
                         diag.why);
    }
    return ZERO_DONE;
}

/* -context stands for both paths; in the file the public one may differ from the instance's. */
static int take_paths(hap_fragment_t *fragment, const hap_zeroconfig_t *config,
                      const zero_args_t *args)
{
    fragment->path = config->context ? config->context : "/";
    fragment->context = config->external ? config->external : fragment->path;
    const char *context = NULL;
    int code = take_option(&context, "context", hap_grammar_path, args);
    if (context) {
        fragment->path = fragment->context = context;
    }
    return code;
}

/* This host's full name as its resolver knows it, else the plain one. */
static const char *own_host(apr_pool_t *pool)
{
    char name[HOST_NAME_BYTES] = "";
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    struct addrinfo *found = NULL;
    if (gethostname(name, sizeof(name) - 1) != 0) {
        return "";
    }
    const char *host = apr_pstrdup(pool, name);
    if (getaddrinfo(name, NULL, &hints, &found) == 0) {
        if (found->ai_canonname) {
            host = apr_pstrdup(pool, found->ai_canonname);
        }
        freeaddrinfo(found);
    }
    return host;
}

static int take_host(hap_fragment_t *fragment, const hap_zeroconfig_t *config,
                     const zero_args_t *args)
{
    hap_diag_t diag;
    const char *option = zero_opt(args, "host");
    if (option) {
        if (hap_grammar_host(&fragment->host, hap_str(option), "-host", &diag, args->pool) !=
            APR_SUCCESS) {
            return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
        }
        return ZERO_DONE;
    }
    /* An application that listens on all addresses is reached by the host's name. */
    if (config->host && hap_grammar_host_kind(config->host) != HAP_HOST_UNSPECIFIED) {
        fragment->host = config->host;
        return ZERO_DONE;
    }
    if (hap_grammar_host(&fragment->host, hap_str(own_host(args->pool)), "this host's name", &diag,
                         args->pool) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_REFUSED, "%s; or name the host with -host=NAME",
                         diag.why);
    }
    return ZERO_DONE;
}

static int take_port(hap_fragment_t *fragment, const hap_zeroconfig_t *config,
                     const zero_args_t *args)
{
    hap_diag_t diag;
    const char *option = zero_opt(args, "port");
    fragment->port = config->port ? config->port : DEFAULT_PORT;
    if (option && hap_grammar_port(&fragment->port, hap_str(option), "-port", &diag, args->pool) !=
                      APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    return ZERO_DONE;
}

static int take_names(hap_fragment_t *fragment, const hap_zeroconfig_t *config,
                      const zero_args_t *args)
{
    fragment->route =
        config->route ? config->route : hap_grammar_route_of_host(fragment->host, args->pool);
    fragment->sticky = config->route ? session_cookie : NULL;
    fragment->health = config->health;
    fragment->upgrade = config->upgrade;
    int code = take_option(&fragment->route, "route", hap_grammar_route, args);
    if (code == ZERO_DONE) {
        code = take_option(&fragment->sticky, "sticky", hap_grammar_cookie, args);
    }
    if (code == ZERO_DONE) {
        code = take_option(&fragment->health, "health", hap_grammar_path, args);
    }
    if (code == ZERO_DONE) {
        code = take_option(&fragment->upgrade, "upgrade", hap_grammar_protocol, args);
    }
    return code;
}

static int describe(hap_fragment_t *fragment, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_zeroconfig_t config = {0};
    int code = read_config(&config, args);
    if (code == ZERO_DONE) {
        code = take_app(fragment, &config, args);
    }
    if (code == ZERO_DONE) {
        code = take_paths(fragment, &config, args);
    }
    if (code == ZERO_DONE) {
        code = take_host(fragment, &config, args);
    }
    if (code == ZERO_DONE) {
        code = take_port(fragment, &config, args);
    }
    if (code == ZERO_DONE) {
        code = take_names(fragment, &config, args);
    }
    if (code == ZERO_DONE && hap_fragment_check(fragment, &diag, args->pool) != APR_SUCCESS) {
        code = zero_fail(args->command, ZERO_REFUSED, "%s", diag.why);
    }
    return code;
}

static void remark(const hap_fragment_t *fragment, const zero_args_t *args)
{
    if (hap_grammar_host_kind(fragment->host) != HAP_HOST_REMOTE) {
        zero_note(args->command,
                  "%s means another machine on another proxy: merge takes it only while no "
                  "fragment names another host, use -host=NAME",
                  fragment->host);
    }
    if (!fragment->health) {
        zero_note(args->command,
                  "application %s has no health path: an instance that hangs is only noticed by "
                  "its requests, give -health=PATH",
                  fragment->app);
    }
}

/* A file that somebody else wrote is not for us to replace. */
static int check_target(const char *path, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &diag, args->pool);
    if (APR_STATUS_IS_ENOENT(rv)) {
        return ZERO_DONE;
    }
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (!hap_fragment_is(text) && !zero_opt(args, "force")) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%s: is there and is not a fragment, use another name, or -force to "
                         "replace it",
                         zero_show(path, args->pool));
    }
    return ZERO_DONE;
}

static int run(const zero_args_t *args)
{
    hap_diag_t diag;
    hap_fragment_t fragment = {0};
    const char *path = zero_opt(args, "o");
    int code = describe(&fragment, args);
    if (code != ZERO_DONE) {
        return code;
    }
    hap_str_t text = hap_fragment_emit(&fragment, args->pool);
    if (!path || strcmp(path, "-") == 0) {
        remark(&fragment, args);
        return zero_print(args->command, text);
    }
    code = check_target(path, args);
    if (code != ZERO_DONE) {
        return code;
    }
    if (hapio_file_write(path, text, ZERO_FILE_MODE, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_IO, path, &diag);
    }
    remark(&fragment, args);
    return ZERO_DONE;
}

static const zero_option_t options[] = {
    {"o", "FILE", "write to FILE; - or nothing: to standard output"},
    {"app", "NAME", "application [/config/name, or the folder's name]"},
    {"context", "PATH", "path, on the proxy and on the instance [/config/contextRoot, or /]"},
    {"host", "NAME", "name or address the proxy reaches it by [this host's full name]"},
    {"port", "NUMBER", "port [/config/http/port, or 8080]"},
    {"route", "NAME", "name of this instance [/config/apacheRouteID, or from the host's name]"},
    {"sticky", "COOKIE",
     "session cookie [zsessionid if there is /config/apacheRouteID, else none]"},
    {"health", "PATH", "path that answers 200 to 399 while the instance is well"},
    {"upgrade", "PROTOCOL",
     "what clients may switch to: websocket, ANY [/config/upgrade, or none]"},
    {"force", NULL, "replace FILE even if it is not a fragment"},
    {NULL, NULL, NULL},
};

const zero_command_t zero_generate_command = {
    .group = "modproxy",
    .name = "generate",
    .operands = "",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .summary = "describe this instance in a fragment that Apache can include",
    .details = "Run it in the application's folder. It reads config/zero.config; options win over\n"
               "that. The fragment works alone with an Include, or goes to zero modproxy merge.\n",
    .run = run,
};
