/* picture.c - how things stood when a run ended: what one needs to see of a failure first. */
#include "world.h"

static const char *server_text(const struct server *server)
{
    static const char *const names[] = { "down", "starting", "standby", "primary", "stopping" };

    if (!server->present)
        return "none";
    return server->incomplete ? "unfinished" : names[server->state];
}

static void picture_host(const struct host *host)
{
    const struct manager *manager = &host->manager;
    const struct server *server = &host->server;

    printf("  %s %s%s life %" PRIu64 " version %" PRIu64 " token %" PRIu64 " %s%s", host->name, host->up ? "" : "off ",
           host->daemon_up ? "" : "no daemon", host->start_no, manager->cluster.version, manager->cluster.token.no,
           why_name(manager->node_plan.why), manager->lead.raft.leader ? " leads: " : "");
    if (manager->lead.raft.leader)
        printf("%s (%s)", why_name(manager->lead_plan.why), manager->lead_plan.waiting);
    if (host->data)
        printf("\n     directory %" PRIx64 " pg %s timeline %u end %" PRIX64 " replayed %" PRIX64
               " upstream %d%s%s acting %s"
               " \"%s\"",
               host->directory.no, server_text(server), wal_timeline(host->world, server->wal), server->wal.end,
               server->replayed, server->upstream, server->receiver.running ? " receiving" : "",
               server->clean ? " clean" : "", act_name(manager->node.acting), manager->problem);
    printf("\n");
}

void picture(const struct world *world)
{
    static const char *const operations[] = { "none", "failover", "switchover" };
    static const char *const phases[] = { "none", "elected", "active" };
    const struct cluster *cluster = &world->check.reference;

    printf("  agreed: version %" PRIu64 " token %" PRIu64 ", primary n%d %s under %" PRIu64
           " on timeline %u of %u, operation"
           " %s from n%d to n%d, pause %d\n",
           cluster->version, cluster->token.no, cluster->primary.node_id, phases[cluster->primary.phase],
           cluster->primary.token.no, cluster->primary.timeline.no, cluster->timeline_max.no,
           operations[cluster->operation.kind], cluster->operation.from, cluster->operation.to, cluster->pause);
    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        printf("  demand %" PRIu64 ": %u of", cluster->demands[i].version, cluster->demands[i].k);
        for (uint32_t j = 0; j < cluster->demands[i].count; j++)
            printf(" %" PRIx64, cluster->demands[i].directories[j].no);
        printf("\n");
    }
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        picture_host(&world->hosts[i]);
}
