/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the grammar of the zones' fields: an item with parameters as in RFC 8941, and parts of a
 * state. What is wrong first is what is told.
 */
#include "hap_zone_field.h"

#include "hap_base64url.h"
#include "hap_http1_class.h"

#define HA_SESSION      HAP_STR_LIT("HA-Session")
#define HA_SESSION_DATA HAP_STR_LIT("HA-Session-Data")

/* Parameters that are known, as bits. */
enum {
    GIVEN_ID = 1 << 0,
    GIVEN_NEW = 1 << 1,
    GIVEN_VER = 1 << 2,
    GIVEN_TTL = 1 << 3,
    GIVEN_PARTS = 1 << 4,
    GIVEN_STATE = GIVEN_VER | GIVEN_TTL | GIVEN_PARTS
};

/* --- names ------------------------------------------------------------------------------------ */

/* `prefix` is in lower case. */
static bool begins(hap_str_t name, hap_str_t prefix)
{
    for (size_t i = 0; i < prefix.n; i++) {
        char c = i == name.n ? '\0' : name.p[i];
        char plain = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        if (plain != prefix.p[i]) {
            return false;
        }
    }
    return true;
}

bool hap_zone_begins_family(hap_str_t name)
{
    return begins(name, HAP_STR_LIT("ha-session")) || begins(name, HAP_STR_LIT("ha-fence"));
}

/* --- values of parameters (RFC 8941 4.2.3) ---------------------------------------------------- */

typedef enum value_kind_t {
    VALUE_INTEGER, /* without a sign */
    VALUE_STRING,
    VALUE_OTHER /* whatever no parameter of ours has */
} value_kind_t;

typedef struct value_t {
    value_kind_t kind;
    uint64_t integer;
    hap_str_t string; /* between the quotes, as it came */
} value_t;

/* Cuts the first n bytes off. */
static hap_str_t take(hap_str_t *rest, size_t n)
{
    hap_str_t taken = hap_str_sub(*rest, 0, n);
    *rest = hap_str_sub(*rest, n, rest->n);
    return taken;
}

static bool take_char(hap_str_t *rest, char c)
{
    bool is_there = rest->n && rest->p[0] == c;
    take(rest, is_there ? 1 : 0);
    return is_there;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static size_t count_digits(hap_str_t s)
{
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n])) {
        n++;
    }
    return n;
}

/* ["-"] 1*15DIGIT, or ["-"] 1*12DIGIT "." 1*3DIGIT */
static bool read_number(value_t *value, hap_str_t *rest)
{
    enum { INTEGER_DIGITS = 15, WHOLE_DIGITS = 12, FRACTION_DIGITS = 3 };
    bool minus = take_char(rest, '-');
    hap_str_t whole = take(rest, count_digits(*rest));
    if (whole.n == 0 || whole.n > INTEGER_DIGITS) {
        return false;
    }
    if (take_char(rest, '.')) {
        size_t fraction = take(rest, count_digits(*rest)).n;
        value->kind = VALUE_OTHER;
        return whole.n <= WHOLE_DIGITS && fraction > 0 && fraction <= FRACTION_DIGITS;
    }
    value->kind = minus ? VALUE_OTHER : VALUE_INTEGER;
    value->integer = 0;
    for (size_t i = 0; i < whole.n; i++) {
        value->integer = value->integer * 10 + (uint64_t)(whole.p[i] - '0');
    }
    return true;
}

/* A quote, printable ASCII with `\"` and `\\`, a quote. */
static bool read_string(value_t *value, hap_str_t *rest)
{
    size_t at = 1;
    while (at < rest->n && rest->p[at] != '"') {
        bool escapes = rest->p[at] == '\\';
        at += escapes;
        bool may = at < rest->n && rest->p[at] >= 0x20 && rest->p[at] < 0x7f &&
                   (!escapes || rest->p[at] == '"' || rest->p[at] == '\\');
        if (!may) {
            return false;
        }
        at++;
    }
    if (at >= rest->n) {
        return false;
    }
    value->kind = VALUE_STRING;
    value->string = hap_str_sub(take(rest, at + 1), 1, at);
    return true;
}

static bool is_token_char(char c)
{
    return c == ':' || c == '/' || hap_byte_is(c, HAP_BYTE_TOKEN);
}

static size_t count_token(hap_str_t s)
{
    size_t n = 0;
    while (n < s.n && is_token_char(s.p[n])) {
        n++;
    }
    return n;
}

static bool is_base64_char(char c)
{
    return is_alpha(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}

/* ":" base64 ":" */
static bool read_bytes(hap_str_t *rest)
{
    take(rest, 1);
    while (rest->n && is_base64_char(rest->p[0])) {
        take(rest, 1);
    }
    return take_char(rest, ':');
}

static bool read_value(value_t *value, hap_str_t *rest)
{
    char first = rest->n ? rest->p[0] : '\0';
    value->kind = VALUE_OTHER;
    if (first == '"') {
        return read_string(value, rest);
    }
    if (first == '-' || is_digit(first)) {
        return read_number(value, rest);
    }
    if (first == '*' || is_alpha(first)) {
        take(rest, count_token(*rest));
        return true;
    }
    if (first == '?') {
        take(rest, 1);
        return take_char(rest, '0') || take_char(rest, '1');
    }
    return first == ':' && read_bytes(rest);
}

/* ( lcalpha / "*" ) *( lcalpha / DIGIT / "_" / "-" / "." / "*" ) */
static hap_str_t read_key(hap_str_t *rest)
{
    size_t n = 0;
    while (n < rest->n) {
        char c = rest->p[n];
        bool first = (c >= 'a' && c <= 'z') || c == '*';
        if (!first && (n == 0 || !(is_digit(c) || c == '_' || c == '-' || c == '.'))) {
            break;
        }
        n++;
    }
    return take(rest, n);
}

/* --- parameters ------------------------------------------------------------------------------- */

/* Takes the backslashes out: what has some is written into `room`. False when it is too long. */
static bool unescape(hap_str_t *s, char room[HAP_ZONE_SID_BYTES_MAX])
{
    if (hap_str_find(*s, '\\', 0) == s->n) {
        return s->n <= HAP_ZONE_SID_BYTES_MAX;
    }
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (n == HAP_ZONE_SID_BYTES_MAX) {
            return false;
        }
        i += s->p[i] == '\\';
        room[n++] = s->p[i];
    }
    *s = hap_strn(room, n);
    return true;
}

static bool take_id(hap_str_t *id, char room[HAP_ZONE_SID_BYTES_MAX], const value_t *value)
{
    *id = value->string;
    return value->kind == VALUE_STRING && value->string.n > 0 && unescape(id, room);
}

static bool take_own_id(hap_zone_said_t *said, const value_t *value)
{
    return take_id(&said->id, said->room, value);
}

static bool take_new_id(hap_zone_said_t *said, const value_t *value)
{
    return take_id(&said->new_id, said->room + HAP_ZONE_SID_BYTES_MAX, value);
}

static bool take_version(hap_zone_said_t *said, const value_t *value)
{
    said->version = value->integer;
    return value->kind == VALUE_INTEGER && value->integer > 0;
}

static bool take_ttl(hap_zone_said_t *said, const value_t *value)
{
    bool more = value->integer > HAP_ZONE_TTL_S_MAX;
    said->ttl_s = more ? HAP_ZONE_TTL_S_MAX : (uint32_t)value->integer;
    return value->kind == VALUE_INTEGER && value->integer > 0;
}

static bool take_parts(hap_zone_said_t *said, const value_t *value)
{
    bool may = value->kind == VALUE_INTEGER && value->integer <= HAP_ZONE_PARTS_MAX;
    said->parts = may ? (unsigned)value->integer : 0;
    return may;
}

static const struct {
    hap_str_t key;
    unsigned bit;
    bool (*take)(hap_zone_said_t *said, const value_t *value);
    const char *why; /* when it is not taken */
} params[] = {
    {{"id", 2}, GIVEN_ID, take_own_id, "id is no string of 1 to 256 bytes"},
    {{"new", 3}, GIVEN_NEW, take_new_id, "new is no string of 1 to 256 bytes"},
    {{"ver", 3}, GIVEN_VER, take_version, "ver is no integer from 1 to 999999999999999"},
    {{"ttl", 3}, GIVEN_TTL, take_ttl, "ttl is no integer from 1"},
    {{"parts", 5}, GIVEN_PARTS, take_parts, "parts is no integer from 0 to 4"},
};

static const char *note_param(hap_zone_said_t *said, hap_str_t key, const value_t *value)
{
    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        if (!hap_str_eq(params[i].key, key)) {
            continue;
        }
        if (said->given & params[i].bit) {
            return "a parameter is there twice";
        }
        said->given |= params[i].bit;
        return params[i].take(said, value) ? NULL : params[i].why;
    }
    return NULL;
}

/* *( ";" *SP key [ "=" value ] ), to the end */
static const char *read_params(hap_zone_said_t *said, hap_str_t rest)
{
    const char *why = NULL;
    while (!why && take_char(&rest, ';')) {
        while (take_char(&rest, ' ')) {
        }
        hap_str_t key = read_key(&rest);
        value_t value = {VALUE_OTHER, 0, {NULL, 0}};
        if (key.n == 0 || (take_char(&rest, '=') && !read_value(&value, &rest))) {
            return "a parameter is malformed";
        }
        why = note_param(said, key, &value);
    }
    return why || rest.n == 0 ? why : "HA-Session is no item with parameters";
}

/* --- what the application says ---------------------------------------------------------------- */

static const struct {
    hap_str_t name;
    unsigned needs;
    const char *why; /* when it does not have them */
} words[] = {
    [HAP_ZONE_SAYS_NOTHING] = {{"", 0}, 0, NULL},
    [HAP_ZONE_SAYS_PUT] = {{"put", 3}, GIVEN_STATE, "put without ver, ttl or parts"},
    [HAP_ZONE_SAYS_TOUCH] = {{"touch", 5}, GIVEN_TTL, "touch without ttl"},
    [HAP_ZONE_SAYS_DEL] = {{"del", 3}, 0, NULL},
    [HAP_ZONE_SAYS_REKEY] = {{"rekey", 5}, GIVEN_NEW, "rekey without new"},
    [HAP_ZONE_SAYS_MISS] = {{"miss", 4}, 0, NULL},
};

enum { WORDS = sizeof(words) / sizeof(words[0]) };

const char *hap_zone_word_text(hap_zone_word_t word)
{
    return words[word].name.p;
}

static const char *read_session(hap_zone_said_t *said, hap_str_t value)
{
    if (said->word != HAP_ZONE_SAYS_NOTHING) {
        return "there is more than one HA-Session";
    }
    hap_str_t name = take(&value, count_token(value));
    for (unsigned word = HAP_ZONE_SAYS_PUT; word < WORDS; word++) {
        if (hap_str_eq(words[word].name, name)) {
            said->word = (hap_zone_word_t)word;
            return read_params(said, value);
        }
    }
    return "HA-Session begins with none of put, touch, del, rekey and miss";
}

/* DIGIT ";" *SP 1*7000char */
static const char *read_part(hap_zone_said_t *said, hap_str_t text)
{
    unsigned i = text.n ? (unsigned)(unsigned char)text.p[0] - '0' : HAP_ZONE_PARTS_MAX;
    if (i >= HAP_ZONE_PARTS_MAX || text.n < 2 || text.p[1] != ';') {
        return "HA-Session-Data does not begin with a number from 0 to 3 and a semicolon";
    }
    take(&text, 2);
    while (take_char(&text, ' ')) {
    }
    if (text.n == 0 || text.n > HAP_ZONE_PART_CHARS_MAX) {
        return "HA-Session-Data has not 1 to 7000 characters";
    }
    if (said->parts_seen & (1u << i)) {
        return "a part is there twice";
    }
    said->parts_seen |= 1u << i;
    said->part[i] = text;
    return NULL;
}

static const char *read_data(hap_zone_said_t *said, hap_str_t value)
{
    const char *why = NULL;
    for (size_t at = 0; !why && at <= value.n;) {
        size_t comma = hap_str_find(value, ',', at);
        why = read_part(said, hap_str_trim(hap_str_sub(value, at, comma)));
        at = comma + 1;
    }
    return why;
}

void hap_zone_said_begin(hap_zone_said_t *said)
{
    /* All but the room. */
    memset(said, 0, offsetof(hap_zone_said_t, room));
}

bool hap_zone_said_add(hap_zone_said_t *said, hap_str_t name, hap_str_t value)
{
    if (!hap_zone_is_family(name)) {
        return false;
    }
    if (said->why) {
        return true;
    }
    if (hap_str_eq_nocase(name, HA_SESSION)) {
        said->why = read_session(said, hap_str_trim(value));
    } else if (hap_str_eq_nocase(name, HA_SESSION_DATA)) {
        said->why = read_data(said, value);
    }
    return true;
}

static const char *judge(hap_zone_said_t *said)
{
    if (said->word == HAP_ZONE_SAYS_NOTHING) {
        return said->parts_seen ? "HA-Session-Data without HA-Session" : NULL;
    }
    if ((said->given & words[said->word].needs) != words[said->word].needs) {
        return words[said->word].why;
    }
    unsigned given = said->given & GIVEN_STATE;
    if (said->word == HAP_ZONE_SAYS_REKEY && given && given != GIVEN_STATE) {
        return "rekey with some of ver, ttl and parts, but not all";
    }
    said->state = said->word == HAP_ZONE_SAYS_PUT || (said->word == HAP_ZONE_SAYS_REKEY && given);
    said->parts = said->state ? said->parts : 0;
    return said->parts_seen == (1u << said->parts) - 1
               ? NULL
               : "the parts are not those that were announced";
}

bool hap_zone_said_end(hap_zone_said_t *said)
{
    if (!said->why) {
        said->why = judge(said);
    }
    if (said->why) {
        said->word = HAP_ZONE_SAYS_NOTHING;
        said->state = false;
    }
    return !said->why;
}

bool hap_zone_said_state(hap_zone_said_t *said, char *out, size_t *n)
{
    if (!hap_base64url_decode(out, n, said->part, said->parts)) {
        said->why = "the state is no base64url";
        return false;
    }
    return true;
}

/* --- what the proxy says ---------------------------------------------------------------------- */

/* Values in the room, one behind the other. HAP_ZONE_SAY_BYTES are more than they can take. */
typedef struct room_t {
    char *begin; /* of the value that is being written */
    char *end;
} room_t;

static void put(room_t *room, hap_str_t s)
{
    if (s.n) {
        memcpy(room->end, s.p, s.n);
        room->end += s.n;
    }
}

#define PUT_LIT(room, lit) put(room, HAP_STR_LIT(lit))

static void put_number(room_t *room, uint64_t number)
{
    char digits[HAP_STR_UINT_BYTES];
    put(room, hap_str_digits(digits, number));
}

static hap_zone_line_t finish(room_t *room, const char *name)
{
    hap_str_t value = hap_strn(room->begin, (size_t)(room->end - room->begin));
    *room->end++ = '\0';
    room->begin = room->end;
    return (hap_zone_line_t){name, value};
}

/* Owners come out of a store: what needs escaping is none. */
static bool is_route(hap_str_t s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\') {
            return false;
        }
    }
    return s.n > 0 && s.n <= HAP_ZONE_OWNER_BYTES_MAX;
}

static unsigned say_restore(hap_zone_line_t *lines, room_t *room, const hap_zone_record_t *record,
                            hap_str_t from)
{
    size_t left = HAP_BASE64URL_CHARS(record->data.n);
    unsigned parts = (unsigned)((left + HAP_ZONE_PART_CHARS_MAX - 1) / HAP_ZONE_PART_CHARS_MAX);
    unsigned n = 0;
    PUT_LIT(room, "restore; ver=");
    put_number(room, record->version);
    if (is_route(from)) {
        PUT_LIT(room, "; from=\"");
        put(room, from);
        PUT_LIT(room, "\"");
    }
    PUT_LIT(room, "; parts=");
    put_number(room, parts);
    lines[n++] = finish(room, "HA-Session");
    enum { PART_BYTES = HAP_ZONE_PART_CHARS_MAX / 4 * 3 };
    for (unsigned i = 0; i < parts; i++) {
        hap_str_t data =
            hap_str_sub(record->data, (size_t)i * PART_BYTES, (size_t)(i + 1) * PART_BYTES);
        put_number(room, i);
        PUT_LIT(room, "; ");
        hap_base64url_encode(room->end, data.p, data.n);
        room->end += HAP_BASE64URL_CHARS(data.n);
        lines[n++] = finish(room, "HA-Session-Data");
    }
    return n;
}

unsigned hap_zone_say(hap_zone_line_t lines[HAP_ZONE_LINES_MAX], char *room_, hap_zone_tell_t tell,
                      uint64_t epoch, const hap_zone_record_t *record, hap_str_t from)
{
    static const char *const tells[] = {
        [HAP_ZONE_TELL_RESTORE] = "none", /* when there is nothing to give */
        [HAP_ZONE_TELL_NONE] = "none",
        [HAP_ZONE_TELL_GONE] = "gone",
        [HAP_ZONE_TELL_ERROR] = "error",
    };
    room_t room = {room_, room_};
    unsigned n = 0;
    if (epoch) {
        put_number(&room, epoch);
        lines[n++] = finish(&room, "HA-Fence");
    }
    if (tell == HAP_ZONE_TELL_FENCE) {
        return n;
    }
    if (tell == HAP_ZONE_TELL_RESTORE && record->version > 0 &&
        record->data.n <= HAP_ZONE_STATE_BYTES_MAX) {
        return n + say_restore(lines + n, &room, record, from);
    }
    put(&room, hap_str(tells[tell]));
    lines[n++] = finish(&room, "HA-Session");
    return n;
}
