/* other.c - looks for a running guard in /proc. See other.h. */
#include "guard/other.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

#define PROGRAM "raftmgr-guard"
#define WORDS_BYTES (PATH_MAX + 64)

/* Reads the file /proc/PID/<name>, terminated; the length, 0 when there is nothing or it cannot be read. */
static size_t read_of(pid_t pid, const char *name, char *text, size_t size)
{
    char path[48];

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, size - 1);
    (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

/* Anybody may call a program so: what belongs to another user is no guard of ours, and must not keep ours away. */
static bool is_trusted(pid_t pid)
{
    char path[48];
    struct stat found;

    (void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return stat(path, &found) == 0 && (found.st_uid == 0 || found.st_uid == geteuid());
}

/* Its root may be another one, so its path is followed from there. */
static bool is_same_directory(pid_t pid, const char *theirs, const char *ours)
{
    char path[PATH_MAX + 32];
    struct stat left;
    struct stat right;

    (void)snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, theirs);
    if (stat(path, &left) == 0 && stat(ours, &right) == 0)
        return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
    return strcmp(theirs, ours) == 0;
}

static bool guards(pid_t pid, const char *data_directory)
{
    char words[WORDS_BYTES];

    if (pid == getpid() || read_of(pid, "comm", words, sizeof words) == 0 || strcmp(words, PROGRAM "\n") != 0 ||
        !is_trusted(pid))
        return false;
    /* Two words, each terminated: the program, the data directory. One that has ended shows none. */
    size_t length = read_of(pid, "cmdline", words, sizeof words);
    size_t first = strlen(words) + 1;
    return length > first && is_same_directory(pid, words + first, data_directory);
}

pid_t other_guard(const char *data_directory)
{
    struct dirent *entry;
    pid_t found = 0;
    DIR *processes = opendir("/proc");

    if (!processes)
        return 0;
    while (!found && (entry = readdir(processes)) != NULL) {
        long pid = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 0 && pid <= INT_MAX && guards((pid_t)pid, data_directory))
            found = (pid_t)pid;
    }
    (void)closedir(processes);
    return found;
}
