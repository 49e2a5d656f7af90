/*
 * publish.h - the repmgr schema as the agreed state wants it: rows made of the state, and their way into the database.
 *
 * The primary's daemon writes; what a reader of repmgr's tables sees is at most as old as the newest publication. The
 * rows are a pure function of the manager and of what was published before.
 */
#ifndef RAFTMGR_PUBLISH_H
#define RAFTMGR_PUBLISH_H

#include "daemon/daemon.h"

/* How the newest pg_schema() ended; from the adapter's schema_done. */
void publish_done(struct daemon *daemon, int code, const char *text);

/* What was published last is in the database, and nothing newer is under way. */
bool publish_is_current(const struct daemon *daemon);

/* Publishes everything once more, soon. */
void publish_again(struct daemon *daemon);

/*
 * The rows of repmgr.nodes for the registered members, and the next events that `before` (what was published last; all
 * zero: nothing) does not hold yet, oldest first; without new ones those of `before` again. Padding is zero, so that
 * two of them may be compared as bytes.
 */
void publish_rows(const struct manager *manager, const struct pg_schema *before, int64_t now_us,
                  struct pg_schema *ret_schema);

/* The same rows, the same events, the same term. */
bool publish_same(const struct pg_schema *left, const struct pg_schema *right);

/* repmgr's `active`: a standby that is down, or that does not follow the present primary, is not. */
bool publish_active(const struct manager *manager, const struct member *member, int64_t now_us);

/* The data members' conninfo as one with several hosts; "" where there is none. Size CONNINFO_SIZE. */
void publish_witness_conninfo(const struct cluster *cluster, char *ret_text);

#endif
