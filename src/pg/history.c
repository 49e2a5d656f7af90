/* history.c - timeline histories: to which timeline a position belongs, and placeholders for numbers. See wal.h. */
#include <stdlib.h>
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
