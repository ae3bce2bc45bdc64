/* SPDX-License-Identifier: Apache-2.0 */
/* Owns turning a member's own URLs into those of the one that it is like. */
#include "mh_reverse.h"

#include <apr_strings.h>

/* The URL at the member that mod_proxy knows, of which all is as it is of this one. */
static const char *as_like(const mh_member_t *member, const char *url, apr_pool_t *p)
{
    size_t n = member->own_url.n;
    bool ours =
        ap_cstr_casecmpn(url, member->own_url.p, n) == 0 && (url[n] == '/' || url[n] == '\0');
    return ours ? apr_pstrcat(p, hap_str_dup(member->like_url, p), url + n, NULL) : NULL;
}

void mh_reverse(mh_request_t *request)
{
    static const char *const fields[] = {"Location", "Content-Location", "URI", "Destination"};
    const mh_member_t *member = mh_choice_member(&request->choice);
    request_rec *r = request->r;
    for (size_t i = 0; member->hired && i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *url = apr_table_get(r->headers_out, fields[i]);
        const char *like = url ? as_like(member, url, r->pool) : NULL;
        proxy_dir_conf *conf = ap_get_module_config(r->per_dir_config, &proxy_module);
        const char *mapped = like ? ap_proxy_location_reverse_map(r, conf, like) : NULL;
        if (mapped && mapped != like) {
            apr_table_set(r->headers_out, fields[i], mapped);
        }
    }
}
