/* log.c - one logfmt line an event. See log.h. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static enum log_level highest = LOG_INFO;
static int target = STDERR_FILENO;

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

void log_line(enum log_level level, const char *name, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    char when[40];
    va_list args;

    if (level > highest)
        return;
    clock_wall_text(clock_wall_us(), when, sizeof when);
    int head = snprintf(line, sizeof line - 1, "%s %s %s ", when, level_names[level], name);
    size_t used = (size_t)head;
    va_start(args, format);
    int body = vsnprintf(line + used, sizeof line - 1 - used, format, args);
    va_end(args);
    used += (size_t)(body < 0 ? 0 : body);
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used] = '\n';
    /* A log that cannot be written must not stop a failover. */
    if (write(target, line, used + 1) < 0)
        return;
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
