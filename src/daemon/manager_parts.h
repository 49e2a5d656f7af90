/* manager_parts.h - shared between the files of the manager alone. */
#ifndef RAFTMGR_MANAGER_PARTS_H
#define RAFTMGR_MANAGER_PARTS_H

#include "daemon/manager.h"

void manager_event(struct manager *manager, enum event event, const char *format, ...) PRINTF_LIKE(3, 4);
/* Names this member and its start as the proposer (R35). */
void manager_sign(struct manager *manager, struct command *command);
/* Decides for the cluster and carries it out, where this member leads. */
void manager_decide_lead(struct manager *manager, int64_t now_us);
/* Answers a round, of another holder or of this node itself, and notes the sign of life. */
void manager_answer_lease(struct manager *manager, uint64_t from_raft_id, const struct lease_ask *ask, int64_t now_us);
/* Points the node's view at the primary's and the leader's newest reports. */
void manager_link_reports(struct manager *manager, int64_t now_us);
/* Fills the leader's view: every member's report with its age, and what is remembered from turn to turn. */
void manager_link_leader(struct manager *manager, int64_t now_us);
/* Takes the walsenders of a look in, before it becomes the newest one. */
void manager_note_walsenders(struct manager *manager, const struct pg_seen *seen, int64_t now_us);
/* Which members stream from this node's server, for its report. */
void manager_report_walsenders(const struct manager *manager, struct report *report, int64_t now_us);
/* Brings manager->report up to date. */
void manager_build_report(struct manager *manager, int64_t now_us);
/* Sends this member's report when it has changed or is due. Returns when it is due next. */
int64_t manager_send_report(struct manager *manager, int64_t now_us);

#endif
