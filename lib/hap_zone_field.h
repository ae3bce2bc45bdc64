/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fields that applications and the proxy tell each other about sessions (doc/zones.md,
 * L1): which names they are, reading the application's, writing the proxy's.
 */
#ifndef HAP_ZONE_FIELD_H
#define HAP_ZONE_FIELD_H

#include <stdint.h>

#include "hap_str.h"
#include "hap_zone_record.h"

enum {
    HAP_ZONE_PARTS_MAX = 4,
    HAP_ZONE_PART_CHARS_MAX = 7000,
    HAP_ZONE_STATE_BYTES_MAX = HAP_ZONE_PARTS_MAX * HAP_ZONE_PART_CHARS_MAX / 4 * 3,
    /* Room for what hap_zone_say writes. */
    HAP_ZONE_SAY_BYTES = HAP_ZONE_PARTS_MAX * (HAP_ZONE_PART_CHARS_MAX + 24) + 256,
    HAP_ZONE_SAY_FEW_BYTES = 64 /* but for RESTORE */
};

#define HAP_ZONE_VERSION_MAX 999999999999999ULL

/** The rest of hap_zone_is_family. */
bool hap_zone_begins_family(hap_str_t name);

/** The name is the family's: it begins with HA-Session or HA-Fence, whatever the case, and with `_`
 * for `-`. Nearly all others are told by their first bytes. */
static inline bool hap_zone_is_family(hap_str_t name)
{
    return name.n > 2 && (name.p[0] | 0x20) == 'h' && (name.p[1] | 0x20) == 'a' &&
           hap_zone_begins_family(name);
}

/** What an application says. */
typedef enum hap_zone_word_t {
    HAP_ZONE_SAYS_NOTHING, /* there is no HA-Session */
    HAP_ZONE_SAYS_PUT,
    HAP_ZONE_SAYS_TOUCH,
    HAP_ZONE_SAYS_DEL,
    HAP_ZONE_SAYS_REKEY,
    HAP_ZONE_SAYS_MISS
} hap_zone_word_t;

/** The word as it is written; NOTHING: empty. Static. */
const char *hap_zone_word_text(hap_zone_word_t word);

/** One answer's fields, taken together. Ids that were written with backslashes are unescaped into
 * `room`: this is not to be moved. */
typedef struct hap_zone_said_t {
    hap_zone_word_t word;
    hap_str_t id;                       /* empty: not said */
    hap_str_t new_id;                   /* REKEY */
    uint64_t version;                   /* PUT, and REKEY with a state */
    uint32_t ttl_s;                     /* 0: not said */
    bool state;                         /* PUT; REKEY if it has parts */
    unsigned parts;                     /* announced */
    hap_str_t part[HAP_ZONE_PARTS_MAX]; /* text; borrowed from the fields */
    const char *why;                    /* what breaks the rules; NULL nothing. Static */
    /* private */
    unsigned given;      /* parameters, as bits */
    unsigned parts_seen; /* as bits */
    char room[2 * HAP_ZONE_SID_BYTES_MAX];
} hap_zone_said_t;

/** Before the first field. */
void hap_zone_said_begin(hap_zone_said_t *said);

/** Takes one field of the answer's head, whatever it is. True if it is one of the family, so not to
 * be passed on. The value stays where it is until the end. */
bool hap_zone_said_add(hap_zone_said_t *said, hap_str_t name, hap_str_t value);

/** After the last: judges all of it. False, with `why`, when it breaks the rules; it says nothing
 * then. */
bool hap_zone_said_end(hap_zone_said_t *said);

/** The state, decoded into HAP_ZONE_STATE_BYTES_MAX bytes at `out`. False, with `why`, when it is
 * no base64url. After hap_zone_said_end, and with `state`. */
bool hap_zone_said_state(hap_zone_said_t *said, char *out, size_t *n);

/** What the proxy says of a session with a request. */
typedef enum hap_zone_tell_t {
    HAP_ZONE_TELL_FENCE,   /* nothing but the epoch */
    HAP_ZONE_TELL_RESTORE, /* the state; NONE if the record has version 0 */
    HAP_ZONE_TELL_NONE,
    HAP_ZONE_TELL_GONE,
    HAP_ZONE_TELL_ERROR
} hap_zone_tell_t;

/** A field to be added to a request. Borrows from the room. */
typedef struct hap_zone_line_t {
    const char *name; /* static */
    hap_str_t value;  /* with a NUL behind it */
} hap_zone_line_t;

enum { HAP_ZONE_LINES_MAX = 2 + HAP_ZONE_PARTS_MAX };

/**
 * The fields for a request, made in `room`, of HAP_ZONE_SAY_FEW_BYTES but for RESTORE, which needs
 * HAP_ZONE_SAY_BYTES; how many. `epoch` 0: no HA-Fence. `record` is for RESTORE: its version,
 * `from` as the owner before unless that is no route, and data, which is told as `none` when it is
 * beyond HAP_ZONE_STATE_BYTES_MAX.
 */
unsigned hap_zone_say(hap_zone_line_t lines[HAP_ZONE_LINES_MAX], char *room, hap_zone_tell_t tell,
                      uint64_t epoch, const hap_zone_record_t *record, hap_str_t from);

#endif
