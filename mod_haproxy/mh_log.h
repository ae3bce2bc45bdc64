/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the module's name in log lines: include it before using ap_log_*. */
#ifndef MH_LOG_H
#define MH_LOG_H

#include <http_log.h>

APLOG_USE_MODULE(haproxy);

#endif
