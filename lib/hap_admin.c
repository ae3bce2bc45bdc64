/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tables of words. */
#include "hap_admin.h"

#define WORD(name, word) word,
const char *const hap_admin_names[HAP_ADMIN_COUNT] = {HAP_ADMINS(WORD)};
const char *const hap_admin_source_names[HAP_SOURCE_COUNT] = {HAP_ADMIN_SOURCES(WORD)};
#undef WORD
