/* say.h - messages for people on stderr, in repmgr's form: "LEVEL: text". Results go to stdout, by whoever has them. */
#ifndef RAFTMGR_CLI_SAY_H
#define RAFTMGR_CLI_SAY_H

#include "base/base.h"

/* DETAIL and HINT belong to the message before them and are dropped with it. */
enum say_level { SAY_DEBUG, SAY_INFO, SAY_NOTICE, SAY_WARNING, SAY_ERROR, SAY_DETAIL, SAY_HINT };

/* Least level to show; terse drops DETAIL and HINT. */
void say_configure(enum say_level least, bool terse);

void say(enum say_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* The level of a name such as "NOTICE" in any case; false when there is none. */
bool say_level_of(const char *name, enum say_level *ret_level);

#endif
