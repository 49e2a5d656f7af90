/* resolve.h - the local server's host name as an address: libpq would resolve it by waiting. */
#ifndef RAFTMGR_PG_RESOLVE_H
#define RAFTMGR_PG_RESOLVE_H

#include "pg/adapter.h"

/* Sets pg->target from the configuration, and begins to resolve where its host is a name. ERR_CONFIG. */
int resolve_begin(struct pg *pg, struct err *err);
/* A connection failed: the address may have changed. Asks again, at most every few seconds. */
void resolve_again(struct pg *pg);
void resolve_end(struct pg *pg);

#endif
