/* programs.c - finding PostgreSQL's programs. See programs.h. */
#include "pg/programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define DEBIAN "/usr/lib/postgresql"

static bool has_pg_ctl(const char *directory)
{
    char path[PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/pg_ctl", directory);
    return access(path, X_OK) == 0;
}

unsigned programs_major(const char *data_directory)
{
    char path[PATH_SIZE + 16];
    AUTO(buf) text;

    buf_init(&text, 64);
    (void)snprintf(path, sizeof path, "%s/PG_VERSION", data_directory);
    if (file_read(path, &text, NULL) < 0)
        return 0;
    buf_put_u8(&text, 0);
    return text.failed ? 0 : (unsigned)strtoul((const char *)text.bytes, NULL, 10);
}

static unsigned newest_of_debian(void)
{
    unsigned newest = 0;
    struct dirent *entry;
    DIR *directory = opendir(DEBIAN);

    if (!directory)
        return 0;
    while ((entry = readdir(directory)) != NULL) {
        unsigned major = (unsigned)strtoul(entry->d_name, NULL, 10);
        char bin[PATH_SIZE];
        (void)snprintf(bin, sizeof bin, DEBIAN "/%u/bin", major);
        if (major > newest && has_pg_ctl(bin))
            newest = major;
    }
    (void)closedir(directory);
    return newest;
}

static bool in_path(char *ret_bindir)
{
    const char *at = getenv("PATH");

    while (at && *at) {
        size_t length = strcspn(at, ":");
        if (length > 0 && length < PATH_SIZE) {
            (void)snprintf(ret_bindir, PATH_SIZE, "%.*s", (int)length, at);
            if (has_pg_ctl(ret_bindir))
                return true;
        }
        at += length + (at[length] == ':');
    }
    return false;
}

int programs_find(const char *given, const char *data_directory, char *ret_bindir, struct err *err)
{
    char found[PATH_SIZE];
    unsigned major = programs_major(data_directory);

    (void)text_copy(found, sizeof found, given);
    if (given[0] && !has_pg_ctl(given))
        return err_set(err, ERR_CONFIG, "there is no pg_ctl in '%s'", given);
    if (!given[0]) {
        (void)snprintf(found, sizeof found, DEBIAN "/%u/bin", major ? major : newest_of_debian());
        if (!has_pg_ctl(found) && !in_path(found))
            return err_set(err, ERR_CONFIG, "PostgreSQL's programs were not found: set pg_bindir");
    }
    (void)text_copy(ret_bindir, PATH_SIZE, found);
    return 0;
}

unsigned programs_parse_version(const char *text)
{
    static const char product[] = "(PostgreSQL) ";
    const char *at = strstr(text, product);

    return at ? (unsigned)strtoul(at + strlen(product), NULL, 10) : 0;
}

/* Runs a program with --version; its output goes to a pipe. Returns 0 or an errno. */
static int ask_version(const char *program, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    char path[PATH_SIZE + 16];
    char option[] = "--version";
    char *argv[] = { path, option, NULL };

    (void)text_copy(path, sizeof path, program);
    int number = posix_spawn_file_actions_init(&actions);
    if (number)
        return number;
    number = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (!number)
        number = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return number;
}

int programs_version(const char *bindir, unsigned *ret_major, struct err *err)
{
    char program[PATH_SIZE + 16];
    char text[256] = "";
    int ends[2];
    pid_t pid;

    (void)snprintf(program, sizeof program, "%s/pg_ctl", bindir);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set_errno(err, errno, "could not make a pipe");
    int number = ask_version(program, ends[1], &pid);
    (void)close(ends[1]);
    if (!number) {
        ssize_t got = read(ends[0], text, sizeof text - 1);
        text[got > 0 ? got : 0] = '\0';
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    (void)close(ends[0]);
    if (number)
        return err_set_errno(err, number, "could not run '%s'", program);
    *ret_major = programs_parse_version(text);
    return *ret_major ? 0 : err_set(err, ERR_COMMAND, "'%s' does not say what version it is", program);
}

int programs_match(const char *data_directory, const char *bindir, unsigned major, struct err *err)
{
    unsigned of_data = programs_major(data_directory);

    if (of_data == 0 || of_data == major)
        return 0;
    return err_set(
        err, ERR_CONFIG,
        "data directory '%s' is of PostgreSQL %u, but the programs in '%s' are of PostgreSQL %u: set pg_bindir",
        data_directory, of_data, bindir, major);
}
