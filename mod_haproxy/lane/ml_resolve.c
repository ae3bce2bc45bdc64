/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the resolver thread. Does not use pools: what it shares with the thread may outlive them. */
#include "ml_resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "hap_thread.h"

struct ml_question_t {
    ml_work_t work;      /* carries it back to the loop */
    ml_question_t *next; /* in the queue; guard: lock */
    char *host;          /* own copy */
    uint16_t port;
    bool found;                /* written by the resolver thread before it is posted */
    ml_addrs_t addrs;          /* likewise */
    ml_resolved_fn *on_answer; /* loop thread only; NULL: forgotten */
    void *baton;               /* loop thread only */
};

struct ml_resolve_t {
    pthread_mutex_t lock;
    pthread_cond_t asked;        /* something to do, or closed */
    ml_question_t *first, *last; /* the queue; guard: lock */
    bool closed;                 /* guard: lock; the loop may be gone, the thread frees all */
    ml_loop_t *loop;             /* used under the lock, while not closed */
    ml_lookup_fn *lookup;        /* const after creation */
};

static bool from_info(ml_addrs_t *addrs, const struct addrinfo *info)
{
    ml_addrs_t found = {0};
    for (; info && found.n < ML_ADDRS_MAX; info = info->ai_next) {
        if (info->ai_addrlen > sizeof(found.list[0].sa)) {
            continue;
        }
        found.list[found.n].len = info->ai_addrlen;
        memcpy(&found.list[found.n].sa, info->ai_addr, info->ai_addrlen);
        found.n++;
    }
    if (found.n == 0) {
        return false;
    }
    *addrs = found;
    return true;
}

static bool look_up(ml_addrs_t *addrs, const char *host, uint16_t port, int flags)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *info = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &info) != 0) {
        return false;
    }
    bool found = from_info(addrs, info);
    freeaddrinfo(info);
    return found;
}

static bool system_lookup(ml_addrs_t *addrs, const char *host, uint16_t port)
{
    return look_up(addrs, host, port, 0);
}

bool ml_addrs_literal(ml_addrs_t *addrs, const char *host, uint16_t port)
{
    char bare[128];
    size_t n = strlen(host);
    if (n < 2 || host[0] != '[' || host[n - 1] != ']') {
        return look_up(addrs, host, port, AI_NUMERICHOST);
    }
    if (n - 2 >= sizeof(bare)) {
        return false;
    }
    memcpy(bare, host + 1, n - 2);
    bare[n - 2] = '\0';
    return look_up(addrs, bare, port, AI_NUMERICHOST);
}

bool ml_addrs_unix(ml_addrs_t *addrs, const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(sun.sun_path)) {
        return false;
    }
    memcpy(sun.sun_path, path, n);
    *addrs = (ml_addrs_t){.n = 1};
    addrs->list[0].len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    memcpy(&addrs->list[0].sa, &sun, sizeof(sun));
    return true;
}

int ml_addr_connect(int fd, const ml_addr_t *addr)
{
    if (connect(fd, (const struct sockaddr *)&addr->sa, addr->len) == 0) {
        return 0;
    }
    return errno == EADDRNOTAVAIL && addr->sa.ss_family == AF_INET6 ? ENETUNREACH : errno;
}

bool ml_addrs_eq(const ml_addrs_t *a, const ml_addrs_t *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (unsigned i = 0; i < a->n; i++) {
        if (a->list[i].len != b->list[i].len ||
            memcmp(&a->list[i].sa, &b->list[i].sa, a->list[i].len) != 0) {
            return false;
        }
    }
    return true;
}

static void question_free(ml_question_t *question)
{
    free(question->host);
    free(question);
}

static void on_loop(ml_work_t *work, ml_loop_t *loop)
{
    ml_question_t *question = ML_OWNER(work, ml_question_t, work);
    (void)loop;
    if (question->on_answer) {
        question->on_answer(question->baton, question->found ? &question->addrs : NULL);
    }
    question_free(question);
}

/* The next question, or NULL when closed. Called and returns with the lock held. */
static ml_question_t *next_question(ml_resolve_t *resolve)
{
    while (!resolve->first && !resolve->closed) {
        pthread_cond_wait(&resolve->asked, &resolve->lock);
    }
    ml_question_t *question = resolve->first;
    if (resolve->closed) {
        return NULL;
    }
    resolve->first = question->next;
    return question;
}

static void resolve_free(ml_resolve_t *resolve)
{
    while (resolve->first) {
        ml_question_t *question = resolve->first;
        resolve->first = question->next;
        question_free(question);
    }
    pthread_cond_destroy(&resolve->asked);
    pthread_mutex_destroy(&resolve->lock);
    free(resolve);
}

static void *resolver_main(void *data)
{
    ml_resolve_t *resolve = data;
    ml_question_t *question;
    pthread_mutex_lock(&resolve->lock);
    while ((question = next_question(resolve))) {
        pthread_mutex_unlock(&resolve->lock);
        question->found = resolve->lookup(&question->addrs, question->host, question->port);
        pthread_mutex_lock(&resolve->lock);
        if (resolve->closed || !ml_loop_post(resolve->loop, &question->work)) {
            question_free(question);
        }
    }
    pthread_mutex_unlock(&resolve->lock);
    resolve_free(resolve);
    return NULL;
}

apr_status_t ml_resolve_create(ml_resolve_t **resolve, ml_loop_t *loop, ml_lookup_fn *lookup)
{
    ml_resolve_t *made = calloc(1, sizeof(*made));
    if (!made) {
        return ENOMEM;
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->asked, NULL);
    made->loop = loop;
    made->lookup = lookup ? lookup : system_lookup;
    /* Nobody has to wait for a name server that does not answer. */
    int rv = hap_thread_start(NULL, resolver_main, made);
    if (rv != 0) {
        resolve_free(made);
        return rv;
    }
    *resolve = made;
    return APR_SUCCESS;
}

void ml_resolve_close(ml_resolve_t *resolve)
{
    pthread_mutex_lock(&resolve->lock);
    resolve->closed = true;
    pthread_cond_signal(&resolve->asked);
    pthread_mutex_unlock(&resolve->lock);
}

ml_question_t *ml_resolve_ask(ml_resolve_t *resolve, const char *host, uint16_t port,
                              ml_resolved_fn *on_answer, void *baton)
{
    ml_question_t *question = calloc(1, sizeof(*question));
    if (!question) {
        return NULL;
    }
    *question = (ml_question_t){.work.run = on_loop,
                                .host = strdup(host),
                                .port = port,
                                .on_answer = on_answer,
                                .baton = baton};
    if (!question->host) {
        question_free(question);
        return NULL;
    }
    pthread_mutex_lock(&resolve->lock);
    if (resolve->first) {
        resolve->last->next = question;
    } else {
        resolve->first = question;
    }
    resolve->last = question;
    pthread_cond_signal(&resolve->asked);
    pthread_mutex_unlock(&resolve->lock);
    return question;
}

void ml_resolve_forget(ml_question_t *question)
{
    if (question) {
        question->on_answer = NULL;
    }
}
