/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a store knows of records without asking: each has one place, where the last one that
 * came there is. It may be old at any time, which a compare-and-swap finds out.
 */
#include "hapstore_int.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 4096 };

typedef struct place_t {
    char name[HAP_ZONE_NAME_BYTES]; /* all zero: none */
    hap_zone_record_t record;       /* owner and data are not */
    hapstore_token_t tokens[HAPSTORE_COPIES];
    uint8_t owner_n;
    char owner[HAP_ZONE_OWNER_BYTES_MAX];
} place_t;

struct hapstore_recent_t {
    place_t places[PLACES];
};

hapstore_recent_t *hapstore_recent_make(void)
{
    return calloc(1, sizeof(hapstore_recent_t));
}

static size_t place_of(const char name[HAP_ZONE_NAME_BYTES])
{
    return hap_str_hash(hap_strn(name, HAP_ZONE_NAME_BYTES)) % PLACES;
}

void hapstore_recent_note(hapstore_recent_t *recent, const char name[HAP_ZONE_NAME_BYTES],
                          const hap_zone_record_t *record,
                          const hapstore_token_t tokens[HAPSTORE_COPIES])
{
    place_t *place = &recent->places[place_of(name)];
    memcpy(place->name, name, HAP_ZONE_NAME_BYTES);
    memcpy(place->tokens, tokens, sizeof(place->tokens));
    place->record = *record;
    place->record.data = place->record.owner = hap_strn(NULL, 0);
    place->owner_n = (uint8_t)record->owner.n;
    if (record->owner.n) {
        memcpy(place->owner, record->owner.p, record->owner.n);
    }
}

void hapstore_recent_forget(hapstore_recent_t *recent, const char name[HAP_ZONE_NAME_BYTES])
{
    place_t *place = &recent->places[place_of(name)];
    if (memcmp(place->name, name, HAP_ZONE_NAME_BYTES) == 0) {
        memset(place->name, 0, HAP_ZONE_NAME_BYTES);
    }
}

bool hapstore_recent_find(const hapstore_recent_t *recent, const char name[HAP_ZONE_NAME_BYTES],
                          hap_zone_record_t *record, hapstore_token_t tokens[HAPSTORE_COPIES])
{
    const place_t *place = &recent->places[place_of(name)];
    if (memcmp(place->name, name, HAP_ZONE_NAME_BYTES) != 0) {
        return false;
    }
    *record = place->record;
    record->owner = hap_strn(place->owner, place->owner_n);
    memcpy(tokens, place->tokens, sizeof(place->tokens));
    return true;
}
