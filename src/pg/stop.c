/*
 * stop.c - ends the server and every process of it: in good order first, by force when that takes too long.
 *
 * "Stopped" means that no process of the instance is left; the postmaster's end alone says nothing (orphans go on
 * committing: reference/postgres.md).
 */
#include <signal.h>

#include "pg/adapter.h"

#define EVERY_MS 3
#define IMMEDIATE_US (2 * INT64_C(1000000)) /* STOP: from SIGQUIT to SIGKILL */
#define KILL_GRACE_US (100 * INT64_C(1000)) /* KILL: likewise */

enum { STAGE_FAST, STAGE_IMMEDIATE, STAGE_KILL };

static void stopped(struct pg *pg)
{
    struct pg_result *result = &pg->act.result;
    struct control control;

    bool orderly = pg->act.what.kind == ACT_STOP && pg->act.stage == STAGE_FAST;
    if (control_read(pg->config.data_directory, &control, NULL) == 0) {
        result->clean =
            orderly && (control.state == CONTROL_SHUT_DOWN || control.state == CONTROL_SHUT_DOWN_IN_RECOVERY);
        if (result->clean && control.state == CONTROL_SHUT_DOWN)
            (void)control_end(pg->config.data_directory, &control, &result->end, NULL); /* 0: unknown */
    }
    act_done(pg);
}

static void step(struct pg *pg);

static void next_stage(struct pg *pg, int stage)
{
    struct err err;

    act_stage(pg, stage);
    if (stage == STAGE_IMMEDIATE)
        (void)instance_signal(&pg->instance, INSTANCE_HEADS, SIGQUIT, NULL, &err);
    act_later(pg, 1, step);
}

/* True while the postmaster, that a fast shutdown is left to, lives. */
static bool postmaster_lives(struct pg *pg)
{
    return pg->probe.life.pid && probe_signal(pg, 0);
}

static void step(struct pg *pg)
{
    struct err err = { 0 };
    int64_t grace = pg->act.what.kind == ACT_KILL ? KILL_GRACE_US : IMMEDIATE_US;

    act_waits(pg, "PostgreSQL processes to end");
    if (pg->act.stage == STAGE_FAST && postmaster_lives(pg)) {
        if (act_stage_us(pg) >= pg->act.what.stop_fast_us)
            next_stage(pg, STAGE_IMMEDIATE);
        else
            act_later(pg, EVERY_MS, step);
        return;
    }
    int left = pg->act.stage == STAGE_KILL ? instance_signal(&pg->instance, INSTANCE_ALL, SIGKILL, NULL, &err)
                                           : instance_count(&pg->instance, &err);
    if (left == 0) {
        stopped(pg);
        return;
    }
    if (pg->act.stage == STAGE_FAST && act_stage_us(pg) >= pg->act.what.stop_fast_us)
        next_stage(pg, STAGE_IMMEDIATE);
    else if (pg->act.stage == STAGE_IMMEDIATE && (act_stage_us(pg) >= grace || !postmaster_lives(pg)))
        next_stage(pg, STAGE_KILL);
    else
        act_later(pg, EVERY_MS, step);
}

void verb_stop(struct pg *pg)
{
    act_stage(pg, STAGE_FAST);
    if (probe_find(pg))
        (void)probe_signal(pg, SIGINT);
    step(pg);
}

void verb_kill(struct pg *pg)
{
    (void)probe_find(pg);
    next_stage(pg, STAGE_IMMEDIATE);
}
