/* run.h - opening and closing of the whole daemon: main.c, daemon.c and join.c alone. */
#ifndef RAFTMGR_RUN_H
#define RAFTMGR_RUN_H

#include "daemon/daemon.h"

/* Opens every part on daemon->loop as daemon->settings say. On failure the caller closes what was opened. */
int daemon_open(struct daemon *daemon, struct err *err);
/* How often PostgreSQL is looked at, by the failure_timeout in force: the file's first, then the log's. */
void daemon_pace(struct daemon *daemon, unsigned failure_timeout_ms);
/* Closes every part; the loop ends when they are closed. Safe to call twice. */
void daemon_close(struct daemon *daemon);
/* After every turn of the crank: founding that is not committed yet, and admissions that wait for the log. */
void join_turn(struct daemon *daemon, int64_t now_us);
/* After the loop has ended. */
void join_free(struct daemon *daemon);

#endif
