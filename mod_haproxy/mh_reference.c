/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns printing doc/directives.md from the tables that the module is built from; a program of its
 * own, run by `make doc` and compared by t/check-reference. Needs no httpd.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "hap_policy.h"

/** A row of the table of directives, as text. */
typedef struct directive_t {
    const char *name;
    const char *context; /* name of the override bits */
    const char *syntax;
    const char *fallback;
    const char *doc;
} directive_t;

static const directive_t directives[] = {
#define DIRECTIVE(name, takes, setter, context, syntax, fallback, doc)                             \
    {name, #context, syntax, fallback, doc},
#include "mh_directives.def"
#undef DIRECTIVE
};

/** What a directive's row cannot say. */
typedef struct extra_t {
    const char *name;
    const hap_options_t *keys; /* NULL: it has none */
    const char *example;
} extra_t;

static const extra_t extras[] = {
    {"HABalancer", &hap_policy_options,
     "<Proxy \"balancer://App\">\n"
     "    BalancerMember \"http://hosta.example:8080\" route=hostA\n"
     "    BalancerMember \"http://hostb.example:8080\" route=hostB\n"
     "    ProxySet stickysession=zsessionid\n"
     "</Proxy>\n"
     "ProxyPass \"/App\" \"balancer://App/App\"\n"
     "HABalancer App method=least slow-start=30s\n"},
    {"HACheck", &hap_check_options,
     "HACheck App uri=/App/health interval=2s timeout=1s expect=200,204\n"},
    {"HALane", NULL, "HALane On App Shop ignore=SetEnvIf\n"},
    {"HALaneConnections", NULL, "HALaneConnections 20000\n"},
    {"HALaneThreads", NULL, "HALaneThreads 2\n"},
    {"HAListen", NULL, "HAListen 80\n"},
    {"HAMap", NULL, "HAMap /var/lib/mod_haproxy/map\n"},
    {"HAMaxMembers", NULL, "HAMaxMembers 10000\n"},
    {"HAStateFile", NULL, "HAStateFile /var/lib/mod_haproxy/state\n"},
    {"HAZone", &hap_zone_options,
     "HAZone App zone=USER,STORAGE store=memcached:hosta.example:11211,hostb.example:11211 "
     "key=conf/zone.key token=conf/app.token\n"},
    {"HAZoneSessions", NULL, "HAZoneSessions 1000000\n"},
};

static const char *context_of(const directive_t *directive)
{
    static const struct {
        const char *bits, *words;
    } contexts[] = {{"RSRC_CONF", "server config, virtual host"}, {"MAIN_CONF", "server config"}};
    for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
        if (strcmp(contexts[i].bits, directive->context) == 0) {
            return contexts[i].words;
        }
    }
    return NULL;
}

static const extra_t *extra_of(const directive_t *directive)
{
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
        if (strcmp(extras[i].name, directive->name) == 0) {
            return &extras[i];
        }
    }
    return NULL;
}

static void print_keys(const hap_options_t *keys, apr_pool_t *pool)
{
    printf("| key | allowed | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < keys->n; i++) {
        const hap_option_t *row = &keys->rows[i];
        const char *tick = *row->fallback ? "`" : "";
        printf("| `%s=` | %s | %s%s%s | %s |\n", row->name, hap_option_allowed(row, pool), tick,
               *row->fallback ? row->fallback : "none", tick, row->doc);
    }
    printf("\n");
}

static int print_directive(const directive_t *directive, apr_pool_t *pool)
{
    const extra_t *extra = extra_of(directive);
    const char *context = context_of(directive);
    if (!extra || !context) {
        fprintf(stderr, "%s: %s\n", directive->name,
                extra ? "a context without words" : "has no example, add one");
        return EXIT_FAILURE;
    }
    printf("## %s\n\n%s\n\n", directive->name, directive->doc);
    printf("| | |\n|---|---|\n");
    printf("| syntax | `%s` |\n", directive->syntax);
    printf("| context | %s |\n", context);
    printf("| default | %s |\n\n", directive->fallback);
    if (extra->keys) {
        print_keys(extra->keys, pool);
    }
    printf("```apache\n%s```\n\n", extra->example);
    return EXIT_SUCCESS;
}

static const char intro[] =
    "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
    "<!-- Printed by mod_haproxy/mh_reference.c from the tables of the module: edit "
    "mod_haproxy/mh_directives.def and lib/hap_policy.def, then run make doc. -->\n"
    "# Directives\n"
    "\n"
    "Arguments are `key=value`; each key stands once in a server, over all lines for "
    "one balancer. A value that is not allowed stops the start, "
    "with file, line and what is allowed. Durations are numbers with `ms`, `s`, `m` or `h`; "
    "without "
    "a unit they are seconds. Names of balancers are compared without case.\n"
    "\n";

static const char outro[] =
    "## SetHandler ha-health\n"
    "\n"
    "Answers GET and HEAD below its location. `/` says 200 `serving`, or 503 `stopping` while the "
    "server ends. `/App` says 200 as long as at least one member of App is usable, else 503, with "
    "the counts: `usable 1 of 2, open to new sessions 0, in flight 3`. A member is usable unless "
    "it "
    "is down or in maint, and open to new sessions unless it is drained too. In the example one is "
    "down and the other drained: it serves its own sessions, so this says 200, and new ones get "
    "503. "
    "Any other name is 404. It tells no names and no addresses, and needs no permission unless a "
    "`Require` says so. `ProxyPass \"!\"` keeps a balancer that is mounted on `/` away from it.\n"
    "\n"
    "```apache\n"
    "<Location \"/ha-health\">\n"
    "    SetHandler ha-health\n"
    "    ProxyPass \"!\"\n"
    "</Location>\n"
    "```\n"
    "\n"
    "## SetHandler ha-zones\n"
    "\n"
    "The address at which applications read and write the values of their zones, with the token "
    "that "
    "`HAZone App token=FILE` names. [zones.md](zones.md) (L2) describes it. It needs a `Require` "
    "in "
    "its own section or one around it, else httpd does not start; and `ProxyPass \"!\"` as above.\n"
    "\n"
    "```apache\n"
    "<Location \"/zones\">\n"
    "    SetHandler ha-zones\n"
    "    Require ip 127.0.0.1 10.0.0.0/24\n"
    "</Location>\n"
    "```\n"
    "\n"
    "## ProxySet lbmethod=ha\n"
    "\n"
    "For a balancer without HABalancer: mod_proxy_balancer keeps sessions, errors and retries to "
    "itself, and asks only who takes a request without a session. The answer is `method=round` "
    "over the members that mod_proxy holds usable.\n"
    "\n"
    "```apache\n"
    "<Proxy \"balancer://App\">\n"
    "    BalancerMember \"http://hosta.example:8080\" route=hostA\n"
    "    BalancerMember \"http://hostb.example:8080\" route=hostB\n"
    "    ProxySet stickysession=zsessionid lbmethod=ha\n"
    "</Proxy>\n"
    "```\n";

int main(void)
{
    apr_pool_t *pool = NULL;
    int code = EXIT_SUCCESS;
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return EXIT_FAILURE;
    }
    fputs(intro, stdout);
    for (size_t i = 0; code == EXIT_SUCCESS && i < sizeof(directives) / sizeof(*directives); i++) {
        code = print_directive(&directives[i], pool);
    }
    fputs(outro, stdout);
    apr_pool_destroy(pool);
    apr_terminate();
    return fflush(stdout) == 0 ? code : EXIT_FAILURE;
}
