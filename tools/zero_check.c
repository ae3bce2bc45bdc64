/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero modproxy check`: lint findings and httpd's own verdict, file by file. Does not hold
 * the rules (hap_lint) and does not run httpd (zero_httpd).
 */
#include "config.h"
#include "zero.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hap_grammar.h"
#include "hap_lint.h"
#include "io/hapio_file.h"
#include "zero_check_lane.h"
#include "zero_httpd.h"

static int worse(int a, int b)
{
    return a > b ? a : b;
}

static int print_finding(const zero_args_t *args, const char *path,
                         const hap_lint_finding_t *finding)
{
    bool error = finding->severity != HAP_LINT_WARNING;
    const char *line =
        apr_psprintf(args->pool, "%s:%d: %s: %s [%s]\n", zero_show(path, args->pool), finding->line,
                     error ? "error" : "warning", finding->why, finding->rule);
    return worse(error ? ZERO_REFUSED : ZERO_DONE, zero_print(args->command, hap_str(line)));
}

/* *starts is left alone unless the server does not start with this. */
static int lint(bool *starts, const zero_args_t *args, const char *path, hap_str_t text,
                const apr_array_header_t *elsewhere)
{
    hap_diag_t diag;
    hap_conf_t conf;
    if (text.n == 0) {
        hap_diag_set(&diag, 0, "is empty");
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    if (hap_conf_parse(&conf, text, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail_at(args->command, ZERO_REFUSED, path, &diag);
    }
    int code = ZERO_DONE;
    apr_array_header_t *findings = hap_lint_check(&conf, elsewhere, args->pool);
    for (int i = 0; i < findings->nelts; i++) {
        const hap_lint_finding_t *finding = &APR_ARRAY_IDX(findings, i, hap_lint_finding_t);
        *starts = *starts && finding->severity != HAP_LINT_FATAL;
        code = worse(code, print_finding(args, path, finding));
    }
    return code;
}

/* Each line of httpd's with its name in front, so that it is clear who speaks. */
static int print_verdict(const zero_args_t *args, hap_str_t output)
{
    hap_str_t line;
    int code = ZERO_DONE;
    while (hap_str_line(&line, &output)) {
        if (line.n && !hap_str_eq(line, HAP_STR_LIT("Syntax OK"))) {
            const char *shown = zero_show(hap_str_dup(line, args->pool), args->pool);
            const char *said = apr_pstrcat(args->pool, "httpd: ", shown, "\n", NULL);
            code = worse(code, zero_print(args->command, hap_str(said)));
        }
    }
    return code;
}

/* Debian's configuration is complete only with what its start script sets. */
static int print_hint(const zero_args_t *args, const char *path, hap_str_t output)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? apr_pstrmemdup(args->pool, path, (size_t)(slash - path)) : ".";
    const char *file = apr_pstrcat(args->pool, folder, "/envvars", NULL);
    hap_str_t undefined = HAP_STR_LIT("AH00111");
    if (!memmem(output.p, output.n, undefined.p, undefined.n) || access(file, R_OK) != 0) {
        return ZERO_DONE;
    }
    file = zero_show(file, args->pool);
    return zero_print(args->command,
                      hap_str(apr_psprintf(args->pool,
                                           "%s: this server is started with variables of its own: "
                                           "set them first, as in (. %s && zero modproxy check "
                                           "...)\n",
                                           zero_show(path, args->pool), file)));
}

static int ask_httpd(const zero_args_t *args, const char *path, bool whole)
{
    hap_diag_t diag;
    hap_str_t output = {NULL, 0};
    bool ok = false;
    const char *program = zero_opt(args, "httpd");
    const char *modules = zero_opt(args, "modules");
    const zero_httpd_t httpd = {
        .program = program ? program : HAP_HTTPD,
        .modules = modules ? modules : HAP_HTTPD_MODULES,
        .module = zero_opt(args, "module"),
        .whole = whole,
    };
    char *real = realpath(path, NULL);
    const char *absolute = real ? apr_pstrdup(args->pool, real) : path;
    free(real);
    apr_status_t rv = zero_httpd_test(&ok, &output, &httpd, absolute, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        int code = rv == APR_EINVAL ? ZERO_REFUSED : ZERO_IO;
        return zero_fail_at(args->command, code, path, &diag);
    }
    int code = worse(ok ? ZERO_DONE : ZERO_REFUSED, print_verdict(args, output));
    return whole ? worse(code, print_hint(args, path, output)) : code;
}

static int check(const zero_args_t *args, const char *path)
{
    hap_diag_t diag;
    hap_diag_t why;
    hap_str_t text;
    zero_tree_t tree;
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &diag, args->pool);
    if (rv != APR_SUCCESS) {
        return zero_fail_read(args->command, rv, path, &diag);
    }
    bool starts = true;
    rv = zero_tree_read(&tree, path, &why, args->pool);
    int code = lint(&starts, args, path, text, tree.balancers);
    bool whole = tree.is_server && tree.loads;
    int asked = ask_httpd(args, path, whole);
    code = worse(code, asked);
    if (!starts || (whole && asked == ZERO_REFUSED)) {
        rv = APR_EINVAL;
        hap_diag_set(&why, 0, "the server does not start with this");
    }
    if (code != ZERO_IO) {
        code = worse(code, zero_check_lane(args, path, &tree, rv == APR_SUCCESS ? NULL : &why));
    }
    if (code == ZERO_DONE) {
        const char *line = apr_pstrcat(args->pool, zero_show(path, args->pool), ": ok\n", NULL);
        code = zero_print(args->command, hap_str(line));
    }
    return code;
}

static int check_readable(const char *name, bool folder, const zero_args_t *args)
{
    struct stat info;
    const char *path = zero_opt(args, name);
    if (!path) {
        return ZERO_DONE;
    }
    const char *wrong = folder ? "is not a folder" : "is a folder, not a file";
    if (stat(path, &info) != 0 || access(path, R_OK) != 0) {
        wrong = "cannot be read";
    } else if (S_ISDIR(info.st_mode) == folder) {
        return ZERO_DONE;
    }
    return zero_fail(args->command, ZERO_IO, "-%s: %s %s", name, zero_show(path, args->pool),
                     wrong);
}

/* These end up inside quotes in a configuration, and httpd takes other ones as relative. */
static int check_options(const zero_args_t *args)
{
    static const char *const names[] = {"httpd", "modules", "module"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = zero_opt(args, names[i]);
        if (value && (value[0] != '/' || strpbrk(value, "\"\\\n\r${}"))) {
            return zero_fail(args->command, ZERO_USAGE,
                             "-%s: \"%s\" is not an absolute path without quotes, \\, $, { and }",
                             names[i], hap_str_show(hap_str(value), args->pool));
        }
    }
    int code = check_readable("modules", true, args);
    return code == ZERO_DONE ? check_readable("module", false, args) : code;
}

static int run(const zero_args_t *args)
{
    int code = check_options(args);
    if (code != ZERO_DONE) {
        return code;
    }
    for (int i = 0; i < args->operand_count; i++) {
        code = worse(code, check(args, args->operands[i]));
    }
    return code;
}

static const zero_option_t options[] = {
    {"httpd", "PATH", "the httpd to ask [" HAP_HTTPD "]"},
    {"modules", "DIR", "its modules [" HAP_HTTPD_MODULES "]"},
    {"module", "PATH", "the mod_haproxy.so to load for a part [the one in DIR, if there is one]"},
    {NULL, NULL, NULL},
};

const zero_command_t zero_check_command = {
    .group = "modproxy",
    .name = "check",
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .summary = "look for mistakes in Apache files, then ask httpd -t",
    .details =
        "Says what does not work as most people expect, although httpd may take it, and then\n"
        "runs httpd -t: on FILE, if that is a server's whole configuration, which listens and\n"
        "loads its modules, and else on a throw-away one that includes FILE. Warnings alone end\n"
        "with 0, an error or a refusal by httpd with 1. Of a server's configuration it says for\n"
        "each mount whether the lane carries it, and if not, which directive acts on it; that\n"
        "does not change how it ends.\n",
    .run = run,
};
