/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fuzz target of what a memcached says of itself: a version that is taken is one for a
 * terminal, and an answer that is refused changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/hapstore_stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_printable(const char *text, size_t room)
{
    size_t n = strnlen(text, room);
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return n < room;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hapstore_stats_t before;
    hapstore_stats_t stats;
    memset(&before, 0x5a, sizeof(before));
    stats = before;
    bool taken = hapstore_stats_read(&stats, hap_strn((const char *)data, size));
    if (taken ? !is_printable(stats.version, sizeof(stats.version))
              : memcmp(&stats, &before, sizeof(stats)) != 0) {
        abort();
    }
    return 0;
}
