/*
 * diverged.c - saves WAL that a rewind is about to throw away, for inspection. See rewind.h.
 *
 * What an earlier try has saved is written again: a segment that was cut off in the middle looks newer than its source.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "pg/rewind.h"

#define SPARE_BYTES (64 * UINT64_C(1048576)) /* left free beside the saved WAL */
#define COPIES_MAX 100000                    /* segment files */
#define FIXED_ARGS 7

void diverged_release(struct rewinding *state)
{
    for (size_t i = 0; i < state->copy_count; i++)
        free(state->copies[FIXED_ARGS + i]);
    free(state->copies);
    state->copies = NULL;
    state->copy_count = 0;
}

static void synced(struct pg *pg, const struct child_end *end)
{
    if (end->problem[0])
        rewind_fail_with(pg, ERR_SYSTEM, end->problem);
    else
        pg->act.confirmed(pg);
}

static void saved(struct pg *pg, const struct child_end *end)
{
    struct rewinding *state = pg->act.scratch;
    const char *argv[] = { "sync", "--file-system", state->directory, NULL };

    if (end->problem[0])
        rewind_fail_with(pg, strstr(end->errors, "No space left") ? ERR_NO_SPACE : ERR_SYSTEM, end->problem);
    else
        act_run(pg, argv, NULL, synced);
}

static int make_directories(struct pg *pg, struct rewinding *state, struct err *err)
{
    char parent[PLACE_PATH_SIZE];

    (void)snprintf(parent, sizeof parent, "%s/diverged", pg->config.state_directory);
    (void)snprintf(state->directory, sizeof state->directory, "%s/%" PRIu64, parent, pg->act.what.token.no);
    if (mkdir(parent, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, errno, "could not make directory '%s'", parent);
    if (mkdir(state->directory, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, errno, "could not make directory '%s'", state->directory);
    return 0;
}

/* True for history files and for segments at or after the parting, whatever their timeline. */
static bool is_wanted(const char *name, const char *first)
{
    struct timeline timeline;
    uint64_t high;
    uint64_t low;
    size_t length = strlen(name);

    if (length > 8 && strcmp(name + length - 8, ".history") == 0)
        return true;
    return wal_name_parse(name, &timeline, &high, &low) && strcmp(name + 8, first + 8) >= 0;
}

static int list_copies(struct pg *pg, struct rewinding *state, struct err *err)
{
    char wal[PLACE_PATH_SIZE];
    char first[WAL_NAME_SIZE];
    uint64_t segment_bytes;
    struct dirent *entry;

    int failed = wal_segment_bytes(pg->config.data_directory, &segment_bytes, err);
    if (failed)
        return failed;
    wal_name((struct timeline){ 0 }, state->parted, segment_bytes, first);
    (void)snprintf(wal, sizeof wal, "%s/pg_wal", pg->config.data_directory);
    DIR *directory = opendir(wal);
    if (!directory)
        return err_set_errno(err, errno, "could not open directory '%s'", wal);
    while ((entry = readdir(directory)) != NULL && state->copy_count < COPIES_MAX) {
        if (!is_wanted(entry->d_name, first))
            continue;
        char **grown = realloc(state->copies, (FIXED_ARGS + state->copy_count + 2) * sizeof *grown);
        char *path = malloc(strlen(wal) + strlen(entry->d_name) + 2);
        assert(grown && path);
        (void)snprintf(path, strlen(wal) + strlen(entry->d_name) + 2, "%s/%s", wal, entry->d_name);
        state->copies = grown;
        state->copies[FIXED_ARGS + state->copy_count++] = path;
        state->copy_bytes += segment_bytes;
    }
    (void)closedir(directory);
    return 0;
}

void diverged_save(struct pg *pg, step_fn saved_fn)
{
    struct rewinding *state = pg->act.scratch;
    struct err err = { 0 };
    struct statvfs room;
    static char words[][24] = { "cp", "--reflink=auto", "--preserve=timestamps", "--no-dereference", "-t" };

    int failed = make_directories(pg, state, &err);
    if (!failed)
        failed = list_copies(pg, state, &err);
    if (!failed && statvfs(state->directory, &room) < 0)
        failed = err_set_errno(&err, errno, "could not look at directory '%s'", state->directory);
    if (!failed && (uint64_t)room.f_bavail * room.f_frsize < state->copy_bytes + SPARE_BYTES)
        failed = err_set(&err, ERR_NO_SPACE, "%" PRIu64 " MB are needed in '%s' to save the diverged WAL",
                         (state->copy_bytes + SPARE_BYTES) >> 20, state->directory);
    if (failed) {
        rewind_fail(pg, &err);
        return;
    }
    if (state->copy_count == 0) {
        saved_fn(pg);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        state->copies[i] = words[i];
    state->copies[ARRAY_LEN(words)] = state->directory;
    static char end_of_options[] = "--";
    state->copies[ARRAY_LEN(words) + 1] = end_of_options;
    state->copies[FIXED_ARGS + state->copy_count] = NULL;
    union {
        char **ours;
        const char *const *borrowed;
    } argv = { .ours = state->copies };
    pg->act.confirmed = saved_fn;
    act_waits(pg, "the diverged WAL to be saved");
    act_run(pg, argv.borrowed, NULL, saved);
}
