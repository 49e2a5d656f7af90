/* event.h - the events of event.def as numbers, with name and level. */
#ifndef RAFTMGR_EVENT_H
#define RAFTMGR_EVENT_H

#include "base/log.h"

enum event {
#define EVENT(name, level, text, meaning) EVENT_##name,
#include "core/event.def"
#undef EVENT
    EVENT_COUNT
};

const char *event_name(enum event event);
enum log_level event_level(enum event event);
const char *event_meaning(enum event event);

#endif
