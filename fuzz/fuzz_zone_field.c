/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of the zones' fields. Input: lines of a head, `name:value`, as they are given to
 * hap_zone_said_add. What was read lies within its limits; a state that was read, and told to an
 * instance, is read again as the same.
 */
#include <ctype.h>

#include "fuzz.h"
#include "hap_zone_field.h"

/* The same question, asked otherwise. */
static bool begins(hap_str_t name, const char *prefix)
{
    size_t i = 0;
    while (prefix[i] && i < name.n &&
           (name.p[i] == '_' ? '-' : tolower((unsigned char)name.p[i])) == prefix[i]) {
        i++;
    }
    return !prefix[i];
}

static void read_line(hap_zone_said_t *said, hap_str_t line)
{
    size_t colon = hap_str_find(line, ':', 0);
    hap_str_t name = hap_str_sub(line, 0, colon);
    hap_str_t value = hap_str_sub(line, colon + 1, line.n);
    bool family = begins(name, "ha-session") || begins(name, "ha-fence");
    must(hap_zone_said_add(said, name, value) == family);
}

static void check_id(hap_str_t id)
{
    must(id.n <= HAP_ZONE_SID_BYTES_MAX);
    for (size_t i = 0; i < id.n; i++) {
        must(id.p[i] >= 0x20 && id.p[i] < 0x7f);
    }
}

static void check_said(const hap_zone_said_t *said)
{
    check_id(said->id);
    check_id(said->new_id);
    must(said->parts <= HAP_ZONE_PARTS_MAX && (said->state || said->parts == 0));
    must(!said->state || (said->version > 0 && said->version <= HAP_ZONE_VERSION_MAX));
    bool lives = said->state || said->word == HAP_ZONE_SAYS_TOUCH;
    must(!lives || (said->ttl_s > 0 && said->ttl_s <= HAP_ZONE_TTL_S_MAX));
    must((said->word == HAP_ZONE_SAYS_REKEY) <= (said->new_id.n > 0));
    for (unsigned i = 0; i < said->parts; i++) {
        must(said->part[i].n > 0 && said->part[i].n <= HAP_ZONE_PART_CHARS_MAX);
    }
}

/* Each line as it was told, but the word as an application would say it. */
static void read_again(hap_zone_said_t *again, const hap_zone_line_t *lines, unsigned n)
{
    static char session[256];
    static const char put[] = "put; ttl=1";
    static const char restore[] = "restore";
    hap_zone_said_begin(again);
    for (unsigned i = 0; i < n; i++) {
        hap_str_t value = lines[i].value;
        must(value.p[value.n] == '\0' && strlen(value.p) == value.n);
        if (hap_str_eq(hap_str(lines[i].name), HAP_STR_LIT("HA-Session"))) {
            must(hap_str_starts(value, hap_str(restore)));
            value = hap_str_sub(value, sizeof(restore) - 1, value.n);
            memcpy(session, put, sizeof(put) - 1);
            memcpy(session + sizeof(put) - 1, value.p, value.n);
            value = hap_strn(session, sizeof(put) - 1 + value.n);
        }
        must(hap_zone_said_add(again, hap_str(lines[i].name), value));
    }
    must(hap_zone_said_end(again));
}

static void check_state(hap_zone_said_t *said)
{
    static char state[HAP_ZONE_STATE_BYTES_MAX];
    static char back[HAP_ZONE_STATE_BYTES_MAX];
    static char room[HAP_ZONE_SAY_BYTES];
    static hap_zone_said_t again;
    hap_zone_line_t lines[HAP_ZONE_LINES_MAX];
    hap_zone_record_t record = {.version = said->version};
    if (!hap_zone_said_state(said, state, &record.data.n)) {
        must(said->why != NULL);
        return;
    }
    record.data.p = state;
    unsigned n = hap_zone_say(lines, room, HAP_ZONE_TELL_RESTORE, 1, &record, said->id);
    read_again(&again, lines, n);
    size_t bytes = 0;
    must(again.version == said->version && hap_zone_said_state(&again, back, &bytes));
    must(hap_str_eq(hap_strn(back, bytes), record.data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hap_zone_said_t said;
    hap_str_t rest = fuzz_text(data, size);
    hap_str_t line;
    hap_zone_said_begin(&said);
    while (hap_str_line(&line, &rest)) {
        read_line(&said, line);
    }
    if (!hap_zone_said_end(&said)) {
        must(said.why && said.word == HAP_ZONE_SAYS_NOTHING && !said.state);
        return 0;
    }
    check_said(&said);
    if (said.state) {
        check_state(&said);
    }
    return 0;
}
