/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the sessions of this instance: a hash table under a lock. Does not know cookies. */
#include "app_session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BUCKETS = 65536, RANDOM_BYTES = 16, ID_MIN_BYTES = 4 };

/** One session. */
typedef struct session_t {
    struct session_t *next; /* in its bucket */
    uint64_t visits;        /* so far */
    size_t id_n;            /* length of the id */
    char id[];              /* without NUL */
} session_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static session_t *buckets[BUCKETS]; /* guard: lock */

static session_t **bucket(app_text_t id)
{
    return &buckets[app_text_hash(id) % BUCKETS];
}

/* Inside the lock. */
static session_t *find(app_text_t id)
{
    session_t *session = *bucket(id);
    while (session && (session->id_n != id.n || memcmp(session->id, id.p, id.n) != 0)) {
        session = session->next;
    }
    return session;
}

uint64_t app_session_visit(app_text_t id)
{
    pthread_mutex_lock(&lock);
    session_t *session = find(id);
    uint64_t visits = session ? ++session->visits : 0;
    pthread_mutex_unlock(&lock);
    return visits;
}

void app_session_add(app_text_t id)
{
    session_t *session = calloc(1, sizeof(*session) + id.n);
    if (!session) {
        abort();
    }
    memcpy(session->id, id.p, id.n);
    session->id_n = id.n;
    pthread_mutex_lock(&lock);
    if (find(id)) {
        free(session);
    } else {
        session_t **head = bucket(id);
        session->next = *head;
        *head = session;
    }
    pthread_mutex_unlock(&lock);
}

void app_session_new_id(char id[APP_SESSION_ID_BYTES + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[RANDOM_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        abort();
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        id[2 * i] = hex[bytes[i] >> 4];
        id[2 * i + 1] = hex[bytes[i] & 15];
    }
    id[2 * sizeof(bytes)] = '\0';
}

bool app_session_id_looks_valid(app_text_t id)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.-";
    for (size_t i = 0; i < id.n; i++) {
        if (!memchr(allowed, id.p[i], sizeof(allowed) - 1)) {
            return false;
        }
    }
    return id.n >= ID_MIN_BYTES && id.n <= APP_SESSION_ID_BYTES;
}

void app_session_print(FILE *out)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (session_t *session = buckets[i]; session; session = session->next) {
            fprintf(out, "%.*s %llu\n", (int)session->id_n, session->id,
                    (unsigned long long)session->visits);
        }
    }
    pthread_mutex_unlock(&lock);
}
