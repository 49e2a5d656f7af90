/*
 * hba_include.c - pg_hba.conf with the files that it includes in their places. See hba.h.
 *
 * PostgreSQL 16 brought the include directives. A copy of the file lies in another directory, from where relative names
 * lead elsewhere, and what is included has to be narrowed as well. Nothing before 16 begins with those words. Names of
 * files with lists of names ("@admins", every version) are made absolute for the same reason.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "pg/conf.h"
#include "pg/hba.h"

#define DEPTH_MAX 10 /* PostgreSQL's own limit */
#define PATH_MAX_OURS (2 * PATH_SIZE + 64)

static int add_file(const char *path, unsigned depth, struct buf *ret, struct err *err);

/* How much of a file's path names its directory, the slash included. */
static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* The name after a directive, without its quotes, as a path: relative ones begin where the including file is. */
static void path_of(const char *from, const char *name, char *path)
{
    int directory = name[0] == '/' ? 0 : (int)directory_length(from);

    (void)snprintf(path, PATH_MAX_OURS, "%.*s%s", directory, from, name);
}

/* "@" before a name that is not absolute: whether a directory has to be put in between. */
static bool names_file(const char *at, const char *end)
{
    const char *name = at + 1 + (at + 1 < end && at[1] == '"');

    return at[0] == '@' && name < end && *name != '/' && *name != ',' && *name != '"' && !isspace((unsigned char)*name);
}

/* A rule as it is, but for the names of files in it. */
static void put_rule(const char *from, const char *line, size_t length, struct buf *ret)
{
    const char *end = line + length;
    bool begins = true;
    bool quoted = false;

    for (const char *at = line; at < end; at++) {
        if (*at == '#' && !quoted) {
            buf_put(ret, at, (size_t)(end - at));
            break;
        }
        bool file = begins && !quoted && names_file(at, end);
        quoted = quoted != (*at == '"');
        begins = !quoted && (*at == ',' || isspace((unsigned char)*at));
        buf_put(ret, at, 1);
        if (!file)
            continue;
        buf_put(ret, "\"", 1);
        buf_put(ret, from, directory_length(from));
        if (at[1] == '"') { /* the name's own quotes: two in a row would be one of the name */
            quoted = true;
            at++;
        } else {
            buf_put(ret, "\"", 1);
        }
    }
    buf_put(ret, "\n", 1);
}

static int is_rules(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int by_bytes(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static int add_directory(const char *path, unsigned depth, struct buf *ret, struct err *err)
{
    struct dirent **entries;
    char file[PATH_MAX_OURS + 256];
    int failed = 0;
    int count = scandir(path, &entries, is_rules, by_bytes);

    if (count < 0)
        return err_set_errno(err, errno, "could not open directory '%s'", path);
    for (int i = 0; i < count; i++) {
        (void)snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (!failed)
            failed = add_file(file, depth, ret, err);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

/* A line's first two words; false when it has not two. */
static bool two_words(const char *line, size_t length, char *first, char *second)
{
    const char *end = line + length;
    return hba_field(&line, end, first) && hba_field(&line, end, second);
}

static int add_line(const char *from, const char *line, size_t length, unsigned depth, struct buf *ret, struct err *err)
{
    char word[HBA_FIELD_MAX];
    char name[HBA_FIELD_MAX];
    char path[PATH_MAX_OURS];
    bool directive = two_words(line, length, word, name) && strncmp(word, "include", 7) == 0;

    if (directive) {
        size_t bare = strlen(name);
        bool quoted = bare >= 2 && name[0] == '"' && name[bare - 1] == '"';
        if (quoted)
            name[bare - 1] = '\0';
        path_of(from, quoted ? name + 1 : name, path);
    }
    if (directive && strcmp(word, "include_dir") == 0)
        return add_directory(path, depth + 1, ret, err);
    if (directive && strcmp(word, "include_if_exists") == 0)
        return file_exists(path) ? add_file(path, depth + 1, ret, err) : 0;
    if (directive && strcmp(word, "include") == 0)
        return add_file(path, depth + 1, ret, err);
    put_rule(from, line, length, ret);
    return 0;
}

static int add_file(const char *path, unsigned depth, struct buf *ret, struct err *err)
{
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    if (depth > DEPTH_MAX)
        return err_set(err, ERR_CONFIG, "file '%s' is included too deep", path);
    int failed = file_read(path, &text, err);
    if (failed)
        return failed;
    buf_put_u8(&text, 0);
    if (text.failed)
        return err_set(err, ERR_TOO_BIG, "file '%s' is too large", path);
    for (const char *at = (const char *)text.bytes; *at && !failed;) {
        size_t length = strcspn(at, "\n");
        failed = add_line(path, at, length, depth, ret, err);
        at += length + (at[length] == '\n');
    }
    return failed;
}

int hba_read(const char *path, struct buf *ret, struct err *err)
{
    int failed = add_file(path, 0, ret, err);

    if (!failed && ret->failed)
        failed = err_set(err, ERR_TOO_BIG, "the rules of '%s' are too large", path);
    return failed;
}
