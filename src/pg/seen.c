/*
 * seen.c - from raw facts to pg_seen: the timeline of the last record, the end of WAL on disk, which settings hold.
 *
 * A standby's end of WAL (design-review.md R5): pg_last_wal_receive_lsn() is what the receiver flushed, its last flush
 * at its exit included, but 0 in a life without receiver and the start of a segment after a first attachment; what was
 * replayed is a lower bound always. The greater of the two is the end, once no receiver is there and either one ran in
 * this life (it is only started when all older WAL has been replayed) or startup waits for more.
 */
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/file.h"
#include "pg/adapter.h"
#include "pg/conf.h"
#include "pg/words.h"

#define DRY_US 10000000      /* without WAL for so long: that is worth a look at its log, */
#define DRY_EVERY_US 5000000 /* and another so much later */
#define ROOM_EVERY_US 1000000
#define ROOM_BYTES 1048576 /* for an unprivileged user: a table grows by up to half of it at once */

/* Tables cannot grow any more, which PostgreSQL takes for the misfortune of each statement. For WAL it panics. */
static void look_for_room(struct pg *pg)
{
    struct pg_seen *seen = &pg->probe.seen;
    struct statvfs room;
    int64_t now_us = clock_boot_us();

    if (now_us - pg->probe.room_at_us < ROOM_EVERY_US)
        return;
    pg->probe.room_at_us = now_us;
    bool full = statvfs(pg->config.data_directory, &room) == 0 && room.f_blocks > 0 &&
                (uint64_t)room.f_bavail * room.f_frsize < ROOM_BYTES;
    if (!full)
        seen->full_since_us = 0;
    else if (seen->full_since_us == 0)
        seen->full_since_us = now_us;
}

/* A server that was pointed at an upstream and gets no WAL from it says why in its log alone. */
static void look_for_reason(struct pg *pg)
{
    struct pg_seen *seen = &pg->probe.seen;
    int64_t now_us = clock_boot_us();
    bool runs = seen->state == PG_STANDBY || seen->state == PG_STARTING;

    if (!runs || !seen->conf_present || seen->conf.upstream == 0 || seen->receiver_streaming) {
        pg->probe.dry_at_us = 0;
        seen->dry[0] = '\0';
    } else if (pg->probe.dry_at_us == 0) {
        pg->probe.dry_at_us = now_us + DRY_US;
    } else if (now_us >= pg->probe.dry_at_us) {
        pg->probe.dry_at_us = now_us + DRY_EVERY_US;
        server_dry_words(pg, seen->dry, sizeof seen->dry);
    }
}

void seen_tell(struct pg *pg)
{
    struct pg_seen *seen = &pg->probe.seen;

    look_for_room(pg);
    look_for_reason(pg);
    seen->at_us = pg->probe.looked_us;
    seen->conf_loaded = seen->conf_present && pg->probe.loaded == pg->probe.written && pg->probe.sync_as_written;
    if (!pg->closing && pg->callbacks.seen)
        pg->callbacks.seen(pg->callbacks.ctx, seen);
}

static bool changed(const char *path, struct timespec *last)
{
    struct stat file;

    if (stat(path, &file) < 0)
        file.st_mtim = (struct timespec){ 0 };
    bool differs = file.st_mtim.tv_sec != last->tv_sec || file.st_mtim.tv_nsec != last->tv_nsec;
    *last = file.st_mtim;
    return differs;
}

void seen_conf(struct pg *pg)
{
    char path[PLACE_PATH_SIZE];
    struct pg_seen *seen = &pg->probe.seen;

    place_conf_path(&pg->config, path);
    if (!changed(path, &pg->probe.conf_changed))
        return;
    seen->conf_present = place_read_conf(&pg->config, &seen->conf, &pg->probe.written, NULL) == 0;
    if (!seen->conf_present)
        seen->conf = (struct pg_conf){ 0 };
}

/* History of a timeline, cached; an unreadable one is empty. */
static const struct history *history_of(struct pg *pg, struct timeline timeline)
{
    struct probe *probe = &pg->probe;

    if (timeline.no != probe->history_of.no || timeline.no == 0) {
        probe->history = (struct history){ 0 };
        probe->history_of.no = 0;
        if (timeline.no > 0 && history_read(pg->config.data_directory, timeline, &probe->history, NULL) == 0)
            probe->history_of = timeline;
    }
    return &probe->history;
}

/* Sets timeline and history of the record that ends at seen->end, in a log that goes up to `newest`. */
static void seen_timeline(struct pg *pg, struct timeline newest)
{
    struct pg_seen *seen = &pg->probe.seen;
    const struct history *history = history_of(pg, newest);

    seen->timeline = history_timeline_at(history, newest, seen->end);
    seen->history = (struct history){ 0 };
    for (uint32_t i = 0; i < history->count && history->rows[i].timeline.no < seen->timeline.no; i++)
        seen->history.rows[seen->history.count++] = history->rows[i];
}

static void control_facts(struct pg *pg, const struct control *control)
{
    struct pg_seen *seen = &pg->probe.seen;

    seen->system_identifier = control->system_identifier;
    seen->clean = control->state == CONTROL_SHUT_DOWN || control->state == CONTROL_SHUT_DOWN_IN_RECOVERY;
    seen->was_primary = control->state == CONTROL_SHUT_DOWN || control->state == CONTROL_SHUTTING_DOWN ||
                        control->state == CONTROL_IN_PRODUCTION;
    seen->end = control->checkpoint;
    seen->end_final =
        control->state == CONTROL_SHUT_DOWN && control_end(pg->config.data_directory, control, &seen->end, NULL) == 0;
    seen_timeline(pg, control->timeline);
}

static void clear_running(struct pg_seen *seen)
{
    seen->answering = false;
    seen->write_failed = false;
    seen->end_final = false;
    seen->receiver = false;
    seen->receiver_streaming = false;
    seen->replay_paused = false;
    seen->replay_lag_us = 0;
    seen->walsender_count = 0;
    seen->pending_restart[0] = '\0';
    seen->problem[0] = '\0';
}

void seen_without_server(struct pg *pg)
{
    struct pg_seen *seen = &pg->probe.seen;
    struct control control;
    struct token token;
    struct err err = { 0 };
    char what[16];
    int left = instance_count(&pg->instance, &err);

    clear_running(seen);
    seen_conf(pg);
    int unreadable = control_read(pg->config.data_directory, &control, &err);
    if (left != 0) {
        seen->state = PG_ORPHANS;
        seen->clean = false;
        if (left < 0)
            (void)text_copy(seen->problem, sizeof seen->problem, err.text);
    } else if (place_unfinished(&pg->config, what, &token)) {
        seen->state = PG_ABSENT;
        (void)snprintf(seen->problem, sizeof seen->problem, "an unfinished %s", what);
    } else if (unreadable) {
        seen->state = PG_ABSENT;
        (void)text_copy(seen->problem, sizeof seen->problem, err.text);
    } else {
        seen->state = PG_STOPPED;
    }
    if (!unreadable)
        control_facts(pg, &control);
}

/* The timeline that the standby's WAL goes up to: at least that of the control file and of the receivers of this
 * life. */
static struct timeline newest_of_standby(struct pg *pg, const struct look *look, struct lsn end)
{
    struct probe *probe = &pg->probe;
    struct control control;

    if (control_read(pg->config.data_directory, &control, NULL) == 0 && control.timeline.no > probe->newest.no)
        probe->newest = control.timeline;
    if (look->receiver_timeline.no > probe->newest.no)
        probe->newest = look->receiver_timeline;
    probe->newest = history_follow(pg->config.data_directory, probe->newest, end, look->segment_bytes);
    return probe->newest;
}

static void standby_facts(struct pg *pg, const struct look *look)
{
    struct pg_seen *seen = &pg->probe.seen;
    struct lsn end = lsn_max(look->received, look->replayed);

    seen->end_final = !look->receiver && (look->received.at > 0 || look->waiting);
    if (!look->receiver && !seen->end_final && pg->probe.dumped_from.at == look->replayed.at &&
        pg->probe.dumped_end.at > 0) {
        end = lsn_max(end, pg->probe.dumped_end);
        seen->end_final = true;
    }
    seen->end = end;
    seen_timeline(pg, newest_of_standby(pg, look, end));
}

static void check_sync(struct pg *pg, const struct look *look, bool fresh)
{
    char wanted[CONF_VALUE_MAX];

    if (!fresh)
        return;
    conf_sync_value(&pg->probe.seen.conf, wanted, sizeof wanted);
    pg->probe.loaded = look->conf_written;
    pg->probe.sync_as_written = strcmp(wanted, look->sync_names) == 0;
}

void seen_from_look(struct pg *pg, const struct look *look, bool fresh)
{
    struct pg_seen *seen = &pg->probe.seen;
    struct control control;

    seen_conf(pg);
    seen->state = look->in_recovery ? PG_STANDBY : PG_PRIMARY;
    seen->clean = false;
    seen->was_primary = !look->in_recovery;
    if (!look->in_recovery && seen->conf_present && !place_has_signal(pg->config.data_directory))
        (void)place_signal(pg->config.data_directory, NULL); /* a promotion removed it; the next look tries again */
    seen->postmaster_started_us = look->postmaster_started_us;
    seen->replayed = look->in_recovery ? look->replayed : look->flushed;
    seen->replay_paused = look->replay_paused;
    seen->replay_lag_us = look->replay_lag_us;
    seen->receiver = look->receiver;
    seen->receiver_streaming = look->receiver_streaming;
    seen->can_rewind = look->can_rewind;
    if (seen->system_identifier == 0 && control_read(pg->config.data_directory, &control, NULL) == 0)
        seen->system_identifier = control.system_identifier;
    if (look->in_recovery) {
        standby_facts(pg, look);
    } else {
        seen->end = look->flushed;
        seen->end_final = false;
        seen_timeline(pg, look->inserting);
    }
    seen->walsender_count = look->walsender_count;
    memcpy(seen->walsenders, look->walsenders, sizeof seen->walsenders);
    check_sync(pg, look, fresh);
    if (fresh)
        (void)text_copy(seen->pending_restart, sizeof seen->pending_restart, look->pending_restart);
    pg->probe.raw = *look;
}
