/*
 * rewind.h - the state of a rewind, shared by its two files.
 */
#ifndef RAFTMGR_PG_REWIND_H
#define RAFTMGR_PG_REWIND_H

#include "base/buf.h"
#include "pg/adapter.h"
#include "pg/conninfo.h"
#include "pg/own.h"

struct rewinding {
    struct buf conninfo;
    char password[CONNINFO_ENV_SIZE];
    char program[PATH_SIZE + 32];
    char config_file[PLACE_PATH_SIZE];
    struct token kept;
    struct own own;
    struct err failure;                   /* of pg_rewind; told when all is back in its place */
    bool settled;                         /* recovered in single-user mode: once is enough */
    bool restore;                         /* the operator has a restore_command */
    struct lsn parted;                    /* where the histories part */
    char directory[PLACE_PATH_SIZE + 32]; /* diverged/<token> */
    char **copies;                        /* cp's arguments; those after the fixed ones are ours to free */
    size_t copy_count;
    uint64_t copy_bytes;
};

/* Ends the action with an error, "rewind: " before it. */
void rewind_fail(struct pg *pg, struct err *err);
void rewind_fail_with(struct pg *pg, enum err_code code, const char *text);

/* diverged.c: copies the WAL from state->parted on, whole segments, and the histories to <state directory>/diverged/
 * <token>/, where pg_waldump reads them; then calls saved. Ends the action with ERR_NO_SPACE before anything is copied
 * where they would not fit. */
void diverged_save(struct pg *pg, step_fn saved);
void diverged_release(struct rewinding *state);

/* keepwal.c: gives the WAL segments before state->parted a second name outside the data directory, then calls saved;
 * brings back those that pg_wal lacks now, durably, then calls done. Either ends the action where that fails. */
void keepwal_save(struct pg *pg, step_fn saved);
void keepwal_restore(struct pg *pg, step_fn done);
/* Removes what a rewind that was cut short has left of it. */
void keepwal_forget(const struct pg_config *config);

#endif
