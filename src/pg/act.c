/*
 * act.c - what all actions share: steps on the loop, a deadline, a connection and a child of their own, one end.
 *
 * An action is a chain of steps; each ends by asking for the next: after some time, an answer, or a child's end. The
 * deadline, pg_act_cancel and a failing step all lead to act_finish(), which leaves nothing behind that still runs.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pg/adapter.h"
#include "pg/conf.h"
#include "pg/resolve.h"
#include "pg/words.h"

#define CONNECT_MS 3000 /* of one attempt; the action's deadline decides about the next */
#define QUERY_MS 60000
#define CONFIRM_EVERY_MS 5
#define FAILED_EVERY_MS 10
#define FAILED_QUICK 50       /* so many tries at that pace; then it is no matter of a moment (a password), */
#define FAILED_PATIENT_MS 250 /* and each writes a line into the server's log */

static const step_fn verbs[] = {
    [ACT_ADOPT] = verb_adopt,
    [ACT_START_STANDBY] = verb_start_standby,
    [ACT_START_PRIMARY] = verb_start_primary,
    [ACT_STOP] = verb_stop,
    [ACT_KILL] = verb_kill,
    [ACT_CONFIGURE] = verb_configure,
    [ACT_DETACH] = verb_detach,
    [ACT_PROMOTE] = verb_promote,
    [ACT_REWIND] = verb_rewind,
    [ACT_CLONE] = verb_clone,
    [ACT_SLOTS] = verb_slots,
    [ACT_CHECKPOINT] = verb_checkpoint,
};

static void run_next(struct pg *pg)
{
    step_fn next = pg->act.next;

    pg->act.next = NULL;
    if (pg->act.running && next)
        next(pg);
}

static void step_timer(uv_timer_t *timer)
{
    run_next(timer->data);
}

void act_later(struct pg *pg, unsigned ms, step_fn next)
{
    pg->act.next = next;
    (void)uv_timer_start(&pg->act.step, step_timer, ms, 0);
}

void act_stage(struct pg *pg, int stage)
{
    pg->act.stage = stage;
    pg->act.passes = 0;
    pg->act.stage_us = clock_boot_us();
}

int64_t act_stage_us(const struct pg *pg)
{
    return clock_boot_us() - pg->act.stage_us;
}

void act_waits(struct pg *pg, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(pg->act.waits, sizeof pg->act.waits, format, args);
    va_end(args);
}

/* Stops everything of the action; nothing of it calls back afterwards. */
static void release(struct pg *pg)
{
    struct act *act = &pg->act;

    (void)uv_timer_stop(&act->deadline);
    (void)uv_timer_stop(&act->step);
    conn_drop(act->conn);
    child_kill(act->child);
    act->conn = NULL;
    act->child = NULL;
    act->next = NULL;
    act->confirmed = NULL;
    if (act->scratch && act->scratch_release)
        act->scratch_release(act->scratch);
    else
        free(act->scratch);
    act->scratch = NULL;
    act->scratch_release = NULL;
}

void act_finish(struct pg *pg, int code, const struct err *err)
{
    struct act *act = &pg->act;
    struct err signal_err = { 0 };

    assert(act->running);
    release(pg);
    if (act->signal_owed && place_signal(pg->config.data_directory, &signal_err) < 0 && code == 0) {
        code = -(int)signal_err.code;
        err = &signal_err;
    }
    act->running = false;
    act->result.code = code;
    if (code != 0 && err)
        (void)text_copy(act->result.text, sizeof act->result.text, err->text);
    pg_look(pg);
    if (!pg->closing && pg->callbacks.done) {
        struct pg_result result = act->result; /* done() may begin the next action */
        pg->callbacks.done(pg->callbacks.ctx, &result);
    }
}

void act_done(struct pg *pg)
{
    act_finish(pg, 0, NULL);
}

static void out_of_time(uv_timer_t *timer)
{
    struct pg *pg = timer->data;
    struct err err = { 0 };
    const char *waits = pg->act.waits;
    int64_t silent_us = pg->act.while_silent && pg->act.child ? child_silent_us(pg->act.child) : INT64_MAX;

    if (silent_us < pg->act.what.timeout_us) {
        (void)uv_timer_start(timer, out_of_time, (uint64_t)((pg->act.what.timeout_us - silent_us) / 1000 + 1), 0);
        return;
    }
    act_finish(pg, err_set(&err, ERR_TIMEOUT, "time is up%s%s", waits[0] ? " while waiting for " : "", waits), &err);
}

void pg_act(struct pg *pg, const struct pg_action *action)
{
    struct act *act = &pg->act;

    assert(!act->running && action->kind > ACT_NONE && (size_t)action->kind < ARRAY_LEN(verbs));
    act->running = true;
    act->what = *action;
    act->result = (struct pg_result){ .id = action->id, .kind = action->kind };
    act->begun_us = clock_boot_us();
    act->signal_owed = false;
    act->while_silent = false;
    act->written = 0;
    act->waits[0] = '\0';
    act_stage(pg, 0);
    (void)uv_timer_start(&act->deadline, out_of_time, (uint64_t)(action->timeout_us / 1000), 0);
    act_later(pg, 0, verbs[action->kind]);
}

static void canceled(struct pg *pg)
{
    struct err err = { 0 };
    act_finish(pg, err_set(&err, ERR_CANCELED, "canceled"), &err);
}

void pg_act_cancel(struct pg *pg)
{
    if (!pg->act.running)
        return;
    release(pg);
    act_later(pg, 0, canceled);
}

/* --- connections --- */

static void answered(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;
    pg->act.answered(pg, answer);
}

void act_connect(struct pg *pg, answer_fn fn)
{
    conn_drop(pg->act.conn);
    pg->act.answered = fn;
    resolve_hurry(pg);
    pg->act.conn = conn_open(&pg->pool, &pg->target, CONNECT_MS, answered, pg);
}

void act_query(struct pg *pg, const char *sql, answer_fn fn)
{
    pg->act.answered = fn;
    conn_query(pg->act.conn, sql, QUERY_MS, answered, pg);
}

void act_query_patiently(struct pg *pg, const char *sql, answer_fn fn)
{
    int64_t left_ms = (pg->act.begun_us + pg->act.what.timeout_us - clock_boot_us()) / 1000;

    pg->act.answered = fn;
    conn_query(pg->act.conn, sql, left_ms > 0 ? left_ms + 1000 : 1000, answered, pg); /* the action's end comes first */
}

/* --- programs --- */

const char *act_program(const struct pg *pg, const char *name, char *path)
{
    (void)snprintf(path, PATH_SIZE + 32, "%s/%s", pg->bindir, name);
    return path;
}

static void ended(void *ctx, const struct child_end *end)
{
    struct pg *pg = ctx;

    pg->act.child = NULL;
    pg->act.ended(pg, end);
}

void act_run(struct pg *pg, const char *const *argv, const char *env, end_fn fn)
{
    struct child_spec spec = {
        .argv = argv,
        .env = { "LC_ALL=C", pg->mark, env },
        .timeout_ms = pg->act.what.timeout_us / 1000 + 1000, /* the action's deadline comes first */
        .while_silent = pg->act.while_silent,
        .group = true,
    };

    pg->act.ended = fn;
    pg->act.child = child_run(&pg->pool, &spec, ended, pg);
}

/* --- settings --- */

/* PostgreSQL's own reader knows what included files and ALTER SYSTEM say. */
void act_ask_setting(struct pg *pg, const char *name, end_fn fn)
{
    char program[PATH_SIZE + 32];
    char main_conf[PLACE_PATH_SIZE];
    char config[PLACE_PATH_SIZE + 16];

    place_main_conf_path(&pg->config, main_conf);
    (void)snprintf(config, sizeof config, "config_file=%s", main_conf);
    const char *argv[] = {
        act_program(pg, "postgres", program), "-D", pg->config.data_directory, "-c", config, "-C", name, NULL
    };
    act_run(pg, argv, NULL, fn);
}

void act_setting(const struct child_end *end, char *value, size_t size)
{
    (void)text_copy(value, size, end->problem[0] ? "" : end->output);
    value[strcspn(value, "\r\n")] = '\0';
}

void act_reload(struct pg *pg)
{
    (void)probe_signal(pg, SIGHUP); /* no server, nothing to load */
}

bool act_write_conf(struct pg *pg)
{
    struct err err = { 0 };

    int failed = place_conf(&pg->config, &pg->act.what.conf, &pg->act.written, &err);
    if (failed) {
        act_finish(pg, failed, &err);
        return false;
    }
    probe_written(pg, pg->act.written);
    return true;
}

static void confirm_try(struct pg *pg);

static void confirm_again(struct pg *pg)
{
    pg->act.failures++;
    act_later(pg, pg->act.failures <= FAILED_QUICK ? FAILED_EVERY_MS : FAILED_PATIENT_MS, confirm_try);
}

static void confirm_answered(struct pg *pg, const struct conn_answer *answer)
{
    char wanted[CONF_VALUE_MAX];

    if (answer->problem[0]) {
        act_waits(pg, "the server: %s", answer->problem);
        confirm_again(pg);
        return;
    }
    uint64_t seen = strtoull(PQgetvalue(answer->rows, 0, 0), NULL, 10);
    conf_sync_value(&pg->act.what.conf, wanted, sizeof wanted);
    if (seen != pg->act.written) {
        act_waits(pg, "the settings to be loaded: see the server's log for a mistake in a configuration file");
        if (++pg->act.passes % 100 == 0)
            act_reload(pg);
        act_later(pg, CONFIRM_EVERY_MS, confirm_try);
    } else if (strcmp(PQgetvalue(answer->rows, 0, 1), wanted) != 0) {
        act_waits(pg, "synchronous_standby_names, which is overridden elsewhere");
        act_later(pg, FAILED_EVERY_MS, confirm_try);
    } else {
        probe_loaded(pg, pg->act.written);
        pg->act.confirmed(pg);
    }
}

static void confirm_opened(struct pg *pg, const struct conn_answer *answer)
{
    if (answer->problem[0]) {
        act_waits(pg, "a connection: %s", answer->problem);
        confirm_again(pg);
        return;
    }
    act_query(pg, "SELECT current_setting('raftmgr.written', true), current_setting('synchronous_standby_names')",
              confirm_answered);
}

static void confirm_try(struct pg *pg)
{
    struct err err = { 0 };

    if (!probe_find(pg)) {
        char why[TEXT_SIZE];
        server_last_words(pg, why, sizeof why);
        act_finish(pg, err_set(&err, ERR_COMMAND, "the server is gone%s%s", why[0] ? ": " : "", why), &err);
        return;
    }
    act_connect(pg, confirm_opened);
}

void act_confirm(struct pg *pg, step_fn next)
{
    pg->act.confirmed = next;
    pg->act.passes = 0;
    pg->act.failures = 0;
    confirm_try(pg);
}

/* --- begin and end --- */

static void closed(uv_handle_t *handle)
{
    struct pg *pg = handle->data;
    pool_remove(&pg->pool);
}

void act_begin(struct pg *pg)
{
    (void)uv_timer_init(pg->pool.loop, &pg->act.deadline);
    (void)uv_timer_init(pg->pool.loop, &pg->act.step);
    pg->act.deadline.data = pg->act.step.data = pg;
    pool_add(&pg->pool);
    pool_add(&pg->pool);
}

void act_end(struct pg *pg)
{
    release(pg);
    if (pg->act.running && pg->act.signal_owed)
        (void)place_signal(pg->config.data_directory, NULL); /* pg_open tries again */
    pg->act.running = false;
    uv_close((uv_handle_t *)&pg->act.deadline, closed);
    uv_close((uv_handle_t *)&pg->act.step, closed);
}
