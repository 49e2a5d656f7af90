/* say.c - messages for people. See say.h. */
#include "cli/say.h"

#include <stdarg.h>
#include <strings.h>

static const char *const names[] = {
    [SAY_DEBUG] = "DEBUG", [SAY_INFO] = "INFO",     [SAY_NOTICE] = "NOTICE", [SAY_WARNING] = "WARNING",
    [SAY_ERROR] = "ERROR", [SAY_DETAIL] = "DETAIL", [SAY_HINT] = "HINT",
};

/* The one state of the terminal: what is shown, and whether the last message was. */
static struct {
    enum say_level least;
    bool terse;
    bool shown;
} terminal = { .least = SAY_INFO, .shown = true };

void say_configure(enum say_level least, bool terse)
{
    terminal.least = least;
    terminal.terse = terse;
    terminal.shown = true;
}

void say(enum say_level level, const char *format, ...)
{
    va_list args;

    if (level < SAY_DETAIL)
        terminal.shown = level >= terminal.least;
    if (!terminal.shown || (level >= SAY_DETAIL && terminal.terse))
        return;
    (void)fflush(stdout);
    fprintf(stderr, "%s: ", names[level]);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

bool say_level_of(const char *name, enum say_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(names[i], name) != 0)
            continue;
        *ret_level = (enum say_level)i;
        return true;
    }
    return false;
}
