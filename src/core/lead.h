/* lead.h - shared between the parts of lead_decide(): lead.c and lead_operation.c alone. */
#ifndef RAFTMGR_LEAD_H
#define RAFTMGR_LEAD_H

#include "core/decide.h"

/* One turn of the crank for the leader. */
struct lead_turn {
    const struct cluster *cluster;
    const struct lead_view *view;
    int64_t now_us;
    struct lead_plan *plan;
};

void lead_because(struct lead_turn *turn, enum why why, const char *detail);
struct command *lead_propose(struct lead_turn *turn, enum command_kind kind);
/* Proposes FENCE against the present primary. */
void lead_fence(struct lead_turn *turn, enum why why, const char *reason);
int64_t lead_failure_us(const struct lead_turn *turn);
/* Index in cluster->members; member_count when there is none. */
uint32_t lead_index(const struct lead_turn *turn, int32_t node_id);
/* The member's report, if it is of its present life and no older than failure_timeout; NULL otherwise. */
const struct report *lead_fresh(const struct lead_turn *turn, uint32_t index);
/* The lag rule is in force: durability async, and {none; 0} stands alone (R33). */
bool lead_async(const struct cluster *cluster);
/* primary_start_timeout has passed since the trouble began. */
bool lead_restart_overdue(const struct lead_turn *turn);

void lead_failover(struct lead_turn *turn);
void lead_switchover(struct lead_turn *turn);

#endif
