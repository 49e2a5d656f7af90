/*
 * hba.h - who may connect: everybody whom the operator's pg_hba.conf lets in, or for a while the agent alone.
 *
 * hba_file itself changes at a start only, its content by a reload. So a server that is started with agent_only is
 * given a file of raftmgr's in the data directory (hba_file on the command line): first the rules for the agent
 * and for replication, later a copy of the operator's file, renewed whenever that one changes. The next ordinary
 * start goes back to the operator's file itself.
 */
#ifndef RAFTMGR_PG_HBA_H
#define RAFTMGR_PG_HBA_H

#include "base/buf.h"
#include "pg/adapter.h"

#define HBA_FILE "raftmgr.pg_hba.conf"

struct hba {
    const char *args[3]; /* to be added to the server's command line */
    char *setting;
};

void hba_release(struct hba *hba);

/* For the action's conf: with agent_only it writes the file and sets hba->args; else args is empty. */
int hba_prepare(struct pg *pg, struct hba *hba, struct err *err);

/* Rewrites the file for this conf, where the running server uses it. Before a reload. */
int hba_refresh(struct pg *pg, const struct pg_conf *conf, struct err *err);

/* Appends the operator's rules as they are for the agent alone: those for replication as they are; of the others those
 * that name the user or all, for that user only. Rules for groups and included files are left out. */
void hba_narrow(const char *rules, const char *user, struct buf *ret);

#endif
