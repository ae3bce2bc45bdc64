/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the keys of zones: reading a key file, the names of records, and the cipher that a record is
 * sealed with (doc/zone-record.md). Does not read files or make random bytes.
 */
#ifndef HAP_ZONE_KEYS_H
#define HAP_ZONE_KEYS_H

#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>
#include <openssl/evp.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_ZONE_KEY_BYTES = 32,
    HAP_ZONE_KEY_ID_BYTES = 8,
    HAP_ZONE_KEYS_MAX = 4,
    HAP_ZONE_NAME_BYTES = 48, /* of a record's name, always */
    HAP_ZONE_APP_BYTES_MAX = 255,
    HAP_ZONE_SID_BYTES_MAX = 256 /* of a session's id, and of a key in it */
};

/** Keys that seal, open and name. Read-only once made: any number of threads may use it. */
typedef struct hap_zone_keys_t hap_zone_keys_t;

/** Which record. Borrows. */
typedef struct hap_zone_id_t {
    hap_str_t app;  /* the balancer's name, in lower case */
    hap_str_t zone; /* USER or STORAGE */
    hap_str_t sid;
    hap_str_t key; /* empty: the session itself */
} hap_zone_id_t;

/**
 * Reads a key file's text, as in doc/zone-record.md. Copies; allocates from `pool`, with whose end
 * the keys are wiped. APR_EINVAL with line and sentence, which never quotes the text, when a line
 * is anything else, a key or `names` is there twice, there is no key or more than
 * HAP_ZONE_KEYS_MAX, or `names` is missing beside several. The caller wipes `text`.
 */
apr_status_t hap_zone_keys_parse(hap_zone_keys_t **keys, hap_str_t text, hap_diag_t *diag,
                                 apr_pool_t *pool);

/** The same from one key of random bytes. The caller wipes `key`. APR_EGENERAL when libcrypto
 * fails. */
apr_status_t hap_zone_keys_make(hap_zone_keys_t **keys, const unsigned char key[HAP_ZONE_KEY_BYTES],
                                apr_pool_t *pool);

/** How many keys there are. */
unsigned hap_zone_keys_count(const hap_zone_keys_t *keys);

/** Which key the i-th one is, as it stands in records; the first one seals. */
const unsigned char *hap_zone_keys_id(const hap_zone_keys_t *keys, unsigned i);

/** An id in hex. */
const char *hap_zone_key_id_text(const unsigned char id[HAP_ZONE_KEY_ID_BYTES], apr_pool_t *pool);

/** AES-256-GCM. Borrows from the keys. */
const EVP_CIPHER *hap_zone_keys_cipher(const hap_zone_keys_t *keys);

/** The record's name, without a NUL behind it. False when libcrypto fails, sid or key are longer
 * than HAP_ZONE_SID_BYTES_MAX, app than HAP_ZONE_APP_BYTES_MAX, sid is empty, or a NUL is in any of
 * them. Costs one HMAC. */
bool hap_zone_name(char name[HAP_ZONE_NAME_BYTES], const hap_zone_keys_t *keys,
                   const hap_zone_id_t *id);

/** The key of the cipher for the record of this name, under the i-th key. The caller wipes it.
 * False when libcrypto fails. */
bool hap_zone_cipher_key(unsigned char cipher_key[HAP_ZONE_KEY_BYTES], const hap_zone_keys_t *keys,
                         unsigned i, hap_str_t name);

#endif
