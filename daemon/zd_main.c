/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the command line of zerod: options, the configuration's file, the daemon's folder.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "hap_grammar.h"
#include "hapio_file.h"
#include "hapio_secret.h"
#include "zd_config.h"
#include "zd_daemon.h"
#include "zd_log.h"
#include "zd_notify.h"

enum {
    EXIT_USAGE = 2,
    EXIT_IO = 3,
    EXIT_RUNS = 4, /* as the one that has this folder: restartHalIfDead.sh asks so */
    FRONT_MS = 1000,
    LOCK_MS = 500, /* for one that is dying, whose last write is still on its way */
    TRY_MS = 20
};

static const char usage[] =
    "zerod -c CONFIG.JSON -i ID [-d] [-j]\n"
    "zerod -c CONFIG.JSON -n\n"
    "\n"
    "  -c FILE   what is the same on all nodes\n"
    "  -i ID     which of its nodes this one is\n"
    "  -n        check what the file says, and end; secrets, scripts and folders are looked at\n"
    "            where they are, when a daemon starts\n"
    "  -d        stay in front, with the log on standard error\n"
    "  -j        join a cluster, that \"zero ha join\" has told of this node\n"
    "\n"
    "zerod -help, zerod -version: this text, and the version.\n";

typedef struct options_t {
    const char *file;
    const char *id;
    bool check;
    bool in_front;
    bool joins;
} options_t;

/* As zero has them: words with one dash, or two. */
static bool is_word(const char *arg, const char *word)
{
    return arg && (strcmp(arg, word) == 0 || (*arg == '-' && strcmp(arg + 1, word) == 0));
}

static int read_options(options_t *options, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "c:i:ndj")) != -1) {
        switch (option) {
        case 'c':
            options->file = optarg;
            break;
        case 'i':
            options->id = optarg;
            break;
        case 'n':
            options->check = true;
            break;
        case 'j':
            options->joins = true;
            break;
        case 'd':
            options->in_front = true;
            break;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc || !options->file || (!options->id && !options->check)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return 0;
}

static int read_config(const zd_config_t **config, const char *file, apr_pool_t *pool)
{
    hap_str_t text;
    hap_diag_t diag = {0, ""};
    if (hapio_file_read(&text, file, ZD_CONFIG_BYTES_MAX, &diag, pool) != APR_SUCCESS) {
        fprintf(stderr, "zerod: %s: %s\n", file, diag.why);
        return EXIT_IO;
    }
    if (zd_config_parse(config, text, &diag, pool) == APR_SUCCESS) {
        return 0;
    }
    if (diag.line) {
        fprintf(stderr, "zerod: %s:%d: %s\n", file, diag.line, diag.why);
    } else {
        fprintf(stderr, "zerod: %s: %s\n", file, diag.why);
    }
    return 1;
}

/* Paths in the file begin there, wherever zerod is called. */
static int enter_folder(const char *file, apr_pool_t *pool)
{
    const char *slash = strrchr(file, '/');
    const char *folder = slash ? apr_pstrndup(pool, file, (size_t)(slash - file) + 1) : ".";
    if (chdir(folder) == 0) {
        return 0;
    }
    fprintf(stderr, "zerod: %s: %s\n", folder, strerror(errno));
    return EXIT_IO;
}

/* An id of a replica, or of another node. */
static int check_id(const zd_config_t *config, const options_t *options, apr_pool_t *pool)
{
    const char *all = "";
    if (zd_config_node(config, hap_str(options->id)) >= 0 ||
        zd_config_replica(config, options->id) >= 0) {
        return 0;
    }
    for (unsigned i = 0; i < config->replicas_n; i++) {
        all = apr_pstrcat(pool, all, i ? ", " : "", config->replicas[i].id, NULL);
    }
    for (unsigned i = config->replicas_n; i < config->nodes_n; i++) {
        all = apr_pstrcat(pool, all, ", ", config->nodes[i].id, NULL);
    }
    fprintf(stderr, "zerod: -i %s: %s has no such id, but %s\n", options->id, options->file, all);
    return EXIT_USAGE;
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        return 0;
    }
    fprintf(stderr, "zerod: %s: %s\n", path, strerror(errno));
    return EXIT_IO;
}

static bool take_lock(int fd)
{
    for (int left_ms = LOCK_MS; flock(fd, LOCK_EX | LOCK_NB) != 0; left_ms -= TRY_MS) {
        if (left_ms <= 0) {
            return false;
        }
        poll(NULL, 0, TRY_MS);
    }
    return true;
}

static int lock = -1; /* open as long as the process */

/* Who stops a daemon without systemd has to find it. */
static void say_pid(void)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)n, 0) != n) {
        zd_log("lock: the process cannot be named in it: %s", strerror(errno));
    }
}

/* One daemon for each folder: a second one would write into the first one's log. */
static int lock_folder(const char *dir, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, dir, "/lock", NULL);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) {
        fprintf(stderr, "zerod: %s: %s\n", path, strerror(errno));
        return EXIT_IO;
    }
    if (!take_lock(lock)) {
        fprintf(stderr, "zerod: %s: another zerod has this folder: it runs already\n", dir);
        return EXIT_RUNS;
    }
    return 0;
}

static int make_dir(const char **dir, const zd_config_t *config, const char *id, apr_pool_t *pool)
{
    const char *base = config->data_dir ? config->data_dir : ".";
    *dir = apr_psprintf(pool, "%s/hal%s", base, id);
    int code = make_folder(base);
    code = code ? code : make_folder(*dir);
    code = code ? code : make_folder(apr_pstrcat(pool, *dir, "/raft", NULL));
    if (code) {
        return code;
    }
    char *whole = realpath(*dir, NULL);
    if (!whole) {
        fprintf(stderr, "zerod: %s: %s\n", *dir, strerror(errno));
        return EXIT_IO;
    }
    *dir = apr_pstrdup(pool, whole);
    free(whole);
    return lock_folder(*dir, pool);
}

/* Until the one behind is ready. Who is not after a while does not fail at once either. */
static int wait_in_front(pid_t pid, int front, const char *log)
{
    char byte;
    int status;
    struct pollfd wait = {.fd = front, .events = POLLIN};
    if (poll(&wait, 1, FRONT_MS) <= 0 || read(front, &byte, 1) == 1) {
        return 0;
    }
    waitpid(pid, &status, 0);
    fprintf(stderr, "zerod: it has ended at once, %s says why\n", log);
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

/* Behind: in a session of its own, with the log in hal<id>.out as HAL has it. `front` gets where
 * the process that was called waits. */
static int go_behind(int *front, const char *id, apr_pool_t *pool)
{
    int ends[2];
    const char *path = apr_psprintf(pool, "hal%s.out", id);
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0) {
        fprintf(stderr, "zerod: %s: %s\n", path, strerror(errno));
        return EXIT_IO;
    }
    pid_t pid = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
    if (pid < 0) {
        fprintf(stderr, "zerod: fork: %s\n", strerror(errno));
        return EXIT_IO;
    }
    if (pid > 0) {
        close(ends[1]);
        _exit(wait_in_front(pid, ends[0], path));
    }
    close(ends[0]);
    setsid();
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    *front = ends[1];
    return 0;
}

static int may_run(const zd_config_t *config, const char *file)
{
    hap_diag_t diag;
    if (zd_config_may_run(config, ZD_RAFT_LOSES, &diag)) {
        return 0;
    }
    fprintf(stderr, "zerod: %s: %s\n", file, diag.why);
    return 1;
}

/* What the daemons of several nodes know one another by. */
static int read_secret(zd_tls_ctx_t **tls, const zd_config_t *config)
{
    hapio_secret_t secret;
    hap_diag_t diag = {0, ""};
    if (config->nodes_n < 2 && !config->secret_file) {
        return 0;
    }
    if (hapio_secret_read(&secret, config->secret_file, &diag) != APR_SUCCESS) {
        fprintf(stderr, "zerod: %s: %s\n", config->secret_file, diag.why);
        return EXIT_IO;
    }
    *tls = zd_tls_ctx_make(hapio_secret_text(&secret), &diag);
    hapio_secret_wipe(&secret);
    if (!*tls) {
        fprintf(stderr, "zerod: %s: %s\n", config->secret_file, diag.why);
        return 1;
    }
    return 0;
}

/* Who is to lead a cluster that begins, by the two variables of AIStore's gateways: an id, and a
 * flag that makes it this node where nobody has led yet. */
static int read_first(zd_daemon_conf_t *conf, const zd_config_t *config, const char *id)
{
    const char *named = getenv("AIS_PRIMARY_ID");
    const char *flag = getenv("AIS_IS_PRIMARY");
    bool is_first = flag && strcmp(flag, "true") == 0;
    if (flag && *flag && !is_first && strcmp(flag, "false") != 0) {
        fprintf(stderr, "zerod: AIS_IS_PRIMARY=%s: it is true or false\n", flag);
        return 1;
    }
    named = named && *named ? named : NULL;
    if (is_first && named && strcmp(named, id) != 0) {
        fprintf(stderr, "zerod: AIS_IS_PRIMARY=true, and AIS_PRIMARY_ID=%s is another node\n",
                named);
        return 1;
    }
    if (named && config->nodes_n && zd_config_node(config, hap_str(named)) < 0) {
        fprintf(stderr, "zerod: AIS_PRIMARY_ID=%s: no such node, it is ignored\n", named);
        named = NULL;
    }
    const char *wanted = named ? named : is_first ? id : NULL;
    int node = wanted && config->nodes_n ? zd_config_node(config, hap_str(wanted)) : -1;
    if (node >= 0 && !config->nodes[node].electable) {
        fprintf(stderr, "zerod: node %s is to be the primary, and may not lead\n", wanted);
        return 1;
    }
    conf->first = named;
    conf->primary = is_first;
    return 0;
}

/* In front or behind, with a log. */
static int settle(const options_t *options, const zd_config_t *config, apr_pool_t *pool)
{
    int front = -1;
    hap_diag_t diag;
    int code = options->in_front ? 0 : go_behind(&front, options->id, pool);
    if (code) {
        return code;
    }
    zd_log_open(options->id);
    if (zd_notify_open(front, &diag) != 0) {
        zd_log("%s", diag.why);
    }
    if (config->ignored) {
        zd_log("%s: \"%s\" means nothing here", options->file, config->ignored);
    }
    return 0;
}

static int run(const options_t *options, apr_pool_t *pool)
{
    zd_daemon_conf_t conf = {.id = options->id, .joins = options->joins};
    int code = read_config(&conf.config, options->file, pool);
    if (code == 0 && options->id) {
        code = check_id(conf.config, options, pool);
    }
    if (code || options->check) {
        if (code == 0) {
            printf("%s: Syntax OK\n", options->file);
        }
        return code;
    }
    code = may_run(conf.config, options->file);
    code = code ? code : enter_folder(options->file, pool);
    code = code ? code : read_first(&conf, conf.config, options->id);
    code = code ? code : read_secret(&conf.tls, conf.config);
    code = code ? code : make_dir(&conf.dir, conf.config, options->id, pool);
    code = code ? code : settle(options, conf.config, pool);
    if (code) {
        return code;
    }
    say_pid();
    zd_log("zerod " PACKAGE_VERSION " begins: node %s of %s, by %s, in %s", options->id,
           conf.config->app, options->file, conf.dir);
    while ((code = zd_daemon_run(&conf)) == ZD_DAEMON_FORCED) {
        zd_log("goes on alone, in term %" PRIu64, conf.forced);
    }
    zd_tls_ctx_free(conf.tls);
    return code;
}

int main(int argc, char **argv)
{
    options_t options = {.file = NULL};
    apr_pool_t *pool;
    if (is_word(argv[1], "-help") || is_word(argv[1], "-version")) {
        fputs(is_word(argv[1], "-help") ? usage : "zerod " PACKAGE_VERSION "\n", stdout);
        return 0;
    }
    int code = read_options(&options, argc, argv);
    if (code) {
        return code;
    }
    apr_initialize();
    apr_pool_create(&pool, NULL);
    code = run(&options, pool);
    apr_terminate();
    return code;
}
