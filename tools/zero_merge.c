/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero modproxy merge`: reading the fragments, replacing the merged file, and proving that
 * it holds what it should. Does not decide what may be merged: hap_merge does.
 */
#include "zero.h"

#include <string.h>

#include <apr_strings.h>

#include "hap_lint.h"
#include "hap_merge.h"
#include "io/hapio_file.h"

enum {
    FRAGMENT_MAX_BYTES = 2 << 20, /* far above any fragment, so that it is named as too long */
};

static int read_fragment(hap_fragment_t *fragment, const char *path, const zero_args_t *args,
                         apr_pool_t *scratch)
{
    hap_diag_t diag;
    hap_str_t text;
    apr_status_t rv = hapio_file_read(&text, path, FRAGMENT_MAX_BYTES, &diag, scratch);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    hap_fragment_t read = {.source = path};
    if (hap_fragment_parse(&read, text, &diag, scratch) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    hap_fragment_copy(fragment, &read, args->pool);
    fragment->source = zero_show(path, args->pool);
    return ZERO_DONE;
}

static int read_fragments(hap_fragment_t *fragments, const zero_args_t *args)
{
    apr_pool_t *scratch = NULL;
    apr_pool_create(&scratch, args->pool);
    int code = ZERO_DONE;
    for (int i = 0; i < args->operand_count && code == ZERO_DONE; i++) {
        code = read_fragment(&fragments[i], args->operands[i], args, scratch);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    return code;
}

/* The text must say what the fragments and the options said, read with our own reader. */
static int prove(hap_str_t text, const hap_merge_t *merge, const hap_fragment_t *fragments,
                 const char *path, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_merge_t read;
    apr_status_t rv = hap_merge_parse(&read, text, &diag, args->pool);
    if (rv == APR_SUCCESS) {
        rv = hap_merge_prove(&read, fragments, (size_t)args->operand_count, &diag, args->pool);
    }
    if (rv == APR_SUCCESS && hap_merge_diff(&read, merge, args->pool)->nelts > 0) {
        hap_diag_set(&diag, 0, "it does not say what it should of the lane or of zones");
        rv = APR_EINVAL;
    }
    return rv == APR_SUCCESS ? ZERO_DONE : zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
}

static int write_merged(const char *path, const hap_merge_t *merge, const hap_fragment_t *fragments,
                        const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t written;
    hap_str_t text = hap_merge_emit(merge, args->pool);
    int code = prove(text, merge, fragments, path, args);
    if (code != ZERO_DONE) {
        return code;
    }
    if (hapio_file_write(path, text, ZERO_FILE_MODE, &diag, args->pool) != APR_SUCCESS ||
        hapio_file_read(&written, path, HAP_TEXT_MAX_BYTES, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_IO, path, &diag);
    }
    /* Read back and compared: what is on the disk now is what was proven. */
    if (!hap_str_eq(written, text)) {
        return zero_fail(args->command, ZERO_IO, "%s: is not what was written",
                         zero_show(path, args->pool));
    }
    return ZERO_DONE;
}

/* Somebody's own words would be lost with the file, which is not for us to decide. */
static int refuse_target(const char *path, const hap_diag_t *diag, const zero_args_t *args)
{
    const char *line = diag->line ? apr_psprintf(args->pool, ":%d", diag->line) : "";
    return zero_fail(args->command, ZERO_REFUSED,
                     "%s%s: %s: use another name, or -force to replace the file",
                     zero_show(path, args->pool), line, diag->why);
}

/* What the file has now; a fragment is never replaced. *found is false when there is none. */
static int read_target(hap_merge_t *now, bool *found, const char *path, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_str_t text;
    bool diff = zero_opt(args, "diff") != NULL;
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &diag, args->pool);
    *found = rv == APR_SUCCESS;
    if (APR_STATUS_IS_ENOENT(rv)) {
        return ZERO_DONE;
    }
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    if (diff && hap_merge_parse(now, text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    if (diff) {
        return ZERO_DONE;
    }
    if (hap_fragment_is(text)) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%s: is a fragment and would be lost, use another name",
                         zero_show(path, args->pool));
    }
    if (text.n == 0 || zero_opt(args, "force") ||
        hap_merge_parse(now, text, &diag, args->pool) == APR_SUCCESS) {
        return ZERO_DONE;
    }
    return refuse_target(path, &diag, args);
}

static int print_diff(const char *path, const hap_merge_t *now, const hap_merge_t *merge,
                      const zero_args_t *args)
{
    const hap_merge_t nothing = {
        .balancer = merge->balancer, .lane = merge->lane, .zones = merge->zones};
    apr_array_header_t *changes = hap_merge_diff(now ? now : &nothing, merge, args->pool);
    if (changes->nelts == 0) {
        return ZERO_DONE;
    }
    for (int i = 0; i < changes->nelts; i++) {
        const char *line =
            apr_pstrcat(args->pool, zero_show(path, args->pool),
                        " would change: ", APR_ARRAY_IDX(changes, i, const char *), "\n", NULL);
        if (zero_print(args->command, hap_str(line)) != ZERO_DONE) {
            return ZERO_IO;
        }
    }
    return ZERO_REFUSED;
}

static void remark_app(const hap_merge_app_t *app, const zero_args_t *args)
{
    const char *name = app->members->app;
    if (app->count == 1) {
        zero_note(args->command, "application %s has one member and does not survive its loss",
                  name);
    } else if (!app->members->sticky) {
        zero_note(args->command,
                  "application %s has no session cookie: each request of a client may meet "
                  "another instance, if that matters give -sticky=COOKIE to generate, or add "
                  "HABalancer %s affinity=insert beside the Include",
                  name, name);
    }
    if (!app->members->health) {
        zero_note(args->command,
                  "application %s has no health path: an instance that hangs is only noticed "
                  "by its requests, give -health=PATH to generate",
                  name);
    }
}

/* What check would say of the stores, which are the same for all applications: so once. */
static void remark_stores(const hap_merge_t *merge, const zero_args_t *args)
{
    hap_conf_t conf;
    hap_diag_t unused;
    const char *values = hap_merge_zones_text(&merge->zones, args->pool);
    if (!values) {
        return;
    }
    const char *line = apr_pstrcat(args->pool, "HAZone any ", values, NULL);
    if (hap_conf_parse(&conf, hap_str(line), &unused, args->pool) != APR_SUCCESS) {
        return;
    }
    apr_array_header_t *findings = hap_lint_check(&conf, NULL, args->pool);
    for (int i = 0; i < findings->nelts; i++) {
        const hap_lint_finding_t *finding = &APR_ARRAY_IDX(findings, i, hap_lint_finding_t);
        if (strcmp(finding->rule, "zone") == 0) {
            zero_note(args->command, "%s", finding->why);
        }
    }
}

static void remark(const hap_merge_t *merge, const zero_args_t *args)
{
    if (merge->member_count > HAP_MERGE_DEFAULT_MEMBERS) {
        zero_note(args->command,
                  "%" APR_SIZE_T_FMT
                  " members: mod_haproxy has room for %d, set HAMaxMembers %" APR_SIZE_T_FMT
                  " or more",
                  merge->member_count, HAP_MERGE_DEFAULT_MEMBERS, merge->member_count);
    }
    for (size_t i = 0; merge->balancer && i < merge->app_count; i++) {
        remark_app(&merge->apps[i], args);
    }
    remark_stores(merge, args);
}

static int check_lane(const zero_args_t *args)
{
    const char *word = zero_opt(args, "lane");
    if (word && strcmp(word, "on") != 0 && strcmp(word, "off") != 0) {
        return zero_fail(args->command, ZERO_USAGE, "-lane: \"%s\" is not allowed, use on or off",
                         hap_str_show(hap_str(word), args->pool));
    }
    if (word && !zero_opt(args, "balancer")) {
        return zero_fail(args->command, ZERO_USAGE,
                         "-lane=%s is about balancers, add -balancer or leave it out", word);
    }
    return ZERO_DONE;
}

/* -store= and -key= say how, -zones= that. */
static int read_zones(hap_merge_zones_t *zones, const zero_args_t *args)
{
    static const char *const hows[] = {"store", "key"};
    hap_diag_t diag;
    const char *kinds = zero_opt(args, "zones");
    *zones = (hap_merge_zones_t){.kinds = 0};
    for (size_t i = 0; !kinds && i < sizeof(hows) / sizeof(hows[0]); i++) {
        if (zero_opt(args, hows[i])) {
            return zero_fail(args->command, ZERO_USAGE,
                             "-%s= is about zones, add -zones=USER, STORAGE or both, or leave it "
                             "out",
                             hows[i]);
        }
    }
    if (!kinds) {
        return ZERO_DONE;
    }
    if (!zero_opt(args, "balancer")) {
        return zero_fail(args->command, ZERO_USAGE,
                         "-zones= is about balancers, add -balancer or leave it out");
    }
    if (hap_merge_zones_make(zones, hap_str(kinds), hap_str(zero_opt(args, "store")),
                             hap_str(zero_opt(args, "key")), &diag, args->pool) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    return ZERO_DONE;
}

static hap_merge_lane_t lane_of(const zero_args_t *args)
{
    const char *word = zero_opt(args, "lane");
    if (!zero_opt(args, "balancer")) {
        return HAP_MERGE_LANE_UNSAID;
    }
    return word && strcmp(word, "off") == 0 ? HAP_MERGE_LANE_OFF : HAP_MERGE_LANE_ON;
}

/* What the options and the fragments come to. */
static int build(hap_merge_t *merge, hap_fragment_t *fragments, const zero_args_t *args)
{
    hap_diag_t diag;
    hap_merge_zones_t zones;
    size_t count = (size_t)args->operand_count;
    bool balancer = zero_opt(args, "balancer") != NULL;
    int code = check_lane(args);
    code = code == ZERO_DONE ? read_zones(&zones, args) : code;
    code = code == ZERO_DONE ? read_fragments(fragments, args) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    if (hap_merge_build(merge, fragments, count, balancer, &diag, args->pool) != APR_SUCCESS ||
        hap_merge_check_zones(merge, &zones, &diag) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_REFUSED, "%s", diag.why);
    }
    merge->lane = lane_of(args);
    merge->zones = zones;
    return ZERO_DONE;
}

static int run(const zero_args_t *args)
{
    hap_merge_t merge;
    hap_merge_t now;
    bool found = false;
    const char *path = zero_opt(args, "o");
    bool to_file = path && strcmp(path, "-") != 0;
    bool diff = zero_opt(args, "diff") != NULL;
    size_t count = (size_t)args->operand_count;
    if (diff && !to_file) {
        return zero_fail(args->command, ZERO_USAGE, "-diff compares with a file, add -o=FILE");
    }
    if (count > HAP_MERGE_MAX_MEMBERS) {
        return zero_fail(args->command, ZERO_REFUSED,
                         "%" APR_SIZE_T_FMT " fragments are too many, at most %d can be merged",
                         count, HAP_MERGE_MAX_MEMBERS);
    }
    hap_fragment_t *fragments = apr_pcalloc(args->pool, count * sizeof(*fragments));
    int code = build(&merge, fragments, args);
    code = code == ZERO_DONE && to_file ? read_target(&now, &found, path, args) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    if (diff) {
        return print_diff(path, found ? &now : NULL, &merge, args);
    }
    code = to_file ? write_merged(path, &merge, fragments, args)
                   : zero_print(args->command, hap_merge_emit(&merge, args->pool));
    if (code == ZERO_DONE) {
        remark(&merge, args);
    }
    return code;
}

static const zero_option_t options[] = {
    {"balancer", NULL, "make each application a balancer of its fragments"},
    {"o", "FILE", "write to FILE; - or nothing: to standard output"},
    {"lane", "on|off", "whether mod_haproxy's lane carries the balancers' plain HTTP [on]"},
    {"zones", "ZONES", "keep sessions' states: USER, STORAGE for other data, or USER,STORAGE"},
    {"store", "STORE", "where: shm, shm:SIZE or memcached:HOST:PORT,... [shm]"},
    {"key", "FILE", "the key file for it, on the proxy [zone.key with memcached, else none]"},
    {"diff", NULL, "say what would change in FILE, write nothing; 1 if anything would"},
    {"force", NULL, "replace FILE even if merge did not write it, or it was edited since"},
    {NULL, NULL, NULL},
};

const zero_command_t zero_merge_command = {
    .group = "modproxy",
    .name = "merge",
    .operands = "FRAGMENT...",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .summary = "join fragments into one file for an Include in httpd.conf",
    .details =
        "With -balancer the fragments of an application become one balancer; without it every\n"
        "application has one fragment. The same fragments in any order give the same bytes.\n"
        "With -lane=off the balancers stay on the standard path, whatever HALane says elsewhere.\n"
        "With -zones=USER,STORAGE -store=memcached:hostA:11211,hostB:11211 the sessions' states\n"
        "survive their instances (doc/zones.md); a key file's name is relative to ServerRoot.\n"
        "FILE is replaced in one step, or left as it was. What merge did not write stays, unless\n"
        "-force is given: keys of your own go into another file, beside the Include.\n",
    .run = run,
};
