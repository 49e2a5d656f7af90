/* doubt.c - judges processes that may not be looked at. See doubt.h. */
#include "guard/doubt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "guard/process.h"

#define STATUS_BYTES 512 /* "Uid:" is among its first lines */
#define WORDS_BYTES (2 * PATH_MAX)

/* What a server's process may be called: the name that it was executed by. */
static const char *const names[] = { "postgres", "edb-postgres", "postmaster" };

bool doubt_denied(int error)
{
    return error != ENOENT && error != ESRCH;
}

/* Reads /proc/PID/<name>, terminated. Returns the length, or -1 with errno. */
static ssize_t read_of(pid_t pid, const char *name, char *text, size_t size)
{
    char path[48];

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, size - 1);
    int error = errno;
    (void)close(fd);
    errno = error;
    text[got > 0 ? got : 0] = '\0';
    return got;
}

static bool is_called_server(pid_t pid)
{
    char name[32];

    if (read_of(pid, "comm", name, sizeof name) < 0)
        return doubt_denied(errno);
    name[strcspn(name, "\n")] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* By its status and not by who owns /proc/PID, which is root for a process that was given privileges by its file. */
static bool runs_as(pid_t pid, uid_t owner)
{
    char text[STATUS_BYTES];

    if (read_of(pid, "status", text, sizeof text) < 0)
        return doubt_denied(errno);
    const char *line = strstr(text, "\nUid:");
    char *next = NULL;
    /* The real user, then the effective one. */
    unsigned long real = line ? strtoul(line + 5, &next, 10) : 0;
    return !line || real == owner || strtoul(next, NULL, 10) == owner;
}

/* The data directory that a postmaster was started with: "-D", "DIR" or "-DDIR"; NULL when it does not say. */
static const char *directory_of(pid_t pid, char *words, size_t size)
{
    ssize_t length = read_of(pid, "cmdline", words, size);
    const char *end = words + (length > 0 ? length : 0);

    for (const char *word = words; word < end; word += strlen(word) + 1) {
        if (strncmp(word, "-D", 2) != 0)
            continue;
        const char *directory = word[2] ? word + 2 : word + 3;
        return directory < end && directory[0] == '/' ? directory : NULL;
    }
    return NULL;
}

enum doubt doubt_judge(pid_t pid, uid_t owner, bool (*is_ours)(const void *context, const char *directory),
                       const void *context, pid_t *ret_parent)
{
    char words[WORDS_BYTES];
    struct process process;

    /* One that has ended, and is not waited for yet, is refused as well. */
    if (!is_called_server(pid) || !runs_as(pid, owner) || !process_look(pid, &process))
        return DOUBT_NO;
    const char *directory = directory_of(pid, words, sizeof words);
    if (directory)
        return is_ours(context, directory) ? DOUBT_YES : DOUBT_NO;
    if (process.parent <= 1 || !is_called_server(process.parent))
        return DOUBT_YES;
    *ret_parent = process.parent;
    return DOUBT_PARENT;
}
