/*
 * survivor.h - programs of an action that went on when the raftmgrd that had started them died.
 *
 * A pg_rewind writes by path until it is done. Should the next action put another copy into the place, it would write
 * into that one, pages of before the copy was made. So a raftmgrd that starts ends what an earlier one has left. Each
 * program of an action, and what it starts, carries a mark in its environment, by which it is known.
 */
#ifndef RAFTMGR_PG_SURVIVOR_H
#define RAFTMGR_PG_SURVIVOR_H

#include "base/err.h"

#define SURVIVOR_MARK_SIZE 64

/* The mark of this node's programs, "NAME=value": the same in each life, since the state directory is. ERR_SYSTEM. */
int survivor_mark(const char *state_directory, char *ret_mark, struct err *err);

/* Kills every process with that mark, and waits for their ends, at most some seconds: one that has not ended by then
 * runs no more code of its own. Only before any program is started. ERR_SYSTEM: /proc cannot be read. */
int survivor_end_all(const char *mark, struct err *err);

#endif
