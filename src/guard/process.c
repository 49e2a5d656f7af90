/* process.c - processes by number and start time. See process.h. */
#include "guard/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"

#define STAT_BYTES_MAX 1024
#define FIELD_PARENT 4
#define FIELD_STARTED 22

/* Field `number` of a stat line, counted from 1 as in proc(5); fields is the text behind the name, at field 3. */
static const char *field_of(const char *fields, int number)
{
    for (int at = 3; at < number && fields; at++) {
        fields = strchr(fields, ' ');
        if (fields)
            fields++;
    }
    return fields;
}

bool process_look(pid_t pid, struct process *ret_process)
{
    char path[48];
    char text[STAT_BYTES_MAX];

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (got <= 0)
        return false;
    text[got] = '\0';

    /* The name is in parentheses and may hold any character, so look for the last one. */
    const char *fields = strrchr(text, ')');
    if (!fields || fields[1] != ' ' || fields[2] == 'Z' || fields[2] == 'X')
        return false;
    const char *parent = field_of(fields + 2, FIELD_PARENT);
    const char *started = field_of(fields + 2, FIELD_STARTED);
    if (!parent || !started)
        return false;
    *ret_process = (struct process){
        .pid = pid,
        .parent = (pid_t)strtol(parent, NULL, 10),
        .started = strtoull(started, NULL, 10),
    };
    return true;
}

int process_open(pid_t pid, uint64_t started)
{
    struct process found;

    if (pid <= 0)
        return -1;
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return -1;
    /* Looked at after the open: if it is the one that is meant now, the descriptor is its. */
    if (process_look(pid, &found) && found.started == started)
        return fd;
    (void)close(fd);
    return -1;
}

bool process_ended(int pidfd)
{
    return process_wait(pidfd, 0);
}

bool process_wait(int pidfd, int64_t timeout_ms)
{
    int64_t end_us = clock_boot_us() + timeout_ms * 1000;
    struct pollfd wait = { .fd = pidfd, .events = POLLIN };

    if (pidfd < 0)
        return true;
    for (;;) {
        int64_t left_us = end_us - clock_boot_us();
        int ready = poll(&wait, 1, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}
