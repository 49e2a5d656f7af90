/* words.h - why a server ended, by what it wrote last. */
#ifndef RAFTMGR_PG_WORDS_H
#define RAFTMGR_PG_WORDS_H

#include "pg/adapter.h"

/* Where the server writes before its own collector runs. Size PLACE_PATH_SIZE. */
void server_log_path(const struct pg *pg, char *path);
/* The last line of the server's logs that looks like the reason of a failure; empty where there is none. */
void server_last_words(const struct pg *pg, char *text, size_t size);
/* Why a running server receives no WAL, with the way out where that is gone; empty where its logs name no reason. */
void server_dry_words(const struct pg *pg, char *text, size_t size);
/* It ended for want of room, memory, rights or the like: another data directory would end so too. */
bool server_outer_cause(const struct pg *pg);

#endif
