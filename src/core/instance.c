/* instance.c - names of an instance's states and actions. See instance.h. */
#include "core/instance.h"

const char *act_name(enum act_kind kind)
{
    static const char *const names[] = {
        [ACT_NONE] = "none",
        [ACT_ADOPT] = "adopt",
        [ACT_START_STANDBY] = "start as standby",
        [ACT_START_PRIMARY] = "start in place",
        [ACT_STOP] = "stop",
        [ACT_KILL] = "stop at once",
        [ACT_CONFIGURE] = "configure",
        [ACT_DETACH] = "detach",
        [ACT_PROMOTE] = "promote",
        [ACT_REWIND] = "rewind",
        [ACT_CLONE] = "clone",
        [ACT_SLOTS] = "slots",
        [ACT_CHECKPOINT] = "checkpoint",
    };

    assert((size_t)kind < ARRAY_LEN(names));
    return names[kind];
}

const char *pg_state_name(enum pg_state state)
{
    static const char *const names[] = {
        [PG_UNKNOWN] = "unknown",   [PG_ABSENT] = "absent",   [PG_STOPPED] = "stopped", [PG_ORPHANS] = "orphans",
        [PG_STARTING] = "starting", [PG_STANDBY] = "standby", [PG_PRIMARY] = "primary",
    };

    assert((size_t)state < ARRAY_LEN(names));
    return names[state];
}
