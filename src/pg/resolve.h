/* resolve.h - the local server's host name as an address: libpq would resolve it by waiting. */
#ifndef RAFTMGR_PG_RESOLVE_H
#define RAFTMGR_PG_RESOLVE_H

#include "pg/adapter.h"

/* Sets pg->target from the configuration, and begins to resolve where its host is a name: until an address is known the
 * target is marked so, and no connection is tried. ERR_CONFIG: several hosts, or a service without one. */
int resolve_begin(struct pg *pg, struct err *err);
/* True while a first answer is worth waiting for. Later the address comes from the server that runs, if one does. */
bool resolve_waits(struct pg *pg);
/* The same without waiting: for who has to connect now. */
void resolve_hurry(struct pg *pg);
/* A connection failed: the address may have changed. Asks again, at most every few seconds. */
void resolve_again(struct pg *pg);
void resolve_end(struct pg *pg);

#endif
