/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_fragment. */
#include "unit.h"

#include <apr_strings.h>

#include "golden.h"
#include "hap_fragment.h"
#include "random.h"

static hap_diag_t diag;

static const hap_fragment_t host_a = {
    .app = "App",
    .context = "/App",
    .path = "/App",
    .host = "hosta.example",
    .port = 8080,
    .route = "hostA",
    .sticky = "zsessionid",
    .health = "/App/health",
};

static bool parses(const char *text)
{
    hap_fragment_t fragment = {0};
    diag.line = -1;
    return hap_fragment_parse(&fragment, hap_str(text), &diag, unit_pool) == APR_SUCCESS;
}

/* The golden text with one piece replaced. */
static const char *with(const char *from, const char *to)
{
    const char *text = unit_golden("fragment-full.conf");
    const char *at = strstr(text, from);
    return at ? apr_pstrcat(unit_pool, apr_pstrmemdup(unit_pool, text, (size_t)(at - text)), to,
                            at + strlen(from), NULL)
              : "not found";
}

static bool same(const hap_fragment_t *a, const hap_fragment_t *b)
{
    return hap_str_eq(hap_fragment_emit(a, unit_pool), hap_fragment_emit(b, unit_pool));
}

static void emit_writes_the_golden_files(void)
{
    hap_fragment_t least = {.app = "root",
                            .context = "/",
                            .path = "/",
                            .host = "[2001:db8::1]",
                            .port = 1,
                            .route = "r"};
    hap_fragment_t other = host_a;
    other.context = "/shop";
    other.path = "/internal";
    other.sticky = other.health = NULL;
    UNIT_STR_EQ(hap_fragment_emit(&host_a, unit_pool).p, unit_golden("fragment-full.conf"));
    UNIT_STR_EQ(hap_fragment_emit(&least, unit_pool).p, unit_golden("fragment-least.conf"));
    UNIT_STR_EQ(hap_fragment_emit(&other, unit_pool).p, unit_golden("fragment-path.conf"));
}

static void context_and_target_both_end_in_a_slash_or_neither_does(void)
{
    static const char *const paths[][3] = {
        {"/", "/", "/"}, {"/", "/a", "/a/"}, {"/a", "/", ""}, {"/a", "/b/c", "/b/c"}};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        hap_fragment_t fragment = host_a;
        fragment.context = paths[i][0];
        fragment.path = paths[i][1];
        const char *suffix = hap_fragment_suffix(&fragment, unit_pool);
        UNIT_STR_EQ(suffix, paths[i][2]);
        UNIT_STR_EQ(hap_fragment_path_of(hap_str(paths[i][0]), hap_str(suffix), unit_pool),
                    paths[i][1]);
    }
    CU_ASSERT_PTR_NULL(hap_fragment_path_of(hap_str("/"), hap_str("/a"), unit_pool));
}

static void parse_gives_back_what_was_written(void)
{
    hap_fragment_t fragment = {.source = "hostA.conf"};
    const char *text = unit_golden("fragment-full.conf");
    CU_ASSERT_EQUAL(hap_fragment_parse(&fragment, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_TRUE(same(&fragment, &host_a));
    UNIT_STR_EQ(fragment.source, "hostA.conf");
    UNIT_STR_EQ(fragment.health, "/App/health");
}

static void a_hand_edit_is_refused_with_its_line(void)
{
    CU_ASSERT_FALSE(parses(with("ProxyPass  ", "ProxyPass ")));
    CU_ASSERT_EQUAL(diag.line, 8);
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "edited by hand"));
    CU_ASSERT_FALSE(parses(with("8080/App\"\nProxyPassR", "8081/App\"\nProxyPassR")));
    CU_ASSERT_EQUAL(diag.line, 8);
    CU_ASSERT_FALSE(parses(apr_pstrcat(unit_pool, with("x-no", ""), NULL)));
    CU_ASSERT_FALSE(
        parses(apr_pstrcat(unit_pool, unit_golden("fragment-full.conf"), "Listen 1\n", NULL)));
    CU_ASSERT_EQUAL(diag.line, 10);
}

static void keys_in_another_order_twice_or_missing_are_refused(void)
{
    CU_ASSERT_FALSE(parses(with("# app: App\n# context: /App\n", "# context: /App\n# app: App\n")));
    CU_ASSERT_FALSE(parses(with("# app: App\n", "# app: App\n# app: App\n")));
    CU_ASSERT_FALSE(parses(with("# route: hostA\n", "")));
    CU_ASSERT_FALSE(parses(with("# context: /App\n", "# context: /App\n# path: /App\n")));
}

static void another_version_or_another_file_is_named_as_such(void)
{
    CU_ASSERT_FALSE(parses(with("# zero-fragment: 1", "# zero-fragment: 2")));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "version \"2\""));
    CU_ASSERT_FALSE(parses(unit_golden("merged-balancer.conf")));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "merged file"));
    CU_ASSERT_FALSE(parses("<html>\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "not a fragment"));
}

static void a_bad_value_is_refused_with_its_line_and_key(void)
{
    CU_ASSERT_FALSE(parses(with("# app: App", "# app: A${PATH}")));
    CU_ASSERT_EQUAL(diag.line, 2);
    CU_ASSERT_EQUAL(strncmp(diag.why, "app: ", 5), 0);
    CU_ASSERT_FALSE(parses(with("hosta.example:8080\n", "HostA.example:8080\n")));
    CU_ASSERT_EQUAL(diag.line, 4);
    CU_ASSERT_FALSE(parses(with("# url: http:", "# url: https:")));
    CU_ASSERT_EQUAL(diag.line, 4);
}

static void a_worker_url_beyond_httpds_limit_is_refused(void)
{
    hap_fragment_t fragment = host_a;
    fragment.host = "a123456789012345678901234567890123456789012345678901234567.example";
    fragment.context = fragment.path = "/123456789012345678";
    CU_ASSERT_NOT_EQUAL(hap_fragment_check(&fragment, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "at most 95"));
    fragment.context = fragment.path = "/1234567890123456";
    CU_ASSERT_EQUAL(hap_fragment_check(&fragment, &diag, unit_pool), APR_SUCCESS);
}

/* A word of the alphabet, 1 to `max` bytes long. */
static const char *word(unit_random_t *random, const char *alphabet, size_t max)
{
    size_t n = 1 + unit_random(random, max);
    char *text = apr_pcalloc(unit_pool, n + 1);
    for (size_t i = 0; i < n; i++) {
        text[i] = alphabet[unit_random(random, strlen(alphabet))];
    }
    return text;
}

static const char *random_path(unit_random_t *random)
{
    const char *path = "";
    for (size_t n = unit_random(random, 3); n > 0; n--) {
        path = apr_pstrcat(unit_pool, path, "/", word(random, "aZ0-_~!&()*+,=:@", 6), NULL);
    }
    return *path ? path : "/";
}

static hap_fragment_t random_fragment(unit_random_t *random)
{
    hap_fragment_t fragment = {
        .app = apr_pstrcat(unit_pool, "A", word(random, "aZ09._-", 20), NULL),
        .context = random_path(random),
        .host = apr_pstrcat(unit_pool, "h", word(random, "az09_", 12), ".x", NULL),
        .port = 1 + (unsigned)unit_random(random, 65535),
        .route = word(random, "aZ09_-", 63),
        .sticky = unit_random(random, 2) ? word(random, "aZ09_-.!&", 63) : NULL,
        .health = unit_random(random, 2) ? random_path(random) : NULL,
        .upgrade = unit_random(random, 2) ? word(random, "aZ09+-._", 15) : NULL,
    };
    fragment.path = unit_random(random, 2) ? random_path(random) : fragment.context;
    return fragment;
}

static void every_valid_fragment_survives_writing_and_reading(void)
{
    unit_random_t random = {1};
    for (int i = 0; i < 2000; i++) {
        hap_fragment_t fragment = random_fragment(&random);
        hap_fragment_t read = {0};
        hap_str_t text = hap_fragment_emit(&fragment, unit_pool);
        CU_ASSERT_EQUAL_FATAL(hap_fragment_check(&fragment, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_EQUAL_FATAL(hap_fragment_parse(&read, text, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_TRUE(same(&fragment, &read));
    }
}

static void a_changed_byte_is_refused_or_makes_another_valid_fragment(void)
{
    const char *golden = unit_golden("fragment-full.conf");
    char *text = apr_pstrdup(unit_pool, golden);
    apr_pool_t *pool = NULL;
    apr_pool_create(&pool, unit_pool);
    for (size_t i = 0; i < strlen(golden); i++) {
        for (int byte = 0; byte < 256; byte++) {
            hap_fragment_t read = {0};
            text[i] = (char)byte;
            hap_str_t changed = hap_strn(text, strlen(golden));
            if (hap_fragment_parse(&read, changed, &diag, pool) == APR_SUCCESS) {
                CU_ASSERT_TRUE(hap_str_eq(hap_fragment_emit(&read, pool), changed));
                CU_ASSERT_EQUAL(hap_fragment_check(&read, &diag, pool), APR_SUCCESS);
            }
            apr_pool_clear(pool);
        }
        text[i] = golden[i];
    }
}

static void a_truncated_fragment_is_refused_at_every_length(void)
{
    const char *golden = unit_golden("fragment-full.conf");
    for (size_t n = 0; n < strlen(golden); n++) {
        hap_fragment_t read = {0};
        CU_ASSERT_NOT_EQUAL(hap_fragment_parse(&read, hap_strn(golden, n), &diag, unit_pool),
                            APR_SUCCESS);
    }
}

const unit_test_t suite_fragment[] = {
    UNIT_TEST(emit_writes_the_golden_files),
    UNIT_TEST(context_and_target_both_end_in_a_slash_or_neither_does),
    UNIT_TEST(parse_gives_back_what_was_written),
    UNIT_TEST(a_hand_edit_is_refused_with_its_line),
    UNIT_TEST(keys_in_another_order_twice_or_missing_are_refused),
    UNIT_TEST(another_version_or_another_file_is_named_as_such),
    UNIT_TEST(a_bad_value_is_refused_with_its_line_and_key),
    UNIT_TEST(a_worker_url_beyond_httpds_limit_is_refused),
    UNIT_TEST(every_valid_fragment_survives_writing_and_reading),
    UNIT_TEST(a_changed_byte_is_refused_or_makes_another_valid_fragment),
    UNIT_TEST(a_truncated_fragment_is_refused_at_every_length),
    UNIT_END,
};
