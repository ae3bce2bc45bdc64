/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of what nodes and the leader say to each other all the time. Input: lines, each an
 * object that is read as a beat and as an answer; beats are taken down in one roll.
 */
#include "fuzz.h"

#include <string.h>

#include "zd_beat.h"
#include "zd_roll.h"

/* Written again, it is read as the same, and written the same. */
static void check_beat(const zd_beat_t *beat, apr_pool_t *pool)
{
    zd_beat_t again;
    hap_diag_t diag;
    json_t *object = zd_beat_json(beat);
    must(object != NULL && zd_beat_read(&again, object, &diag, pool) == APR_SUCCESS);
    json_t *twice = zd_beat_json(&again);
    must(json_equal(object, twice));
    json_decref(object);
    json_decref(twice);
}

static void check_answer(const zd_answer_t *answer, apr_pool_t *pool)
{
    zd_answer_t again;
    hap_diag_t diag;
    json_t *object = zd_answer_json(answer);
    must(object != NULL && zd_answer_read(&again, object, &diag, pool) == APR_SUCCESS);
    json_t *twice = zd_answer_json(&again);
    must(json_equal(object, twice));
    json_decref(object);
    json_decref(twice);
}

/* What is taken down is what was said, as far as there is room. */
static void take_down(zd_roll_t *roll, const zd_beat_t *beat, uint64_t now)
{
    const zd_heard_t *heard = zd_roll_hear(roll, beat, now);
    must(roll->n <= HAP_MAP_NODES_MAX);
    if (heard) {
        must(heard->beat.node == heard->node && heard->beat.seq == beat->seq);
        must(strncmp(heard->node, beat->node, HAP_ROUTE_MAX_BYTES) == 0);
        must(heard->beat.stopped >= beat->stopped);
        must(strlen(beat->node) > HAP_ROUTE_MAX_BYTES || zd_roll_of(roll, beat->node) == heard);
    }
}

static void read_line(zd_roll_t *roll, hap_str_t line, uint64_t now, apr_pool_t *pool)
{
    hap_diag_t diag = {-1, ""};
    zd_beat_t beat;
    zd_answer_t answer;
    json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    if (!object) {
        return;
    }
    if (zd_beat_read(&beat, object, &diag, pool) == APR_SUCCESS) {
        check_beat(&beat, pool);
        take_down(roll, &beat, now);
    } else {
        must(diag.why[0] != '\0');
    }
    if (zd_answer_read(&answer, object, &diag, pool) == APR_SUCCESS) {
        check_answer(&answer, pool);
    } else {
        must(diag.why[0] != '\0');
    }
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    zd_roll_t *roll = apr_pcalloc(pool, sizeof(*roll));
    hap_str_t rest = fuzz_text(data, size);
    hap_str_t line;
    for (uint64_t now = 0; hap_str_line(&line, &rest); now++) {
        read_line(roll, line, now, pool);
    }
    apr_pool_destroy(pool);
    return 0;
}
