/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the sessions of this instance, in memory: an id and a counter of visits. Does not read or
 * write cookies. Every function may be called from any thread.
 */
#ifndef APP_SESSION_H
#define APP_SESSION_H

#include <stdio.h>

#include "appd.h"

enum { APP_SESSION_ID_BYTES = 128 };

/** Counts a visit. The visits with it, or 0 when this instance does not know the id. */
uint64_t app_session_visit(app_text_t id);

/** Makes the id known, without visits. Copies; at most APP_SESSION_ID_BYTES. */
void app_session_add(app_text_t id);

/** Writes a new random id that ends in NUL. */
void app_session_new_id(char id[APP_SESSION_ID_BYTES + 1]);

/** An id that any instance may have issued: 4 up to APP_SESSION_ID_BYTES of [A-Za-z0-9_.-]. */
bool app_session_id_looks_valid(app_text_t id);

/** Prints `ID VISITS`, a line each, in no order. */
void app_session_print(FILE *out);

#endif
