/*
 * own.h - what a rewind must not take from this node: its server log, and the files of its TLS identity.
 *
 * pg_rewind makes the data directory equal to the source's, whatever else lies in it: the log of the server that failed
 * would be removed, and its key and certificates be the other host's. So PostgreSQL is asked where they are. The log is
 * moved to "<data directory>.own-<token>" for the time of the rewind (and stays there if that is cut short), where the
 * file system allows a rename; the files are copied to <state directory>/kept-<token>/.
 */
#ifndef RAFTMGR_PG_OWN_H
#define RAFTMGR_PG_OWN_H

#include "pg/adapter.h"

#define OWN_SETTINGS 6

struct own {
    struct token token;
    unsigned asked;
    char paths[OWN_SETTINGS][2 * PATH_SIZE]; /* absolute, inside the data directory; empty: not there */
    bool moved[OWN_SETTINGS];
    char aside[PATH_SIZE + 32];
    step_fn next;
};

/* Finds them, copies those that are copied and goes on with next; the data directory stays as it is. A failure ends the
 * action with its error. own->token is the caller's, and own lives as long as the action. */
void own_save(struct pg *pg, struct own *own, step_fn next);

/* Moves the others aside, just before the rewind. */
void own_move(struct own *own);

/* Puts them back and goes on with next. */
void own_restore(struct pg *pg, struct own *own, step_fn next);

#endif
