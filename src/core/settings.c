/*
 * settings.c - the rows of settings.def at work: text to value, value to text, and taking a file's lines.
 *
 * What must hold between settings, and the cluster's settings by name, are in settings_check.c.
 */
#include "core/settings.h"

#include <stdarg.h>
#include <stdlib.h>

enum setting_type {
    TYPE_INT,      /* int32_t */
    TYPE_COUNT,    /* uint32_t */
    TYPE_DURATION, /* uint32_t, milliseconds */
    TYPE_SIZE,     /* uint64_t, bytes */
    TYPE_CHOICE,   /* uint32_t, place of the word */
    TYPE_NAME,     /* texts from here on; bounds are their lengths */
    TYPE_TEXT,
    TYPE_PATH,      /* absolute */
    TYPE_ADDRESS,   /* host:port */
    TYPE_ADDRESSES, /* a list of them */
};

enum { IS_RESTART = false, IS_RELOAD = true };

static const struct setting rows[] = {
#define SETTING(field, kind, initial, low, high, when, what)                                                           \
    { .name = #field,                                                                                                  \
      .fallback = (initial),                                                                                           \
      .text = (what),                                                                                                  \
      .min = (low),                                                                                                    \
      .max = (high),                                                                                                   \
      .offset = offsetof(struct settings, field),                                                                      \
      .type = TYPE_##kind,                                                                                             \
      .scope = SCOPE_NODE,                                                                                             \
      .reload = IS_##when },
#define CHOICE(field, initial, list, when, what)                                                                       \
    { .name = #field,                                                                                                  \
      .fallback = (initial),                                                                                           \
      .words = (list),                                                                                                 \
      .text = (what),                                                                                                  \
      .offset = offsetof(struct settings, field),                                                                      \
      .type = TYPE_CHOICE,                                                                                             \
      .scope = SCOPE_NODE,                                                                                             \
      .reload = IS_##when },
#define POLICY(label, member, kind, initial, low, high, what)                                                          \
    { .name = #label,                                                                                                  \
      .fallback = (initial),                                                                                           \
      .text = (what),                                                                                                  \
      .min = (low),                                                                                                    \
      .max = (high),                                                                                                   \
      .offset = offsetof(struct settings, policy.member),                                                              \
      .type = TYPE_##kind,                                                                                             \
      .scope = SCOPE_CLUSTER },
#define POLICY_CHOICE(member, initial, list, what)                                                                     \
    { .name = #member,                                                                                                 \
      .fallback = (initial),                                                                                           \
      .words = (list),                                                                                                 \
      .text = (what),                                                                                                  \
      .offset = offsetof(struct settings, policy.member),                                                              \
      .type = TYPE_CHOICE,                                                                                             \
      .scope = SCOPE_CLUSTER },
#include "core/settings.def"
};

/* FIRST_<tag>: index of the first row below that heading. */
enum {
#define SECTION(tag, heading) FIRST_##tag, BEFORE_##tag = FIRST_##tag - 1,
#define SETTING(field, kind, initial, low, high, when, what) ROW_##field,
#define CHOICE(field, initial, list, when, what) ROW_##field,
#define POLICY(label, member, kind, initial, low, high, what) ROW_##label,
#define POLICY_CHOICE(member, initial, list, what) ROW_##member,
#include "core/settings.def"
};

static const struct {
    size_t first;
    const char *heading;
} sections[] = {
#define SECTION(tag, heading) { FIRST_##tag, heading },
#include "core/settings.def"
};

static const struct {
    const char *name;
    const char *why; /* "": a name that repmgr itself gave up */
} repmgr_rows[] = {
#define REPMGR(field, reason) { #field, reason },
#define OBSOLETE(field) { #field, "" },
#include "core/settings.def"
};

/* Units by their factor, largest first. */
struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = { { "h", 3600000 }, { "min", 60000 }, { "s", 1000 }, { "ms", 1 } };
static const struct unit size_units[] = {
    { "TB", 1ull << 40 }, { "GB", 1ull << 30 }, { "MB", 1ull << 20 }, { "kB", 1ull << 10 }, { "B", 1 }
};
#define UNITS_OF(table) (table), ARRAY_LEN(table)

static bool same_word(const char *left, const char *right, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char l = left[i] >= 'A' && left[i] <= 'Z' ? (char)(left[i] + 32) : left[i];
        char r = right[i] >= 'A' && right[i] <= 'Z' ? (char)(right[i] + 32) : right[i];
        if (l != r || !l)
            return l == r;
    }
    return true;
}

/* Reads digits; false when there are none or too many. */
static bool digits(const char **at, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *c = *at;

    for (; *c >= '0' && *c <= '9'; c++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    if (c == *at)
        return false;
    *at = c;
    *ret_value = value;
    return true;
}

/* A whole number with one of the units. Bare: what a number without a unit counts; 0 = only "0" may go without. */
static bool number_with_unit(const char *text, const struct unit *units, size_t count, uint64_t bare, uint64_t *ret)
{
    uint64_t value;

    if (!digits(&text, &value))
        return false;
    text += strspn(text, " ");
    if (!*text) {
        *ret = value * bare;
        return (bare || !value) && (!bare || value <= UINT64_MAX / bare);
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(text) == strlen(units[i].name) && same_word(text, units[i].name, strlen(text))) {
            *ret = value * units[i].factor;
            return value <= (uint64_t)INT64_MAX / units[i].factor;
        }
    }
    return false;
}

static void number_text(uint64_t value, const struct unit *units, size_t count, char *text, size_t size)
{
    size_t i = 0;

    while (i + 1 < count && (value == 0 || value % units[i].factor))
        i++;
    (void)snprintf(text, size, "%" PRIu64 "%s", value / units[i].factor, value ? units[i].name : "");
}

void settings_bound_text(const struct setting *row, int64_t bound, char *ret_text, size_t size)
{
    if (row->type == TYPE_DURATION)
        number_text((uint64_t)bound, UNITS_OF(time_units), ret_text, size);
    else if (row->type == TYPE_SIZE)
        number_text((uint64_t)bound, UNITS_OF(size_units), ret_text, size);
    else if (row->type == TYPE_INT || row->type == TYPE_COUNT)
        (void)snprintf(ret_text, size, "%" PRId64, bound);
    else
        ret_text[0] = '\0';
}

/* The words of a choice: "a|b=synonym". Returns the place of the one that text names, or -1. */
static int choice_of(const char *words, const char *text)
{
    int place = 0;

    for (const char *at = words; *at;) {
        size_t length = strcspn(at, "|=");
        if (length == strlen(text) && same_word(at, text, length))
            return place;
        at += length;
        if (*at == '|')
            place++;
        at += *at != '\0';
    }
    return -1;
}

/* The word at a place, without its synonyms. */
static void choice_text(const char *words, uint32_t place, char *text, size_t size)
{
    while (place > 0 && (words = strchr(words, '|'))) {
        words++;
        place--;
    }
    assert(words);
    (void)snprintf(text, size, "%.*s", (int)strcspn(words, "|="), words);
}

static uint32_t choice_count(const char *words)
{
    uint32_t count = 1;

    for (; (words = strchr(words, '|')); words++)
        count++;
    return count;
}

/* "automatic, manual": for an error. */
static void choice_list(const char *words, char *text, size_t size)
{
    char word[32];
    uint32_t count = choice_count(words);

    text[0] = '\0';
    for (uint32_t place = 0; place < count; place++) {
        size_t used = strlen(text);
        choice_text(words, place, word, sizeof word);
        (void)snprintf(text + used, size - used, "%s%s", place ? ", " : "", word);
    }
}

bool settings_address(const char *text, char *ret_address, size_t size)
{
    const char *host = text;
    size_t length = *text == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":");
    uint64_t port = PEER_PORT_DEFAULT;

    if (!length || length > strlen(text) || strcspn(text, " \t,'\"\\/") != strlen(text))
        return false;
    text += length;
    if (*text == ':') {
        text++;
        if (!digits(&text, &port))
            return false;
    }
    if (*text || port < 1 || port > 65535 || (*host == '[' && length < 4))
        return false;
    int wrote = snprintf(ret_address, size, "%.*s:%" PRIu64, (int)length, host, port);
    return wrote > 0 && (size_t)wrote < size;
}

bool settings_next_address(const char **at, char *ret_address, size_t size)
{
    *at += strspn(*at, " \t,");
    size_t length = strcspn(*at, " \t,");

    if (!length || length >= size)
        return false;
    memcpy(ret_address, *at, length);
    ret_address[length] = '\0';
    *at += length;
    return true;
}

/* Writes the list with the ports filled in. */
static bool addresses(const char *text, char *ret_list, size_t size)
{
    char one[ADDRESS_SIZE];
    char full[ADDRESS_SIZE];
    size_t used = 0;

    ret_list[0] = '\0';
    while (settings_next_address(&text, one, sizeof one)) {
        if (!settings_address(one, full, sizeof full))
            return false;
        int wrote = snprintf(ret_list + used, size - used, "%s%s", used ? " " : "", full);
        if ((size_t)wrote >= size - used)
            return false;
        used += (size_t)wrote;
    }
    return !*text;
}

static int put_text(const struct setting *row, char *field, const char *value, struct err *err)
{
    size_t length = strlen(value);

    if (length > (uint64_t)row->max)
        return err_set(err, ERR_CONFIG, "%s is longer than %" PRId64 " characters", row->name, row->max);
    if (length < (uint64_t)row->min)
        return err_set(err, ERR_CONFIG, "%s must not be empty", row->name);
    if (row->type == TYPE_PATH && length && value[0] != '/')
        return err_set(err, ERR_CONFIG, "%s must be an absolute path, not '%s'", row->name, value);
    if (row->type == TYPE_ADDRESS && length && !settings_address(value, field, ADDRESS_SIZE))
        return err_set(err, ERR_CONFIG, "%s must be host:port, not '%s'", row->name, value);
    if (row->type == TYPE_ADDRESSES && !addresses(value, field, CONNINFO_SIZE))
        return err_set(err, ERR_CONFIG, "%s must be a list of host:port, not '%s'", row->name, value);
    if (!length || row->type < TYPE_ADDRESS)
        memcpy(field, value, length + 1);
    return 0;
}

static int put_choice(const struct setting *row, void *field, const char *value, struct err *err)
{
    char list[TEXT_SIZE];
    int place = choice_of(row->words, value);

    if (place < 0) {
        choice_list(row->words, list, sizeof list);
        return err_set(err, ERR_CONFIG, "%s must be one of %s, not '%s'", row->name, list, value);
    }
    *(uint32_t *)field = (uint32_t)place;
    return 0;
}

static uint64_t number_of(const struct settings *settings, const struct setting *row)
{
    const void *field = (const char *)settings + row->offset;

    if (row->type == TYPE_SIZE)
        return *(const uint64_t *)field;
    return row->type == TYPE_INT ? (uint64_t) * (const int32_t *)field : *(const uint32_t *)field;
}

static int within(const struct setting *row, uint64_t number, struct err *err)
{
    char text[3][32];

    if (number >= (uint64_t)row->min && number <= (uint64_t)row->max)
        return 0;
    settings_bound_text(row, (int64_t)number, text[0], sizeof text[0]);
    settings_bound_text(row, row->min, text[1], sizeof text[1]);
    settings_bound_text(row, row->max, text[2], sizeof text[2]);
    return err_set(err, ERR_CONFIG, "%s must lie between %s and %s, not %s", row->name, text[1], text[2], text[0]);
}

static int put_number(const struct setting *row, void *field, const char *value, struct err *err)
{
    uint64_t number = 0;
    const char *unit = row->type == TYPE_DURATION ? " and a unit (ms, s, min, h)"
                       : row->type == TYPE_SIZE   ? " and a unit (B, kB, MB, GB, TB)"
                                                  : "";
    bool read = row->type == TYPE_DURATION ? number_with_unit(value, UNITS_OF(time_units), 0, &number)
                : row->type == TYPE_SIZE   ? number_with_unit(value, UNITS_OF(size_units), 1, &number)
                                           : number_with_unit(value, NULL, 0, 1, &number);

    if (!read)
        return err_set(err, ERR_CONFIG, "%s must be a whole number%s, not '%s'", row->name, unit, value);
    int failed = within(row, number, err);
    if (failed)
        return failed;
    if (row->type == TYPE_SIZE)
        *(uint64_t *)field = number;
    else if (row->type == TYPE_INT)
        *(int32_t *)field = (int32_t)number;
    else
        *(uint32_t *)field = (uint32_t)number;
    return 0;
}

int settings_put(struct settings *settings, const struct setting *row, const char *value, struct err *err)
{
    void *field = (char *)settings + row->offset;

    if (row->type >= TYPE_NAME)
        return put_text(row, field, value, err);
    if (row->type == TYPE_CHOICE)
        return put_choice(row, field, value, err);
    return put_number(row, field, value, err);
}

void settings_get(const struct settings *settings, const struct setting *row, char *ret_text, size_t size)
{
    if (row->type >= TYPE_NAME)
        (void)text_copy(ret_text, size, (const char *)settings + row->offset);
    else if (row->type == TYPE_CHOICE)
        choice_text(row->words, (uint32_t)number_of(settings, row), ret_text, size);
    else
        settings_bound_text(row, (int64_t)number_of(settings, row), ret_text, size);
}

int settings_within(const struct settings *settings, const struct setting *row, struct err *err)
{
    uint64_t number;

    assert(row->type < TYPE_NAME);
    number = number_of(settings, row);
    if (row->type != TYPE_CHOICE)
        return within(row, number, err);
    if (number < choice_count(row->words))
        return 0;
    return err_set(err, ERR_CONFIG, "%s has a value that this version does not know", row->name);
}

void settings_init(struct settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int failed = rows[i].fallback[0] ? settings_put(settings, &rows[i], rows[i].fallback, NULL) : 0;
        assert(!failed && "a default of settings.def is not within its bounds");
    }
}

const struct setting *settings_row(size_t index)
{
    return index < ARRAY_LEN(rows) ? &rows[index] : NULL;
}

const struct setting *settings_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

const char *settings_heading(size_t index)
{
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        if (sections[i].first == index)
            return sections[i].heading;
    return NULL;
}

const char *settings_repmgr_row(size_t index, const char **ret_why)
{
    if (index >= ARRAY_LEN(repmgr_rows))
        return NULL;
    *ret_why = repmgr_rows[index].why;
    return repmgr_rows[index].name;
}

static void note(struct settings_reader *reader, enum note_level level, const char *format, ...) PRINTF_LIKE(3, 4);

/* Keeps errors before the rest: an error takes the last place when all are taken. */
static void note(struct settings_reader *reader, enum note_level level, const char *format, ...)
{
    va_list args;

    reader->error_count += level == NOTE_ERROR;
    if (reader->note_count == SETTINGS_NOTES_MAX && level != NOTE_ERROR)
        return;
    reader->note_count -= reader->note_count == SETTINGS_NOTES_MAX;
    struct settings_note *added = &reader->notes[reader->note_count++];
    added->level = level;
    va_start(args, format);
    (void)vsnprintf(added->text, sizeof added->text, format, args);
    va_end(args);
}

void settings_begin(struct settings_reader *reader, struct settings *settings)
{
    settings_init(settings);
    reader->settings = settings;
    reader->error_count = 0;
    reader->note_count = 0;
}

/* A name that is no setting of ours. */
static void pass_over(struct settings_reader *reader, const struct ini_entry *entry)
{
    for (size_t i = 0; i < ARRAY_LEN(repmgr_rows); i++) {
        if (strcmp(repmgr_rows[i].name, entry->name) != 0)
            continue;
        if (repmgr_rows[i].why[0])
            note(reader, NOTE_NOTICE, "%s:%u: repmgr's parameter \"%s\" is not used: %s", entry->file, entry->line,
                 entry->name, repmgr_rows[i].why);
        else
            note(reader, NOTE_WARNING, "%s:%u: parameter \"%s\" was given up by repmgr and is ignored", entry->file,
                 entry->line, entry->name);
        return;
    }
    note(reader, NOTE_WARNING, "%s:%u: unknown parameter \"%s\" is ignored", entry->file, entry->line, entry->name);
}

int settings_accept(void *context, const struct ini_entry *entry, struct err *err)
{
    struct settings_reader *reader = context;
    const struct setting *row = settings_find(entry->name);
    struct err problem;

    (void)err;
    if (!row)
        pass_over(reader, entry);
    else if (settings_put(reader->settings, row, entry->value, &problem) < 0)
        note(reader, NOTE_ERROR, "%s:%u: %s", entry->file, entry->line, problem.text);
    return 0;
}

int settings_finish(struct settings_reader *reader, struct err *err)
{
    struct err problem;
    char text[TEXT_SIZE];
    const struct settings_note *first = NULL;

    settings_derive(reader->settings);
    if (!reader->error_count && settings_check(reader->settings, &problem) < 0)
        note(reader, NOTE_ERROR, "%s", problem.text);
    if (!reader->error_count && settings_policy_check(&reader->settings->policy, &problem) < 0)
        note(reader, NOTE_ERROR, "%s", problem.text);
    if (!reader->error_count && settings_policy_warning(&reader->settings->policy, text, sizeof text))
        note(reader, NOTE_WARNING, "%s", text);
    if (!reader->error_count)
        return 0;
    for (uint32_t i = reader->note_count; i-- > 0;)
        if (reader->notes[i].level == NOTE_ERROR)
            first = &reader->notes[i];
    if (reader->error_count > 1)
        return err_set(err, ERR_CONFIG, "%s (and %u more)", first->text, reader->error_count - 1);
    return err_set(err, ERR_CONFIG, "%s", first->text);
}
