/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading the files with secrets that directives name. */
#include "mh_secret.h"

#include <apr_strings.h>

#include "io/hapio_secret.h"

apr_status_t mh_secret_refuse(const mh_secret_t *secret, const char *why, apr_pool_t *p)
{
    return mh_app_refuse(secret->app, secret->conf, p,
                         apr_psprintf(p, "%s=%s%s", secret->key, secret->path, why));
}

apr_status_t mh_secret_read(void *result, const mh_secret_t *secret, mh_secret_fn *understand,
                            apr_pool_t *p)
{
    hap_diag_t diag;
    hapio_secret_t text;
    if (hapio_secret_read(&text, secret->path, &diag) != APR_SUCCESS) {
        return mh_secret_refuse(secret, apr_psprintf(p, " %s", diag.why), p);
    }
    apr_status_t rv = understand(result, hapio_secret_text(&text), &diag, p);
    hapio_secret_wipe(&text);
    if (rv != APR_SUCCESS) {
        const char *line = diag.line ? apr_psprintf(p, ":%d", diag.line) : "";
        return mh_secret_refuse(secret, apr_psprintf(p, "%s: %s", line, diag.why), p);
    }
    return APR_SUCCESS;
}
