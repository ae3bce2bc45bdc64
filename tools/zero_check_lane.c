/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what `zero modproxy check` says about the lane: a line for each mount of a server's whole
 * configuration. Does not judge: hap_honour does.
 */
#include "config.h"
#include "zero_check_lane.h"

#include <apr_strings.h>

/** What is said of one path in one server. */
typedef struct word_t {
    const char *path;
    const char *verdict;
    bool hidden; /* it is about a ProxyPass that gets no requests of this path */
    const hap_honour_server_t *server;
} word_t;

#define WORD(list, i) (&APR_ARRAY_IDX(list, i, word_t))

static void add_word(apr_array_header_t *words, const char *path, const hap_honour_mount_t *mount,
                     const hap_honour_reason_t *reason, const hap_honour_server_t *server)
{
    const char *verdict = mount->mode == HAP_HONOUR_UNSET
                              ? "standard path, the lane would carry it with HALane On"
                              : "lane";
    if (mount->before) {
        verdict = hap_honour_hidden_text(mount, words->pool);
    } else if (reason->name) {
        verdict = apr_pstrcat(words->pool, "standard path, ",
                              hap_honour_reason_text(reason, NULL, words->pool), NULL);
    }
    APR_ARRAY_PUSH(words, word_t) = (word_t){path, verdict, mount->before != NULL, server};
}

static void collect(apr_array_header_t *words, const hap_honour_server_t *server)
{
    for (int i = 0; i < server->mounts->nelts; i++) {
        const hap_honour_mount_t *mount = &APR_ARRAY_IDX(server->mounts, i, hap_honour_mount_t);
        add_word(words, mount->path, mount, &mount->reason, server);
        for (int k = 0; k < mount->parts->nelts; k++) {
            const hap_honour_part_t *part = &APR_ARRAY_IDX(mount->parts, k, hap_honour_part_t);
            add_word(words, part->path, mount, &part->reason, server);
        }
    }
}

/* Whether another server says something else of this path, and which such word is the first. */
static bool agreed(const apr_array_header_t *words, const word_t *word, const word_t **first)
{
    bool same = true;
    *first = NULL;
    for (int i = 0; i < words->nelts; i++) {
        const word_t *other = WORD(words, i);
        if (other->hidden == word->hidden && strcmp(other->path, word->path) == 0) {
            *first = *first ? *first : other;
            same = same && strcmp(other->verdict, word->verdict) == 0;
        }
    }
    return same;
}

static int print_word(const zero_args_t *args, const char *path, const apr_array_header_t *words,
                      const word_t *word)
{
    const word_t *first;
    bool same = agreed(words, word, &first);
    if (same && word != first) {
        return ZERO_DONE;
    }
    const char *server = same ? "" : hap_honour_server_text(word->server, args->pool);
    const char *line =
        apr_psprintf(args->pool, "%s: %s%s%s: %s\n", zero_show(path, args->pool),
                     zero_show(word->path, args->pool), same ? "" : " in ", server, word->verdict);
    return zero_print(args->command, hap_str(line));
}

static int print_failure(const zero_args_t *args, const char *path, const hap_diag_t *diag)
{
    const char *line = apr_psprintf(args->pool, "%s: not judged for the lane: %s\n",
                                    zero_show(path, args->pool), diag->why);
    return zero_print(args->command, hap_str(line));
}

int zero_check_lane(const zero_args_t *args, const char *path, const zero_tree_t *tree,
                    const hap_diag_t *why)
{
    hap_diag_t diag;
    apr_array_header_t *servers = NULL;
    apr_array_header_t *words = apr_array_make(args->pool, 8, sizeof(word_t));
    if (!tree->is_server) {
        return ZERO_DONE;
    }
    if (why) {
        return print_failure(args, path, why);
    }
    if (hap_honour_judge(&servers, tree->tree, HAP_HONOUR_CAN_NOW, &diag, args->pool) !=
        APR_SUCCESS) {
        return print_failure(args, path, &diag);
    }
    int code = ZERO_DONE;
    for (int i = 0; i < servers->nelts; i++) {
        collect(words, &APR_ARRAY_IDX(servers, i, hap_honour_server_t));
    }
    for (int i = 0; code == ZERO_DONE && i < words->nelts; i++) {
        code = print_word(args, path, words, WORD(words, i));
    }
    return code;
}
