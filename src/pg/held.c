/*
 * held.c - asks pg_waldump how far WAL on disk goes while startup does not replay it. See held.h.
 *
 * Only for a standby in whose life no receiver has run (else the receiver's flushed position tells), that is detached
 * and whose replay stands still without waiting for WAL: paused, delayed, or in conflict with a query. One run reads
 * along one timeline; where the log goes on along a newer one, another run follows.
 */
#include "pg/held.h"

#include <stdlib.h>

static struct lsn lsn_in(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    uint32_t high;
    uint32_t low;

    if (!at || sscanf(at + strlen(before), "%" SCNx32 "/%" SCNx32, &high, &low) != 2)
        return (struct lsn){ 0 };
    return (struct lsn){ (uint64_t)high << 32 | low };
}

struct lsn held_parse(const char *errors)
{
    /* "error in WAL record at A: invalid record length at B: wanted 24, got 0": B is where the next would begin. Other
     * reasons (a bad checksum, a zero page) name the page or record likewise; then A is the last good one's begin. */
    struct lsn end = lsn_in(errors, "invalid record length at ");

    if (end.at == 0)
        end = lsn_in(errors, "could not find a valid record after ");
    if (end.at == 0)
        end = lsn_in(errors, "error in WAL record at ");
    return end;
}

static void dump(struct pg *pg, struct timeline timeline, struct lsn from);

/* Where the log goes on from `end` of one timeline: the newer timeline, and its fork. False when it ends there. */
static bool goes_on(struct pg *pg, struct timeline *timeline, struct lsn end, struct lsn *ret_fork)
{
    struct history history;
    struct timeline next =
        history_follow(pg->config.data_directory, *timeline, (struct lsn){ end.at + 1 }, pg->probe.raw.segment_bytes);

    if (next.no == timeline->no || history_read(pg->config.data_directory, next, &history, NULL) < 0)
        return false;
    for (uint32_t i = 0; i < history.count; i++) {
        if (history.rows[i].timeline.no == timeline->no)
            *ret_fork = history.rows[i].end;
    }
    *timeline = next;
    return true;
}

static void dumped(void *ctx, const struct child_end *end)
{
    struct pg *pg = ctx;
    struct probe *probe = &pg->probe;
    struct lsn last = lsn_max(held_parse(end->errors), probe->dumping_from);
    struct lsn fork = last;

    probe->waldump = NULL;
    if (end->timed_out) {
        probe->dumped_from.at = 0; /* a later look begins anew */
        return;
    }
    if (goes_on(pg, &probe->dumping, last, &fork)) {
        dump(pg, probe->dumping, fork);
        return;
    }
    probe->dumped_end = last;
    pg_look(pg);
}

static void dump(struct pg *pg, struct timeline timeline, struct lsn from)
{
    char program[PATH_SIZE + 32];
    char wal[PLACE_PATH_SIZE];
    char number[16];
    char start[32];

    pg->probe.dumping = timeline;
    pg->probe.dumping_from = from;
    (void)snprintf(wal, sizeof wal, "%s/pg_wal", pg->config.data_directory);
    (void)snprintf(number, sizeof number, "%" PRIu32, timeline.no);
    (void)snprintf(start, sizeof start, "%" PRIX32 "/%" PRIX32, (uint32_t)(from.at >> 32), (uint32_t)from.at);
    const char *argv[] = { act_program(pg, "pg_waldump", program), "-q", "-p", wal, "-t", number, "-s", start, NULL };
    struct child_spec spec = { .argv = argv, .env = { "LC_ALL=C" }, .timeout_ms = 60000 };
    pg->probe.waldump = child_run(&pg->pool, &spec, dumped, pg);
}

void held_look(struct pg *pg, const struct look *look)
{
    struct probe *probe = &pg->probe;

    bool held = look->in_recovery && !look->receiver && !look->waiting && look->received.at == 0 &&
                look->replayed.at > 0 && probe->seen.conf_present && probe->seen.conf.upstream == 0;
    if (!held || probe->waldump || (probe->dumped_from.at == look->replayed.at && probe->dumped_end.at > 0))
        return;
    if (probe->dumped_from.at != look->replayed.at) {
        probe->dumped_from = look->replayed; /* the next look decides whether it stands still */
        probe->dumped_end.at = 0;
        return;
    }
    dump(pg, probe->seen.timeline, look->replayed);
}
