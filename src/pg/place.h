/*
 * place.h - raftmgr's own files in and beside the data directory, put in place durably.
 *
 * They are small; each call writes and syncs at once.
 */
#ifndef RAFTMGR_PG_PLACE_H
#define RAFTMGR_PG_PLACE_H

#include "base/err.h"
#include "pg/pg.h"

#define PLACE_PATH_SIZE (PATH_SIZE + 96)

/* Follows a data directory that is a symbolic link to where it leads, be there something or not, and takes slashes off
 * its end: what is renamed, made anew or put beside it is then on the file system of the data. Size PATH_SIZE; stays as
 * it is where the result would be longer. */
void place_follow(char *data_directory);

/* Makes standby.signal, where it is missing, and takes recovery.signal away. */
int place_signal(const char *data_directory, struct err *err);
bool place_has_signal(const char *data_directory);
/* Takes standby.signal away: for a start in place, and for a recovery in single-user mode. */
int place_unsignal(const char *data_directory, struct err *err);

/* The file by which a running standby is told to become a primary. Size PLACE_PATH_SIZE. */
void place_order_path(const char *data_directory, char *path);
/* Takes such an order back that nobody has signalled yet: the postmaster looks for it at every signal of a child's, and
 * would promote long after that was decided. One that has been signalled is under way without it. */
int place_no_order(const char *data_directory, struct err *err);

/* Writes the latch file where config->start_latch is on; does nothing else. */
int place_latch(const struct pg_config *config, struct err *err);

/* Writes the settings file, the latch, and the include line in postgresql.conf where it is missing. Names of ours in
 * postgresql.auto.conf are left as they are: place_strip_auto. */
int place_conf(const struct pg_config *config, const struct pg_conf *conf, uint64_t *ret_written, struct err *err);

/* The same for a server that is about to be rewound: its upstream is none, its restore_command the operator's. */
int place_conf_for_rewind(const struct pg_config *config, const struct pg_conf *conf, uint64_t *ret_written,
                          struct err *err);

/* Copies the *.conf files of one directory's top level, with their modes, over those of another, which is made if
 * missing. What a copy or a rewind brings along from another node is replaced by the node's own that way. */
int place_copy_confs(const char *from, const char *to, struct err *err);

/* Reads the settings file back. ERR_NOT_FOUND, ERR_CORRUPT. */
int place_read_conf(const struct pg_config *config, struct pg_conf *ret_conf, uint64_t *ret_written, struct err *err);

/* Takes names of ours out of postgresql.auto.conf. Only while no server runs that writes that file itself. */
int place_strip_auto(const struct pg_config *config, struct err *err);

/* The path of the settings file. Size PLACE_PATH_SIZE. */
void place_conf_path(const struct pg_config *config, char *path);
/* The path of postgresql.conf. Size PLACE_PATH_SIZE. */
void place_main_conf_path(const struct pg_config *config, char *path);

/* pg_rewind before PostgreSQL 15 looks for postgresql.conf, and so for restore_command, in the data directory alone.
 * Where it is elsewhere and none is there, makes one that includes it. */
int place_stand_in(const struct pg_config *config, struct err *err);
/* Takes such a one away; leaves any other postgresql.conf alone. */
int place_no_stand_in(const struct pg_config *config, struct err *err);

/* A clone or rewind that has begun to change the data directory and has not ended: what it is ("clone", "rewind") and
 * under which token. The mark is outside the data directory, which these programs replace. */
int place_mark_unfinished(const struct pg_config *config, const char *what, struct token token, struct err *err);
int place_clear_unfinished(const struct pg_config *config, struct err *err);
/* True when there is such a mark; *ret_what has size 16. */
bool place_unfinished(const struct pg_config *config, char *ret_what, struct token *ret_token);

#endif
