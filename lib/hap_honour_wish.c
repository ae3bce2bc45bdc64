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

apr_status_t hap_honour_wish(hap_honour_wish_t *wish, int argc, const char *const *argv,
                             hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t ignore = HAP_STR_LIT("ignore=");
    hap_honour_wish_t taken = {
        .names = apr_array_make(pool, 2, sizeof(const char *)),
        .ignore = apr_array_make(pool, 2, sizeof(const char *)),
    };
    apr_status_t rv = APR_SUCCESS;
    if (argc < 1) {
        hap_diag_set(diag, 0, "HALane: On, Off or Require is missing, as in HALane On");
        return APR_EINVAL;
    }
    if (!take_mode(&taken.mode, argv[0])) {
        hap_diag_set(diag, 0,
                     "HALane: \"%s\" is not allowed, use On, Off or Require, and behind it the "
                     "names of balancers",
                     hap_str_show(hap_str(argv[0]), pool));
        return APR_EINVAL;
    }
    for (int i = 1; rv == APR_SUCCESS && i < argc; i++) {
        hap_str_t arg = hap_str(argv[i]);
        if (hap_str_eq_nocase(hap_str_sub(arg, 0, ignore.n), ignore)) {
            rv = take_names(taken.ignore, hap_str_sub(arg, ignore.n, arg.n), diag, pool);
        } else if (hap_str_starts(arg, HAP_STR_LIT("balancer://"))) {
            hap_diag_set(
                diag, 0, "HALane: name the balancer without balancer://, as in HALane %s %s",
                argv[0], hap_str_show(hap_str_sub(arg, strlen("balancer://"), arg.n), pool));
            rv = APR_EINVAL;
        } else if (hap_str_find(arg, '=', 0) < arg.n) {
            hap_diag_set(diag, 0,
                         "HALane: \"%s\" is not allowed, there are only names of balancers and "
                         "ignore=NAME,...",
                         hap_str_show(arg, pool));
            rv = APR_EINVAL;
        } else {
            APR_ARRAY_PUSH(taken.names, const char *) = hap_str_dup(arg, pool);
        }
    }
    if (rv == APR_SUCCESS) {
        *wish = taken;
    }
    return rv;
}
