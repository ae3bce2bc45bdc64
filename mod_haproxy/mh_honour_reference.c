/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns printing doc/lane-directives.md from the table that the verdict goes by; a program of its
 * own, run by `make doc` and compared by t/check-reference. Needs no httpd.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hap_honour.h"

static const char intro[] =
    "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
    "<!-- Printed by mod_haproxy/mh_honour_reference.c, the table from lib/hap_honour.def: edit "
    "these, then run make doc. -->\n"
    "# What directives mean for the lane\n"
    "\n"
    "The lane carries requests past httpd's own way, so it must never bypass what is configured "
    "there. At startup every directive that acts on the requests of a mount is looked up here. If "
    "the lane does not honour one, the mount stays on the standard path, and the log names the "
    "directive, its file and its line. `zero modproxy check` says the same of a whole "
    "configuration beforehand ([check.md](check.md)).\n"
    "\n";

/* What most people meet, and what to do then; t/15-check-lane.t tries each. */
static const struct {
    const char *what;
    const char *instead;
} common[] = {
    {"`SSLEngine On`", "nothing: TLS is httpd's, and costs what it costs without the lane. A "
                       "`<VirtualHost>` for plain "
                       "HTTP beside it is judged by itself"},
    {"`RewriteRule` whose pattern fits any path, as to send all to https",
     "begin the pattern with the path that it is about, as in `RewriteRule ^/old/`, or write "
     "`Redirect \"/old\"` or `RedirectMatch ^/$`: what cannot fit the mount does not block. A "
     "virtual "
     "host that only redirects needs no mount"},
    {"`Require` and its like in `<Location \"/\">`, `<Location \"/App\">` or `<Proxy>`",
     "ask only where it is needed: in `<Location \"/App/admin\">` it keeps that part alone. "
     "`Require "
     "all granted`, and what stands in `<Directory>`, blocks nothing"},
    {"`SetEnvIf` by anything but User-Agent, `SetEnv`, `PassEnv`",
     "move it into the `<VirtualHost>` or `<Location>` that needs it, or, if nothing that acts on "
     "these requests reads the variable, `HALane On ignore=SetEnvIf`"},
    {"`Header` or `RequestHeader` with `edit`, `expr=`, `env=`, or a value with `%t`, `%{NAME}e` "
     "...",
     "a constant, as in `RequestHeader set X-Forwarded-Proto http`: the lane carries plain HTTP "
     "alone. The client's address is in X-Forwarded-For already"},
    {"`Substitute`, `SetOutputFilter`, `AddOutputFilterByType` with another filter than `DEFLATE`",
     "compress with `AddOutputFilterByType DEFLATE text/html`; put all else into a `<Location>` "
     "for the pages that it edits"},
    {"`ProxyErrorOverride On`, `ExpiresActive On`",
     "let the application answer so, or put it into a `<Location>` below the mount"},
    {"`RemoteIPHeader`",
     "`HALane On ignore=RemoteIPHeader`, if logs and X-Forwarded-For may have the "
     "address that connects; else nothing"},
    {"`CustomLog` with `expr=`, or a format with `%{NAME}o` or `%{NAME}n`",
     "a format without them, such as Debian's `combined`; `env=` is honoured"},
    {"`ProxyPass` in a `<Location>`, `ProxyPassMatch`",
     "`ProxyPass \"/App\" \"balancer://App/App\"` outside of it"},
    {"a module that is not known here, such as mod_evasive",
     "`HALane On ignore=evasive20_module`, if the lane may bypass it"},
};

static const char rules[] =
    "`HALane On ignore=NAME` waives a directive by its name, `HALane On App ignore=NAME` for one "
    "balancer. What is waived is not done for what the lane carries: never waive what protects.\n"
    "\n"
    "## How it is judged\n"
    "\n"
    "A mount is a `ProxyPass \"/path\" \"balancer://NAME/path\"` outside of `<Location>`, whose "
    "balancer HABalancer names and whose members are all `http://`. Each is judged for each server "
    "that has it: one that the main server and a `<VirtualHost>` have is judged for both.\n"
    "\n"
    "| verdict | meaning |\n"
    "|---|---|\n"
    "| no effect | it cannot act on what the lane carries: plain HTTP/1 requests under a mount |\n"
    "| honoured | the lane does what it says; a value that it cannot do blocks, with a sentence |\n"
    "| by value | it blocks, unless its value does nothing, as `ProxyErrorOverride Off` or "
    "`Require "
    "all granted` |\n"
    "| by path | it blocks the paths that it names: the mount when they are equal or above, that "
    "part when they are below, nothing when they lie elsewhere |\n"
    "| blocks | it keeps the mount on the standard path |\n"
    "| a section | what it does with the directives in it |\n"
    "\n"
    "What blocks in a `<Location>` below the mount keeps only that part on the standard path, and "
    "so does what is honoured there: one mount is carried in one way. A pattern counts as fitting "
    "unless its beginning shows that it cannot: `^/other` does not fit `/App`, `\\.php$` may. Of "
    "several ProxyPass lines the first one that fits has the request, the main server's before the "
    "virtual host's; `ProxyPass \"/App/static\" \"!\"` before `/App` keeps that part.\n"
    "\n"
    "A directive that is not in the table blocks, because a module that is not known may do "
    "anything, and so does a module that is not known, because it may act without a directive. "
    "`HALane On ignore=NAME,...` waives by name, without regard to case, whatever the directive "
    "is; "
    "a module goes by the name that LoadModule gives it, as in `ignore=evasive20_module`. What the "
    "lane can do of a waived directive it does all the same. A name that is no directive is "
    "refused.\n"
    "\n"
    "Some things go back to httpd request by request: clients whose User-Agent a BrowserMatch "
    "names, and paths with an extension that AddLanguage, AddEncoding, AddInputFilter or "
    "AddOutputFilter "
    "names, because mod_mime acts on proxied requests too. One thing differs: to an answer without "
    "Content-Type, httpd gives one by the extension of the path, and the lane gives none.\n"
    "\n"
    "## All directives\n"
    "\n"
    "| directive | verdict | it ... |\n"
    "|---|---|---|\n";

/* A bar would end the cell. */
static void print_cell(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '|') {
            putchar('\\');
        }
        putchar(*c);
    }
}

static void print_common(void)
{
    puts("## What most often blocks\n\n| what stands there | what to do |\n|---|---|");
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        printf("| %s | %s |\n", common[i].what, common[i].instead);
    }
    puts("");
}

int main(void)
{
    hap_honour_entry_t entry;
    fputs(intro, stdout);
    print_common();
    fputs(rules, stdout);
    for (size_t i = 0; hap_honour_entry(&entry, i); i++) {
        printf(entry.section ? "| `<%s>` | %s | " : "| `%s` | %s | ", entry.name, entry.verdict);
        print_cell(entry.meaning);
        printf(" |\n");
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
