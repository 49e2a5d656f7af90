/*
 * promote.c - makes the standby the primary on the timeline number that was reserved for it.
 *
 * The number is PostgreSQL's own choice: one above the newest history file that it finds in a row. Placeholders
 * fill the row up to the reserved number (design-review.md R9). Startup may sleep wal_retrieve_retry_interval
 * after it was told to promote (reference/postgres.md, the hidden five seconds); each reload wakes it, so reloads
 * go before and along. standby.signal, which the promotion removes, is put back.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "pg/adapter.h"
#include "pg/words.h"

#define EVERY_MS 4
#define SILENCE_MS 50 /* the collector writes the server's last words when it has ended */

static void fail(struct pg *pg, enum err_code code, const char *text)
{
    struct err err = { 0 };
    act_finish(pg, err_set(&err, code, "promotion: %s", text), &err);
}

static void promoted(struct pg *pg, struct timeline timeline)
{
    struct pg_result *result = &pg->act.result;
    struct history history;
    char text[TEXT_SIZE];

    result->timeline = timeline;
    if (history_read(pg->config.data_directory, timeline, &history, NULL) == 0 && history.count > 0)
        result->switched_at = history.rows[history.count - 1].end;
    if (timeline.no == pg->act.what.timeline.no) {
        act_done(pg);
        return;
    }
    (void)snprintf(text, sizeof text, "the server took timeline %" PRIu32 " and not %" PRIu32 ", which was reserved",
                   timeline.no, pg->act.what.timeline.no);
    fail(pg, ERR_PROMOTE, text);
}

/* Why it ended stands in its log alone. */
static void ended(struct pg *pg)
{
    char words[TEXT_SIZE];

    server_last_words(pg, words, sizeof words);
    fail(pg, ERR_PROMOTE, words[0] ? words : "the server ended: see its log");
}

static void ask(struct pg *pg);

static void answered(struct pg *pg, const struct conn_answer *answer)
{
    struct timeline timeline = { 0 };

    /* 57P01 and the like: a backend's words at its server's end. */
    bool gone = !answer->timed_out && (!answer->sqlstate[0] || strncmp(answer->sqlstate, "57P", 3) == 0);
    if (answer->problem[0]) {
        if (gone)
            act_later(pg, SILENCE_MS, ended);
        else
            fail(pg, ERR_PROMOTE, answer->problem);
        return;
    }
    const char *name = PQgetvalue(answer->rows, 0, 0);
    if (name[0] && sscanf(name, "%8" SCNx32, &timeline.no) == 1) {
        promoted(pg, timeline);
        return;
    }
    act_waits(pg, "the end of recovery");
    probe_nudge(pg);
    act_later(pg, EVERY_MS, ask);
}

static void ask(struct pg *pg)
{
    act_query(pg,
              "SELECT CASE WHEN NOT r THEN pg_walfile_name(pg_current_wal_insert_lsn()) END"
              " FROM pg_is_in_recovery() AS r",
              answered);
}

/* What pg_ctl promote does; needs no rights in SQL. The order is for this moment only, so it is not made durable: one
 * that is left lying is obeyed at the next signal that a child sends to the postmaster (place_no_order()). */
static int order(struct pg *pg, struct err *err)
{
    char path[PLACE_PATH_SIZE];

    place_order_path(pg->config.data_directory, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "could not create file '%s'", path);
    (void)close(fd);
    if (probe_signal(pg, SIGUSR1))
        return 0;
    (void)unlink(path);
    return err_set(err, ERR_PROMOTE, "promotion: the server is gone");
}

static void trigger(struct pg *pg)
{
    struct err err = { 0 };

    pg->act.signal_owed = true;
    int failed = order(pg, &err);
    if (failed)
        act_finish(pg, failed, &err);
    else
        act_later(pg, EVERY_MS, ask);
}

static void connected(struct pg *pg, const struct conn_answer *answer)
{
    if (answer->problem[0])
        fail(pg, ERR_DB_CONN, answer->problem);
    else
        trigger(pg);
}

void verb_promote(struct pg *pg)
{
    struct err err = { 0 };

    if (!probe_find(pg)) {
        fail(pg, ERR_REFUSED, "no server runs");
        return;
    }
    if (pg->probe.life.known && pg->probe.seen.state == PG_PRIMARY) {
        fail(pg, ERR_REFUSED, "the server is a primary already");
        return;
    }
    int failed = history_reserve(pg->config.data_directory, probe_timeline(pg), pg->act.what.timeline, &err);
    if (failed) {
        (void)err_wrap(&err, "promotion");
        act_finish(pg, failed, &err);
        return;
    }
    act_reload(pg);
    act_connect(pg, connected);
}
