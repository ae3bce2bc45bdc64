/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the two messages as JSON. A newer version may say more: what is not known is not looked at.
 */
#include "zd_beat.h"

#include "hap_json.h"

json_t *zd_beat_json(const zd_beat_t *beat)
{
    return json_pack("{s:s, s:I, s:I, s:s?, s:I, s:I, s:b, s:b, s:I, s:s?, s:s?, s:b, s:s?}",
                     "node", beat->node, "seq", (json_int_t)beat->seq, "version",
                     (json_int_t)beat->version, "role", beat->role, "claim",
                     (json_int_t)beat->claim, "stopped", (json_int_t)beat->stopped, "wants",
                     (int)beat->wants, "well", (int)beat->well, "waiting_ms",
                     (json_int_t)beat->waiting_ms, "said", beat->said, "first", beat->first,
                     "primary", (int)beat->primary, "home", beat->home);
}

json_t *zd_answer_json(const zd_answer_t *answer)
{
    return json_pack("{s:I, s:I, s:s, s:I, s:I, s:b, s:b, s:b, s:I, s:s?}", "seq",
                     (json_int_t)answer->seq, "term", (json_int_t)answer->term, "leader",
                     answer->leader, "version", (json_int_t)answer->version, "epoch",
                     (json_int_t)answer->epoch, "renewed", (int)answer->renewed, "yield",
                     (int)answer->yield, "paused", (int)answer->paused, "number",
                     (json_int_t)answer->number, "map", answer->map);
}

apr_status_t zd_beat_read(zd_beat_t *beat, const json_t *object, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_json_reader_t reader = {.diag = diag, .pool = pool, .where = "beat"};
    zd_beat_t read = {
        .node = hap_json_text(&reader, object, "node"),
        .seq = hap_json_number(&reader, object, "seq"),
        .version = hap_json_number(&reader, object, "version"),
        .role = hap_json_text_or_null(&reader, object, "role"),
        .claim = hap_json_number(&reader, object, "claim"),
        .stopped = hap_json_number(&reader, object, "stopped"),
        .wants = hap_json_flag(&reader, object, "wants"),
        .well = hap_json_flag(&reader, object, "well"),
        .waiting_ms = hap_json_number(&reader, object, "waiting_ms"),
        .said = hap_json_text_or_null(&reader, object, "said"),
        .first = hap_json_text_or_null(&reader, object, "first"),
        .primary = hap_json_flag(&reader, object, "primary"),
        .home = hap_json_text_or_null(&reader, object, "home"),
    };
    if (reader.failed) {
        return APR_EINVAL;
    }
    *beat = read;
    return APR_SUCCESS;
}

apr_status_t zd_answer_read(zd_answer_t *answer, const json_t *object, hap_diag_t *diag,
                            apr_pool_t *pool)
{
    hap_json_reader_t reader = {.diag = diag, .pool = pool, .where = "answer"};
    zd_answer_t read = {
        .seq = hap_json_number(&reader, object, "seq"),
        .term = hap_json_number(&reader, object, "term"),
        .leader = hap_json_text(&reader, object, "leader"),
        .version = hap_json_number(&reader, object, "version"),
        .epoch = hap_json_number(&reader, object, "epoch"),
        .renewed = hap_json_flag(&reader, object, "renewed"),
        .yield = hap_json_flag(&reader, object, "yield"),
        .paused = hap_json_flag(&reader, object, "paused"),
        .number = hap_json_number(&reader, object, "number"),
        .map = hap_json_text_or_null(&reader, object, "map"),
    };
    if (reader.failed) {
        return APR_EINVAL;
    }
    *answer = read;
    return APR_SUCCESS;
}
