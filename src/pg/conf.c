/* conf.c - rendering, reading back and including raftmgr's settings file. See conf.h. */
#include "pg/conf.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define NOTE "# raftmgr: "
#define SETTING_NAME_MAX 64
#define RESTORE_BY_RELOAD_MAJOR 14 /* the first PostgreSQL that takes a change of restore_command without a restart */

/* NULL value: depends on the state, see conf_render. */
static const struct {
    const char *name;
    const char *value;
} owned[] = {
    { "primary_conninfo", NULL },          { "primary_slot_name", NULL }, { "restore_command", NULL },
    { "synchronous_standby_names", NULL }, { "raftmgr.written", NULL },
#define CONF(name, value, why) { name, value },
#include "pg/conf.def"
#undef CONF
};

static void put(struct buf *text, const char *string)
{
    buf_put(text, string, strlen(string));
}

void conf_put_quoted(struct buf *text, const char *value)
{
    put(text, "'");
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_put(text, value, 1);
        buf_put(text, *value == '\n' ? " " : value, 1);
    }
    put(text, "'");
}

static void put_setting(struct buf *text, const char *name, const char *value)
{
    put(text, name);
    put(text, " = ");
    conf_put_quoted(text, value);
    put(text, "\n");
}

void conf_sync_value(const struct pg_conf *conf, char *text, size_t size)
{
    size_t used = 0;

    assert(size >= CONF_VALUE_MAX);
    text[0] = '\0';
    if (conf->sync_count == 0)
        return;
    used += (size_t)snprintf(text, size, "ANY %" PRIu32 " (", conf->sync_count);
    for (uint32_t i = 0; i < conf->sync_name_count && i < MEMBERS_MAX; i++) {
        if (i > 0)
            text[used++] = ',';
        text[used++] = '"';
        for (const char *at = conf->sync_names[i]; *at; at++) {
            if (*at == '"')
                text[used++] = '"';
            text[used++] = *at;
        }
        text[used++] = '"';
    }
    text[used++] = ')';
    text[used] = '\0';
}

static void put_note(struct buf *text, const struct pg_conf *conf, uint64_t written)
{
    char line[256];

    (void)snprintf(line, sizeof line,
                   NOTE "upstream=%" PRId32 " version=%" PRIu64 " token=%" PRIu64 " agent_only=%d"
                        " written=%" PRIu64 " source=%" PRIx64 "\n",
                   conf->upstream, conf->demand_version, conf->token.no, conf->agent_only, written, conf->source);
    put(text, line);
}

void conf_render(const struct pg_conf *conf, const struct conf_extra *extra, struct buf *text)
{
    char value[CONF_VALUE_MAX];
    char written[32];

    put(text, "# Written by raftmgrd, which replaces this file whenever the cluster changes: do not edit.\n");
    put_note(text, conf, extra->written);
    if (extra->latch) {
        put(text, "# This file is gone after a boot; only raftmgrd writes it. Without it the server does not start.\n");
        put(text, "include ");
        conf_put_quoted(text, extra->latch);
        put(text, "\n");
    }
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
        if (owned[i].value)
            put_setting(text, owned[i].name, owned[i].value);
    }
    put_setting(text, "primary_conninfo", conf->upstream ? extra->primary_conninfo : "");
    put_setting(text, "primary_slot_name", conf->upstream ? conf->slot : "");
    bool must_restart = extra->major > 0 && extra->major < RESTORE_BY_RELOAD_MAJOR;
    if ((!conf->upstream || must_restart) && !extra->keep_restore)
        put_setting(text, "restore_command", "");
    conf_sync_value(conf, value, sizeof value);
    put_setting(text, "synchronous_standby_names", value);
    (void)snprintf(written, sizeof written, "%" PRIu64, extra->written);
    put_setting(text, "raftmgr.written", written);
}

/* A line's setting name in lower case and where its value begins; false for blank lines and comments. */
static bool setting_of(const char *line, size_t length, char *name, const char **ret_value)
{
    const char *end = line + length;
    size_t used = 0;

    while (line < end && isspace((unsigned char)*line))
        line++;
    while (line < end && used + 1 < SETTING_NAME_MAX && (isalnum((unsigned char)*line) || *line == '_' || *line == '.'))
        name[used++] = (char)tolower((unsigned char)*line++);
    name[used] = '\0';
    while (line < end && isspace((unsigned char)*line))
        line++;
    if (line < end && *line == '=')
        line++;
    while (line < end && isspace((unsigned char)*line))
        line++;
    *ret_value = line;
    return used > 0;
}

/* The length of the line at text, without its end. */
static size_t line_length(const char *text)
{
    return strcspn(text, "\n");
}

static const char *next_line(const char *text)
{
    text += line_length(text);
    return *text ? text + 1 : text;
}

/* Undoes conf_put_quoted. False when there is no closing quote or no room. */
static bool unquote(const char *at, const char *end, char *value, size_t size)
{
    size_t used = 0;

    if (at == end || *at++ != '\'')
        return false;
    while (at < end) {
        if (*at == '\'' && !(at + 1 < end && at[1] == '\'')) {
            value[used] = '\0';
            return true;
        }
        if ((*at == '\'' || *at == '\\') && at + 1 < end)
            at++;
        if (used + 1 >= size)
            return false;
        value[used++] = *at++;
    }
    return false;
}

/* Reads ANY k ("a","b") as conf_sync_value wrote it. */
static bool parse_sync(const char *value, struct pg_conf *conf)
{
    char *at;

    conf->sync_count = 0;
    conf->sync_name_count = 0;
    if (!value[0])
        return true;
    if (strncmp(value, "ANY ", 4) != 0)
        return false;
    conf->sync_count = (uint32_t)strtoul(value + 4, &at, 10);
    if (strncmp(at, " (", 2) != 0)
        return false;
    for (at += 1; (*at == '(' || *at == ',') && at[1] == '"';) {
        size_t used = 0;
        if (conf->sync_name_count == MEMBERS_MAX)
            return false;
        char *name = conf->sync_names[conf->sync_name_count];
        for (at += 2; *at && (*at != '"' || at[1] == '"'); at++) {
            if (*at == '"')
                at++;
            if (used + 1 >= NAME_SIZE)
                return false;
            name[used++] = *at;
        }
        name[used] = '\0';
        conf->sync_name_count++;
        if (*at++ != '"')
            return false;
    }
    return strcmp(at, ")") == 0;
}

static bool parse_note(const char *line, struct pg_conf *conf, uint64_t *written)
{
    int agent_only = 0;
    bool good =
        sscanf(line,
               NOTE "upstream=%" SCNd32 " version=%" SCNu64 " token=%" SCNu64 " agent_only=%d written=%" SCNu64
                    " source=%" SCNx64,
               &conf->upstream, &conf->demand_version, &conf->token.no, &agent_only, written, &conf->source) >= 5;

    conf->agent_only = agent_only != 0;
    return good;
}

bool conf_parse(const char *text, struct pg_conf *ret_conf, uint64_t *ret_written)
{
    struct pg_conf conf = { 0 };
    uint64_t written = 0;
    bool noted = false;
    bool synced = false;
    bool ended = false; /* the last line that conf_render writes: the file is whole */

    for (const char *at = text; *at; at = next_line(at)) {
        char name[SETTING_NAME_MAX];
        char value[CONF_VALUE_MAX];
        const char *begin;
        const char *end = at + line_length(at);
        if (strncmp(at, NOTE, strlen(NOTE)) == 0)
            noted = parse_note(at, &conf, &written);
        if (!setting_of(at, line_length(at), name, &begin))
            continue;
        if (strcmp(name, "synchronous_standby_names") == 0)
            synced = unquote(begin, end, value, sizeof value) && parse_sync(value, &conf);
        else if (strcmp(name, "primary_slot_name") == 0 && unquote(begin, end, value, sizeof value))
            (void)text_copy(conf.slot, sizeof conf.slot, value);
        else if (strcmp(name, "raftmgr.written") == 0)
            ended = true;
    }
    if (!noted || !synced || !ended)
        return false;
    *ret_conf = conf;
    *ret_written = written;
    return true;
}

bool conf_owns(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
        if (strcasecmp(owned[i].name, name) == 0)
            return true;
    }
    return false;
}

unsigned conf_strip(const char *text, struct buf *ret)
{
    unsigned left_out = 0;

    for (const char *at = text; *at; at = next_line(at)) {
        char name[SETTING_NAME_MAX];
        const char *value;
        size_t length = line_length(at);
        if (setting_of(at, length, name, &value) && conf_owns(name)) {
            left_out++;
            continue;
        }
        buf_put(ret, at, length);
        put(ret, "\n");
    }
    return left_out;
}

void conf_clashes(const char *text, void (*visit)(void *ctx, const char *name), void *ctx)
{
    for (const char *at = text; *at; at = next_line(at)) {
        char name[SETTING_NAME_MAX];
        const char *value;
        if (setting_of(at, line_length(at), name, &value) && conf_owns(name))
            visit(ctx, name);
    }
}

/* True for a line that includes a file with the name of ours, wherever it is. */
static bool includes_ours(const char *line, size_t length, char *path, size_t size)
{
    char name[SETTING_NAME_MAX];
    const char *value;

    if (!setting_of(line, length, name, &value) || strcmp(name, "include") != 0 ||
        !unquote(value, line + length, path, size))
        return false;
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, CONF_FILE) == 0;
}

bool conf_include(const char *text, const char *path, struct buf *ret)
{
    char found[PATH_SIZE];
    bool last_is_ours = false;
    unsigned count = 0;

    for (const char *at = text; *at; at = next_line(at)) {
        char name[SETTING_NAME_MAX];
        const char *value;
        size_t length = line_length(at);
        if (includes_ours(at, length, found, sizeof found)) {
            count++;
            last_is_ours = strcmp(found, path) == 0;
            continue;
        }
        if (setting_of(at, length, name, &value))
            last_is_ours = false;
        buf_put(ret, at, length);
        put(ret, "\n");
    }
    put(ret, "include ");
    conf_put_quoted(ret, path);
    put(ret, "\n");
    return !(last_is_ours && count == 1);
}
