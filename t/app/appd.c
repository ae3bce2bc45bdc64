/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the start and the end of the demo and test application: options, TLS, the file of ports.
 * Does not serve: that is app_serve.c.
 */
#include "appd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app_conn.h"
#include "app_control.h"
#include "app_net.h"
#include "app_serve.h"
#include "app_zone_l2.h"
#include "app_state.h"

enum { EXIT_USAGE = 2, PATH_BYTES = 4096 };

app_options_t app_options = {
    .name = "app",
    .context = "/App",
    .sticky = "zsessionid",
};

static SSL_CTX *tls;

app_text_t app_text(const char *s)
{
    return (app_text_t){s, strlen(s)};
}

bool app_text_is(app_text_t text, const char *s)
{
    return text.n == strlen(s) && memcmp(text.p, s, text.n) == 0;
}

bool app_text_is_nocase(app_text_t text, const char *s)
{
    return text.n == strlen(s) && strncasecmp(text.p, s, text.n) == 0;
}

uint64_t app_text_hash(app_text_t text)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < text.n; i++) {
        h = (h ^ (unsigned char)text.p[i]) * 0x100000001b3ULL;
    }
    return h ^ h >> 32;
}

bool app_number(uint64_t *result, app_text_t text, uint64_t max)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint64_t digit = (uint64_t)(text.p[i] - '0');
        if (text.p[i] < '0' || text.p[i] > '9' || digit > max || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (text.n == 0) {
        return false;
    }
    *result = value;
    return true;
}

void app_sleep_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        continue;
    }
}

static const struct {
    const char *name;
    const char **value;
} text_options[] = {
    {"name", &app_options.name},
    {"route", &app_options.route},
    {"context", &app_options.context},
    {"sticky", &app_options.sticky},
    {"health", &app_options.health},
    {"tls-cert", &app_options.tls_cert},
    {"tls-key", &app_options.tls_key},
    {"control", &app_options.control},
    {"ports-file", &app_options.ports_file},
    {"ledger", &app_options.ledger},
    {"zones", &app_options.zones},
    {"zones-url", &app_options.zones_url},
    {"zones-token", &app_options.zones_token},
};

static int usage(const char *arg)
{
    fprintf(stderr, "appd: %s is no option, use -listen=ADDRESS -reissue", arg);
    for (size_t i = 0; i < sizeof(text_options) / sizeof(text_options[0]); i++) {
        fprintf(stderr, " -%s=", text_options[i].name);
    }
    fprintf(stderr, "\n");
    return EXIT_USAGE;
}

static bool parse_option(const char *arg)
{
    const char *name = arg + (arg[0] == '-') + (arg[0] == '-' && arg[1] == '-');
    if (strcmp(name, "reissue") == 0) {
        app_options.reissue = true;
        return true;
    }
    if (strncmp(name, "listen=", 7) == 0 && app_options.listen_n < APP_MAX_LISTENERS) {
        app_options.listen[app_options.listen_n++] = name + 7;
        return true;
    }
    for (size_t i = 0; i < sizeof(text_options) / sizeof(text_options[0]); i++) {
        size_t n = strlen(text_options[i].name);
        if (strncmp(name, text_options[i].name, n) == 0 && name[n] == '=') {
            *text_options[i].value = name + n + 1;
            return true;
        }
    }
    return false;
}

static void complete_options(void)
{
    static char health[256];
    if (strcmp(app_options.context, "/") == 0) {
        app_options.context = "";
    }
    if (!app_options.route) {
        app_options.route = app_options.name;
    }
    if (!app_options.health) {
        snprintf(health, sizeof(health), "%s/health", app_options.context);
        app_options.health = health;
    }
    if (app_options.listen_n == 0) {
        app_options.listen[app_options.listen_n++] = "127.0.0.1:8080";
    }
}

static bool start_tls(void)
{
    if (!app_options.tls_cert && !app_options.tls_key) {
        return true;
    }
    tls = SSL_CTX_new(TLS_server_method());
    if (tls && app_options.tls_cert && app_options.tls_key &&
        SSL_CTX_use_certificate_chain_file(tls, app_options.tls_cert) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls, app_options.tls_key, SSL_FILETYPE_PEM) == 1) {
        return true;
    }
    fprintf(stderr, "appd: -tls-cert and -tls-key have to name a certificate and its key\n");
    return false;
}

static bool write_ports_file(void)
{
    char temporary[PATH_BYTES];
    if (!app_options.ports_file) {
        return true;
    }
    snprintf(temporary, sizeof(temporary), "%s.new", app_options.ports_file);
    FILE *out = fopen(temporary, "w");
    if (out) {
        app_net_print(out, '\n');
    }
    if (!out || fclose(out) != 0 || rename(temporary, app_options.ports_file) != 0) {
        fprintf(stderr, "appd: cannot write %s: %s\n", app_options.ports_file, strerror(errno));
        return false;
    }
    return true;
}

static bool open_ledger(void)
{
    if (!app_options.ledger || app_ledger_open(app_options.ledger)) {
        return true;
    }
    fprintf(stderr, "appd: cannot write %s: %s\n", app_options.ledger, strerror(errno));
    return false;
}

static void application_accepted(int fd)
{
    app_conn_start(fd, tls, app_serve);
}

static void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!parse_option(argv[i])) {
            return usage(argv[i]);
        }
    }
    bool l2 = app_options.zones && strcmp(app_options.zones, "l2") == 0;
    if (app_options.zones && !l2 && strcmp(app_options.zones, "l1") != 0) {
        fprintf(stderr, "appd: -zones=%s is unknown, use l1 or l2\n", app_options.zones);
        return EXIT_USAGE;
    }
    complete_options();
    allow_many_descriptors();
    signal(SIGPIPE, SIG_IGN);

    /* Blocked before the first thread, so that all of them leave these to the wait below. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if ((l2 && !app_zone_l2_start()) || !start_tls() || !open_ledger() || !app_net_open() ||
        !app_net_start(application_accepted, app_control_start) || !write_ports_file()) {
        return EXIT_FAILURE;
    }
    printf("appd %s: ready, ", app_options.name);
    app_net_print(stdout, ' ');
    printf("\n");
    fflush(stdout);

    int got;
    sigwait(&ends, &got);
    /* Other threads still run: an orderly exit() would take their ground away. */
    _exit(EXIT_SUCCESS);
}
