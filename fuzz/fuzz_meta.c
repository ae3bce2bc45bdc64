/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fuzz target of what a memcached answers: a line that is taken says nothing that is not
 * in it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "store/hapstore_meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_digits(hap_str_t line, uint64_t number)
{
    char room[HAP_STR_UINT_BYTES];
    hap_str_t digits = hap_str_digits(room, number);
    for (size_t at = 0; at + digits.n <= line.n; at++) {
        if (hap_str_eq(hap_str_sub(line, at, at + digits.n), digits)) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hap_str_t line = hap_strn((const char *)data, size);
    hapstore_meta_t answer = hapstore_meta_read(line);
    bool nonsense = answer.says == HAPSTORE_META_NONSENSE;
    bool told = has_digits(line, answer.value_n) || answer.says != HAPSTORE_META_VALUE;
    told = told && (answer.token == 0 || has_digits(line, answer.token));
    told = told && (!answer.numbered || has_digits(line, answer.number));
    if (nonsense ? answer.value_n != 0 : !told) {
        abort();
    }
    return 0;
}
