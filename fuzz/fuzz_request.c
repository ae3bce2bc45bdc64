/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of the requests to the daemon's HTTP server. Input: what comes on one connection.
 */
#include "fuzz.h"
#include "hap_http1.h"
#include "zd_http1.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void same(const zd_http1_t *a, const zd_http1_t *b)
{
    must(a->refused == b->refused && a->is_head == b->is_head && a->keep == b->keep);
    must(a->old == b->old && a->bytes == b->bytes && hap_str_eq(a->path, b->path));
}

/* One byte more each time comes to the same, with the first byte that makes it possible. */
static void check_pieces(const zd_http1_t *request, const char *p, size_t n)
{
    zd_http1_t piece;
    size_t seen = 0;
    size_t end = 0;
    while (!zd_http1_read(&piece, &seen, p, end)) {
        must(end++ < n);
    }
    must(piece.bytes == 0 || piece.bytes == end);
    if (piece.bytes || !request->bytes) {
        same(request, &piece);
    }
}

/* What a strict proxy takes and would not give away is taken here, as the same. */
static void check_proxy(const zd_http1_t *request, const char *p)
{
    static hap_http1_request_t strict;
    const hap_http1_limits_t limits = {ZD_HTTP1_BYTES_MAX, ZD_HTTP1_BYTES_MAX,
                                       HAP_HTTP1_FIELDS_MAX};
    if (request->bytes == 0 ||
        hap_http1_request(&strict, p, request->bytes, &limits) != HAP_HTTP1_DONE) {
        return;
    }
    bool body = strict.head.framing != HAP_FRAMING_NONE;
    bool get = strict.is_head || hap_str_eq(strict.method, HAP_STR_LIT("GET"));
    must(request->refused == (!get ? 405u : body ? 413u : 0u));
    must(request->keep == (strict.head.keep && !body));
    must(request->is_head == strict.is_head);
    must(hap_str_eq(request->path, strict.path));
}

static void check_answer(const zd_http1_t *request, apr_pool_t *pool)
{
    zd_page_t page = zd_http1_refusal(request);
    page.text = request->refused ? page.text : "text";
    hap_str_t answer = zd_http1_answer(request, &page, DATE, pool);
    must(hap_str_starts(answer, HAP_STR_LIT("HTTP/1.1 ")));
    must(!request->refused || request->why[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    const char *p = (const char *)data;
    size_t seen = 0;
    zd_http1_t request;
    while (size > 0 && zd_http1_read(&request, &seen, p, size)) {
        must(request.bytes <= size && request.bytes <= ZD_HTTP1_BYTES_MAX);
        must(request.bytes > 0 || !request.keep);
        must(request.refused || (request.path.n && request.path.p[0] == '/'));
        check_pieces(&request, p, size);
        check_proxy(&request, p);
        check_answer(&request, pool);
        if (!request.keep) {
            break;
        }
        p += request.bytes;
        size -= request.bytes;
        seen = 0;
    }
    apr_pool_destroy(pool);
    return 0;
}
