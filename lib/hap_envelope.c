/* SPDX-License-Identifier: Apache-2.0 */
/* Owns writing and checking a file's first line. Does no I/O. */
#include "hap_envelope.h"

#include <apr_strings.h>
#include <openssl/evp.h>

enum {
    SHA256_BYTES = 32,
    SHA256_CHARS = 2 * SHA256_BYTES,
    LINE_BYTES_MAX = 160 /* of a first line; more is another kind of file */
};

static bool sha256_hex(char out[SHA256_CHARS], hap_str_t body)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[SHA256_BYTES];
    if (!EVP_Digest(body.n ? body.p : "", body.n, digest, NULL, EVP_sha256(), NULL)) {
        return false;
    }
    for (int i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    return true;
}

apr_status_t hap_envelope_wrap(hap_str_t *text, const hap_envelope_kind_t *kind, hap_str_t body,
                               hap_diag_t *diag, apr_pool_t *pool)
{
    char sum[SHA256_CHARS];
    if (!sha256_hex(sum, body)) {
        hap_diag_set(diag, 0, "libcrypto offers no SHA-256");
        return APR_EGENERAL;
    }
    const char *line = apr_psprintf(pool, "%s %u %" APR_SIZE_T_FMT " %.*s\n", kind->name,
                                    kind->version, body.n, SHA256_CHARS, sum);
    size_t n = strlen(line);
    char *joined = apr_palloc(pool, n + body.n + 1);
    memcpy(joined, line, n);
    memcpy(joined + n, body.n ? body.p : "", body.n);
    joined[n + body.n] = '\0';
    *text = hap_strn(joined, n + body.n);
    return APR_SUCCESS;
}

static hap_str_t word(hap_str_t *rest)
{
    size_t end = hap_str_find(*rest, ' ', 0);
    hap_str_t cut = hap_str_sub(*rest, 0, end);
    *rest = hap_str_sub(*rest, end + 1, rest->n);
    return cut;
}

/* A number has one spelling here, so that a flipped bit cannot give another for the same. */
static bool number(unsigned long *result, hap_str_t digits)
{
    bool padded = digits.n > 1 && digits.p[0] == '0';
    return !padded && hap_str_uint(result, digits, ~0UL);
}

static apr_status_t refuse_kind(const hap_envelope_kind_t *kind, hap_diag_t *diag)
{
    hap_diag_set(diag, 1, "this is no %s file: its first line is not `%s %u LENGTH SHA256`",
                 kind->name, kind->name, kind->version);
    return APR_EINVAL;
}

static apr_status_t refuse_length(unsigned long length, size_t n, hap_diag_t *diag)
{
    if (n < length) {
        hap_diag_set(diag, 1,
                     "the file was cut: %" APR_SIZE_T_FMT " of %lu bytes follow its first line", n,
                     length);
    } else {
        hap_diag_set(diag, 1, "%" APR_SIZE_T_FMT " bytes follow the end of the file's content",
                     n - (size_t)length);
    }
    return APR_EINVAL;
}

apr_status_t hap_envelope_open(hap_str_t *body, const hap_envelope_kind_t *kind, hap_str_t text,
                               hap_diag_t *diag)
{
    size_t end = hap_str_find(hap_str_sub(text, 0, LINE_BYTES_MAX), '\n', 0);
    hap_str_t line = hap_str_sub(text, 0, end);
    unsigned long version;
    unsigned long length;
    if (end == text.n || end == LINE_BYTES_MAX || !hap_str_eq(word(&line), hap_str(kind->name)) ||
        !number(&version, word(&line))) {
        return refuse_kind(kind, diag);
    }
    if (version != kind->version) {
        hap_diag_set(diag, 1, "version %lu of %s files is unknown here, which is version %u",
                     version, kind->name, kind->version);
        return APR_EINVAL;
    }
    if (!number(&length, word(&line)) || line.n != SHA256_CHARS) {
        return refuse_kind(kind, diag);
    }
    hap_str_t content = hap_str_sub(text, end + 1, text.n);
    if (content.n != length) {
        return refuse_length(length, content.n, diag);
    }
    char sum[SHA256_CHARS];
    if (!sha256_hex(sum, content) || memcmp(sum, line.p, SHA256_CHARS) != 0) {
        hap_diag_set(diag, 1, "the file was changed or damaged: its SHA-256 does not match");
        return APR_EINVAL;
    }
    *body = content;
    return APR_SUCCESS;
}
