/* log.h - the log of one Raft node: between group.c (who leads) and log.c (what is agreed). */
#ifndef RAFTMGR_SIM_LOG_H
#define RAFTMGR_SIM_LOG_H

#include "group.h"

/* Tells the manager what changed and cranks it; never from inside a port. */
void group_tell(struct host *host);

uint64_t log_term(const struct host *host, uint64_t index);
enum raft_role log_role(const struct host *host, uint64_t raft_id);
void log_open(struct host *host);
/* Proposals under way end without a known outcome. */
void log_forget_pending(struct host *host);
/* Leader: sends what each server lacks; heartbeats too where wanted. */
void log_send_all(struct host *host, bool heartbeat);
void log_receive(struct host *host, const struct raft_message *message);
void log_reply(struct host *host, const struct raft_message *message, uint32_t from);
/* Leader: the next step of a membership change. */
void log_watch_change(struct host *host);

#endif
