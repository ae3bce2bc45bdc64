/* SPDX-License-Identifier: Apache-2.0 */
/* Owns asking the installed httpd whether it takes a configuration. Does not print. */
#include "config.h"
#include "zero_httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hap_grammar.h"

enum {
    OUTPUT_MAX_BYTES = 64 << 10,
    SILENCE_MAX_MS = 30 * 1000, /* a test that says nothing for so long hangs on a name lookup */
};

/*
 * In this order, each if it is there; one that httpd was linked with is not. Of the MPMs the first
 * one that is there, because httpd takes only one.
 */
static const char *const mpms[] = {"mpm_event", "mpm_worker", "mpm_prefork", NULL};
static const char *const modules[] = {
    "authn_core",
    "authz_core",
    "authz_host",
    "access_compat",
    "unixd",
    "log_config",
    "mime",
    "dir",
    "alias",
    "env",
    "setenvif",
    "headers",
    "rewrite",
    "filter",
    "deflate",
    "status",
    "reqtimeout",
    "watchdog",
    "slotmem_shm",
    "socache_shmcb",
    "ssl",
    "proxy",
    "proxy_http",
    "proxy_wstunnel",
    "proxy_balancer",
    "proxy_ajp",
    "proxy_hcheck",
    "lbmethod_byrequests",
    "lbmethod_bytraffic",
    "lbmethod_bybusyness",
    "http2",
    NULL,
};

static apr_status_t failed(hap_diag_t *diag, const char *what, int error)
{
    char reason[128];
    apr_strerror(error, reason, sizeof(reason));
    hap_diag_set(diag, 0, "%s: %s", what, reason);
    return error;
}

static const char *load_if_there(const zero_httpd_t *httpd, const char *name, apr_pool_t *pool)
{
    const char *file = apr_pstrcat(pool, httpd->modules, "/mod_", name, ".so", NULL);
    if (access(file, R_OK) != 0) {
        return NULL;
    }
    return apr_psprintf(pool, "LoadModule %s_module \"%s\"\n", name, file);
}

static const char *load_module(const zero_httpd_t *httpd, apr_pool_t *pool)
{
    if (httpd->module) {
        return apr_psprintf(pool, "LoadModule haproxy_module \"%s\"\n", httpd->module);
    }
    const char *line = load_if_there(httpd, "haproxy", pool);
    return line ? line : "";
}

static const char *configuration(const zero_httpd_t *httpd, const char *path, const char *folder,
                                 apr_pool_t *pool)
{
    const char *text = apr_psprintf(pool,
                                    "ServerName check.invalid\nDefaultRuntimeDir \"%s\"\n"
                                    "PidFile \"%s/pid\"\nErrorLog \"%s/log\"\n",
                                    folder, folder, folder);
    const char *line = NULL;
    for (int i = 0; mpms[i] && !line; i++) {
        line = load_if_there(httpd, mpms[i], pool);
    }
    text = apr_pstrcat(pool, line ? line : "", text, NULL);
    for (int i = 0; modules[i]; i++) {
        line = load_if_there(httpd, modules[i], pool);
        text = apr_pstrcat(pool, text, line ? line : "", NULL);
    }
    return apr_pstrcat(pool, text, load_module(httpd, pool), "Include \"", path, "\"\n", NULL);
}

static apr_status_t save(const char *file, const char *text, hap_diag_t *diag)
{
    FILE *out = fopen(file, "we");
    bool put = out && fputs(text, out) >= 0;
    if (out && fclose(out) != 0) {
        put = false;
    }
    return put ? APR_SUCCESS : failed(diag, "the configuration to test cannot be written", errno);
}

/* In the child: only calls that are safe after fork. */
static void become_httpd(const char *program, const char *conf, int out)
{
    const char *const argv[] = {program, "-t", "-f", conf, NULL};
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(out, STDERR_FILENO) >= 0) {
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        execv(program, (char *const *)argv);
    }
    _exit(127);
}

/* All that httpd says until it closes its end; what is over the limit is dropped. */
static apr_status_t collect(hap_str_t *output, int in, hap_diag_t *diag, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, OUTPUT_MAX_BYTES);
    char rest[4096];
    size_t n = 0;
    for (;;) {
        struct pollfd event = {.fd = in, .events = POLLIN};
        int ready = poll(&event, 1, SILENCE_MAX_MS);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            hap_diag_set(diag, 0, "httpd said nothing for %d s and was stopped",
                         SILENCE_MAX_MS / 1000);
            return APR_TIMEUP;
        }
        bool room = n < OUTPUT_MAX_BYTES;
        ssize_t got = read(in, room ? text + n : rest, room ? OUTPUT_MAX_BYTES - n : sizeof(rest));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            *output = hap_strn(text, n);
            return got == 0 ? APR_SUCCESS : failed(diag, "httpd's answer cannot be read", errno);
        }
        n += room ? (size_t)got : 0;
    }
}

/* A refusal has its reason with it; what ends without a word is no httpd, or could not be run. */
static apr_status_t judge(bool *ok, int status, hap_str_t output, hap_diag_t *diag)
{
    *ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status)) {
        hap_diag_set(diag, 0, "httpd was ended by signal %d", WTERMSIG(status));
        return APR_EGENERAL;
    }
    if (!*ok && output.n == 0) {
        hap_diag_set(diag, 0,
                     "httpd ended with code %d and without a word: name one with -httpd=PATH",
                     WEXITSTATUS(status));
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

static apr_status_t run(bool *ok, hap_str_t *output, const char *program, const char *conf,
                        hap_diag_t *diag, apr_pool_t *pool)
{
    int ends[2];
    int status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return failed(diag, "httpd cannot be run", errno);
    }
    pid_t child = fork();
    if (child == 0) {
        become_httpd(program, conf, ends[1]);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return failed(diag, "httpd cannot be run", errno);
    }
    apr_status_t rv = collect(output, ends[0], diag, pool);
    close(ends[0]);
    if (rv != APR_SUCCESS) {
        kill(child, SIGKILL);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    return rv == APR_SUCCESS ? judge(ok, status, *output, diag) : rv;
}

static bool is_program(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

/* Include takes wildcards and ${NAME}, and a quote would end its argument. */
static apr_status_t check_path(const char *path, hap_diag_t *diag)
{
    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr("\"\\*?[]{}$", *c)) {
            hap_diag_set(diag, 0,
                         "httpd cannot include a file with such a name: use one without "
                         "\" \\ * ? [ ] { } $ and control bytes in its path");
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

apr_status_t zero_httpd_test(bool *ok, hap_str_t *output, const zero_httpd_t *httpd,
                             const char *path, hap_diag_t *diag, apr_pool_t *pool)
{
    const char *base = getenv("TMPDIR");
    apr_status_t rv = check_path(path, diag);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!is_program(httpd->program)) {
        hap_diag_set(diag, 0,
                     "there is no httpd at %s: install apache2, or name it with -httpd=PATH",
                     hap_str_show(hap_str(httpd->program), pool));
        return APR_ENOENT;
    }
    if (httpd->whole) {
        return run(ok, output, httpd->program, path, diag, pool);
    }
    if (!base || base[0] != '/' || check_path(base, diag) != APR_SUCCESS) {
        base = "/tmp";
    }
    char *folder = apr_pstrcat(pool, base, "/zero-check-XXXXXX", NULL);
    if (!mkdtemp(folder)) {
        return failed(diag, "no private folder can be made for the test", errno);
    }
    const char *conf = apr_pstrcat(pool, folder, "/httpd.conf", NULL);
    rv = save(conf, configuration(httpd, path, folder, pool), diag);
    if (rv == APR_SUCCESS) {
        rv = run(ok, output, httpd->program, conf, diag, pool);
    }
    unlink(conf);
    unlink(apr_pstrcat(pool, folder, "/log", NULL));
    unlink(apr_pstrcat(pool, folder, "/pid", NULL));
    rmdir(folder);
    return rv;
}
