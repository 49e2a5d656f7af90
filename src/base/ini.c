/* ini.c - reading repmgr.conf's syntax, and the files it includes. See ini.h. */
#include "base/ini.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#define PATH_BYTES 4096
#define DIRECTORY_FILES_MAX 256

/* One line: where we are in it, and what to say where it is. */
struct line {
    const char *at;
    const char *end;
    const char *file;
    uint32_t number;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_part(char c)
{
    return letter(c) || (c >= '0' && c <= '9') || c == '.';
}

static void skip_blanks(struct line *line)
{
    while (line->at < line->end && blank(*line->at))
        line->at++;
}

/* Nothing, or a comment, is left. */
static bool over(struct line *line)
{
    skip_blanks(line);
    return line->at == line->end || *line->at == '#';
}

static int wrong(const struct line *line, struct err *err, const char *what)
{
    return err_set(err, ERR_CONFIG, "%s:%u: %s", line->file, line->number, what);
}

static int read_name(struct line *line, char *name, struct err *err)
{
    size_t length = 0;

    if (!letter(*line->at))
        return wrong(line, err, "a line begins with the name of a parameter, or with # for a comment");
    while (line->at < line->end && name_part(*line->at)) {
        if (length + 1 == INI_NAME_SIZE)
            return wrong(line, err, "the name of the parameter is too long");
        name[length++] = *line->at++;
    }
    name[length] = '\0';
    return 0;
}

/* What stands behind a backslash in quotes, as PostgreSQL reads it: b f n r t, up to three octal digits, or itself. */
static char unescape(struct line *line)
{
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    char c = *line->at++;
    const char *found = strchr(from, c);

    if (c && found)
        return to[found - from];
    if (c < '0' || c > '7')
        return c;
    int value = c - '0';
    for (int i = 0; i < 2 && line->at < line->end && *line->at >= '0' && *line->at <= '7'; i++)
        value = value * 8 + (*line->at++ - '0');
    return (char)value;
}

static int read_quoted(struct line *line, char *value, struct err *err)
{
    size_t length = 0;

    line->at++;
    for (;;) {
        if (line->at == line->end)
            return wrong(line, err, "the closing quote is missing");
        char c = *line->at++;
        if (c == '\'') {
            if (line->at == line->end || *line->at != '\'')
                break;
            line->at++;
        } else if (c == '\\') {
            if (line->at == line->end)
                return wrong(line, err, "the closing quote is missing");
            c = unescape(line);
        }
        if (!c)
            return wrong(line, err, "a value cannot contain a zero byte");
        if (length + 1 == INI_VALUE_SIZE)
            return wrong(line, err, "the value is too long");
        value[length++] = c;
    }
    value[length] = '\0';
    return 0;
}

static int read_word(struct line *line, char *value, struct err *err)
{
    size_t length = 0;

    while (line->at < line->end && !blank(*line->at) && *line->at != '#') {
        if (*line->at == '\'')
            return wrong(line, err, "a quote inside a value: put the whole value in single quotes");
        if (length + 1 == INI_VALUE_SIZE)
            return wrong(line, err, "the value is too long");
        value[length++] = *line->at++;
    }
    value[length] = '\0';
    return 0;
}

/* Reads one line that is not empty. */
static int read_entry(struct line *line, char *name, char *value, struct err *err)
{
    int failed = read_name(line, name, err);

    if (failed)
        return failed;
    skip_blanks(line);
    if (line->at < line->end && *line->at == '=') {
        line->at++;
        skip_blanks(line);
    }
    if (over(line))
        return wrong(line, err, "the value is missing");
    failed = *line->at == '\'' ? read_quoted(line, value, err) : read_word(line, value, err);
    if (failed)
        return failed;
    if (!over(line))
        return wrong(line, err, "something follows the value: a value with blanks takes single quotes");
    return 0;
}

int ini_parse(const char *text, size_t length, const char *file, ini_accept *accept, void *context, struct err *err)
{
    char name[INI_NAME_SIZE];
    char value[INI_VALUE_SIZE] = "";
    const char *end = text + length;
    uint32_t number = 0;

    if (length && memchr(text, '\0', length))
        return err_set(err, ERR_CONFIG, "%s: not a text file", file);
    if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        text += 3;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        number++;
        struct line line = { .at = text, .end = stop ? stop : end, .file = file, .number = number };
        text = stop ? stop + 1 : end;
        if (over(&line))
            continue;
        int failed = read_entry(&line, name, value, err);
        if (failed)
            return failed;
        struct ini_entry entry = { .name = name, .value = value, .file = file, .line = number };
        failed = accept(context, &entry, err);
        if (failed < 0)
            return failed;
    }
    return 0;
}

struct loader {
    ini_accept *accept;
    void *context;
    unsigned depth;
};

static int load(struct loader *loader, const char *path, struct err *err);

static int conf_only(const struct dirent *found)
{
    size_t length = strlen(found->d_name);

    return found->d_name[0] != '.' && length > 5 && !strcmp(found->d_name + length - 5, ".conf");
}

static int load_directory(struct loader *loader, const char *path, struct err *err)
{
    char file[PATH_BYTES];
    struct dirent **found = NULL;
    int count = scandir(path, &found, conf_only, alphasort);
    int failed = 0;

    if (count < 0)
        return err_set_errno(err, errno, "could not read directory '%s'", path);
    if (count > DIRECTORY_FILES_MAX)
        failed = err_set(err, ERR_CONFIG, "directory '%s' holds more than %d files", path, DIRECTORY_FILES_MAX);
    for (int i = 0; i < count; i++) {
        if (!failed && snprintf(file, sizeof file, "%s/%s", path, found[i]->d_name) >= (int)sizeof file)
            failed = err_set(err, ERR_CONFIG, "path '%s' is too long", path);
        if (!failed)
            failed = load(loader, file, err);
        free(found[i]);
    }
    free(found);
    return failed;
}

/* The path of an included file: as it is, or beside the file that includes it. */
static int resolve(const struct ini_entry *entry, char *path, struct err *err)
{
    const char *slash = strrchr(entry->file, '/');
    int wrote;

    if (entry->value[0] == '/' || !slash)
        wrote = snprintf(path, PATH_BYTES, "%s", entry->value);
    else
        wrote = snprintf(path, PATH_BYTES, "%.*s/%s", (int)(slash - entry->file), entry->file, entry->value);
    return wrote < PATH_BYTES ? 0 : err_set(err, ERR_CONFIG, "path '%s' is too long", entry->value);
}

static int take(void *context, const struct ini_entry *entry, struct err *err)
{
    struct loader *loader = context;
    char path[PATH_BYTES];
    bool optional = !strcmp(entry->name, "include_if_exists");
    bool directory = !strcmp(entry->name, "include_dir");

    if (!optional && !directory && strcmp(entry->name, "include") != 0)
        return loader->accept(loader->context, entry, err);
    int failed = resolve(entry, path, err);
    if (!failed && optional && !file_exists(path))
        return 0;
    if (!failed)
        failed = directory ? load_directory(loader, path, err) : load(loader, path, err);
    return failed ? err_wrap(err, "%s:%u: %s", entry->file, entry->line, entry->name) : 0;
}

static int load(struct loader *loader, const char *path, struct err *err)
{
    AUTO(buf) text;
    struct loader deeper = { .accept = loader->accept, .context = loader->context, .depth = loader->depth + 1 };

    buf_init(&text, INI_BYTES_MAX);
    if (deeper.depth > INI_DEPTH_MAX)
        return err_set(err, ERR_CONFIG, "files include each other more than %d deep: '%s'", INI_DEPTH_MAX, path);
    int failed = file_read(path, &text, err);
    if (failed)
        return failed;
    return ini_parse(text.bytes ? (const char *)text.bytes : "", text.length, path, take, &deeper, err);
}

int ini_load(const char *path, ini_accept *accept, void *context, struct err *err)
{
    struct loader loader = { .accept = accept, .context = context, .depth = 0 };

    return load(&loader, path, err);
}
