/*
 * rewind.c - ACT_REWIND: brings a data directory that went its own way back onto the primary's history.
 *
 * In this order, so that an interruption anywhere leaves nothing that looks better than it is: standby.signal; a server
 * that was not shut down is started once, alone and without upstream, and stopped (pg_rewind cannot recover it beside
 * standby.signal: reference/postgres.md); pg_rewind is asked where the histories part, and whether it can; the WAL from
 * there on is saved to diverged/<token>/; our configuration files are saved and the directory is marked; pg_rewind; our
 * files go back; the mark goes. With the mark the node counts as having no data: a clone is the way out.
 */
#include "pg/rewind.h"

#include <signal.h>
#include <stdlib.h>

#include "pg/conf.h"
#include "pg/kept.h"
#include "pg/postmaster.h"
#include "pg/programs.h"
#include "pg/words.h"

#define EVERY_MS 10
#define KEEPS_WAL_MAJOR 14   /* the first whose pg_rewind leaves WAL alone that the server starts from */
#define CONFIG_FILE_MAJOR 15 /* the first whose pg_rewind can be told where postgresql.conf is */

static void release(void *scratch)
{
    struct rewinding *state = scratch;

    buf_release(&state->conninfo);
    diverged_release(state);
    free(state);
}

void rewind_fail(struct pg *pg, struct err *err)
{
    (void)err_wrap(err, "rewind");
    act_finish(pg, -(int)err->code, err);
}

void rewind_fail_with(struct pg *pg, enum err_code code, const char *text)
{
    struct err err = { 0 };

    (void)err_set(&err, code, "%s", text);
    rewind_fail(pg, &err);
}

/* What pg_rewind said went wrong, with the way out where there is one. */
static void describe(const struct child_end *end, struct err *err)
{
    bool gone = strstr(end->errors, "could not find previous WAL record") ||
                strstr(end->errors, "could not open file") || strstr(end->errors, "could not read WAL record") ||
                strstr(end->errors, "could not find common ancestor");

    (void)err_set(err, ERR_REJOIN, "%s%s", end->problem,
                  gone ? " (the WAL it needs is gone: this node has to be cloned)" : "");
}

static void fail_rewind(struct pg *pg, const struct child_end *end)
{
    struct err err = { 0 };

    describe(end, &err);
    rewind_fail(pg, &err);
}

/* --- the end --- */

static void finish(struct pg *pg, bool changed)
{
    struct rewinding *state = pg->act.scratch;
    struct err err = { 0 };

    int failed = changed ? kept_restore(pg, state->kept, &err) : place_no_stand_in(&pg->config, &err);
    if (!failed)
        failed = place_signal(pg->config.data_directory, &err);
    if (!failed)
        failed = place_strip_auto(&pg->config, &err);
    if (!failed)
        failed = place_conf(&pg->config, &pg->act.what.conf, &pg->act.written, &err);
    if (!failed && changed)
        failed = place_clear_unfinished(&pg->config, &err);
    if (failed) {
        rewind_fail(pg, &err);
        return;
    }
    probe_written(pg, pg->act.written);
    act_done(pg);
}

/* --- pg_rewind --- */

static void run_rewind(struct pg *pg, bool dry, end_fn ended)
{
    struct rewinding *state = pg->act.scratch;
    const char *argv[16];
    size_t used = 0;

    (void)act_program(pg, "pg_rewind", state->program);
    argv[used++] = state->program;
    argv[used++] = "--target-pgdata";
    argv[used++] = pg->config.data_directory;
    argv[used++] = "--source-server";
    argv[used++] = (const char *)state->conninfo.bytes;
    argv[used++] = "--no-ensure-shutdown";
    if (dry)
        argv[used++] = "--dry-run";
    if (state->restore)
        argv[used++] = "--restore-target-wal";
    if (state->restore && programs_major(pg->config.data_directory) >= CONFIG_FILE_MAJOR) {
        argv[used++] = "--config-file";
        argv[used++] = state->config_file;
    }
    argv[used] = NULL;
    act_waits(pg, "pg_rewind");
    act_run(pg, argv, state->password[0] ? state->password : NULL, ended);
}

static void finish_changed(struct pg *pg)
{
    finish(pg, true);
}

static void kept_all(struct pg *pg)
{
    struct rewinding *state = pg->act.scratch;

    if (state->failure.code)
        rewind_fail(pg, &state->failure);
    else
        keepwal_restore(pg, finish_changed);
}

static void rewound(struct pg *pg, const struct child_end *end)
{
    struct rewinding *state = pg->act.scratch;

    if (end->problem[0])
        describe(end, &state->failure);
    own_restore(pg, &state->own, kept_all);
}

/* From here on the directory is marked: what fails before it leaves a server that can be started as it is. */
static void rewind_it(struct pg *pg)
{
    struct rewinding *state = pg->act.scratch;
    struct err err = { 0 };

    if (kept_save(pg, "rewind", &state->kept, &err) < 0) {
        rewind_fail(pg, &err);
        return;
    }
    own_move(&state->own);
    run_rewind(pg, false, rewound);
}

static void keep_own(struct pg *pg)
{
    struct rewinding *state = pg->act.scratch;

    state->own.token = pg->act.what.token;
    own_save(pg, &state->own, rewind_it);
}

static void keep_wal(struct pg *pg)
{
    if (programs_major(pg->config.data_directory) < KEEPS_WAL_MAJOR)
        keepwal_save(pg, keep_own);
    else
        keep_own(pg);
}

/* --- where the histories part --- */

static void ask_where(struct pg *pg);

static void settled(struct pg *pg, const struct child_end *end)
{
    struct err err = { 0 };

    if (place_signal(pg->config.data_directory, &err) < 0) {
        rewind_fail(pg, &err);
        return;
    }
    pg->act.signal_owed = false;
    if (end->problem[0])
        fail_rewind(pg, end);
    else
        ask_where(pg);
}

/*
 * A server that died soon after its promotion has no checkpoint on its timeline: pg_rewind goes by the older one's,
 * looks for WAL where there is none, or finds that nothing has to be rewound. A recovery in single-user mode, which
 * nobody can connect to, writes that checkpoint. Until it ends standby.signal is away; the latch keeps everybody else
 * from starting it.
 */
static void settle(struct pg *pg)
{
    struct rewinding *state = pg->act.scratch;
    struct err err = { 0 };
    char config[PLACE_PATH_SIZE + 16];

    state->settled = true;
    pg->act.signal_owed = true;
    if (place_unsignal(pg->config.data_directory, &err) < 0) {
        rewind_fail(pg, &err);
        return;
    }
    (void)snprintf(config, sizeof config, "config_file=%s", state->config_file);
    const char *argv[] = { act_program(pg, "postgres", state->program),
                           "--single",
                           "-D",
                           pg->config.data_directory,
                           "-c",
                           config,
                           "-c",
                           "logging_collector=off",
                           "template1",
                           NULL };
    act_waits(pg, "recovery in single-user mode, before the rewind");
    act_run(pg, argv, NULL, settled);
}

static void asked(struct pg *pg, const struct child_end *end)
{
    struct rewinding *state = pg->act.scratch;
    static const char phrase[] = "servers diverged at WAL location ";
    const char *at = strstr(end->errors, phrase);
    uint32_t high;
    uint32_t low;

    if (!at)
        at = strstr(end->output, phrase);
    if (end->problem[0] && !state->settled && strstr(end->errors, "could not find previous WAL record")) {
        settle(pg);
    } else if (end->problem[0]) {
        fail_rewind(pg, end);
    } else if (strstr(end->errors, "no rewind required") || strstr(end->output, "no rewind required")) {
        /* A recovery of its own has written WAL that nobody else has. */
        if (state->settled)
            rewind_fail_with(pg, ERR_REJOIN, "pg_rewind cannot tell this server's WAL from the primary's");
        else
            finish(pg, false);
    } else if (!at || sscanf(at + strlen(phrase), "%" SCNx32 "/%" SCNx32, &high, &low) != 2) {
        rewind_fail_with(pg, ERR_REJOIN, "pg_rewind did not say where the histories part");
    } else {
        state->parted.at = (uint64_t)high << 32 | low;
        diverged_save(pg, keep_wal);
    }
}

static void ask_where(struct pg *pg)
{
    run_rewind(pg, true, asked);
}

static uint32_t number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? (uint32_t)strtoul(at + strlen(name), NULL, 10) : 0;
}

static void controlled(struct pg *pg, const struct child_end *end)
{
    uint32_t checkpoint = number_behind(end->output, "Latest checkpoint's TimeLineID:");
    uint32_t reached = number_behind(end->output, "Min recovery ending loc's timeline:");

    if (end->problem[0])
        rewind_fail_with(pg, ERR_REJOIN, end->problem);
    else if (reached > checkpoint)
        settle(pg);
    else
        ask_where(pg);
}

/* Has it a checkpoint on the timeline that it got to? */
static void ask_control(struct pg *pg)
{
    struct rewinding *state = pg->act.scratch;
    const char *argv[] = { act_program(pg, "pg_controldata", state->program), "-D", pg->config.data_directory, NULL };

    act_run(pg, argv, NULL, controlled);
}

static void have_restore_command(struct pg *pg, const struct child_end *end)
{
    struct rewinding *state = pg->act.scratch;
    struct err err = { 0 };
    char value[8];

    act_setting(end, value, sizeof value);
    state->restore = value[0] != '\0';
    if (state->restore && programs_major(pg->config.data_directory) < CONFIG_FILE_MAJOR &&
        place_stand_in(&pg->config, &err) < 0)
        rewind_fail(pg, &err);
    else
        ask_control(pg);
}

static void ask_restore_command(struct pg *pg)
{
    act_ask_setting(pg, "restore_command", have_restore_command);
}

/* --- a server that was not shut down --- */

static void wait_for_stop(struct pg *pg)
{
    struct control control = { 0 };
    struct err err = { 0 };

    act_waits(pg, "the end of the start that cleans up");
    if (!server_ended(pg) || instance_count(&pg->instance, &err) != 0) {
        act_later(pg, EVERY_MS, wait_for_stop);
        return;
    }
    if (control_read(pg->config.data_directory, &control, &err) < 0)
        rewind_fail(pg, &err);
    else if (control.state != CONTROL_SHUT_DOWN_IN_RECOVERY && control.state != CONTROL_SHUT_DOWN)
        rewind_fail_with(pg, ERR_REJOIN, "the server did not shut down in good order");
    else
        ask_restore_command(pg);
}

static void wait_for_recovery(struct pg *pg)
{
    struct postmaster_file file;
    char why[TEXT_SIZE];
    struct err err = { 0 };

    act_waits(pg, "recovery, before the rewind");
    if (server_ended(pg)) {
        server_last_words(pg, why, sizeof why);
        (void)err_set(&err, ERR_REJOIN, "the server could not recover: %s", why[0] ? why : "see its log");
        rewind_fail(pg, &err);
    } else if (probe_find(pg) && postmaster_read(pg->config.data_directory, &file) && file.status == POSTMASTER_READY) {
        (void)probe_signal(pg, SIGINT);
        act_later(pg, EVERY_MS, wait_for_stop);
    } else {
        act_later(pg, EVERY_MS, wait_for_recovery);
    }
}

/* Nobody connects: no address, and a socket where nobody looks. */
static void recover(struct pg *pg)
{
    char sockets[PLACE_PATH_SIZE];
    struct err err = { 0 };
    (void)snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", pg->config.runtime_directory);
    const char *extra[] = { "-c", "listen_addresses=", "-c", sockets, "-c", "unix_socket_permissions=0700", NULL };

    if (server_start(pg, extra, &err) < 0)
        rewind_fail(pg, &err);
    else
        act_later(pg, EVERY_MS, wait_for_recovery);
}

static int prepare(struct pg *pg, struct rewinding *state, struct control *ret_control, struct err *err)
{
    char what[16];
    struct token token;

    int left = instance_count(&pg->instance, err);
    if (left < 0)
        return left;
    if (left > 0)
        return err_set(err, ERR_REFUSED, "%d PostgreSQL processes are left", left);
    if (place_unfinished(&pg->config, what, &token))
        return err_set(err, ERR_REJOIN, "an unfinished %s is in the way: this node has to be cloned", what);
    int failed = control_read(pg->config.data_directory, ret_control, err);
    if (!failed)
        failed = place_signal(pg->config.data_directory, err);
    if (!failed)
        failed = place_strip_auto(&pg->config, err);
    if (!failed)
        failed = place_conf_for_rewind(&pg->config, &pg->act.what.conf, &pg->act.written, err);
    if (!failed)
        failed = conninfo_for_program(pg->act.what.source_conninfo, "", pg->config.passfile, &state->conninfo,
                                      state->password, err);
    return failed;
}

void verb_rewind(struct pg *pg)
{
    struct rewinding *state = calloc(1, sizeof *state);
    struct control control = { 0 };
    struct err err = { 0 };

    assert(state);
    pg->act.scratch = state;
    pg->act.scratch_release = release;
    buf_init(&state->conninfo, CONF_CONNINFO_MAX);
    place_main_conf_path(&pg->config, state->config_file);
    if (prepare(pg, state, &control, &err) < 0)
        rewind_fail(pg, &err);
    else if (control.state == CONTROL_SHUT_DOWN || control.state == CONTROL_SHUT_DOWN_IN_RECOVERY)
        ask_restore_command(pg);
    else
        recover(pg);
}
