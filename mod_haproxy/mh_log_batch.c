/* SPDX-License-Identifier: Apache-2.0 */
/* Owns gathering lines, and handing them to the writer that mod_log_config came with. */
#include "mh_log_batch.h"

#include <apr_optional.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_main.h>
#include <limits.h>
#include <mod_log_config.h>
#include <pthread.h>

#include "mh_child.h"
#include "mh_log.h"

enum {
    LOGS_MAX = 4,        /* files that lines wait for */
    LOG_BYTES = PIPE_BUF /* as much as a pipe takes in one piece, so that lines stay whole */
};

/** What waits for one log. */
typedef struct log_t {
    void *handle; /* mod_log_config's; NULL none */
    size_t n;
    char lines[LOG_BYTES];
} log_t;

struct mh_log_batch_t {
    ml_loop_t *loop;
    ml_work_t flush;
    bool deferred; /* flush will run */
    apr_pool_t *scratch;
    log_t logs[LOGS_MAX];
};

static ap_log_writer *writer; /* mod_log_config's own, which takes lines in any number of pieces */

/* It locks where the MPM has threads, but under prefork there are ours. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool locks;
static _Thread_local mh_log_batch_t *in_use;

static apr_status_t write_now(request_rec *r, void *handle, const char **pieces, int *lengths,
                              int n, apr_size_t bytes)
{
    if (!locks) {
        return writer(r, handle, pieces, lengths, n, bytes);
    }
    pthread_mutex_lock(&lock);
    apr_status_t rv = writer(r, handle, pieces, lengths, n, bytes);
    pthread_mutex_unlock(&lock);
    return rv;
}

static void write_lines(mh_log_batch_t *batch, log_t *log)
{
    request_rec r = {.pool = batch->scratch};
    const char *lines = log->lines;
    int n = (int)log->n;
    apr_status_t rv = n ? write_now(&r, log->handle, &lines, &n, 1, log->n) : APR_SUCCESS;
    apr_pool_clear(batch->scratch);
    log->handle = NULL;
    log->n = 0;
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, ap_server_conf,
                     "lines of an access log are lost");
    }
}

static void flush(ml_work_t *work, ml_loop_t *loop)
{
    mh_log_batch_t *batch = ML_OWNER(work, mh_log_batch_t, flush);
    batch->deferred = false;
    for (int i = 0; i < LOGS_MAX; i++) {
        write_lines(batch, &batch->logs[i]);
    }
}

/* Where lines of this log wait, with room for `n` bytes. */
static log_t *log_for(mh_log_batch_t *batch, const void *handle, size_t n)
{
    log_t *log = NULL;
    for (int i = 0; i < LOGS_MAX; i++) {
        log_t *one = &batch->logs[i];
        if (one->handle == handle) {
            log = one;
            break;
        }
        log = !log && !one->handle ? one : log;
    }
    log = log ? log : &batch->logs[0];
    if (log->handle && (log->handle != handle || n > LOG_BYTES - log->n)) {
        write_lines(batch, log);
    }
    return log;
}

static apr_status_t keep(request_rec *r, void *handle, const char **pieces, int *lengths, int n,
                         apr_size_t bytes)
{
    mh_log_batch_t *batch = in_use;
    if (!batch) {
        return write_now(r, handle, pieces, lengths, n, bytes);
    }
    log_t *log = log_for(batch, handle, bytes);
    if (bytes > LOG_BYTES) {
        return write_now(r, handle, pieces, lengths, n, bytes);
    }
    log->handle = handle;
    for (int i = 0; i < n; i++) {
        memcpy(log->lines + log->n, pieces[i], (size_t)lengths[i]);
        log->n += (size_t)lengths[i];
    }
    if (!batch->deferred) {
        batch->deferred = true;
        ml_loop_defer(batch->loop, &batch->flush);
    }
    return APR_SUCCESS;
}

/* Who writes can only be asked by naming another. */
void mh_log_batch_prepare(void)
{
    APR_OPTIONAL_FN_TYPE(ap_log_set_writer) *set = APR_RETRIEVE_OPTIONAL_FN(ap_log_set_writer);
    writer = NULL;
    if (set) {
        writer = set(NULL);
        set(writer);
    }
}

void mh_log_batch_start(void)
{
    APR_OPTIONAL_FN_TYPE(ap_log_set_writer) *set = APR_RETRIEVE_OPTIONAL_FN(ap_log_set_writer);
    locks = !mh_child_is_threaded();
    ap_log_writer *now = set && writer ? set(keep) : NULL;
    if (now && now != writer) {
        set(now);
    }
}

mh_log_batch_t *mh_log_batch_create(ml_loop_t *loop, apr_pool_t *p)
{
    mh_log_batch_t *batch = apr_pcalloc(p, sizeof(*batch));
    batch->loop = loop;
    batch->flush.run = flush;
    apr_pool_create(&batch->scratch, p);
    return batch;
}

void mh_log_batch_use(mh_log_batch_t *batch)
{
    in_use = batch;
}
