/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fuzz target of hap_check: any bytes as answer, uri= and expect=. The reading of an
 * answer must not depend on where it was cut.
 */
#include <stdint.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "hap_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(hap_answer_t *answer, hap_check_method_t method, hap_str_t text, size_t cut)
{
    hap_answer_init(answer, method);
    for (size_t at = 0; at < text.n; at += cut) {
        hap_str_t piece = hap_str_sub(text, at, at + cut);
        hap_answer_feed(answer, piece.p, piece.n);
    }
}

static void same_however_it_is_cut(hap_check_method_t method, hap_str_t text)
{
    hap_answer_t whole, cut;
    read_answer(&whole, method, text, text.n ? text.n : 1);
    for (size_t piece = 1; piece < 100; piece = piece * 3 + 1) {
        read_answer(&cut, method, text, piece);
        if (cut.end != whole.end || cut.status != whole.status || cut.reusable != whole.reusable) {
            abort();
        }
    }
    if (whole.end == HAP_ANSWER_DONE && (whole.status < 200 || whole.status > 599)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    hap_str_t text = hap_strn((const char *)data, size);
    same_however_it_is_cut(HAP_CHECK_GET, text);
    same_however_it_is_cut(HAP_CHECK_HEAD, text);

    hap_diag_t diag;
    hap_check_t check = {.expect = HAP_EXPECT_DEFAULT};
    if (hap_expect_parse(&check.expect, text, &diag, pool) == APR_SUCCESS) {
        hap_expect_has(&check.expect, 200);
    }
    if (hap_check_uri(&check.uri, text, &diag, pool) == APR_SUCCESS) {
        hap_check_request(&check, HAP_STR_LIT("host"), pool);
    }
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
