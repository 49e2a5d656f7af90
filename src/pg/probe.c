/*
 * probe.c - looks at the instance: its postmaster by pidfd, its state over a kept connection, its health over new ones.
 *
 * A look is one query on the kept connection. Every knock_ms a new connection is begun, and given up where the server
 * asks for a password; on a primary the kept one is then made to write a few bytes of WAL. So at rest a server gets
 * little more than one query a second, and a postmaster that hangs shows by the knock. Every RENEW_US, and where there
 * is none or knocks are not understood, a new connection is made in earnest, asked the same, and replaces the kept one.
 * A refused new connection (all taken, a password) is told as a problem but no silence while the kept one answers; one
 * that hangs is.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "guard/process.h"
#include "pg/adapter.h"
#include "pg/hba.h"
#include "pg/held.h"
#include "pg/postmaster.h"
#include "pg/resolve.h"

#define MS INT64_C(1000)
#define STARTING_MS 20      /* between connection attempts while the server starts */
#define STARTING_QUICK 1000 /* so many, about 20 s; who still starts then waits for WAL, or replays much, */
#define REFUSED_QUICK 20    /* and who is ready and refuses so many does so for a while (a password): */
#define REFUSED_MS 250      /* each writes a line into its log */
#define ORPHANS_MS 5        /* between looks while processes without a postmaster are left */
#define PATIENCE_MS_MIN 500
#define RENEW_US (20 * INT64_C(1000000))
#define NO_KNOCK_US (300 * INT64_C(1000000))
#define NUDGE_US (10 * INT64_C(1000000))
#define NUDGE_AFTER_US (1 * INT64_C(1000000))
#define NUDGE_EVERY_MS 15
#define DEFER_MS 2 /* a look that was asked for waits this long for others to be asked for */

#define WRITE_SQL "SELECT pg_logical_emit_message(true, 'raftmgr', '')"
static void turn(struct pg *pg);

static void turn_timer(uv_timer_t *timer)
{
    turn(timer->data);
}

static void wake_in(struct pg *pg, unsigned ms)
{
    (void)uv_timer_start(&pg->probe.timer, turn_timer, ms, 0);
}

static int64_t attempt_ms(const struct pg *pg)
{
    return (int64_t)pg->probe.patience_ms * 2;
}

/* --- the postmaster as a process --- */

static void death_closed(uv_handle_t *handle)
{
    struct pg *pg = handle->data;

    free(handle);
    pool_remove(&pg->pool);
}

static void life_release(struct pg *pg)
{
    struct life *life = &pg->probe.life;

    if (life->death) {
        (void)uv_poll_stop(life->death);
        uv_close((uv_handle_t *)life->death, death_closed);
    }
    if (life->pidfd >= 0)
        (void)close(life->pidfd);
    *life = (struct life){ .pidfd = -1 };
}

static void drop_connections(struct pg *pg)
{
    conn_drop(pg->probe.kept);
    conn_drop(pg->probe.fresh);
    pg->probe.kept = NULL;
    pg->probe.fresh = NULL;
}

/* A postmaster that this very process has started, before it executed itself anew: nobody else waits for its end. */
static void reap(const struct pg *pg)
{
    siginfo_t info;

    if (!pg->server || pg->server->process.pid != pg->probe.life.pid)
        (void)waitid(P_PIDFD, (id_t)pg->probe.life.pidfd, &info, WEXITED | WNOHANG);
}

static void died(uv_poll_t *handle, int status, int events)
{
    struct pg *pg = handle->data;

    (void)status;
    (void)events;
    reap(pg);
    life_release(pg);
    drop_connections(pg);
    turn(pg);
}

static bool life_take(struct pg *pg, pid_t pid)
{
    struct life *life = &pg->probe.life;
    struct process process;

    if (!process_look(pid, &process))
        return false;
    int pidfd = process_open(pid, process.started);
    if (pidfd < 0)
        return false;
    uv_poll_t *death = calloc(1, sizeof *death);
    if (!death || !instance_has(&pg->instance, pid) || uv_poll_init(pg->pool.loop, death, pidfd) != 0) {
        free(death);
        (void)close(pidfd);
        return false;
    }
    death->data = pg;
    pool_add(&pg->pool);
    *life = (struct life){ .pid = pid, .pidfd = pidfd, .death = death };
    (void)uv_poll_start(death, UV_READABLE, died);
    pg->probe.seen.system_identifier = 0;
    pg->probe.raw = (struct look){ 0 };
    pg->probe.newest.no = 0;
    pg->probe.dumped_end.at = 0;
    pg->probe.loaded = 0;
    pg->probe.tried_at_us = 0;
    pg->probe.no_knock_till_us = 0;
    pg->probe.write_owed = false;
    pg->probe.refused = 0;
    return true;
}

bool probe_find(struct pg *pg)
{
    if (pg->probe.life.pid)
        return true;
    pid_t pid = instance_postmaster_pid(&pg->instance);
    return pid > 0 && life_take(pg, pid);
}

bool probe_signal(struct pg *pg, int signal)
{
    return pg->probe.life.pid && pidfd_send_signal(pg->probe.life.pidfd, signal, NULL, 0) == 0;
}

void probe_nudge(struct pg *pg)
{
    pid_t startup = pg->probe.raw.startup;

    if (startup > 0 && instance_has(&pg->instance, startup))
        (void)kill(startup, SIGHUP);
}

/* An upstream that is promoted meanwhile ends the stream of its old timeline once more: so this goes on for a moment
 * after the stream is there. */
static void nudge_timer(uv_timer_t *timer)
{
    struct pg *pg = timer->data;
    struct probe *probe = &pg->probe;
    int64_t now = clock_boot_us();
    bool streams = probe->life.known && probe->seen.receiver_streaming;

    if (now >= probe->nudge_until_us) {
        (void)uv_timer_stop(timer);
        return;
    }
    if (streams && probe->nudge_until_us > now + NUDGE_AFTER_US)
        probe->nudge_until_us = now + NUDGE_AFTER_US;
    if (!streams && probe->life.known && probe->seen.state == PG_STANDBY)
        probe_nudge(pg);
    pg_look(pg);
}

void probe_written(struct pg *pg, uint64_t written)
{
    pg->probe.conf_changed = (struct timespec){ 0 };
    seen_conf(pg);
    pg->probe.written = written;
    pg->probe.loaded = 0;
    if (!pg->probe.seen.conf.upstream)
        return;
    pg->probe.seen.receiver_streaming = false; /* of the upstream before, until a look tells */
    pg->probe.nudge_until_us = clock_boot_us() + NUDGE_US;
    (void)uv_timer_start(&pg->probe.nudge, nudge_timer, NUDGE_EVERY_MS, NUDGE_EVERY_MS);
}

void probe_loaded(struct pg *pg, uint64_t written)
{
    pg->probe.loaded = written;
    pg->probe.sync_as_written = true;
}

struct timeline probe_timeline(struct pg *pg)
{
    struct control control;

    if (pg->probe.life.known && pg->probe.seen.timeline.no)
        return pg->probe.seen.timeline;
    if (control_read(pg->config.data_directory, &control, NULL) == 0)
        return control.timeline;
    return (struct timeline){ 0 };
}

/* --- without a server --- */

static void controldata_ended(void *ctx, const struct child_end *end)
{
    struct pg *pg = ctx;
    const char *hints = strstr(end->output, "wal_log_hints setting:");
    const char *sums = strstr(end->output, "Data page checksum version:");
    int version = 0;
    char word[8] = "";

    pg->probe.controldata = NULL;
    if (end->problem[0])
        return;
    if (hints)
        (void)sscanf(hints, "wal_log_hints setting: %7s", word);
    if (sums)
        (void)sscanf(sums, "Data page checksum version: %d", &version);
    pg->probe.seen.can_rewind = strcmp(word, "on") == 0 || version > 0;
    seen_tell(pg);
}

/* Whether a stopped server can be rewound stands in the part of pg_control that differs between versions. */
static void ask_controldata(struct pg *pg)
{
    char program[PATH_SIZE + 32];
    char path[PLACE_PATH_SIZE];
    struct stat file;
    struct timespec *last = &pg->probe.control_changed;
    const char *argv[] = { act_program(pg, "pg_controldata", program), pg->config.data_directory, NULL };
    struct child_spec spec = { .argv = argv, .env = { "LC_ALL=C" }, .timeout_ms = 5000 };

    (void)snprintf(path, sizeof path, "%s/global/pg_control", pg->config.data_directory);
    if (pg->probe.controldata || stat(path, &file) < 0 ||
        (file.st_mtim.tv_sec == last->tv_sec && file.st_mtim.tv_nsec == last->tv_nsec))
        return;
    *last = file.st_mtim;
    pg->probe.controldata = child_run(&pg->pool, &spec, controldata_ended, pg);
}

static void at_rest(struct pg *pg)
{
    pg->probe.looked_us = clock_boot_us();
    seen_without_server(pg);
    if (pg->probe.seen.state == PG_STOPPED)
        ask_controldata(pg);
    pg->probe.again = false;
    pg->probe.soon = false;
    wake_in(pg, pg->probe.seen.state == PG_ORPHANS ? ORPHANS_MS : pg->probe.look_ms);
    seen_tell(pg);
}

/* --- over connections --- */

static void note_problem(struct pg *pg, const char *problem)
{
    (void)text_copy(pg->probe.seen.problem, sizeof pg->probe.seen.problem, problem);
}

static void kept_lost(struct pg *pg, const char *problem)
{
    note_problem(pg, problem);
    conn_drop(pg->probe.kept);
    pg->probe.kept = NULL;
    pg->probe.tried_at_us = 0;
    turn(pg);
}

/* A look that was asked for while the connection was busy. */
static void look_owed(struct pg *pg)
{
    if (!pg->probe.again)
        return;
    pg->probe.again = false;
    pg->probe.soon = true;
    wake_in(pg, DEFER_MS);
}

static void kept_wrote(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;

    if (answer->problem[0] && (answer->timed_out || !answer->sqlstate[0])) {
        pg->probe.seen.answering = false;
        kept_lost(pg, answer->problem);
        return;
    }
    pg->probe.seen.write_failed = answer->problem[0] != '\0';
    if (answer->problem[0])
        note_problem(pg, answer->problem);
    if (pg->probe.seen.answering)
        pg->probe.seen.answered_at_us = clock_boot_us();
    look_owed(pg);
    seen_tell(pg);
}

/* The server refused a new connection, so it is not silent; whether it writes is asked over the kept one. */
static void write_over_kept(struct pg *pg)
{
    if (conn_is_idle(pg->probe.kept) && pg->probe.seen.state == PG_PRIMARY)
        conn_query(pg->probe.kept, WRITE_SQL, attempt_ms(pg), kept_wrote, pg);
}

static void kept_answered(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;
    struct look look;

    if (answer->problem[0] || !look_parse(answer->rows, &look)) {
        kept_lost(pg, answer->problem[0] ? answer->problem : "an unexpected answer");
        return;
    }
    pg->probe.kept_at_us = clock_boot_us();
    pg->probe.looked_us = pg->probe.kept_asked_us;
    seen_from_look(pg, &look, false);
    held_look(pg, &look);
    if (pg->probe.write_owed)
        write_over_kept(pg);
    pg->probe.write_owed = false;
    look_owed(pg);
    seen_tell(pg);
}

/* What the state is as long as no connection has told: by postmaster.pid and the control file. */
static void state_by_file(struct pg *pg)
{
    struct postmaster_file file;
    struct pg_seen *seen = &pg->probe.seen;
    struct control control;

    seen_conf(pg);
    pg->probe.looked_us = clock_boot_us();
    seen->state = PG_STARTING;
    seen->clean = false;
    if (control_read(pg->config.data_directory, &control, NULL) < 0)
        return;
    seen->system_identifier = control.system_identifier;
    if (postmaster_read(pg->config.data_directory, &file) && file.status == POSTMASTER_READY)
        seen->state = control.state == CONTROL_IN_PRODUCTION ? PG_PRIMARY : PG_STANDBY;
}

static void fresh_failed(struct pg *pg, const struct conn_answer *answer)
{
    struct pg_seen *seen = &pg->probe.seen;

    conn_drop(pg->probe.fresh);
    pg->probe.fresh = NULL;
    note_problem(pg, answer->problem);
    if (answer->timed_out || !pg->probe.kept)
        seen->answering = false;
    else
        write_over_kept(pg);
    if (!pg->probe.life.known)
        state_by_file(pg);
    pg->probe.refused++;
    resolve_again(pg);
    pg->probe.soon = pg->probe.soon || pg->probe.again;
    pg->probe.again = false;
    wake_in(pg, seen->state == PG_STARTING || pg->probe.soon ? STARTING_MS : pg->probe.look_ms);
    seen_tell(pg);
}

static void fresh_good(struct pg *pg)
{
    struct probe *probe = &pg->probe;

    if (hba_follow(pg))
        (void)probe_signal(pg, SIGHUP);
    conn_drop(probe->kept);
    probe->kept = probe->fresh;
    probe->fresh = NULL;
    probe->refused = 0;
    probe->seen.answering = true;
    probe->seen.answered_at_us = probe->kept_at_us = probe->renewed_at_us = clock_boot_us();
    if (!probe->seen.write_failed)
        probe->seen.problem[0] = '\0';
    probe->soon = probe->soon || probe->again;
    probe->again = false;
    wake_in(pg, probe->soon ? DEFER_MS : probe->look_ms);
    seen_tell(pg);
}

static void fresh_wrote(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;

    if (answer->problem[0] && (answer->timed_out || !answer->sqlstate[0])) {
        fresh_failed(pg, answer);
        return;
    }
    pg->probe.seen.write_failed = answer->problem[0] != '\0';
    if (answer->problem[0])
        note_problem(pg, answer->problem);
    fresh_good(pg);
}

static void fresh_answered(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;
    struct look look;
    static const struct conn_answer odd = { .problem = "an unexpected answer", .sqlstate = "" };

    if (answer->problem[0] || !look_parse(answer->rows, &look)) {
        fresh_failed(pg, answer->problem[0] ? answer : &odd);
        return;
    }
    pg->probe.life.known = true;
    pg->probe.seen.version_number = conn_version(pg->probe.fresh);
    pg->probe.looked_us = pg->probe.fresh_asked_us;
    seen_from_look(pg, &look, true);
    held_look(pg, &look);
    if (!look.in_recovery) {
        conn_query(pg->probe.fresh, WRITE_SQL, attempt_ms(pg), fresh_wrote, pg);
    } else {
        pg->probe.seen.write_failed = false;
        fresh_good(pg);
    }
}

static void fresh_opened(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;

    if (answer->problem[0]) {
        fresh_failed(pg, answer);
    } else {
        pg->probe.fresh_asked_us = clock_boot_us();
        conn_query(pg->probe.fresh, look_sql(true), attempt_ms(pg), fresh_answered, pg);
    }
}

static int64_t unknown_every_us(const struct probe *probe)
{
    unsigned quick = probe->seen.state == PG_STARTING ? STARTING_QUICK : REFUSED_QUICK;

    return (probe->refused > quick ? REFUSED_MS : STARTING_MS) * MS;
}

/* How long after the last attempt the next new connection is made. */
static int64_t try_every_us(const struct pg *pg)
{
    const struct probe *probe = &pg->probe;

    if (!probe->kept && (!probe->life.known || probe->soon))
        return unknown_every_us(probe);
    /* Connections in earnest cost more, so where nothing else does they come less often. */
    unsigned every_ms = clock_boot_us() < probe->no_knock_till_us ? probe->knock_ms * 5 / 2 : probe->knock_ms;
    return (every_ms - DEFER_MS) * MS; /* timers may fire a little early */
}

static void open_new(struct pg *pg)
{
    pg->probe.fresh = conn_open(&pg->pool, &pg->target, attempt_ms(pg), fresh_opened, pg);
}

static void knocked(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;
    struct probe *probe = &pg->probe;

    if (answer->timed_out) {
        fresh_failed(pg, answer);
        return;
    }
    bool taken = !answer->problem[0];
    conn_drop(probe->fresh);
    probe->fresh = NULL;
    if (!taken) { /* a connection in earnest says what is wrong */
        probe->no_knock_till_us = clock_boot_us() + NO_KNOCK_US;
        open_new(pg);
        return;
    }
    if (!probe->kept) {
        open_new(pg);
        return;
    }
    probe->seen.answered_at_us = clock_boot_us();
    if (conn_is_idle(probe->kept))
        write_over_kept(pg);
    else
        probe->write_owed = true;
    seen_tell(pg);
}

/* A knock says enough of a server that answers over the kept connection. */
static bool knocking_does(const struct probe *probe, int64_t now_us)
{
    return probe->kept && probe->seen.answering && !probe->seen.write_failed && now_us >= probe->no_knock_till_us &&
           now_us - probe->renewed_at_us < RENEW_US;
}

static void try_new(struct pg *pg, int64_t now_us)
{
    struct probe *probe = &pg->probe;

    probe->tried_at_us = now_us;
    if (knocking_does(probe, now_us))
        probe->fresh = conn_knock(&pg->pool, &pg->target, probe->patience_ms, knocked, pg);
    else
        open_new(pg);
}

static void with_server(struct pg *pg)
{
    struct probe *probe = &pg->probe;
    int64_t now = clock_boot_us();

    if (conn_is_idle(probe->kept) && (probe->soon || now - probe->kept_at_us >= probe->look_ms * MS - DEFER_MS * MS)) {
        probe->kept_at_us = now;
        probe->kept_asked_us = now;
        conn_query(probe->kept, look_sql(false), attempt_ms(pg), kept_answered, pg);
    } else if (probe->soon && (probe->kept || probe->fresh)) {
        probe->again = true;
    }
    if (!probe->fresh && !resolve_waits(pg) && now - probe->tried_at_us >= try_every_us(pg))
        try_new(pg, now);
    /* A look that could not even begin is still owed. */
    bool owed = probe->soon && !probe->kept && !probe->fresh;
    probe->soon = owed;
    wake_in(pg, !owed && (probe->kept || probe->life.known) ? probe->look_ms : STARTING_MS);
}

static void turn(struct pg *pg)
{
    if (pg->closing)
        return;
    if (probe_find(pg))
        with_server(pg);
    else
        at_rest(pg);
}

void pg_look(struct pg *pg)
{
    if (pg->probe.soon || pg->probe.again)
        return;
    pg->probe.soon = true;
    wake_in(pg, DEFER_MS);
}

void pg_pace(struct pg *pg, unsigned look_ms, unsigned knock_ms, unsigned patience_ms)
{
    pg->probe.look_ms = look_ms > DEFER_MS ? look_ms : DEFER_MS + 1;
    pg->probe.knock_ms = knock_ms > pg->probe.look_ms ? knock_ms : pg->probe.look_ms;
    pg->probe.patience_ms = patience_ms > PATIENCE_MS_MIN ? patience_ms : PATIENCE_MS_MIN;
    wake_in(pg, DEFER_MS);
}

static void closed(uv_handle_t *handle)
{
    struct pg *pg = handle->data;
    pool_remove(&pg->pool);
}

void probe_begin(struct pg *pg)
{
    struct probe *probe = &pg->probe;

    probe->look_ms = PG_LOOK_MS;
    probe->knock_ms = PG_KNOCK_MS;
    probe->patience_ms = PG_PATIENCE_MS;
    probe->life.pidfd = -1;
    (void)uv_timer_init(pg->pool.loop, &probe->timer);
    (void)uv_timer_init(pg->pool.loop, &probe->nudge);
    probe->timer.data = probe->nudge.data = pg;
    pool_add(&pg->pool);
    pool_add(&pg->pool);
    wake_in(pg, 0);
}

void probe_end(struct pg *pg)
{
    life_release(pg);
    drop_connections(pg);
    child_kill(pg->probe.controldata);
    child_kill(pg->probe.waldump);
    uv_close((uv_handle_t *)&pg->probe.timer, closed);
    uv_close((uv_handle_t *)&pg->probe.nudge, closed);
}
