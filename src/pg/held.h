/* held.h - the end of WAL where replay is held back: what pg_waldump reads from the replay position on. */
#ifndef RAFTMGR_PG_HELD_H
#define RAFTMGR_PG_HELD_H

#include "pg/adapter.h"

/* Looks whether a detached standby's replay is held back since its start, and if so asks pg_waldump once a position. */
void held_look(struct pg *pg, const struct look *look);

/* The end of WAL from what pg_waldump said when it could read no further; 0 when it said something else. */
struct lsn held_parse(const char *errors);

#endif
