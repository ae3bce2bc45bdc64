/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arguments of HALane. Does not know what can be named or waived: hap_honour_lane does. */
#include "hap_honour.h"

#include <apr_strings.h>

static const struct {
    const char *word;
    hap_honour_mode_t mode;
} modes[] = {
    {"Off", HAP_HONOUR_OFF},
    {"On", HAP_HONOUR_ON},
    {"Require", HAP_HONOUR_REQUIRE},
};

static bool take_mode(hap_honour_mode_t *mode, const char *word)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (hap_str_eq_nocase(hap_str(word), hap_str(modes[i].word))) {
            *mode = modes[i].mode;
            return true;
        }
    }
    return false;
}

static apr_status_t take_names(apr_array_header_t *names, hap_str_t list, hap_diag_t *diag,
                               apr_pool_t *pool)
{
    size_t from = 0;
    while (from <= list.n) {
        size_t end = hap_str_find(list, ',', from);
        hap_str_t name = hap_str_sub(list, from, end);
        if (!name.n) {
            hap_diag_set(
                diag, 0,
                "HALane: ignore= takes names of directives, separated by commas without blanks");
            return APR_EINVAL;
        }
        APR_ARRAY_PUSH(names, const char *) = hap_str_dup(name, pool);
        from = end + 1;
    }
    return APR_SUCCESS;
}

static apr_status_t take_mode_first(hap_honour_mode_t *mode, int argc, const char *const *argv,
                                    hap_diag_t *diag, apr_pool_t *pool)
{
    if (argc < 1) {
        hap_diag_set(diag, 0, "HALane: On, Off or Require is missing, as in HALane On");
        return APR_EINVAL;
    }
    if (!take_mode(mode, argv[0])) {
        hap_diag_set(diag, 0,
                     "HALane: \"%s\" is not allowed, use On, Off or Require, and behind it the "
                     "names of balancers",
                     hap_str_show(hap_str(argv[0]), pool));
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* A word behind the mode. */
static apr_status_t take_word(hap_honour_wish_t *taken, hap_str_t word, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    hap_str_t ignore = HAP_STR_LIT("ignore=");
    hap_str_t scheme = HAP_STR_LIT("balancer://");
    if (hap_str_eq_nocase(hap_str_sub(word, 0, ignore.n), ignore)) {
        return take_names(taken->ignore, hap_str_sub(word, ignore.n, word.n), diag, pool);
    }
    if (hap_str_starts(word, scheme)) {
        hap_diag_set(diag, 0, "HALane: name the balancer without balancer://, as in HALane On %s",
                     hap_str_show(hap_str_sub(word, scheme.n, word.n), pool));
        return APR_EINVAL;
    }
    if (hap_str_find(word, '=', 0) < word.n) {
        hap_diag_set(diag, 0,
                     "HALane: \"%s\" is not allowed, there are only names of balancers and "
                     "ignore=NAME,...",
                     hap_str_show(word, pool));
        return APR_EINVAL;
    }
    APR_ARRAY_PUSH(taken->names, const char *) = hap_str_dup(word, pool);
    return APR_SUCCESS;
}

apr_status_t hap_honour_wish(hap_honour_wish_t *wish, int argc, const char *const *argv,
                             hap_diag_t *diag, apr_pool_t *pool)
{
    hap_honour_wish_t taken = {
        .names = apr_array_make(pool, 2, sizeof(const char *)),
        .ignore = apr_array_make(pool, 2, sizeof(const char *)),
    };
    apr_status_t rv = take_mode_first(&taken.mode, argc, argv, diag, pool);
    for (int i = 1; rv == APR_SUCCESS && i < argc; i++) {
        rv = take_word(&taken, hap_str(argv[i]), diag, pool);
    }
    if (rv == APR_SUCCESS) {
        *wish = taken;
    }
    return rv;
}
