/* plant.c - planted bugs. See plant.h. */
#include "plant.h"

#include "core/codec.h"
#include "world.h"

static const struct {
    const char *name, *finders;
} plants[PLANT_COUNT] = { [PLANT_NONE] = { "none", "" },
#define PLANT(name, text, finders, what) [PLANT_##name] = { text, finders },
                          PLANTS
#undef PLANT
};

enum plant plant_by_name(const char *name)
{
    for (enum plant plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++)
        if (strcmp(plants[plant].name, name) == 0)
            return plant;
    return PLANT_NONE;
}

const char *plant_name(enum plant plant)
{
    return plants[plant].name;
}

const char *plant_finders(enum plant plant)
{
    return plants[plant].finders;
}

void plant_before_crank(struct host *host)
{
    struct manager *manager = &host->manager;
    struct lease_holder *lease = &manager->node.lease;

    switch (host->world->plant) {
    case PLANT_LEASE_TOO_LONG:
        if (lease->end_us != 0 && lease->end_us <= lease->sent_us + lease->length_us)
            lease->end_us += lease->length_us;
        break;
    case PLANT_VOTER_FORGETS:
        manager->voter.start_us = manager->voter.granted_until_us = clock_of(host) - 3600 * SEC;
        break;
    case PLANT_SHORT_MEMORY:
        if (manager->told.lsn.at > 1)
            manager->told.lsn.at = 1;
        break;
    case PLANT_STALE_START:
        manager->node.hello = manager->cluster.cluster_id != 0;
        break;
    case PLANT_FOREIGN_PASSES:
        /* Nor does it remember that the server was a primary. */
        if (directory_spoiled(manager->node.directory))
            manager->node.directory = host->directory;
        manager->spoil_owed = false;
        break;
    case PLANT_STATE_DIFFERS:
        if (host->index == 1 && host->world->complete && manager->cluster.member_count > 0)
            manager->cluster.members[0].priority = 7;
        break;
    default:
        break;
    }
}

/* In the name of everybody who is silent: fenced, and hardly any WAL. */
static void forge_reports(struct host *host, const struct report *true_report)
{
    struct manager *manager = &host->manager;
    struct message forged = { .kind = MESSAGE_REPORT };

    for (uint32_t i = 0; i < manager->cluster.member_count; i++) {
        const struct member *member = &manager->cluster.members[i];
        if (member->kind != NODE_DATA || member->raft_id == true_report->raft_id ||
            member->raft_id == manager->node.raft_id || member->node_id == manager->cluster.primary.node_id)
            continue;
        forged.report = *true_report;
        forged.report.raft_id = member->raft_id;
        forged.report.node_id = member->node_id;
        forged.report.start_no = member->start_no;
        forged.report.fence.directory = forged.report.directory = member->directory;
        forged.report.fence.end.at = 1;
        forged.report.fence.grants_over = false;
        manager_message(manager, member->raft_id, &forged, clock_of(host));
    }
}

void plant_message(struct host *host, uint64_t from_raft_id, const struct message *message)
{
    (void)from_raft_id;
    if (host->world->plant == PLANT_FORGED_REPORTS && message->kind == MESSAGE_REPORT && message->report.fence.data &&
        cluster_fenced(&host->manager.cluster))
        forge_reports(host, &message->report);
}

void plant_action(struct host *host, struct pg_action *action)
{
    if (host->world->plant == PLANT_ROGUE_PROMOTE && action->kind == ACT_CONFIGURE && host->world->complete &&
        host->server.state == SERVER_STANDBY) {
        action->kind = ACT_PROMOTE;
        action->timeline.no = wal_timeline(host->world, host->server.wal) + 1;
    }
}

/* As if all WAL were the cluster's own: the newest timeline, from its beginning. */
static void pass_for_own(const struct cluster *cluster, struct pg_seen *seen)
{
    const struct given *newest = &cluster->given[cluster->given_count - 1];

    if (cluster->given_count == 0 ||
        (!node_lags(cluster, seen) && cluster_owns_wal(cluster, &seen->history, seen->timeline)))
        return;
    memset(&seen->history, 0, sizeof seen->history);
    seen->timeline = newest->timeline;
    if (newest->parent.no == 0)
        return;
    seen->history.count = 1;
    seen->history.rows[0].timeline = newest->parent;
    seen->history.rows[0].end = newest->begin.at != 0 ? newest->begin : seen->end;
}

void plant_look(struct host *host, struct pg_seen *seen)
{
    const struct cluster *cluster = &host->manager.cluster;

    switch (host->world->plant) {
    case PLANT_NO_DETACH:
        if (seen->state == PG_STANDBY && seen->conf_present && seen->conf.upstream == 0) {
            seen->receiver = seen->receiver_streaming = false;
            seen->end_final = true;
        }
        break;
    case PLANT_FOLLOW_DIVERGED:
        if (seen->state == PG_STANDBY && !cluster_fenced(cluster) && cluster->primary.node_id != host->node_id &&
            seen->conf.upstream == 0 && host->manager.node.primary) {
            seen->timeline = host->manager.node.primary->timeline;
            seen->history = host->manager.node.primary->history;
            seen->end = host->manager.node.primary->end;
        }
        break;
    case PLANT_FOREIGN_PASSES:
        pass_for_own(cluster, seen);
        break;
    case PLANT_OTHER_PASSES:
        seen->system_identifier = SYSTEM_OWN;
        break;
    case PLANT_FORMER_PASSES:
        for (uint32_t i = 0; i < seen->walsender_count; i++)
            seen->walsenders[i].slot_node = 0;
        break;
    case PLANT_START_UNFINISHED:
        if (host->server.present && host->server.incomplete && seen->state == PG_ABSENT) {
            seen->state = PG_STOPPED;
            seen->conf = host->server.conf;
            seen->conf_present = true;
        }
        break;
    default:
        break;
    }
}

void plant_word(const struct world *world, struct command *command)
{
    if (world->plant == PLANT_NO_FLOOR) {
        command->timeline.no = 1;
        command->lsn.at = 1;
    }
    if (world->plant == PLANT_WIDE_WORD && command->kind == COMMAND_WRITE_OFF)
        command->kind = COMMAND_ACCEPT_LOSS;
}

bool plant_drops(struct host *host, const uint8_t *bytes, size_t length)
{
    struct command command;
    struct err err = { 0 };
    enum plant plant = host->world->plant;

    if ((plant != PLANT_MUTE_FENCE && plant != PLANT_MUTE_SWITCHOVER) ||
        command_decode(bytes, length, &command, &err) < 0)
        return false;
    if (plant == PLANT_MUTE_FENCE)
        return command.kind == COMMAND_FENCE;
    return (command.kind == COMMAND_ELECT || command.kind == COMMAND_FENCE) &&
           host->manager.cluster.operation.kind == OPERATION_SWITCHOVER;
}
