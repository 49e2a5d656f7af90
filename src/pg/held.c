/*
 * held.c - asks pg_waldump how far WAL on disk goes while startup does not replay it. See held.h.
 *
 * Only for a standby in whose life no receiver has run (else the receiver's flushed position tells), that is detached
 * and whose replay stands still without waiting for WAL: paused, delayed, or in conflict with a query. One run reads
 * along one timeline: where the WAL that is held back crosses to a newer one, the end is that of the older.
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

static void dumped(void *ctx, const struct child_end *end)
{
    struct pg *pg = ctx;

    pg->probe.waldump = NULL;
    pg->probe.dumped_end = lsn_max(held_parse(end->errors), pg->probe.dumped_from);
    if (!end->timed_out)
        pg_look(pg);
    else
        pg->probe.dumped_end.at = 0;
}

void held_look(struct pg *pg, const struct look *look)
{
    struct probe *probe = &pg->probe;
    char program[PATH_SIZE + 32];
    char wal[PLACE_PATH_SIZE];
    char timeline[16];
    char from[32];

    bool held = look->in_recovery && !look->receiver && !look->waiting && look->received.at == 0 &&
                look->replayed.at > 0 && probe->seen.conf_present && probe->seen.conf.upstream == 0;
    if (!held || probe->waldump || (probe->dumped_from.at == look->replayed.at && probe->dumped_end.at > 0))
        return;
    if (probe->dumped_from.at != look->replayed.at) {
        probe->dumped_from = look->replayed; /* the next look decides whether it stands still */
        probe->dumped_end.at = 0;
        return;
    }
    (void)snprintf(wal, sizeof wal, "%s/pg_wal", pg->config.data_directory);
    (void)snprintf(timeline, sizeof timeline, "%" PRIu32, probe->newest.no ? probe->newest.no : 1);
    (void)snprintf(from, sizeof from, "%" PRIX32 "/%" PRIX32, (uint32_t)(look->replayed.at >> 32),
                   (uint32_t)look->replayed.at);
    const char *argv[] = { act_program(pg, "pg_waldump", program), "-q", "-p", wal, "-t", timeline, "-s", from, NULL };
    struct child_spec spec = { .argv = argv, .env = { "LC_ALL=C" }, .timeout_ms = 60000 };
    probe->waldump = child_run(&pg->pool, &spec, dumped, pg);
}
