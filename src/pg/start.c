/*
 * start.c - starts the server: as a standby, or in place as the primary it was.
 *
 * A start in place takes standby.signal away for as long as the server needs to see that it is not there. It is
 * put back when the control file shows that recovery has begun (PostgreSQL looks for the signal before that), when
 * the server is ready, and when the action ends in any other way.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pg/adapter.h"
#include "pg/hba.h"
#include "pg/postmaster.h"
#include "pg/words.h"

#define EVERY_MS 5

enum { STAGE_STARTING, STAGE_SIGNAL_BACK };

static int refuse_unsound(struct pg *pg, struct control *ret_control, struct err *err)
{
    struct token token;
    char what[16];

    int left = instance_count(&pg->instance, err);
    if (left < 0)
        return left;
    if (left > 0)
        return err_set(err, ERR_REFUSED, "%d PostgreSQL processes are left in '%s'", left, pg->config.data_directory);
    if (place_unfinished(&pg->config, what, &token))
        return err_set(err, ERR_REFUSED, "the data directory holds an unfinished %s", what);
    return control_read(pg->config.data_directory, ret_control, err);
}

static void fail(struct pg *pg, struct err *err)
{
    act_finish(pg, -(int)err->code, err);
}

static int64_t control_changed_us(const struct pg *pg)
{
    char path[PLACE_PATH_SIZE];
    struct stat file;

    (void)snprintf(path, sizeof path, "%s/global/pg_control", pg->config.data_directory);
    if (stat(path, &file) < 0)
        return 0;
    return file.st_mtim.tv_sec * INT64_C(1000000) + file.st_mtim.tv_nsec / 1000;
}

#define SILENCE_MS 50 /* the collector writes the server's last words when it has ended */

struct start {
    int64_t control_changed_us; /* as it was before the start */
    int lock_fd; /* postmaster.pid, of this server: kept open, for it is removed at its end. -1: not yet */
};

static void release(void *scratch)
{
    struct start *start = scratch;

    if (start->lock_fd >= 0)
        (void)close(start->lock_fd);
    free(start);
}

static bool read_lock(int fd, struct postmaster_file *ret)
{
    char text[PLACE_PATH_SIZE * 2];

    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 && postmaster_parse(text, ret);
}

static void hold_lock(struct pg *pg)
{
    struct start *start = pg->act.scratch;
    char path[PLACE_PATH_SIZE];
    struct postmaster_file file;

    if (start->lock_fd >= 0 || !pg->server)
        return;
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", pg->config.data_directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read_lock(fd, &file) && file.pid == pg->server->process.pid)
        start->lock_fd = fd;
    else if (fd >= 0)
        (void)close(fd);
}

/* Its startup process gave up. A server that cannot even begin (a setting, a port) or that was told to stop has another
 * exit status, or had not got so far. */
static bool ended_in_recovery(const struct pg *pg)
{
    const struct start *start = pg->act.scratch;
    struct postmaster_file file = { 0 };

    return pg->server && pg->server->status == 1 && start->lock_fd >= 0 && read_lock(start->lock_fd, &file) &&
           file.recovering && file.status == POSTMASTER_STARTING && !server_outer_cause(pg);
}

static void ended(struct pg *pg)
{
    struct err err = { 0 };
    char why[TEXT_SIZE];

    pg->act.result.ended_in_recovery = ended_in_recovery(pg);
    server_last_words(pg, why, sizeof why);
    (void)err_set(&err, ERR_COMMAND, "the server ended: %s", why[0] ? why : "see its log");
    fail(pg, &err);
}

/* The server has passed the point where it looks for standby.signal. */
static void signal_back(struct pg *pg)
{
    const struct start *start = pg->act.scratch;
    struct control control = { 0 };

    if (!pg->act.signal_owed || pg->act.stage == STAGE_SIGNAL_BACK)
        return;
    if (control_changed_us(pg) == start->control_changed_us ||
        control_read(pg->config.data_directory, &control, NULL) < 0 || control.state != CONTROL_CRASH_RECOVERY)
        return;
    if (place_signal(pg->config.data_directory, NULL) == 0)
        act_stage(pg, STAGE_SIGNAL_BACK);
}

static void running(struct pg *pg)
{
    act_done(pg);
}

static void wait_for_server(struct pg *pg)
{
    struct postmaster_file file = { 0 };

    if (server_ended(pg)) {
        act_later(pg, SILENCE_MS, ended);
        return;
    }
    hold_lock(pg);
    signal_back(pg);
    act_waits(pg, "the server to accept connections");
    if (!probe_find(pg) || !postmaster_read(pg->config.data_directory, &file) || file.status != POSTMASTER_READY) {
        act_later(pg, EVERY_MS, wait_for_server);
        return;
    }
    if (pg->act.signal_owed)
        (void)place_signal(pg->config.data_directory, NULL); /* tried again at the end */
    act_confirm(pg, running);
}

static int prepare(struct pg *pg, bool primary, struct err *err)
{
    struct act *act = &pg->act;
    struct control control = { 0 };

    int failed = refuse_unsound(pg, &control, err);
    if (failed)
        return failed;
    if (primary && (control.state == CONTROL_SHUT_DOWN_IN_RECOVERY || control.state == CONTROL_ARCHIVE_RECOVERY))
        return err_set(err, ERR_REFUSED, "it last ran as a standby: only a promotion makes it a primary");
    if (!primary)
        failed = place_signal(pg->config.data_directory, err);
    if (!failed)
        failed = place_strip_auto(&pg->config, err);
    if (!failed)
        failed = place_conf(&pg->config, &act->what.conf, &act->written, err);
    if (failed || !primary)
        return failed;
    act->signal_owed = true;
    return place_unsignal(pg->config.data_directory, err);
}

static void launch(struct pg *pg, const char *const *args)
{
    struct err err = { 0 };

    if (server_start(pg, args, &err) < 0)
        fail(pg, &err);
    else
        act_later(pg, EVERY_MS, wait_for_server);
}

static void have_hba_file(struct pg *pg, const struct child_end *end)
{
    struct hba hba = { 0 };
    struct err err = { 0 };
    char path[2 * PATH_SIZE];

    act_setting(end, path, sizeof path);
    if (path[0] != '/')
        (void)err_set(&err, ERR_COMMAND, "could not ask for hba_file: %s", end->problem[0] ? end->problem : path);
    else if (hba_prepare(pg, path, &hba, &err) == 0) {
        launch(pg, hba.args);
        return;
    }
    fail(pg, &err);
}

static void start(struct pg *pg, bool primary)
{
    static const char *const nothing[] = { NULL };
    struct err err = { 0 };
    struct start *state = calloc(1, sizeof *state);

    assert(state);
    state->lock_fd = -1;
    pg->act.scratch = state;
    pg->act.scratch_release = release;
    if (prepare(pg, primary, &err) < 0) {
        fail(pg, &err);
        return;
    }
    state->control_changed_us = control_changed_us(pg);
    probe_written(pg, pg->act.written);
    if (!pg->act.what.conf.agent_only) {
        launch(pg, nothing);
        return;
    }
    act_waits(pg, "hba_file");
    act_ask_setting(pg, "hba_file", have_hba_file);
}

void verb_start_standby(struct pg *pg)
{
    start(pg, false);
}

void verb_start_primary(struct pg *pg)
{
    start(pg, true);
}
