/* SPDX-License-Identifier: Apache-2.0 */
/* Owns following Include, Define and ServerRoot. Does not run httpd. */
#include "config.h"
#include "zero_tree.h"

#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "hap_grammar.h"
#include "hap_site.h"
#include "io/hapio_file.h"

enum {
    DEPTH_MAX = 20, /* of files in files, as in httpd */
    FILES_MAX = 10000,
    VARIABLE_ROUNDS = 10,       /* of variables in variables */
    WORD_MAX_BYTES = 64 * 1024, /* of a word that variables were put into */
};

/** What holds while files are read. */
typedef struct reader_t {
    zero_tree_t *result;
    const char *base;     /* folder of the first file, with its slash */
    apr_hash_t *defines;  /* by name */
    apr_hash_t *sections; /* hap_conf_section_t *: the same with its variables replaced */
    apr_hash_t *wholes;   /* such a section: the same in those around the Include of its file */
    const hap_conf_section_t *around; /* whole section that this file is included in, or NULL */
    size_t bytes;                     /* of all files so far */
    int files;
    int depth;
    hap_diag_t *diag;
    apr_pool_t *pool;
} reader_t;

static const char deep[] = "stands in too many sections";

static apr_status_t read_file(reader_t *reader, const char *path, hap_honour_node_t *parent);

static const char *folder_of(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    return slash ? apr_pstrmemdup(pool, path, (size_t)(slash - path) + 1) : "";
}

/* Relative to the first file's folder, where it lies there. */
static const char *shown(const reader_t *reader, const char *path)
{
    size_t n = strlen(reader->base);
    return strncmp(path, reader->base, n) == 0 ? path + n : path;
}

/* --- variables -------------------------------------------------------------------------------- */

static const char *replace_once(const reader_t *reader, const char *text, bool *changed)
{
    const char *from = strstr(text, "${");
    while (from) {
        const char *to = strchr(from, '}');
        if (!to) {
            return text;
        }
        const char *value = apr_hash_get(reader->defines, from + 2, to - from - 2);
        if (value) {
            *changed = true;
            return apr_pstrcat(reader->pool,
                               apr_pstrmemdup(reader->pool, text, (size_t)(from - text)), value,
                               to + 1, NULL);
        }
        from = strstr(to, "${");
    }
    return text;
}

/* What is not defined stays as it is. */
static const char *replaced(const reader_t *reader, const char *text)
{
    bool changed = true;
    for (int i = 0; changed && i < VARIABLE_ROUNDS && strlen(text) < WORD_MAX_BYTES; i++) {
        changed = false;
        text = replace_once(reader, text, &changed);
    }
    return text;
}

static const char *const *replace_all(const reader_t *reader, const char *const *argv, int argc)
{
    const char **words = apr_palloc(reader->pool, ((size_t)argc + 1) * sizeof(*words));
    for (int i = 0; i < argc; i++) {
        words[i] = replaced(reader, argv[i]);
    }
    return words;
}

/* A section is made when the first directive in it comes, by what is defined then. */
static const hap_conf_section_t *section_of(reader_t *reader, const hap_conf_section_t *section)
{
    const hap_conf_section_t *made =
        section ? apr_hash_get(reader->sections, &section, sizeof(section)) : NULL;
    if (made || !section) {
        return made;
    }
    hap_conf_section_t *copy = apr_pmemdup(reader->pool, section, sizeof(*section));
    copy->argv = replace_all(reader, section->argv, section->argc);
    copy->parent = section_of(reader, section->parent);
    const hap_conf_section_t **key = apr_pmemdup(reader->pool, &section, sizeof(section));
    apr_hash_set(reader->sections, key, sizeof(*key), copy);
    return copy;
}

/* The section with those around the Include of its file, so that it is known which server it is in.
 */
static const hap_conf_section_t *whole_of(reader_t *reader, const hap_conf_section_t *section)
{
    if (!section) {
        return reader->around;
    }
    const hap_conf_section_t *made = apr_hash_get(reader->wholes, &section, sizeof(section));
    if (made) {
        return made;
    }
    hap_conf_section_t *copy = apr_pmemdup(reader->pool, section, sizeof(*section));
    copy->parent = whole_of(reader, section->parent);
    const hap_conf_section_t **key = apr_pmemdup(reader->pool, &section, sizeof(section));
    apr_hash_set(reader->wholes, key, sizeof(*key), copy);
    return copy;
}

/* --- Include ---------------------------------------------------------------------------------- */

static apr_status_t fail(const reader_t *reader, const char *file, int line, const char *what,
                         const char *why)
{
    hap_diag_set(reader->diag, 0, "%s:%d: %s %s", shown(reader, file), line, what, why);
    return APR_EINVAL;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Files by a pattern; of a folder all that is in it, however deep. */
static apr_status_t read_matching(reader_t *reader, const char *pattern, hap_honour_node_t *parent,
                                  int folders)
{
    glob_t found;
    apr_status_t rv = APR_SUCCESS;
    if (folders > DEPTH_MAX || glob(pattern, 0, NULL, &found) != 0) {
        return APR_SUCCESS;
    }
    for (size_t i = 0; rv == APR_SUCCESS && i < found.gl_pathc; i++) {
        const char *path = apr_pstrdup(reader->pool, found.gl_pathv[i]);
        if (is_folder(path)) {
            const char *slash = path[strlen(path) - 1] == '/' ? "*" : "/*";
            rv = read_matching(reader, apr_pstrcat(reader->pool, path, slash, NULL), parent,
                               folders + 1);
        } else {
            rv = read_file(reader, path, parent);
        }
    }
    globfree(&found);
    return rv;
}

static apr_status_t include(reader_t *reader, const hap_conf_directive_t *directive,
                            const char *file, hap_honour_node_t *parent)
{
    const char *arg = directive->argc > 0 ? replaced(reader, directive->argv[0]) : "";
    hap_honour_node_t *in =
        hap_honour_place(reader->result->tree, parent, directive->section, shown(reader, file));
    if (!in) {
        return fail(reader, file, directive->line, directive->name, deep);
    }
    if (!*arg || strstr(arg, "${")) {
        return fail(reader, file, directive->line, directive->name,
                    "names a file by a variable that is not defined in these files");
    }
    const char *path =
        arg[0] == '/' ? arg : apr_pstrcat(reader->pool, reader->result->root, arg, NULL);
    bool pattern = strpbrk(path, "*?[") != NULL;
    if (pattern || is_folder(path)) {
        return read_matching(reader, path, in, 0);
    }
    struct stat info;
    if (hap_conf_is(directive, "IncludeOptional") && stat(path, &info) != 0) {
        return APR_SUCCESS;
    }
    return read_file(reader, path, in);
}

/* --- directives ------------------------------------------------------------------------------- */

static void define(reader_t *reader, const hap_conf_directive_t *directive)
{
    const char *value = directive->argc > 1 ? directive->argv[1] : "";
    if (directive->argc > 0) {
        bool gone = hap_conf_is(directive, "UnDefine");
        apr_hash_set(reader->defines, directive->argv[0], APR_HASH_KEY_STRING, gone ? NULL : value);
    }
}

static void set_root(reader_t *reader, const hap_conf_directive_t *directive)
{
    if (directive->argc == 1 && directive->argv[0][0] == '/') {
        reader->result->root = apr_pstrcat(reader->pool, directive->argv[0], "/", NULL);
    }
}

/* BalancerMember balancer://NAME URL, or BalancerMember URL in <Proxy balancer://NAME>. */
static void note_balancer(reader_t *reader, const hap_conf_directive_t *directive)
{
    const hap_conf_section_t *proxy = hap_conf_within(directive, "Proxy");
    const char *url = directive->argc > 1 ? directive->argv[0] : "";
    const char *name = hap_site_balancer_name(url, reader->pool);
    if (!name && proxy && proxy->argc > 0) {
        name = hap_site_balancer_name(proxy->argv[0], reader->pool);
    }
    if (name && reader->depth > 1) {
        APR_ARRAY_PUSH(reader->result->balancers, const char *) = name;
    }
}

static void note_ours(reader_t *reader, const hap_conf_directive_t *directive, const char *file)
{
    bool ours = hap_conf_is(directive, "HABalancer") || hap_conf_is(directive, "HAZone");
    if (ours && directive->argc > 0) {
        zero_tree_line_t *line = apr_array_push(reader->result->ours);
        line->directive = *directive;
        line->directive.section = whole_of(reader, directive->section);
        line->file = shown(reader, file);
    }
}

static apr_status_t read_directive(reader_t *reader, const hap_conf_directive_t *written,
                                   const char *file, hap_honour_node_t *parent)
{
    hap_conf_directive_t directive = *written;
    directive.argv = replace_all(reader, written->argv, written->argc);
    directive.section = section_of(reader, written->section);
    if (hap_conf_is(&directive, "Define") || hap_conf_is(&directive, "UnDefine")) {
        define(reader, &directive);
    } else if (hap_conf_is(&directive, "ServerRoot")) {
        set_root(reader, &directive);
    } else if (hap_site_listens(&directive)) {
        reader->result->is_server = true;
    } else if (hap_conf_is(&directive, "LoadModule")) {
        reader->result->loads = true;
    } else if (hap_conf_is(&directive, "BalancerMember")) {
        note_balancer(reader, &directive);
    } else if (hap_conf_is(&directive, "Include") || hap_conf_is(&directive, "IncludeOptional")) {
        const hap_conf_section_t *around = reader->around;
        reader->around = whole_of(reader, directive.section);
        apr_status_t rv = include(reader, &directive, file, parent);
        reader->around = around;
        return rv;
    }
    note_ours(reader, &directive, file);
    if (!hap_honour_add_conf(reader->result->tree, parent, &directive, shown(reader, file))) {
        return fail(reader, file, directive.line, directive.name, deep);
    }
    return APR_SUCCESS;
}

static apr_status_t read_text(reader_t *reader, hap_str_t text, const char *path,
                              hap_honour_node_t *parent)
{
    hap_diag_t found;
    hap_conf_t conf;
    apr_status_t rv = hap_conf_parse(&conf, text, &found, reader->pool);
    if (rv != APR_SUCCESS) {
        hap_diag_set(reader->diag, 0, "%s:%d: %s", shown(reader, path), found.line, found.why);
        return rv;
    }
    for (int i = 0; rv == APR_SUCCESS && i < conf.count; i++) {
        rv = read_directive(reader, &conf.directives[i], path, parent);
    }
    return rv;
}

static apr_status_t read_file(reader_t *reader, const char *path, hap_honour_node_t *parent)
{
    hap_diag_t found;
    hap_str_t text;
    if (reader->depth >= DEPTH_MAX || ++reader->files > FILES_MAX) {
        hap_diag_set(reader->diag, 0, "%s: files include each other too often",
                     shown(reader, path));
        return APR_EINVAL;
    }
    apr_status_t rv = hapio_file_read(&text, path, HAP_TEXT_MAX_BYTES, &found, reader->pool);
    if (rv != APR_SUCCESS) {
        hap_diag_set(reader->diag, 0, "%s: %s", shown(reader, path), found.why);
        return rv;
    }
    reader->bytes += text.n;
    if (reader->bytes > HAP_TEXT_MAX_BYTES) {
        hap_diag_set(reader->diag, 0, "%s: the files together are too big", shown(reader, path));
        return APR_EINVAL;
    }
    reader->depth++;
    rv = read_text(reader, text, path, parent);
    reader->depth--;
    return rv;
}

apr_status_t zero_tree_read(zero_tree_t *result, const char *path, hap_diag_t *diag,
                            apr_pool_t *pool)
{
    reader_t reader = {
        .result = result,
        .base = folder_of(path, pool),
        .defines = apr_hash_make(pool),
        .sections = apr_hash_make(pool),
        .wholes = apr_hash_make(pool),
        .diag = diag,
        .pool = pool,
    };
    *result = (zero_tree_t){
        .tree = hap_honour_tree_make(pool),
        .root = reader.base,
        .balancers = apr_array_make(pool, 4, sizeof(const char *)),
        .ours = apr_array_make(pool, 4, sizeof(zero_tree_line_t)),
    };
    return read_file(&reader, path, NULL);
}
