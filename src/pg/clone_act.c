/*
 * clone_act.c - ACT_CLONE: copies the primary into the data directory, beside the loop.
 *
 * A data directory that is there is renamed, never deleted. From before that until the copy is finished a mark in the
 * state directory says so, and the node counts as having no data. Only a copy of our own that was cut short is removed
 * (leftover.h), so that tries do not pile up.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/file.h"
#include "pg/clone.h"
#include "pg/kept.h"
#include "pg/leftover.h"
#include "pg/rewind.h"

struct cloning {
    char leftover[PATH_SIZE];
    step_fn swept; /* goes on once there is no leftover */
    struct clone_options options;
    struct clone_command command;
    struct token kept;
};

static void release(void *scratch)
{
    struct cloning *cloning = scratch;

    clone_command_release(&cloning->command);
    free(cloning);
}

static void fail(struct pg *pg, struct err *err)
{
    (void)err_wrap(err, "clone");
    act_finish(pg, -(int)err->code, err);
}

static void copied(struct pg *pg, const struct child_end *end)
{
    struct cloning *cloning = pg->act.scratch;
    struct err err = { 0 };

    if (end->problem[0]) {
        (void)err_set(&err, ERR_BACKUP, "%s", end->problem);
        fail(pg, &err);
        return;
    }
    int failed = kept_restore(pg, cloning->kept, &err);
    if (!failed)
        failed = clone_finish(&pg->config, &pg->act.what.conf, &err);
    if (!failed)
        failed = place_clear_unfinished(&pg->config, &err);
    keepwal_forget(&pg->config);
    if (failed)
        fail(pg, &err);
    else
        act_done(pg);
}

/* A copy that does not start either is not to be made again and again, each beside the last. */
static int refuse_again(const struct pg *pg, const char *suffix, struct err *err)
{
    char aside[PLACE_PATH_SIZE];

    clone_aside_path(pg->config.data_directory, suffix, aside, sizeof aside);
    if (!file_exists(aside))
        return 0;
    return err_set(err, ERR_REJOIN, "'%s' is there from a clone under the same token; remove it to have another made",
                   aside);
}

/* Gets what stands there out of the way: a leftover of ours to be removed, all else to be kept. */
static int move_away(struct pg *pg, struct cloning *cloning, const char *suffix, struct err *err)
{
    char aside[PATH_SIZE];

    if (!leftover_is_ours(&pg->config))
        return clone_set_aside(pg->config.data_directory, suffix, aside, err);
    if (rename(pg->config.data_directory, cloning->leftover) < 0)
        return err_set_errno(err, errno, "could not rename '%s' to '%s'", pg->config.data_directory, cloning->leftover);
    return 0;
}

/* Empties the place for the copy, and marks that one is under way. */
static int make_room(struct pg *pg, struct cloning *cloning, struct err *err)
{
    enum clone_directory found;
    struct token token;
    char suffix[32];
    char what[16];
    bool marked = place_unfinished(&pg->config, what, &token);

    int failed = clone_directory(pg->config.data_directory, &found, err);
    if (failed)
        return failed;
    if (found == CLONE_DIRECTORY_RUNNING)
        return err_set(err, ERR_REFUSED, "PostgreSQL processes are left in '%s'", pg->config.data_directory);
    if (found == CLONE_DIRECTORY_OTHER && !marked)
        return err_set(err, ERR_REFUSED, "'%s' is not empty and no data directory", pg->config.data_directory);
    (void)snprintf(suffix, sizeof suffix, "%" PRIu64, pg->act.what.token.no);
    failed = pg->act.what.once && !marked ? refuse_again(pg, suffix, err) : 0;
    if (!failed)
        failed = clone_check_tablespaces(pg->config.data_directory, err);
    if (!failed)
        failed = kept_save(pg, "clone", &cloning->kept, err);
    if (!failed && found != CLONE_DIRECTORY_ABSENT && found != CLONE_DIRECTORY_EMPTY)
        failed = move_away(pg, cloning, suffix, err);
    return failed ? failed : leftover_begin(&pg->config, cloning->kept, err);
}

static void copy(struct pg *pg)
{
    struct cloning *cloning = pg->act.scratch;

    act_waits(pg, "pg_basebackup");
    pg->act.while_silent = true; /* however long it takes, as long as it tells of progress */
    act_run(pg, cloning->command.argv, cloning->command.password[0] ? cloning->command.password : NULL, copied);
}

static void removed(struct pg *pg, const struct child_end *end)
{
    struct cloning *cloning = pg->act.scratch;
    struct err err = { 0 };

    if (end->problem[0]) {
        (void)err_set(&err, ERR_SYSTEM, "could not remove '%s': %s", cloning->leftover, end->problem);
        fail(pg, &err);
        return;
    }
    cloning->swept(pg);
}

/* Removes what earlier tries have left, which may take its time, and goes on with next. */
static void sweep(struct pg *pg, step_fn next)
{
    struct cloning *cloning = pg->act.scratch;
    const char *const argv[] = { "rm", "-rf", "--", cloning->leftover, NULL };

    cloning->swept = next;
    if (!file_exists(cloning->leftover)) {
        next(pg);
        return;
    }
    act_waits(pg, "the removal of an unfinished copy");
    act_run(pg, argv, NULL, removed);
}

static void empty_place(struct pg *pg)
{
    struct err err = { 0 };

    if (make_room(pg, pg->act.scratch, &err) < 0)
        fail(pg, &err);
    else
        sweep(pg, copy);
}

void verb_clone(struct pg *pg)
{
    struct cloning *cloning = calloc(1, sizeof *cloning);
    struct clone_options *options = &cloning->options;
    struct err err = { 0 };

    assert(cloning);
    pg->act.scratch = cloning;
    pg->act.scratch_release = release;
    (void)text_copy(options->source_conninfo, sizeof options->source_conninfo, pg->act.what.source_conninfo);
    (void)text_copy(options->replication_user, sizeof options->replication_user, pg->config.replication_user);
    (void)text_copy(options->passfile, sizeof options->passfile, pg->config.passfile);
    (void)text_copy(options->bindir, sizeof options->bindir, pg->bindir);
    (void)text_copy(options->data_directory, sizeof options->data_directory, pg->config.data_directory);
    (void)text_copy(options->slot, sizeof options->slot, pg->act.what.conf.slot);
    options->fast_checkpoint = true;
    int failed = clone_command_make(&cloning->command, options, &err);
    if (!failed && !leftover_path(&pg->config, cloning->leftover))
        failed = err_set(&err, ERR_CONFIG, "path '%s' is too long", pg->config.data_directory);
    if (failed)
        fail(pg, &err);
    else
        sweep(pg, empty_place);
}
