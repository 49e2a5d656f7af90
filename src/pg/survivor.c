/* survivor.c - finds programs of an earlier life by their environment, and ends them. See survivor.h. */
#include "pg/survivor.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "guard/process.h"

#define ENVIRONMENT_BYTES_MAX (1u << 20)
#define PASSES 10 /* one that starts another just before its end may leave that to the next pass */
#define END_MS 1000

int survivor_mark(const char *state_directory, char *ret_mark, struct err *err)
{
    struct stat found;

    if (stat(state_directory, &found) < 0)
        return err_set_errno(err, errno, "could not look at directory '%s'", state_directory);
    (void)snprintf(ret_mark, SURVIVOR_MARK_SIZE, "RAFTMGR_PROGRAM_OF=%" PRIx64 ":%" PRIx64, (uint64_t)found.st_dev,
                   (uint64_t)found.st_ino);
    return 0;
}

/* One that we may not look at is another user's, and so none of ours. */
static bool is_marked(pid_t pid, const char *mark)
{
    char path[64];
    size_t size = strlen(mark) + 1;
    AUTO(buf) text;

    buf_init(&text, ENVIRONMENT_BYTES_MAX);
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    if (file_read(path, &text, NULL) < 0 || text.length == 0)
        return false;
    for (const uint8_t *at = text.bytes, *end = at + text.length; at < end;) {
        size_t length = strnlen((const char *)at, (size_t)(end - at)) + 1;
        if (length == size && at + size <= end && memcmp(at, mark, size) == 0)
            return true;
        at += length;
    }
    return false;
}

/* True when there was such a process. */
static bool end_one(pid_t pid, const char *mark)
{
    struct process process;

    if (pid == getpid() || !is_marked(pid, mark) || !process_look(pid, &process))
        return false;
    int fd = process_open(pid, process.started);
    if (fd < 0)
        return false;
    bool same = is_marked(pid, mark); /* the number may have been another's by then */
    if (same && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0)
        (void)process_wait(fd, END_MS);
    (void)close(fd);
    return same;
}

int survivor_end_all(const char *mark, struct err *err)
{
    bool any = true;

    for (unsigned pass = 0; any && pass < PASSES; pass++) {
        struct dirent *entry;
        DIR *proc = opendir("/proc");
        if (!proc)
            return err_set_errno(err, errno, "could not open directory '/proc'");
        any = false;
        while ((entry = readdir(proc)) != NULL) {
            long pid = strtol(entry->d_name, NULL, 10);
            if (pid > 0)
                any = end_one((pid_t)pid, mark) || any;
        }
        (void)closedir(proc);
    }
    return 0;
}
