/*
 * hba.h - who may connect: everybody whom the operator's pg_hba.conf lets in, or for a while the agent alone.
 *
 * hba_file itself changes at a start only, its content by a reload. So a server that is started with agent_only is
 * given a file of raftmgr's in the data directory (hba_file on the command line): first the rules for the agent and for
 * replication, later a copy of the operator's file, renewed whenever that one changes. The next ordinary start goes
 * back to the operator's file itself.
 */
#ifndef RAFTMGR_PG_HBA_H
#define RAFTMGR_PG_HBA_H

#include "base/buf.h"
#include "pg/adapter.h"

#define HBA_FILE "raftmgr.pg_hba.conf"

struct hba {
    const char *args[3]; /* to be added to the server's command line, NULL-terminated */
    char setting[2 * PATH_SIZE + 96];
};

/* For a start with agent_only: writes our file from the operator's, whose path PostgreSQL itself says, and fills
 * hba->args. ERR_REFUSED: the operator's file lets the agent in by no rule that is kept. */
int hba_prepare(struct pg *pg, const char *operators, struct hba *hba, struct err *err);

/* Rewrites the file for this conf where the running server uses it; before a reload. ERR_REFUSED: agent_only of a
 * server that was started without it. */
int hba_refresh(struct pg *pg, const struct pg_conf *conf, struct err *err);

/* Copies the operator's file again where it has changed and the server uses ours. True: a reload is due. */
bool hba_follow(struct pg *pg);

/* Appends the operator's rules as they are for the agent alone: those for replication as they are; of the others those
 * that name the user or all, for that user only. Rules for groups are left out. continues: a backslash at a line's end
 * joins the next to it, as from PostgreSQL 14 on. False: no rule for the user is left. */
bool hba_narrow(const char *rules, const char *user, bool continues, struct buf *ret);

/* Appends the rules of a file, those of files that it includes in their places, so that the text stands for itself
 * wherever it lies. Errors are those that keep the server from loading it. */
int hba_read(const char *path, struct buf *ret, struct err *err);

/* The next blank-separated field of a line, with its quotes, and a list as one; false at the end or a comment. Size
 * HBA_FIELD_MAX. */
#define HBA_FIELD_MAX 1024
bool hba_field(const char **at, const char *end, char *text);

#endif
