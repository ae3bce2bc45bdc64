/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_tls: who knows the secret is let in, and nobody else learns or says anything. */
#include "unit.h"

#include <stdlib.h>

#include <apr_strings.h>
#include <openssl/ssl.h>

#include "zd_tls.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHERS "fedcba9876543210fedcba9876543210"
#define UUID   "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
#define UUID_2 "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

enum { CHUNK = 777, TURNS = 20 };

/* Two daemons and the wire between them. */
typedef struct pair_t {
    zd_tls_ctx_t *ctx[2]; /* of the client, of the server */
    zd_tls_t *end[2];
    char wire[2][1 << 16]; /* all that each has sent */
    size_t wire_n[2];
} pair_t;

static pair_t *pair;

static zd_tls_ctx_t *context(const char *secret, const char *uuid)
{
    hap_diag_t diag = {0, ""};
    zd_tls_ctx_t *ctx = zd_tls_ctx_make(hap_str(secret), &diag);
    UNIT_STR_EQ(diag.why, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    if (uuid) {
        zd_tls_ctx_belongs(ctx, uuid);
    }
    return ctx;
}

static void end_pair(void)
{
    for (int i = 0; i < 2; i++) {
        zd_tls_free(pair->end[i]);
        zd_tls_ctx_free(pair->ctx[i]);
    }
}

/* What one has to send gets to the other, in small pieces. True while both go on. */
static bool carry(int from)
{
    char bytes[CHUNK];
    size_t n;
    bool good = true;
    while ((n = zd_tls_send(pair->end[from], bytes, sizeof(bytes))) > 0) {
        if (pair->wire_n[from] + n <= sizeof(pair->wire[from])) {
            memcpy(pair->wire[from] + pair->wire_n[from], bytes, n);
            pair->wire_n[from] += n;
        }
        good = zd_tls_came(pair->end[!from], bytes, n) && good;
    }
    return good;
}

static bool talk(void)
{
    bool good = true;
    for (int i = 0; good && i < TURNS; i++) {
        good = carry(0);
        good = carry(1) && good;
    }
    return good;
}

static bool meet(const char *client, const char *client_uuid, const char *server,
                 const char *server_uuid)
{
    pair = apr_pcalloc(unit_pool, sizeof(*pair));
    pair->ctx[0] = context(client, client_uuid);
    pair->ctx[1] = context(server, server_uuid);
    pair->end[0] = zd_tls_open(pair->ctx[0], false);
    pair->end[1] = zd_tls_open(pair->ctx[1], true);
    return talk() && zd_tls_is_ready(pair->end[0]) && zd_tls_is_ready(pair->end[1]);
}

static const char *why(int end)
{
    const char *said = zd_tls_why(pair->end[end]);
    return said ? said : "";
}

static const char *heard(int end)
{
    char *all = apr_pcalloc(unit_pool, 1 << 16);
    size_t n = 0;
    size_t more;
    while ((more = zd_tls_read(pair->end[end], all + n, (1 << 16) - n)) > 0) {
        n += more;
    }
    return all;
}

static bool says(int end, const char *text)
{
    return zd_tls_write(pair->end[end], text, strlen(text));
}

static void who_knows_the_secret_is_let_in_and_understood(void)
{
    CU_ASSERT_TRUE(meet(SECRET, UUID, SECRET "\n", UUID));
    CU_ASSERT_TRUE(says(0, "hello") && says(1, "well met"));
    CU_ASSERT_TRUE(talk());
    UNIT_STR_EQ(heard(1), "hello");
    UNIT_STR_EQ(heard(0), "well met");
    end_pair();
}

static void what_is_said_early_is_heard_when_the_other_end_is_known(void)
{
    pair = apr_pcalloc(unit_pool, sizeof(*pair));
    pair->ctx[0] = context(SECRET, NULL);
    pair->ctx[1] = context(SECRET, NULL);
    pair->end[0] = zd_tls_open(pair->ctx[0], false);
    pair->end[1] = zd_tls_open(pair->ctx[1], true);
    CU_ASSERT_TRUE(says(0, "early") && says(1, "too"));
    CU_ASSERT_TRUE(talk());
    UNIT_STR_EQ(heard(1), "early");
    UNIT_STR_EQ(heard(0), "too");
    end_pair();
}

static void nothing_that_is_said_can_be_read_on_the_wire(void)
{
    CU_ASSERT_TRUE(meet(SECRET, UUID, SECRET, UUID));
    says(0, "a word that is secret");
    talk();
    bool found = false;
    for (size_t i = 0; i + 8 <= pair->wire_n[0]; i++) {
        found = found || memcmp(pair->wire[0] + i, "a word t", 8) == 0 ||
                memcmp(pair->wire[0] + i, SECRET, 8) == 0;
    }
    CU_ASSERT_FALSE(found);
    end_pair();
}

static void a_wrong_secret_is_refused_by_both_before_anything_is_read(void)
{
    CU_ASSERT_FALSE(meet(SECRET, UUID, OTHERS, UUID));
    CU_ASSERT_FALSE(zd_tls_is_ready(pair->end[0]) || zd_tls_is_ready(pair->end[1]));
    UNIT_STR_EQ(why(1), "it has another secret: secretFile has to be the same on all nodes");
    UNIT_STR_EQ(heard(1), "");
    CU_ASSERT_FALSE(says(1, "x"));
    end_pair();
}

static void another_cluster_is_refused_naming_both(void)
{
    CU_ASSERT_FALSE(meet(SECRET, UUID_2, SECRET, UUID));
    UNIT_STR_EQ(why(1), "it belongs to the cluster " UUID_2 ", and this node to " UUID);
    end_pair();
}

static void who_belongs_to_none_yet_may_join(void)
{
    CU_ASSERT_TRUE(meet(SECRET, NULL, SECRET, UUID));
    end_pair();
    CU_ASSERT_TRUE(meet(SECRET, UUID, SECRET, NULL));
    end_pair();
}

static void a_short_secret_is_refused_without_showing_it(void)
{
    hap_diag_t diag = {0, ""};
    CU_ASSERT_PTR_NULL(zd_tls_ctx_make(HAP_STR_LIT("  hunter2\n\n"), &diag));
    UNIT_STR_EQ(diag.why, "the secret has less than 32 bytes; `openssl rand -hex 32` makes one");
}

static void blanks_around_a_secret_are_no_part_of_it(void)
{
    CU_ASSERT_TRUE(meet(SECRET, UUID, "  " SECRET " \r\n\n", UUID));
    end_pair();
}

/* What a stranger sends first. */
static void sent_by_a_stranger(const void *bytes, size_t n)
{
    zd_tls_ctx_t *ctx = context(SECRET, UUID);
    zd_tls_t *server = zd_tls_open(ctx, true);
    char plain[8];
    CU_ASSERT_FALSE(zd_tls_came(server, bytes, n));
    CU_ASSERT_FALSE(zd_tls_is_ready(server));
    CU_ASSERT_PTR_NOT_NULL(zd_tls_why(server));
    CU_ASSERT_EQUAL(zd_tls_read(server, plain, sizeof(plain)), 0);
    CU_ASSERT_FALSE(zd_tls_came(server, bytes, n));
    zd_tls_free(server);
    zd_tls_ctx_free(ctx);
}

static void plain_text_and_garbage_are_refused(void)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char garbage[600];
    for (size_t i = 0; i < sizeof(garbage); i++) {
        garbage[i] = (char)(i * 37 + 11);
    }
    sent_by_a_stranger(http, sizeof(http) - 1);
    sent_by_a_stranger(garbage, sizeof(garbage));
}

/* A client of libssl that does not know the secret, in any version of TLS. */
static void clients_without_the_key_are_refused(void)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_min_proto_version(ssl_ctx, versions[i]);
        SSL_CTX_set_max_proto_version(ssl_ctx, versions[i]);
        SSL *ssl = SSL_new(ssl_ctx);
        BIO *out = BIO_new(BIO_s_mem());
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
        SSL_connect(ssl);
        char bytes[4096];
        size_t n = 0;
        CU_ASSERT_EQUAL(BIO_read_ex(out, bytes, sizeof(bytes), &n), 1);
        sent_by_a_stranger(bytes, n);
        SSL_free(ssl);
        SSL_CTX_free(ssl_ctx);
    }
}

/* What was sent in one connection is nothing in another one. */
static void a_replayed_connection_is_refused(void)
{
    CU_ASSERT_TRUE(meet(SECRET, UUID, SECRET, UUID));
    says(0, "pay");
    talk();
    zd_tls_t *again = zd_tls_open(pair->ctx[1], true);
    CU_ASSERT_FALSE(zd_tls_came(again, pair->wire[0], pair->wire_n[0]));
    CU_ASSERT_FALSE(zd_tls_is_ready(again));
    zd_tls_free(again);
    end_pair();
}

static void a_changed_byte_ends_the_connection(void)
{
    CU_ASSERT_TRUE(meet(SECRET, UUID, SECRET, UUID));
    says(0, "pay 10");
    char bytes[CHUNK];
    size_t n = zd_tls_send(pair->end[0], bytes, sizeof(bytes));
    bytes[n - 1] ^= 1;
    CU_ASSERT_FALSE(zd_tls_came(pair->end[1], bytes, n));
    UNIT_STR_EQ(heard(1), "");
    CU_ASSERT_PTR_NOT_NULL(zd_tls_why(pair->end[1]));
    end_pair();
}

static void who_takes_nothing_does_not_fill_the_memory(void)
{
    enum { PIECE = 1 << 16 };
    CU_ASSERT_TRUE(meet(SECRET, UUID, SECRET, UUID));
    char *piece = apr_pcalloc(unit_pool, PIECE);
    int taken = 0;
    while (taken < 1000 && zd_tls_write(pair->end[0], piece, PIECE)) {
        taken++;
    }
    CU_ASSERT_EQUAL(taken, ZD_TLS_BACKLOG_BYTES_MAX / PIECE - 1);
    UNIT_STR_EQ(why(0), "the other end takes nothing");
    end_pair();
}

const unit_test_t suite_zd_tls[] = {
    UNIT_TEST(who_knows_the_secret_is_let_in_and_understood),
    UNIT_TEST(what_is_said_early_is_heard_when_the_other_end_is_known),
    UNIT_TEST(nothing_that_is_said_can_be_read_on_the_wire),
    UNIT_TEST(a_wrong_secret_is_refused_by_both_before_anything_is_read),
    UNIT_TEST(another_cluster_is_refused_naming_both),
    UNIT_TEST(who_belongs_to_none_yet_may_join),
    UNIT_TEST(a_short_secret_is_refused_without_showing_it),
    UNIT_TEST(blanks_around_a_secret_are_no_part_of_it),
    UNIT_TEST(plain_text_and_garbage_are_refused),
    UNIT_TEST(clients_without_the_key_are_refused),
    UNIT_TEST(a_replayed_connection_is_refused),
    UNIT_TEST(a_changed_byte_ends_the_connection),
    UNIT_TEST(who_takes_nothing_does_not_fill_the_memory),
    UNIT_END,
};
