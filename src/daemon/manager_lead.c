/*
 * manager_lead.c - the leader's part of the crank: what every member reported goes to lead_decide(), and its plan
 * becomes proposals, changes of the Raft group, and leadership handed over.
 */
#include "daemon/manager_parts.h"

#include "core/codec.h"

#define TRANSFERS_MAX 8
#define TRANSFERS_FORGOTTEN_US (3600 * INT64_C(1000000))

static void propose_as_leader(struct manager *manager, struct command *command, int64_t now_us)
{
    AUTO(buf) bytes;

    buf_init(&bytes, COMMAND_BYTES_MAX);
    manager_sign(manager, command);
    command_encode(command, &bytes);
    assert(!bytes.failed);
    manager->lead.proposed_at_us = now_us;
    manager->lead.proposed_version = manager->cluster.version;
    if (manager->lead.proposed_kind != command->kind)
        manager->lead.refused = 0;
    manager->lead.proposed_kind = command->kind;
    manager->ports.propose(manager->ports.ctx, bytes.bytes, bytes.length, 1);
}

/* A FENCE that is proposed twice is about one failure. */
static void note_failure(struct manager *manager, int64_t now_us)
{
    const struct cluster *cluster = &manager->cluster;
    struct failures *failures = &manager->lead.failures;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        uint32_t winner = 1u << i;
        if (cluster->members[i].node_id != cluster->primary.node_id || token_is(failures->token, cluster->token))
            continue;
        failures->avoid = failures->avoid & winner ? winner : failures->avoid | winner;
        failures->mask |= winner;
        failures->count++;
        failures->token = cluster->token;
        failures->at_us = now_us;
    }
}

static void perform_lead(struct manager *manager, int64_t now_us)
{
    struct lead_plan *plan = &manager->lead_plan;
    struct lead_view *lead = &manager->lead;

    for (uint32_t i = 0; i < plan->command_count; i++) {
        if (plan->commands[i].kind == COMMAND_FENCE && plan->why == WHY_WINNER_FAILED)
            note_failure(manager, now_us);
        propose_as_leader(manager, &plan->commands[i], now_us);
    }
    lead->fetch = plan->fetch;
    if (plan->raft_change != 0 && !lead->raft.changing) {
        lead->raft.changing = true;
        lead->asked = (struct asked_change){ plan->raft_change, plan->raft_role, now_us };
        manager_event(manager, EVENT_RAFT_MEMBER, "raft_id=%" PRIu64 " role=%d", plan->raft_change,
                      (int)plan->raft_role);
        manager->ports.raft_change(manager->ports.ctx, plan->raft_change, plan->raft_address, plan->raft_role);
    }
    if (plan->transfer_to != 0) {
        lead->transfers = now_us - lead->transfer_at_us > TRANSFERS_FORGOTTEN_US ? 0 : lead->transfers + 1;
        if (lead->transfers > TRANSFERS_MAX)
            lead->transfers = TRANSFERS_MAX;
        lead->transfer_at_us = now_us;
        manager->ports.transfer(manager->ports.ctx, plan->transfer_to);
    }
}

void manager_decide_lead(struct manager *manager, int64_t now_us)
{
    enum why before = manager->lead_plan.why;

    manager_link_leader(manager, now_us);
    lead_decide(&manager->cluster, &manager->lead, now_us, &manager->lead_plan);
    if (manager->lead_plan.why != before && manager->lead.raft.leader)
        manager_event(manager, EVENT_LEAD_WHY, "node=%d why=%s token=%" PRIu64, manager->node.node_id,
                      why_name(manager->lead_plan.why), manager->cluster.token.no);
    perform_lead(manager, now_us);
}
