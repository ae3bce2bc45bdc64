/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns finding the command that the user named, and what zero says on stdout and stderr. Does not
 * do the work of any command.
 */
#include "config.h"
#include "zero.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "hap_grammar.h"

int zero_fail(const zero_command_t *command, int code, const char *fmt, ...)
{
    va_list args;
    if (command) {
        fprintf(stderr, "zero %s %s: ", command->group, command->name);
    } else {
        fputs("zero: ", stderr);
    }
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

int zero_fail_at(const zero_command_t *command, int code, const char *path, const hap_diag_t *diag)
{
    apr_pool_t *pool = NULL;
    apr_pool_create(&pool, NULL);
    const char *shown = zero_show(path, pool);
    if (diag->line) {
        zero_fail(command, code, "%s:%d: %s", shown, diag->line, diag->why);
    } else {
        zero_fail(command, code, "%s: %s", shown, diag->why);
    }
    apr_pool_destroy(pool);
    return code;
}

int zero_fail_read(const zero_command_t *command, apr_status_t rv, const char *path,
                   const hap_diag_t *diag)
{
    return zero_fail_at(command, rv == EFBIG ? ZERO_REFUSED : ZERO_IO, path, diag);
}

void zero_note(const zero_command_t *command, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "zero %s %s: note: ", command->group, command->name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

int zero_print(const zero_command_t *command, hap_str_t text)
{
    if (text.n && fwrite(text.p, 1, text.n, stdout) != text.n) {
        return zero_fail(command, ZERO_IO, "standard output cannot be written");
    }
    if (fflush(stdout) != 0) {
        return zero_fail(command, ZERO_IO, "standard output cannot be written");
    }
    return ZERO_DONE;
}

/* How many bytes at `i` are a character that a terminal only shows; 0: it might obey. */
static size_t shown_as_is(hap_str_t text, size_t i)
{
    unsigned char c = (unsigned char)text.p[i];
    if (c < 0x80) {
        return c >= 0x20 && c != 0x7f ? 1 : 0;
    }
    /* U+0080 to U+009F are control characters too. */
    size_t n = hap_grammar_utf8(text, i);
    return c == 0xc2 && n > 0 && (unsigned char)text.p[i + 1] < 0xa0 ? 0 : n;
}

/* Unlike hap_str_show this keeps all of a long path, and UTF-8 as the terminal has it. */
const char *zero_show(const char *text, apr_pool_t *pool)
{
    static const char hex[] = "0123456789abcdef";
    const hap_str_t all = hap_str(text);
    char *shown = apr_palloc(pool, 4 * all.n + 1);
    char *out = shown;
    for (size_t i = 0; i < all.n;) {
        size_t n = shown_as_is(all, i);
        memcpy(out, text + i, n);
        out += n;
        i += n;
        if (n == 0) {
            unsigned char c = (unsigned char)text[i++];
            *out++ = '\\';
            *out++ = 'x';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    *out = '\0';
    return shown;
}

static const zero_command_t *find_command(const char *group, const char *name)
{
    for (const zero_command_t *const *command = zero_commands; *command; command++) {
        if (strcmp((*command)->group, group) == 0 && strcmp((*command)->name, name) == 0) {
            return *command;
        }
    }
    return NULL;
}

static bool is_group(const char *name)
{
    for (const zero_command_t *const *command = zero_commands; *command; command++) {
        if (strcmp((*command)->group, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_option(const char *word, const char *name)
{
    return word[0] == '-' && strcmp(word + (word[1] == '-' ? 2 : 1), name) == 0;
}

static bool is_help_option(const char *word)
{
    return is_option(word, "help") || is_option(word, "h");
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || is_help_option(word);
}

/* Among all that follows a command; a file may have any name, so the bare word has to stand alone.
 */
static bool asks_help(int argc, const char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_help_option(argv[i])) {
            return true;
        }
    }
    return argc == 1 && is_help(argv[0]);
}

/* What follows the words that a command has room for was meant to do something. */
static int unexpected(const char *word, apr_pool_t *pool)
{
    return zero_fail(NULL, ZERO_USAGE, "unexpected \"%s\", see zero help",
                     hap_str_show(hap_str(word), pool));
}

static int run(int argc, const char *const *argv, apr_pool_t *pool)
{
    if (argc < 2 || is_help(argv[1])) {
        return argc > 4 ? unexpected(argv[4], pool) : zero_help(argc - 2, argv + 2, pool);
    }
    if (is_option(argv[1], "version")) {
        hap_str_t version = HAP_STR_LIT("zero " PACKAGE_VERSION " (" PACKAGE_NAME ")\n");
        return argc > 2 ? unexpected(argv[2], pool) : zero_print(NULL, version);
    }
    if (argc == 2 || !is_group(argv[1])) {
        return zero_help(1, argv + 1, pool);
    }
    const zero_command_t *command = find_command(argv[1], argv[2]);
    if (!command) {
        bool asks = is_help(argv[2]);
        if (asks && argc > 3) {
            return unexpected(argv[3], pool);
        }
        return zero_help(asks ? 1 : 2, argv + 1, pool);
    }
    if (asks_help(argc - 3, argv + 3)) {
        return zero_help(2, argv + 1, pool);
    }
    zero_args_t args = {.command = command, .pool = pool};
    int code = zero_opt_read(&args, argc - 3, argv + 3);
    return code == ZERO_DONE ? command->run(&args) : code;
}

/* A descriptor that the caller closed would else be given to the next file that is opened. */
static void fill_descriptors(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDONLY);
    }
    if (fd >= 0) {
        close(fd);
    }
}

int main(int argc, const char *const *argv)
{
    apr_pool_t *pool = NULL;
    fill_descriptors();
    /* A closed pipe and a full quota are to come back as errors of write(), not as signals. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return zero_fail(NULL, ZERO_IO, "there is not enough memory");
    }
    int code = run(argc, argv, pool);
    if (fclose(stdout) != 0 && code == ZERO_DONE) {
        code = zero_fail(NULL, ZERO_IO, "standard output cannot be written");
    }
    apr_pool_destroy(pool);
    apr_terminate();
    return code;
}
