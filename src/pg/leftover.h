/*
 * leftover.h - what an unfinished clone of ours has left in the data directory: nobody's data, so it may be removed.
 *
 * Everything else that stands there is renamed and never deleted. So three things must hold: the mark of the unfinished
 * clone names this very directory, which was empty when it was made; the copy carries our label; and it has not been
 * started (PostgreSQL renames the label then).
 */
#ifndef RAFTMGR_PG_LEFTOVER_H
#define RAFTMGR_PG_LEFTOVER_H

#include "pg/pg.h"

/* Makes the data directory where it is missing, and notes it in the mark of the clone with that token. Durable before
 * it returns. ERR_SYSTEM. */
int leftover_begin(const struct pg_config *config, struct token token, struct err *err);

/* True when all of the above holds. */
bool leftover_is_ours(const struct pg_config *config);

/* The one name that a leftover gets while it is being removed. Size PATH_SIZE; false when it does not fit. */
bool leftover_path(const struct pg_config *config, char *ret);

#endif
