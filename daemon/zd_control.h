/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the control socket: a line of JSON asks, a line answers (doc/zerod.md). For root and the
 * daemon's own user only. Does not know what is asked: its owner answers.
 */
#ifndef ZD_CONTROL_H
#define ZD_CONTROL_H

#include <jansson.h>
#include <uv.h>

#include "hap_diag.h"

typedef struct zd_control_t zd_control_t;

/** One question. The control's; valid until it is answered. */
typedef struct zd_question_t zd_question_t;

/** What was asked: an object. Borrows until the answer. */
const json_t *zd_question_object(const zd_question_t *question);

/** Who asks, as `NAME` or `uid N`. Borrows until the answer. */
const char *zd_question_by(const zd_question_t *question);

/** Answers, once, at any time. Takes `object`; NULL: there is no memory. */
void zd_question_answer(zd_question_t *question, json_t *object);

typedef void zd_asked_fn(void *baton, zd_question_t *question);

/** Listens at `path`, mode 0600; a socket that a dead daemon has left is replaced. APR_EGENERAL
 * with a sentence. */
int zd_control_open(zd_control_t **control, uv_loop_t *loop, const char *path, zd_asked_fn *asked,
                    void *baton, hap_diag_t *diag);

/** Ends; questions that are answered later go nowhere. Frees itself when the loop has turned. */
void zd_control_close(zd_control_t *control);

#endif
