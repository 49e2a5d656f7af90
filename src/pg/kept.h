/*
 * kept.h - what survives a rewind or clone: the node's own configuration files.
 *
 * Both programs put the source's *.conf files in place of ours, port and all. So they are copied to
 * <state directory>/kept-<token>/ before, and back after. The mark of an unfinished program names that token: a second
 * try does not save what the first one has already overwritten.
 */
#ifndef RAFTMGR_PG_KEPT_H
#define RAFTMGR_PG_KEPT_H

#include "pg/adapter.h"

/* Where they are kept for a token. Size PLACE_PATH_SIZE. */
void kept_directory(const struct pg *pg, struct token token, char *path);

/* Saves the files and makes the mark. *ret_token is the token whose copies count: that of a mark that was there, or the
 * action's. Where there is no data directory, or another system's, nothing is saved. */
int kept_save(struct pg *pg, const char *what, struct token *ret_token, struct err *err);

/* Puts the copies of this token back, where there are some. */
int kept_restore(struct pg *pg, struct token token, struct err *err);

#endif
