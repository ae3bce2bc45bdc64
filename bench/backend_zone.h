/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the backend says and hears of sessions in a zone (doc/zones.md, L1): answers with a
 * state of as many bytes as are asked for, and answers that tell what the proxy has said. Does not
 * keep sessions.
 */
#ifndef BENCH_BACKEND_ZONE_H
#define BENCH_BACKEND_ZONE_H

#include <stdbool.h>
#include <stddef.h>

/* The version has to be in a state, and a state in one part. */
enum {
    BACKEND_ZONE_STATE_BYTES_MIN = 12,
    BACKEND_ZONE_STATE_BYTES_MAX = 5250,
    BACKEND_ZONE_ANSWER_BYTES = 8192
};

/** The proxy's fields of one request; NULL what is not there. */
typedef struct backend_told_t {
    const char *session; /* the value of HA-Session, up to its line's end */
    const char *data;    /* that of the first HA-Session-Data */
} backend_told_t;

/**
 * Writes an answer that puts a state of that many bytes, newer than all before, also those of other
 * processes of this host. Its body is "ROUTE put VERSION" with blanks behind. With `begins` it
 * begins a session too. Its length; `to` has BACKEND_ZONE_ANSWER_BYTES.
 */
size_t backend_zone_put(char *to, const char *route, size_t state_bytes, bool begins, bool last);

/** Writes an answer that says in its body what was told: "ROUTE restore VERSION VERSION-IN-STATE",
 * "ROUTE none", "ROUTE -". Likewise. */
size_t backend_zone_tell(char *to, const char *route, const backend_told_t *told, bool last);

#endif
