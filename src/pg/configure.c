/*
 * configure.c - changes the settings of a running server, cuts a standby off from its upstream, checkpoints.
 *
 * Detaching (design-review.md R4): a reload alone leaves the WAL receiver acknowledging while replay is paused or
 * blocked, since startup ends it only when it next asks for WAL. So the receiver is ended by a signal, which needs
 * no connection and works while the server starts. One that startup had asked for with the old settings may appear
 * a moment later: several looks in a row must find none.
 */
#include <signal.h>

#include "pg/adapter.h"
#include "pg/hba.h"
#include "pg/postmaster.h"

#define EVERY_MS 2
#define EMPTY_LOOKS 4

static bool write_and_reload(struct pg *pg)
{
    struct err err = { 0 };

    (void)probe_find(pg);
    if (!act_write_conf(pg))
        return false;
    int failed = hba_refresh(pg, &pg->act.what.conf, &err);
    if (failed) {
        act_finish(pg, failed, &err);
        return false;
    }
    act_reload(pg);
    return true;
}

void verb_configure(struct pg *pg)
{
    if (!write_and_reload(pg))
        return;
    if (pg->probe.life.pid)
        act_confirm(pg, act_done);
    else
        act_done(pg); /* it holds from the next start on */
}

/* Where it takes connections, a new one says that the settings are in force, also where none has come about yet (a
 * password); a server that only starts has to be asked again later. */
static void detached(struct pg *pg)
{
    struct postmaster_file file = { 0 };
    bool open = postmaster_read(pg->config.data_directory, &file) && file.status == POSTMASTER_READY;

    if (pg->probe.life.pid && (pg->probe.life.known || open))
        act_confirm(pg, act_done);
    else
        act_done(pg);
}

static void end_receiver(struct pg *pg)
{
    if (!pg->probe.life.pid) {
        act_done(pg);
        return;
    }
    act_waits(pg, "the WAL receiver to end");
    if (postmaster_receivers(pg->probe.life.pid, SIGTERM) > 0)
        pg->act.passes = 0;
    else
        pg->act.passes++;
    if (pg->act.passes >= EMPTY_LOOKS)
        detached(pg);
    else
        act_later(pg, EVERY_MS, end_receiver);
}

void verb_detach(struct pg *pg)
{
    pg->act.what.conf.upstream = 0;
    if (write_and_reload(pg))
        end_receiver(pg);
}

static void checkpointed(struct pg *pg, const struct conn_answer *answer)
{
    struct err err = { 0 };

    if (answer->problem[0])
        act_finish(pg, err_set(&err, ERR_DB_QUERY, "checkpoint: %s", answer->problem), &err);
    else
        act_done(pg);
}

static void connected(struct pg *pg, const struct conn_answer *answer)
{
    struct err err = { 0 };

    if (answer->problem[0])
        act_finish(pg, err_set(&err, ERR_DB_CONN, "checkpoint: %s", answer->problem), &err);
    else
        act_query_patiently(pg, "SET statement_timeout = 0; CHECKPOINT", checkpointed);
}

void verb_checkpoint(struct pg *pg)
{
    act_connect(pg, connected);
}
