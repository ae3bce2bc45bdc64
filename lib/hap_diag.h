/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the explanation that goes with a failed status: where in the input, and a sentence that a
 * user can act on. Does not log: the program that called decides whether and where to say it.
 */
#ifndef HAP_DIAG_H
#define HAP_DIAG_H

/** Filled by the function that fails, untouched on success. */
typedef struct hap_diag_t {
    int line;       /* line of the input, from 1; 0 when no single line is at fault */
    char why[1024]; /* one sentence, without the file's name and without a newline */
} hap_diag_t;

/** Sets line and sentence; a sentence that is too long is cut. */
void hap_diag_set(hap_diag_t *diag, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
