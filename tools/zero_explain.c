/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero modproxy explain`: its options and the files that it reads. Does not decide anything
 * (hap_explain does) and does not hold the words (zero_explain_text).
 */
#include "zero.h"

#include <arpa/inet.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "hap_grammar.h"
#include "hap_roster.h"
#include "io/hapio_file.h"
#include "zero_explain_text.h"

enum { KEY_FILE_MAX_BYTES = 4096 };

static int read_conf(const hap_site_t **site, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    hap_conf_t *conf = apr_palloc(args->pool, sizeof(*conf));
    const char *path = zero_opt(args, "conf");
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (text.n == 0) {
        hap_diag_set(&diag, 0, "is empty");
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    if (hap_conf_parse(conf, text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    hap_site_t *read = apr_pmemdup(args->pool, hap_site_read(conf, args->pool), sizeof(*read));
    /* HAMap is in the server's own file, and the balancers in another one. */
    read->has_map = read->has_map || zero_opt(args, "map");
    *site = read;
    return ZERO_DONE;
}

static int read_state(hap_explain_request_t *request, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    const char *path = zero_opt(args, "state");
    if (!path) {
        return ZERO_DONE;
    }
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    hap_state_t *state = apr_palloc(args->pool, sizeof(*state));
    if (hap_statefile_decode(state, text, HAP_MEMBERS_MAX, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    request->state = state;
    return ZERO_DONE;
}

static int read_map(hap_explain_request_t *request, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    const char *path = zero_opt(args, "map");
    if (!path) {
        return ZERO_DONE;
    }
    apr_status_t rv = hapio_file_read(&text, path, HAP_MAP_BYTES_MAX, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (hap_map_decode(&request->map, text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    return ZERO_DONE;
}

/* The keys of sign=, where they can be read here: on another machine, or for another user than the
 * server's, they cannot, and the text says so. */
static void read_keys(hap_explain_request_t *request, const hap_policy_t *policy,
                      const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    hap_sign_t *sign;
    bool readable =
        policy && policy->sign && policy->sign[0] == '/' &&
        hapio_file_read(&text, policy->sign, KEY_FILE_MAX_BYTES, &diag, args->pool) == APR_SUCCESS;
    if (!readable) {
        return;
    }
    if (hap_sign_parse(&sign, text, &diag, args->pool) == APR_SUCCESS) {
        request->sign = sign;
    }
    memset((char *)(uintptr_t)text.p, 0, text.n);
}

/* HOST or HOST:PORT; the port only has to be one. */
static int take_authority(hap_explain_request_t *request, hap_str_t authority,
                          const zero_args_t *args)
{
    hap_diag_t diag;
    const char *spelt = NULL;
    unsigned port = 0;
    size_t from = authority.n && authority.p[0] == '[' ? hap_str_find(authority, ']', 0) : 0;
    size_t colon = hap_str_find(authority, ':', from);
    hap_str_t host = hap_str_sub(authority, 0, colon);
    hap_str_t number = hap_str_sub(authority, colon + 1, authority.n);
    apr_status_t rv = hap_grammar_host(&spelt, host, "-url", &diag, args->pool);
    if (rv == APR_SUCCESS && colon < authority.n) {
        rv = hap_grammar_port(&port, number, "-url", &diag, args->pool);
    }
    if (rv != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    request->host = hap_str_dup(host, args->pool);
    return ZERO_DONE;
}

/* http://host:port/path gives host and path; what begins with a slash is the path. */
static int split_url(hap_explain_request_t *request, const zero_args_t *args)
{
    hap_str_t url = hap_str(zero_opt(args, "url"));
    bool http = hap_str_starts(url, HAP_STR_LIT("http://"));
    bool https = hap_str_starts(url, HAP_STR_LIT("https://"));
    request->tls = https;
    if (http || https) {
        hap_str_t rest = hap_str_sub(url, http ? 7 : 8, url.n);
        size_t slash = hap_str_find(rest, '/', 0);
        int code = take_authority(request, hap_str_sub(rest, 0, slash), args);
        if (code != ZERO_DONE) {
            return code;
        }
        url = slash < rest.n ? hap_str_sub(rest, slash, rest.n) : HAP_STR_LIT("/");
    }
    if (url.p[0] != '/') {
        return zero_fail(args->command, ZERO_USAGE,
                         "-url: \"%s\" is neither a path that begins with / nor http://HOST/PATH",
                         hap_str_show(url, args->pool));
    }
    request->target = url;
    return ZERO_DONE;
}

/* As httpd writes an address, because hash goes by its text. */
static int read_client(hap_explain_request_t *request, const zero_args_t *args)
{
    unsigned char address[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];
    const char *client = zero_opt(args, "client");
    if (!client) {
        return ZERO_DONE;
    }
    for (int i = 0; i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;
        if (inet_pton(family, client, address) == 1 &&
            inet_ntop(family, address, text, sizeof(text))) {
            request->client = hap_str(apr_pstrdup(args->pool, text));
            return ZERO_DONE;
        }
    }
    return zero_fail(args->command, ZERO_USAGE, "-client: \"%s\" is not an IP address",
                     hap_str_show(hap_str(client), args->pool));
}

static int read_all(hap_explain_request_t *request, const zero_args_t *args)
{
    int code = split_url(request, args);
    code = code == ZERO_DONE ? read_client(request, args) : code;
    code = code == ZERO_DONE ? read_conf(&request->site, args) : code;
    code = code == ZERO_DONE ? read_state(request, args) : code;
    code = code == ZERO_DONE ? read_map(request, args) : code;
    request->cookies = hap_str(zero_opt(args, "cookie"));
    request->now_s = apr_time_sec(apr_time_now());
    return code;
}

static int exit_code(const hap_explain_t *result)
{
    bool chosen = result->end == HAP_EXPLAIN_MODULE && result->first.pick.member >= 0;
    return chosen || result->end == HAP_EXPLAIN_PLAIN ? ZERO_DONE : ZERO_REFUSED;
}

static int run(const zero_args_t *args)
{
    hap_explain_request_t request = {0};
    const hap_policy_t *policy = NULL;
    hap_explain_t result;
    hap_diag_t diag;
    int code = read_all(&request, args);
    if (code != ZERO_DONE) {
        return code;
    }
    apr_status_t rv = hap_explain_policy(&policy, &request, &diag, args->pool);
    if (rv == APR_SUCCESS) {
        read_keys(&request, policy, args);
        rv = hap_explain(&result, &request, &diag, args->pool);
    }
    if (rv != APR_SUCCESS && diag.line == 0) {
        return zero_fail(args->command, ZERO_USAGE, "-url: %s", diag.why);
    }
    if (rv != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, zero_opt(args, "conf"), &diag);
    }
    const char *conf = zero_show(zero_opt(args, "conf"), args->pool);
    code =
        zero_print(args->command, hap_str(zero_explain_text(&result, &request, conf, args->pool)));
    return code == ZERO_DONE ? exit_code(&result) : code;
}

static const zero_option_t options[] = {
    {"conf", "FILE", "the Apache file with ProxyPass and balancers, such as a merged one"},
    {"url", "URL", "the request: /PATH?QUERY or http://HOST/PATH?QUERY"},
    {"cookie", "COOKIES", "its Cookie header: NAME=VALUE; NAME=VALUE"},
    {"client", "IP", "the client's address, by which method=hash goes"},
    {"state", "FILE", "the server's HAStateFile [every member is assumed up]"},
    {"map", "FILE", "the cluster's map, as HAMap names it [the members are as configured]"},
    {NULL, NULL, NULL},
};

static const char *const needed[] = {"conf", "url", NULL};

const zero_command_t zero_explain_command = {
    .group = "modproxy",
    .name = "explain",
    .operands = "",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .needed = needed,
    .summary = "say to which member a request goes, and why",
    .details =
        "Replays the choice off line with the code that the module runs, and says step by step\n"
        "which ProxyPass takes the request, what its session says, who is chosen and why, and\n"
        "what happens if that member cannot be reached. Asks no server.\n"
        "Ends with 0 when there is a choice, with 1 when there is none.\n",
    .run = run,
};
