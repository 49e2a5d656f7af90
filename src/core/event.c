/* event.c - names and levels of events. See event.h. */
#include "core/event.h"

static const struct {
    enum log_level level;
    const char *name;
    const char *meaning;
} rows[EVENT_COUNT] = {
#define EVENT(name, level, text, meaning) [EVENT_##name] = { LOG_##level, text, meaning },
#include "core/event.def"
#undef EVENT
};

const char *event_name(enum event event)
{
    assert(event < EVENT_COUNT);
    return rows[event].name;
}

enum log_level event_level(enum event event)
{
    assert(event < EVENT_COUNT);
    return rows[event].level;
}

const char *event_meaning(enum event event)
{
    assert(event < EVENT_COUNT);
    return rows[event].meaning;
}
