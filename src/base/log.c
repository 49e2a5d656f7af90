/* log.c - one logfmt line an event. See log.h. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static enum log_level highest = LOG_INFO;
static int target = STDERR_FILENO;
static unsigned long lost; /* lines since the target took none */

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_set_level(enum log_level level)
{
    highest = level;
}

int log_set_file(const char *path)
{
    int fd = STDERR_FILENO;

    if (path) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0)
            return -errno;
    }
    if (target != STDERR_FILENO)
        (void)close(target);
    target = fd;
    return 0;
}

/* A log whose reader has stalled must not hold up a failover: what is not taken at once is not written. A pipe that is
 * ready takes a line of this length whole (pipe(7), PIPE_BUF). */
static bool put(const char *line, size_t length)
{
    struct pollfd ready = { .fd = target, .events = POLLOUT };

    if (poll(&ready, 1, 0) != 1)
        return false;
    ssize_t done = send(target, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno == ENOTSOCK)
        done = write(target, line, length);
    return done >= 0;
}

/* The line's beginning; returns its length. */
static size_t put_head(char *line, size_t size, enum log_level level, const char *name)
{
    char when[40];

    clock_wall_text(clock_wall_us(), when, sizeof when);
    return (size_t)snprintf(line, size, "%s %s %s ", when, level_names[level], name);
}

/* Says what is missing, before the first line that is taken again. */
static bool tell_lost(void)
{
    char line[128];

    size_t used = put_head(line, sizeof line, LOG_WARN, "log.lost");
    used += (size_t)snprintf(line + used, sizeof line - used, "lines=%lu\n", lost);
    return put(line, used);
}

void log_line(enum log_level level, const char *name, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    if (level > highest)
        return;
    size_t used = put_head(line, sizeof line - 1, level, name);
    va_start(args, format);
    int body = vsnprintf(line + used, sizeof line - 1 - used, format, args);
    va_end(args);
    used += (size_t)(body < 0 ? 0 : body);
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used] = '\n';
    if (lost > 0 && tell_lost())
        lost = 0;
    if (lost > 0 || !put(line, used + 1))
        lost++;
}

const char *log_quoted(char *text, size_t size, const char *value)
{
    size_t at = 0;

    assert(size >= 3);
    text[at++] = '"';
    for (; *value && at < size - 3; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\')
            text[at++] = '\\';
        text[at++] = c < 0x20 ? ' ' : (char)c;
    }
    text[at++] = '"';
    text[at] = '\0';
    return text;
}
