/*
 * words.c - what a server that ended said last: the reason for people, and whether it lies outside the data directory.
 * See words.h.
 *
 * The server writes to raftmgr-server.log, and once its logging collector runs to the file that current_logfiles names.
 * Messages may be in any language; of the texts that are looked for, those of the system's errors are the likeliest to
 * be in another, and a full disk is therefore looked for on the disk as well.
 */
#include "pg/words.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

#define TAIL_BYTES 8192
#define SEGMENT_DIGITS 24
#define ROOM_BYTES (64 * UINT64_C(1048576)) /* less than this is no room for recovery */

void server_log_path(const struct pg *pg, char *path)
{
    if (pg->config.log_file[0])
        (void)text_copy(path, PLACE_PATH_SIZE, pg->config.log_file);
    else
        (void)snprintf(path, PLACE_PATH_SIZE, "%s/raftmgr-server.log", pg->config.data_directory);
}

/* The end of a log, of what was written from `from` on. */
static void read_tail(const char *path, off_t from, char *tail)
{
    tail[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t length = lseek(fd, 0, SEEK_END);
    off_t at = length - from > TAIL_BYTES ? length - TAIL_BYTES : from;
    ssize_t got = pread(fd, tail, TAIL_BYTES, at);
    (void)close(fd);
    tail[got > 0 ? got : 0] = '\0';
}

/* The last line that names a reason: not what clients were told meanwhile, nor the end of the receiver. NULL: none. */
static const char *find_reason(const char *tail)
{
    const char *reason = NULL;

    for (const char *at = tail; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t length = strcspn(at, "\n");
        const char *fatal = strstr(at, "FATAL:");
        const char *panic = strstr(at, "PANIC:");
        const char *found = fatal && (!panic || fatal < panic) ? fatal : panic;
        if (!found || found >= at + length || memmem(at, length, "the database system is", 22) ||
            memmem(at, length, "walreceiver process", 19))
            continue;
        reason = found;
    }
    return reason;
}

/* The collector's file by current_logfiles; empty: there is none. */
static void collector_path(const struct pg *pg, char *path)
{
    AUTO(buf) text;
    char name[PLACE_PATH_SIZE];
    const char *directory = pg->config.data_directory;

    path[0] = '\0';
    buf_init(&text, 4096);
    (void)snprintf(name, sizeof name, "%s/current_logfiles", directory);
    if (file_read(name, &text, NULL) < 0)
        return;
    buf_put_u8(&text, 0);
    const char *line = text.failed ? NULL : strstr((const char *)text.bytes, "stderr ");
    if (!line)
        return;
    line += sizeof "stderr " - 1;
    (void)snprintf(path, PLACE_PATH_SIZE, "%s%s%.*s", line[0] == '/' ? "" : directory, line[0] == '/' ? "" : "/",
                   (int)strcspn(line, "\n"), line);
}

/* The tail that names the reason, and the reason in it; NULL: none does. */
static const char *reason_in_logs(const struct pg *pg, char *tail)
{
    char path[PLACE_PATH_SIZE];

    server_log_path(pg, path);
    read_tail(path, pg->server_log_from, tail);
    const char *reason = find_reason(tail);
    if (reason)
        return reason;
    collector_path(pg, path);
    if (!path[0])
        return NULL;
    read_tail(path, 0, tail);
    return find_reason(tail);
}

void server_last_words(const struct pg *pg, char *text, size_t size)
{
    char tail[TAIL_BYTES + 1];
    const char *reason = reason_in_logs(pg, tail);

    (void)snprintf(text, size, "%.*s", reason ? (int)strcspn(reason, "\n") : 0, reason ? reason : "");
}

/* The name of a WAL segment stands in it: the upstream has not got that any more. */
static bool names_segment(const char *text)
{
    size_t digits = 0;

    for (; *text && digits < SEGMENT_DIGITS; text++)
        digits = (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'F') ? digits + 1 : 0;
    return digits == SEGMENT_DIGITS;
}

void server_dry_words(const struct pg *pg, char *text, size_t size)
{
    char words[TEXT_SIZE / 2 + 32];

    server_last_words(pg, words, sizeof words);
    (void)snprintf(text, size, "%s%s", words,
                   names_segment(words) ? " (the WAL it needs is gone there: this node has to be cloned)" : "");
}

static bool has_room(const char *directory)
{
    struct statvfs room;

    return statvfs(directory, &room) < 0 || (uint64_t)room.f_bavail * room.f_frsize >= ROOM_BYTES;
}

bool server_outer_cause(const struct pg *pg)
{
    static const char *const outer[] = {
        "No space left on device", "Disk quota exceeded",
        "Input/output error",      "Read-only file system",
        "Permission denied",       "Too many open files",
        "Cannot allocate",         "out of memory",
        "insufficient parameter",  "signal 9",
        "could not map",
    };
    char path[PLACE_PATH_SIZE];
    char tail[TAIL_BYTES + 1];

    (void)snprintf(path, sizeof path, "%s/pg_wal", pg->config.data_directory);
    if (!has_room(pg->config.data_directory) || !has_room(path))
        return true;
    const char *reason = reason_in_logs(pg, tail);
    /* With what follows it: the system's error often stands in the line after. */
    for (size_t i = 0; i < ARRAY_LEN(outer); i++)
        if (strstr(reason ? reason : tail, outer[i]))
            return true;
    return false;
}
