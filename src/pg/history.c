/* history.c - timeline histories: to which timeline a position belongs, and placeholders for numbers. See wal.h. */
#include <errno.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "core/history.h"
#include "pg/wal.h"

#define HISTORY_PATH_SIZE (PATH_SIZE + 64)
#define RESERVED_TEXT "1\t0/28\treserved\n" /* measured: design-review.md R9 */
#define RESERVED_SPAN_MAX 10000             /* more placeholders than that is a mistake somewhere */

static void path_of(const char *data_directory, struct timeline timeline, char *path)
{
    (void)snprintf(path, HISTORY_PATH_SIZE, "%s/pg_wal/%08" PRIX32 ".history", data_directory, timeline.no);
}

int history_read(const char *data_directory, struct timeline timeline, struct history *ret, struct err *err)
{
    char path[HISTORY_PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, HISTORY_BYTES_MAX);
    if (timeline.no == 1) {
        *ret = (struct history){ 0 };
        return 0;
    }
    path_of(data_directory, timeline, path);
    int failed = file_read(path, &text, err);
    if (failed)
        return failed;
    failed = history_parse((const char *)text.bytes, text.length, timeline, ret, err);
    return failed ? err_wrap(err, "file '%s' is not a timeline history", path) : 0;
}

struct timeline history_timeline_at(const struct history *history, struct timeline timeline, struct lsn end)
{
    for (uint32_t i = 0; i < history->count; i++) {
        if (end.at <= history->rows[i].end.at)
            return history->rows[i].timeline;
    }
    return timeline;
}

bool history_exists(const char *data_directory, struct timeline timeline)
{
    char path[HISTORY_PATH_SIZE];

    path_of(data_directory, timeline, path);
    return file_exists(path);
}

int history_reserve(const char *data_directory, struct timeline own, struct timeline reserved, struct err *err)
{
    char path[HISTORY_PATH_SIZE];

    if (own.no == 0 || reserved.no <= own.no || reserved.no - own.no > RESERVED_SPAN_MAX)
        return err_set(err, ERR_REFUSED, "timeline %" PRIu32 " cannot follow timeline %" PRIu32, reserved.no, own.no);
    if (history_exists(data_directory, reserved))
        return err_set(err, ERR_REFUSED, "timeline %" PRIu32 " exists already", reserved.no);
    for (uint32_t no = own.no + 1; no < reserved.no; no++) {
        if (history_exists(data_directory, (struct timeline){ no }))
            continue;
        path_of(data_directory, (struct timeline){ no }, path);
        int failed = file_replace(path, RESERVED_TEXT, strlen(RESERVED_TEXT), 0600, err);
        if (failed)
            return failed;
    }
    return 0;
}

static bool descends(const struct history *history, struct timeline known, struct lsn end)
{
    bool found = false;

    for (uint32_t i = 0; i < history->count; i++)
        found = found || history->rows[i].timeline.no == known.no;
    return found && history->rows[history->count - 1].end.at < end.at;
}

struct timeline history_follow(const char *data_directory, struct timeline known, struct lsn end,
                               uint64_t segment_bytes)
{
    struct timeline best = known;
    struct timeline next = { known.no + 1 };
    struct history history;

    if (known.no == 0 || end.at == 0 || segment_bytes == 0)
        return known;
    for (; history_exists(data_directory, next); next.no++) {
        if (wal_exists(data_directory, next, (struct lsn){ end.at - 1 }, segment_bytes) &&
            history_read(data_directory, next, &history, NULL) == 0 && descends(&history, best, end))
            best = next;
    }
    return best;
}

static bool is_placeholder(const char *path)
{
    AUTO(buf) text;

    buf_init(&text, HISTORY_BYTES_MAX);
    return file_read(path, &text, NULL) == 0 && text.length == strlen(RESERVED_TEXT) &&
           memcmp(text.bytes, RESERVED_TEXT, text.length) == 0;
}

int history_clean(const char *data_directory, struct timeline own, struct err *err)
{
    char path[HISTORY_PATH_SIZE];
    struct timeline newest = own;

    while (history_exists(data_directory, (struct timeline){ newest.no + 1 }))
        newest.no++;
    for (; newest.no > own.no; newest.no--) {
        path_of(data_directory, newest, path);
        if (!is_placeholder(path))
            return 0;
        if (unlink(path) < 0)
            return err_set_errno(err, errno, "could not remove file '%s'", path);
    }
    return 0;
}
