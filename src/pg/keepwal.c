/*
 * keepwal.c - WAL of its own that a rewound server starts from. See rewind.h.
 *
 * It starts at the last common checkpoint, before the histories part. pg_rewind makes pg_wal as the source's is, and
 * before PostgreSQL 14 takes away what the source has no more. Such a server waits for that WAL for ever, all the more
 * since that version asks for it on the wrong timeline. So those segments get a second name in the state directory,
 * or a copy where that is another file system, and come back afterwards, if they are missing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/rewind.h"

#define FILES_MAX 100000
#define COMMAND_WORDS 5 /* before the files */

struct command {
    char **words; /* those after the first COMMAND_WORDS are ours to free; NULL at the end */
    size_t count; /* files */
};

static void command_release(struct command *command)
{
    for (size_t i = 0; i < command->count; i++)
        free(command->words[COMMAND_WORDS + i]);
    free(command->words);
    *command = (struct command){ 0 };
}

static void directory_of(const struct pg *pg, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/rewind-wal", pg->config.state_directory);
}

static void wal_of(const struct pg *pg, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/pg_wal", pg->config.data_directory);
}

static void add(struct command *command, const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char **grown = realloc(command->words, (COMMAND_WORDS + command->count + 2) * sizeof *grown);
    char *path = malloc(size);

    assert(grown && path);
    (void)snprintf(path, size, "%s/%s", directory, name);
    command->words = grown;
    command->words[COMMAND_WORDS + command->count++] = path;
    command->words[COMMAND_WORDS + command->count] = NULL;
}

static bool is_in(const char *directory, const char *name)
{
    char path[PLACE_PATH_SIZE + 256];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return file_exists(path);
}

/* Adds the segments in a directory that end at or before a position. */
static int list_before(struct command *command, const char *directory, struct lsn before, uint64_t segment_bytes,
                       struct err *err)
{
    char last[WAL_NAME_SIZE];
    struct timeline timeline;
    uint64_t high;
    uint64_t low;
    struct dirent *entry;
    DIR *listing = opendir(directory);

    if (!listing)
        return err_set_errno(err, errno, "could not open directory '%s'", directory);
    wal_name((struct timeline){ 0 }, before, segment_bytes, last);
    while ((entry = readdir(listing)) != NULL && command->count < FILES_MAX) {
        if (wal_name_parse(entry->d_name, &timeline, &high, &low) && strcmp(entry->d_name + 8, last + 8) < 0)
            add(command, directory, entry->d_name);
    }
    (void)closedir(listing);
    return 0;
}

/* Adds those segments of a directory that another one lacks; none where there is no such directory. */
static void list_missing(struct command *command, const char *directory, const char *other)
{
    struct dirent *entry;
    DIR *listing = opendir(directory);

    while (listing && (entry = readdir(listing)) != NULL) {
        if (entry->d_name[0] != '.' && !is_in(other, entry->d_name))
            add(command, directory, entry->d_name);
    }
    if (listing)
        (void)closedir(listing);
}

/* Runs PROGRAM OPTION -t TO -- FILES... */
static void run(struct pg *pg, struct command *command, const char *program, const char *option, const char *to,
                end_fn ended)
{
    union {
        const char *lent[COMMAND_WORDS];
        char *given[COMMAND_WORDS];
    } first = { .lent = { program, option, "-t", to, "--" } };
    union {
        char **ours;
        const char *const *borrowed;
    } argv = { .ours = command->words };

    memcpy(command->words, first.given, sizeof first.given);
    act_run(pg, argv.borrowed, NULL, ended);
    command_release(command);
}

void keepwal_forget(const struct pg_config *config)
{
    char path[PLACE_PATH_SIZE];
    struct dirent *entry;

    (void)snprintf(path, sizeof path, "%s/rewind-wal", config->state_directory);
    DIR *listing = opendir(path);
    if (!listing)
        return;
    while ((entry = readdir(listing)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(listing), entry->d_name, 0);
    }
    (void)closedir(listing);
    (void)rmdir(path);
}

static void copied(struct pg *pg, const struct child_end *end)
{
    if (end->problem[0])
        rewind_fail_with(pg, strstr(end->errors, "No space left") ? ERR_NO_SPACE : ERR_SYSTEM, end->problem);
    else
        pg->act.confirmed(pg);
}

static void begin(struct pg *pg, const char *option, end_fn ended)
{
    const struct rewinding *state = pg->act.scratch;
    struct command command = { 0 };
    char to[PLACE_PATH_SIZE];
    char from[PLACE_PATH_SIZE];
    uint64_t segment_bytes = 1;
    struct err err = { 0 };

    keepwal_forget(&pg->config);
    directory_of(pg, to);
    wal_of(pg, from);
    int failed = wal_segment_bytes(pg->config.data_directory, &segment_bytes, &err);
    if (!failed)
        failed = list_before(&command, from, state->parted, segment_bytes, &err);
    if (!failed && command.count > 0 && mkdir(to, 0700) < 0)
        failed = err_set_errno(&err, errno, "could not make directory '%s'", to);
    if (failed) {
        command_release(&command);
        rewind_fail(pg, &err);
    } else if (command.count == 0) {
        pg->act.confirmed(pg);
    } else {
        act_waits(pg, "the WAL that it starts from to be kept");
        run(pg, &command, "cp", option, to, ended);
    }
}

static void linked(struct pg *pg, const struct child_end *end)
{
    if (end->problem[0])
        begin(pg, "--reflink=auto", copied);
    else
        pg->act.confirmed(pg);
}

void keepwal_save(struct pg *pg, step_fn saved)
{
    pg->act.confirmed = saved;
    begin(pg, "--link", linked);
}

static void synced(struct pg *pg, const struct child_end *end)
{
    if (end->problem[0])
        rewind_fail_with(pg, ERR_SYSTEM, end->problem);
    else
        pg->act.confirmed(pg);
}

static void restored(struct pg *pg, const struct child_end *end)
{
    char wal[PLACE_PATH_SIZE];
    const char *argv[] = { "sync", "--file-system", wal, NULL };

    wal_of(pg, wal);
    if (end->problem[0]) {
        rewind_fail_with(pg, ERR_SYSTEM, end->problem);
        return;
    }
    keepwal_forget(&pg->config);
    act_run(pg, argv, NULL, synced);
}

void keepwal_restore(struct pg *pg, step_fn done)
{
    struct command command = { 0 };
    char from[PLACE_PATH_SIZE];
    char to[PLACE_PATH_SIZE];

    directory_of(pg, from);
    wal_of(pg, to);
    list_missing(&command, from, to);
    pg->act.confirmed = done;
    if (command.count > 0) {
        run(pg, &command, "mv", "--no-clobber", to, restored);
    } else {
        keepwal_forget(&pg->config);
        done(pg);
    }
}
