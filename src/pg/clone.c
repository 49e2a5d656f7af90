/* clone.c - the local side of a clone: the target directory, pg_basebackup, the finishing. See clone.h. */
#include "pg/clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "guard/instance.h"
#include "pg/child.h"
#include "pg/conf.h"
#include "pg/place.h"
#include "pg/programs.h"

#define ASIDE_TRIES 100
#define LINE_SIZE 512

static int has_processes(const char *data_directory, struct err *err)
{
    AUTO(instance) instance = { 0 };

    int failed = instance_open(&instance, data_directory, err);
    return failed ? failed : instance_count(&instance, err);
}

/* 1: has entries, 0: empty, negative: could not be read. */
static int has_entries(const char *path, struct err *err)
{
    struct dirent *entry;
    int found = 0;
    DIR *directory = opendir(path);

    if (!directory)
        return err_set_errno(err, errno, "could not open directory '%s'", path);
    while (!found && (entry = readdir(directory)) != NULL)
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(directory);
    return found;
}

int clone_directory(const char *data_directory, enum clone_directory *ret, struct err *err)
{
    if (!file_exists(data_directory)) {
        *ret = CLONE_DIRECTORY_ABSENT;
        return 0;
    }
    int left = has_processes(data_directory, err);
    if (left < 0)
        return left;
    if (left > 0) {
        *ret = CLONE_DIRECTORY_RUNNING;
        return 0;
    }
    int entries = has_entries(data_directory, err);
    if (entries < 0)
        return entries;
    *ret = entries == 0                         ? CLONE_DIRECTORY_EMPTY
           : programs_major(data_directory) > 0 ? CLONE_DIRECTORY_POSTGRES
                                                : CLONE_DIRECTORY_OTHER;
    return 0;
}

int clone_check_tablespaces(const char *data_directory, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char place[PLACE_PATH_SIZE + 256];
    struct dirent *entry;
    int failed = 0;

    (void)snprintf(path, sizeof path, "%s/pg_tblspc", data_directory);
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? 0 : err_set_errno(err, errno, "could not open directory '%s'", path);
    while (!failed && (entry = readdir(directory)) != NULL) {
        (void)snprintf(place, sizeof place, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || access(place, F_OK) < 0)
            continue; /* a link to nothing is in nobody's way */
        failed = has_entries(place, err);
        if (failed > 0)
            failed =
                err_set(err, ERR_REFUSED,
                        "tablespace '%s' holds data, and a copy wants its directory empty: move that data away", place);
    }
    (void)closedir(directory);
    return failed;
}

int clone_aside_path(const char *data_directory, const char *suffix, char *ret, size_t size)
{
    return snprintf(ret, size, "%s.old-%s", data_directory, suffix);
}

int clone_set_aside(const char *data_directory, const char *suffix, char *ret_aside, struct err *err)
{
    char aside[PATH_SIZE];
    int length = clone_aside_path(data_directory, suffix, aside, sizeof aside);

    int left = has_processes(data_directory, err);
    if (left < 0)
        return left;
    if (left > 0)
        return err_set(err, ERR_REFUSED, "%d PostgreSQL processes are left in '%s'", left, data_directory);
    for (int i = 2; file_exists(aside) && i < ASIDE_TRIES; i++)
        (void)snprintf(aside + length, sizeof aside - (size_t)length, ".%d", i);
    if (length + 4 >= (int)sizeof aside || file_exists(aside))
        return err_set(err, ERR_REFUSED, "there is no free name beside '%s'", data_directory);
    if (rename(data_directory, aside) < 0)
        return err_set_errno(err, errno, "could not rename '%s' to '%s'", data_directory, aside);
    (void)text_copy(ret_aside, PATH_SIZE, aside);
    return 0;
}

void clone_command_release(struct clone_command *command)
{
    buf_release(&command->conninfo);
}

int clone_command_make(struct clone_command *ret, const struct clone_options *options, struct err *err)
{
    char bindir[PATH_SIZE];
    size_t used = 0;

    buf_init(&ret->conninfo, CONF_CONNINFO_MAX);
    int failed = programs_find(options->bindir, options->data_directory, bindir, err);
    if (!failed)
        failed = conninfo_for_program(options->source_conninfo, options->replication_user, options->passfile,
                                      &ret->conninfo, ret->password, err);
    if (failed)
        return failed;
    (void)snprintf(ret->program, sizeof ret->program, "%s/pg_basebackup", bindir);
    const char *fixed[] = { ret->program,
                            "-l",
                            CLONE_LABEL,
                            "-D",
                            options->data_directory,
                            "-d",
                            (const char *)ret->conninfo.bytes,
                            "-X",
                            "stream",
                            "-P",
                            "--no-password" };
    for (; used < ARRAY_LEN(fixed); used++)
        ret->argv[used] = fixed[used];
    if (options->fast_checkpoint) {
        ret->argv[used++] = "-c";
        ret->argv[used++] = "fast";
    }
    if (options->slot[0]) {
        ret->argv[used++] = "-S";
        ret->argv[used++] = options->slot;
    }
    assert(used < ARRAY_LEN(ret->argv));
    ret->argv[used] = NULL;
    return 0;
}

/* last: the last line, or the first that names an error. */
static void read_lines(int fd, char *last, void (*line)(void *ctx, const char *text), void *ctx)
{
    char text[LINE_SIZE];
    bool named = false;
    FILE *file = fdopen(fd, "r");

    last[0] = '\0';
    while (file && fgets(text, sizeof text, file)) {
        text[strcspn(text, "\r\n")] = '\0';
        if (text[0] && !named)
            (void)text_copy(last, LINE_SIZE, text);
        named = named || child_names_error(text, strlen(text));
        if (line)
            line(ctx, text);
    }
    if (file)
        (void)fclose(file);
    else
        (void)close(fd);
}

static int spawn(const struct clone_command *command, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    union {
        const char *const *borrowed;
        char *const *given;
    } argv = { .borrowed = command->argv }; /* posix_spawn does not write to it */

    int number = posix_spawn_file_actions_init(&actions);
    if (number)
        return number;
    number = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (!number)
        number = posix_spawn_file_actions_adddup2(&actions, output, 2);
    if (!number)
        number = posix_spawn(ret_pid, command->program, &actions, NULL, argv.given, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return number;
}

/* A command line program's own environment: "NAME=value", or empty. */
static void add_to_environment(const char *pair)
{
    char name[64];
    const char *equals = strchr(pair, '=');

    if (!equals)
        return;
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals - pair), pair);
    (void)setenv(name, equals + 1, 1);
}

int clone_run(const struct clone_options *options, void (*line)(void *ctx, const char *text), void *ctx,
              struct err *err)
{
    AUTO(clone_command) command = { 0 };
    char last[LINE_SIZE];
    int ends[2];
    pid_t pid;
    int status = -1;

    int failed = clone_command_make(&command, options, err);
    if (failed)
        return failed;
    if (pipe2(ends, O_CLOEXEC) < 0) /* else the program holds its own reader, and hears nothing of our end */
        return err_set_errno(err, errno, "could not make a pipe");
    add_to_environment(command.password);
    add_to_environment(options->mark);
    int number = spawn(&command, ends[1], &pid);
    (void)close(ends[1]);
    if (number) {
        (void)close(ends[0]);
        return err_set_errno(err, number, "could not run '%s'", command.program);
    }
    read_lines(ends[0], last, line, ctx);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status)) /* its last words are of its progress */
        return err_set(err, ERR_BACKUP, "pg_basebackup was killed by signal %d", WTERMSIG(status));
    if (status != 0)
        return err_set(err, ERR_BACKUP, "pg_basebackup failed: %s", last[0] ? last : "it said nothing");
    return 0;
}

int clone_finish(const struct pg_config *config, const struct pg_conf *conf, struct err *err)
{
    static const char *const foreign[] = { "raftmgr-server.log", "raftmgr.pg_hba.conf", "promote" };
    char path[PLACE_PATH_SIZE];
    uint64_t written;

    int failed = place_signal(config->data_directory, err);
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", config->data_directory, foreign[i]);
        (void)unlink(path); /* mostly not there */
    }
    if (!failed)
        failed = place_strip_auto(config, err);
    if (!failed)
        failed = place_conf(config, conf, &written, err);
    return failed;
}
