/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns libssl's part in a connection between daemons, on memory in place of sockets.
 */
#include "zd_tls.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include "hap_map.h"

enum { KEY_BYTES = 48, WHY_BYTES = 200, IDENTITY_BYTES = 64 };

static const char identity_front[] = "zerod-1/";
static const unsigned char cipher_id[] = {0x13, 0x02}; /* TLS_AES_256_GCM_SHA384 */

struct zd_tls_ctx_t {
    SSL_CTX *ssl;
    unsigned char key[KEY_BYTES];
    char uuid[HAP_MAP_UUID_BYTES + 1]; /* "": not known yet */
};

struct zd_tls_t {
    zd_tls_ctx_t *ctx;
    SSL *ssl;
    BIO *in;     /* ssl's */
    BIO *out;    /* ssl's */
    char *early; /* what was to be said before it was ready */
    size_t early_n;
    bool closed; /* by the other end */
    char identity[IDENTITY_BYTES];
    char why[WHY_BYTES];
};

/* --- the key ---------------------------------------------------------------------------------- */

static bool derive(unsigned char key[KEY_BYTES], hap_str_t secret)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA384", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret.p, secret.n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)"zerod", 5),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)"tls psk 1", 9),
        OSSL_PARAM_construct_end(),
    };
    bool derived = ctx && EVP_KDF_derive(ctx, key, KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return derived;
}

/* What libssl takes a key as: a session that never was. */
static SSL_SESSION *session_of(SSL *ssl, const zd_tls_ctx_t *ctx)
{
    SSL_SESSION *session = SSL_SESSION_new();
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, cipher_id);
    if (session && cipher && SSL_SESSION_set1_master_key(session, ctx->key, KEY_BYTES) &&
        SSL_SESSION_set_cipher(session, cipher) &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
        return session;
    }
    SSL_SESSION_free(session);
    return NULL;
}

static zd_tls_t *tls_of(SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static void fail(zd_tls_t *tls, const char *why)
{
    if (!tls->why[0]) {
        snprintf(tls->why, sizeof(tls->why), "%s", why);
    }
}

/* --- the client: says which cluster it is of -------------------------------------------------- */

static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_n,
                       SSL_SESSION **session)
{
    zd_tls_t *tls = tls_of(ssl);
    const zd_tls_ctx_t *ctx = tls->ctx;
    snprintf(tls->identity, sizeof(tls->identity), "%s%s", identity_front,
             ctx->uuid[0] ? ctx->uuid : "-");
    *id = (const unsigned char *)tls->identity;
    *id_n = strlen(tls->identity);
    *session = session_of(ssl, ctx);
    if (*session && md && EVP_MD_get_size(md) != KEY_BYTES) {
        SSL_SESSION_free(*session);
        *session = NULL;
    }
    return *session != NULL;
}

/* --- the server: refuses who is of another one ------------------------------------------------ */

static bool is_ours(zd_tls_t *tls, hap_str_t identity)
{
    hap_str_t front = hap_strn(identity_front, sizeof(identity_front) - 1);
    hap_str_t uuid = hap_str_sub(identity, front.n, identity.n);
    if (!hap_str_starts(identity, front)) {
        fail(tls, "it is no zerod, or one of another version");
        return false;
    }
    if (hap_str_eq(uuid, HAP_STR_LIT("-")) || !tls->ctx->uuid[0]) {
        return true;
    }
    if (!hap_map_is_uuid(uuid)) {
        fail(tls, "it is no zerod, or one of another version");
        return false;
    }
    if (!hap_str_eq(uuid, hap_str(tls->ctx->uuid))) {
        char why[WHY_BYTES];
        snprintf(why, sizeof(why), "it belongs to the cluster %.*s, and this node to %s",
                 HAP_STR_ARG(uuid), tls->ctx->uuid);
        fail(tls, why);
        return false;
    }
    return true;
}

static int find_session(SSL *ssl, const unsigned char *id, size_t id_n, SSL_SESSION **session)
{
    zd_tls_t *tls = tls_of(ssl);
    *session = NULL;
    if (!is_ours(tls, hap_strn((const char *)id, id_n))) {
        return 0;
    }
    *session = session_of(ssl, tls->ctx);
    return *session != NULL;
}

/* --- the context ------------------------------------------------------------------------------ */

static bool set_up(SSL_CTX *ssl)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_psk_use_session_callback(ssl, use_session);
    SSL_CTX_set_psk_find_session_callback(ssl, find_session);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) && SSL_CTX_set_num_tickets(ssl, 0) &&
           SSL_CTX_set_ciphersuites(ssl, "TLS_AES_256_GCM_SHA384");
}

zd_tls_ctx_t *zd_tls_ctx_make(hap_str_t secret, hap_diag_t *diag)
{
    hap_str_t text = hap_str_trim(secret);
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
        text = hap_str_trim(hap_str_sub(text, 0, text.n - 1));
    }
    if (text.n < ZD_TLS_SECRET_BYTES_MIN) {
        hap_diag_set(diag, 0, "the secret has less than %d bytes; `openssl rand -hex 32` makes one",
                     ZD_TLS_SECRET_BYTES_MIN);
        return NULL;
    }
    zd_tls_ctx_t *ctx = calloc(1, sizeof(*ctx));
    if (ctx) {
        ctx->ssl = SSL_CTX_new(TLS_method());
    }
    if (!ctx || !ctx->ssl || !set_up(ctx->ssl) || !derive(ctx->key, text)) {
        hap_diag_set(diag, 0, "libssl fails: %s", ERR_reason_error_string(ERR_get_error()));
        zd_tls_ctx_free(ctx);
        return NULL;
    }
    return ctx;
}

void zd_tls_ctx_free(zd_tls_ctx_t *ctx)
{
    if (ctx) {
        SSL_CTX_free(ctx->ssl);
        OPENSSL_cleanse(ctx->key, sizeof(ctx->key));
        free(ctx);
    }
}

void zd_tls_ctx_belongs(zd_tls_ctx_t *ctx, const char *uuid)
{
    snprintf(ctx->uuid, sizeof(ctx->uuid), "%s", uuid);
}

/* --- one end ---------------------------------------------------------------------------------- */

void zd_tls_free(zd_tls_t *tls)
{
    if (tls) {
        SSL_free(tls->ssl);
        free(tls->early);
        free(tls);
    }
}

/* What libssl says of a key that is not the same here and there, people would have to look up. */
static const char *why_broken(void)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    if (reason == SSL_R_BINDER_DOES_NOT_VERIFY || reason == SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER) {
        return "it has another secret: secretFile has to be the same on all nodes";
    }
    const char *said = ERR_reason_error_string(error);
    return said ? said : "the connection is broken";
}

/* What a step of libssl has come to. The first reason is the one that is kept. */
static bool goes_on(zd_tls_t *tls, int rv)
{
    switch (SSL_get_error(tls->ssl, rv)) {
    case SSL_ERROR_NONE:
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return true;
    case SSL_ERROR_ZERO_RETURN:
        tls->closed = true;
        return false;
    default:
        break;
    }
    fail(tls, why_broken());
    ERR_clear_error();
    return false;
}

static bool write_all(zd_tls_t *tls, const char *plain, size_t n)
{
    while (n > 0) {
        size_t written;
        ERR_clear_error();
        int rv = SSL_write_ex(tls->ssl, plain, n, &written);
        if (rv != 1) {
            goes_on(tls, rv);
            fail(tls, "the connection takes nothing more");
            return false;
        }
        plain += written;
        n -= written;
    }
    if (BIO_ctrl_pending(tls->out) > ZD_TLS_BACKLOG_BYTES_MAX) {
        fail(tls, "the other end takes nothing");
        return false;
    }
    return true;
}

static bool shake_hands(zd_tls_t *tls)
{
    if (SSL_is_init_finished(tls->ssl)) {
        return true;
    }
    ERR_clear_error();
    int rv = SSL_do_handshake(tls->ssl);
    if (rv != 1) {
        return goes_on(tls, rv);
    }
    char *early = tls->early;
    size_t n = tls->early_n;
    tls->early = NULL;
    tls->early_n = 0;
    bool good = write_all(tls, early, n);
    free(early);
    return good;
}

zd_tls_t *zd_tls_open(zd_tls_ctx_t *ctx, bool server)
{
    zd_tls_t *tls = calloc(1, sizeof(*tls));
    if (!tls) {
        return NULL;
    }
    tls->ctx = ctx;
    tls->ssl = SSL_new(ctx->ssl);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        zd_tls_free(tls);
        return NULL;
    }
    /* An empty memory is not the end. */
    BIO_set_mem_eof_return(tls->in, -1);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_app_data(tls->ssl, tls);
    if (server) {
        SSL_set_accept_state(tls->ssl);
    } else {
        SSL_set_connect_state(tls->ssl);
        shake_hands(tls);
    }
    return tls;
}

bool zd_tls_came(zd_tls_t *tls, const void *bytes, size_t n)
{
    if (tls->why[0] || tls->closed) {
        return false;
    }
    size_t taken;
    if (n > 0 && (BIO_write_ex(tls->in, bytes, n, &taken) != 1 || taken != n)) {
        fail(tls, "no memory for what came");
        return false;
    }
    if (!shake_hands(tls)) {
        return false;
    }
    char none;
    size_t there;
    ERR_clear_error();
    int rv = SSL_is_init_finished(tls->ssl) ? SSL_peek_ex(tls->ssl, &none, 1, &there) : 1;
    return rv == 1 || goes_on(tls, rv);
}

bool zd_tls_is_ready(const zd_tls_t *tls)
{
    return SSL_is_init_finished(tls->ssl) && !tls->why[0];
}

size_t zd_tls_read(zd_tls_t *tls, void *plain, size_t room)
{
    size_t n = 0;
    if (!zd_tls_is_ready(tls) || tls->closed) {
        return 0;
    }
    ERR_clear_error();
    int rv = SSL_read_ex(tls->ssl, plain, room, &n);
    if (rv != 1) {
        goes_on(tls, rv);
        return 0;
    }
    return n;
}

bool zd_tls_write(zd_tls_t *tls, const void *plain, size_t n)
{
    if (tls->why[0] || tls->closed) {
        return false;
    }
    if (SSL_is_init_finished(tls->ssl)) {
        return write_all(tls, plain, n);
    }
    char *early = tls->early_n + n <= ZD_TLS_BACKLOG_BYTES_MAX
                      ? realloc(tls->early, tls->early_n + n + 1)
                      : NULL;
    if (!early) {
        fail(tls, "the other end takes nothing");
        return false;
    }
    memcpy(early + tls->early_n, plain, n);
    tls->early = early;
    tls->early_n += n;
    return true;
}

size_t zd_tls_send(zd_tls_t *tls, void *bytes, size_t room)
{
    size_t n = 0;
    return BIO_read_ex(tls->out, bytes, room, &n) == 1 ? n : 0;
}

const char *zd_tls_why(const zd_tls_t *tls)
{
    return tls->why[0] ? tls->why : NULL;
}
