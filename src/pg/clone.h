/*
 * clone.h - makes a standby's data directory by pg_basebackup: the steps of `rmctl standby clone`, one call each.
 *
 * These calls block; they are for the command line. The daemon's own clones (ACT_CLONE) use the same parts beside its
 * loop. Order: clone_directory, clone_check_tablespaces, clone_look, clone_try_replication, clone_slot_create,
 * clone_run, clone_finish; where clone_run fails, clone_slot_drop.
 */
#ifndef RAFTMGR_PG_CLONE_H
#define RAFTMGR_PG_CLONE_H

#include "base/buf.h"
#include "pg/conninfo.h"
#include "pg/pg.h"
#include "pg/survivor.h"

#define CLONE_LABEL "raftmgr base backup"

struct clone_options {
    char source_conninfo[CONNINFO_SIZE]; /* the server to copy; user and dbname as for ordinary connections */
    char replication_user[NAME_SIZE];    /* for pg_basebackup; empty: the user of source_conninfo */
    char passfile[PATH_SIZE];            /* empty: libpq's default */
    char bindir[PATH_SIZE];              /* as pg_config.bindir */
    char data_directory[PATH_SIZE];      /* the target */
    char slot[NAME_SIZE];                /* empty: no slot */
    bool fast_checkpoint;
    char mark[SURVIVOR_MARK_SIZE]; /* for clone_run: that the next raftmgrd ends what is left of it; empty: none */
};

enum clone_directory {
    CLONE_DIRECTORY_ABSENT,
    CLONE_DIRECTORY_EMPTY,
    CLONE_DIRECTORY_OTHER,    /* has files, is no data directory */
    CLONE_DIRECTORY_POSTGRES, /* a data directory (PG_VERSION is there), no process of it runs */
    CLONE_DIRECTORY_RUNNING,  /* likewise, and processes of it run: never to be touched */
};

struct clone_facts {
    char database[NAME_SIZE]; /* that we are connected to */
    char user[NAME_SIZE];
    uint32_t version_number; /* server_version_num */
    bool in_recovery;
    uint64_t size_bytes; /* sum of pg_database_size */
    char wal_level[16];
    bool data_checksums;
    bool wal_log_hints;
    uint32_t max_wal_senders;
    uint32_t free_wal_senders;
    uint32_t max_replication_slots;
    uint32_t free_replication_slots;
    bool has_slot;      /* options->slot is there already */
    bool has_nodes;     /* a repmgr.nodes table or view is there; the rest is empty without */
    int32_t primary_id; /* its active primary, 0 = none */
    char primary_name[NAME_SIZE];
};

/* What is at the target. ERR_SYSTEM. */
int clone_directory(const char *data_directory, enum clone_directory *ret, struct err *err);

/* ERR_REFUSED where a tablespace of what is at the target holds anything: tablespaces keep their paths, so that
 * pg_basebackup would find those directories taken, when the data directory has been moved aside already. */
int clone_check_tablespaces(const char *data_directory, struct err *err);

/* "<directory>.old-<suffix>"; returns its length, as snprintf. */
int clone_aside_path(const char *data_directory, const char *suffix, char *ret, size_t size);

/* Moves what is there aside, to "<directory>.old-<suffix>": nothing is ever deleted. The new name is left in ret_aside
 * (size PATH_SIZE). ERR_REFUSED when processes of it run; ERR_SYSTEM, also where the directory is a mount point. */
int clone_set_aside(const char *data_directory, const char *suffix, char *ret_aside, struct err *err);

/* Connects to the source and asks for the facts. ERR_DB_CONN, ERR_DB_QUERY. */
int clone_look(const struct clone_options *options, struct clone_facts *ret, struct err *err);

/* An active node of that name other than node_id in repmgr.nodes of the source. False also where there is no table. */
int clone_name_is_taken(const struct clone_options *options, const char *node_name, int32_t node_id, bool *ret,
                        struct err *err);

/* Opens so many replication connections at once and closes them; *ret_made tells how many came about. ERR_DB_CONN with
 * the first one's failure. */
int clone_try_replication(const struct clone_options *options, unsigned wanted, unsigned *ret_made, struct err *err);

/* Makes the physical slot options->slot at the source, if it is not there already (then *ret_made is false). */
int clone_slot_create(const struct clone_options *options, bool *ret_made, struct err *err);
/* Drops it again. ERR_REFUSED where somebody streams through it for five seconds more. */
int clone_slot_drop(const struct clone_options *options, struct err *err);

/* Runs pg_basebackup. line() gets each line of its output (progress among it), without its end; may be NULL.
 * ERR_BACKUP with the last line it said, or the signal that killed it. */
int clone_run(const struct clone_options *options, void (*line)(void *ctx, const char *text), void *ctx,
              struct err *err);

/* Makes the copy a standby of ours that is not started: standby.signal, the settings file for conf, the include line;
 * what a copy brought along from the source under our names is taken out. */
int clone_finish(const struct pg_config *config, const struct pg_conf *conf, struct err *err);

/* pg_basebackup's arguments, without a password in them. The texts live in the command, which owns them, and in the
 * options, which must outlive it. ERR_CONFIG: a bad conninfo. */
struct clone_command {
    const char *argv[24];
    char program[PATH_SIZE + 32];
    char password[CONNINFO_ENV_SIZE]; /* for the environment: "PGPASSWORD=...", or empty */
    struct buf conninfo;
};

int clone_command_make(struct clone_command *ret, const struct clone_options *options, struct err *err);
void clone_command_release(struct clone_command *command);

#endif
