/*
 * words.c - an operator who speaks while a failover waits: written off, loss accepted, host off; and the misfortunes
 * after which somebody has to. What was said is remembered as it was meant: check_data.c holds the loss to it.
 *
 * The operator is honest about hosts (who is said to be off is off) and may be wrong about members: one that is written
 * off comes back. Like rmctl's, his words are about what the leader shows, and the writer is over by then.
 */
#include "world.h"

#define PATIENCE_US (2 * SEC)

/* -- misfortunes -------------------------------------------------------------------------------------------------- */

static int64_t until(struct world *world, int64_t from_us, int64_t to_us)
{
    int64_t until_us = world->now_us + world_chance(world, from_us, to_us);

    return until_us < world->heal_us ? until_us : world->heal_us;
}

static void off(struct host *host, int64_t until_us)
{
    if (!host->up)
        return;
    check_disturbed(host->world);
    world_trace(host, "fault: off for long");
    host_power_off(host);
    world_put(host, AT_POWER, until_us - host->world->now_us, 0, 0);
}

/* Cut off from everybody. */
static void isolate(struct host *host, int64_t until_us)
{
    struct world *world = host->world;

    check_disturbed(world);
    world_trace(host, "fault: isolated for long");
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        for (uint32_t traffic = 0; traffic < TRAFFIC_COUNT && i != host->index; traffic++)
            world->cut_until_us[host->index][i][traffic] = world->cut_until_us[i][host->index][traffic] = until_us;
}

/* A standby falls behind; then the primary and as many data nodes as a majority can spare are gone. */
static void lose_data(struct world *world, struct host *primary)
{
    uint32_t spare = (world->profile.hosts - 1) / 2;
    uint32_t behind = (uint32_t)rand_below(&world->rand, world->profile.data);
    int64_t until_us = until(world, 8 * SEC, 25 * SEC);

    if (world->words.step == 0) {
        world->words.step = 1;
        world->words.next_us = world->now_us + world_chance(world, 200 * MS, 5 * SEC);
        world->words.behind = behind;
        if (behind != primary->index)
            world->cut_until_us[primary->index][behind][TRAFFIC_WAL] = world->words.next_us + SEC;
        return;
    }
    world->words.step = 0;
    world->words.next_us = world->now_us + world_chance(world, 10 * SEC, 20 * SEC);
    off(primary, until_us);
    for (uint32_t i = 0; i < world->profile.data && spare > 1; i++)
        if (i != primary->index && i != world->words.behind && world_permille(world, 700)) {
            off(&world->hosts[i], until(world, 5 * SEC, 25 * SEC));
            spare--;
        }
}

/* In a pause the primary's host goes off, or out of reach. */
static void lose_paused(struct world *world, struct host *primary)
{
    struct command command = { .kind = COMMAND_PAUSE,
                               .number = PAUSE_ON,
                               .expect = world->check.reference.pause_version };
    struct host *through = operator_through(world, false);

    if (world->words.step == 0 && through) {
        world->words.step = operator_submit(through, &command) ? 1 : 0;
        world->words.next_us = world->now_us + SEC;
        return;
    }
    world->words.step = 0;
    world->words.next_us = world->now_us + world_chance(world, 10 * SEC, 20 * SEC);
    if (world_permille(world, 500))
        off(primary, until(world, 5 * SEC, 20 * SEC));
    else
        isolate(primary, until(world, 5 * SEC, 20 * SEC));
}

static void misfortune(struct world *world)
{
    struct host *primary = world_host(world, world->check.reference.primary.node_id);

    if (world->words.step == 0 && world->check.reference.operation.kind != OPERATION_NONE)
        return;
    if (world->profile.pauses)
        lose_paused(world, primary);
    else
        lose_data(world, primary);
}

/* -- words -------------------------------------------------------------------------------------------------------- */

/* Somebody who is named and has not been heard to report; NULL: nobody, or the draw falls on nobody. */
static const struct member *missing(struct world *world, const struct host *leader)
{
    const struct cluster *cluster = &leader->manager.cluster;
    uint32_t first = (uint32_t)rand_below(&world->rand, cluster->member_count);

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[(first + i) % cluster->member_count];
        enum verdict verdict = leader->manager.lead_plan.ranking.verdicts[member - cluster->members];
        bool named = member->node_id == cluster->primary.node_id;
        for (uint32_t j = 0; j < cluster->demand_count; j++)
            named = named || demand_names(&cluster->demands[j], member->directory);
        if (named && member->kind == NODE_DATA && member->directory.no != 0 &&
            (verdict == VERDICT_SILENT || verdict == VERDICT_NO_DATA))
            return member;
    }
    return NULL;
}

static struct wal wal_of(struct world *world, const struct cluster *cluster, int32_t node_id, struct lsn end)
{
    const struct member *member = cluster_member(cluster, node_id);
    struct host *host = member ? world_host(world, node_id) : NULL;

    return host ? (struct wal){ host->server.wal.branch, end.at } : (struct wal){ -1, 0 };
}

/* What is meant: the members still asked for, by host, and the WAL that is kept. */
static void mean(struct world *world, const struct cluster *cluster, const struct command *command, int32_t best)
{
    struct meant *meant = &world->words.meant[world->words.meant_count++ % WORDS_MAX];

    *meant = (struct meant){ .token = cluster->token.no,
                             .expect = command->expect,
                             .node_id = command->node_id,
                             .timeline = cluster->primary.timeline.no };
    meant->kept = wal_of(world, cluster, best, command->lsn);
    for (uint32_t i = 0; i < cluster->demand_count && command->kind == COMMAND_WRITE_OFF; i++)
        for (uint32_t j = 0; j < world->profile.data; j++)
            if (demand_names(&cluster->demands[i], world->hosts[j].directory) &&
                world->hosts[j].node_id != command->node_id)
                meant->asked |= 1u << j;
}

/*
 * Who was written off came back and counts for nothing, and who was to do without it has lost its data since: a dead
 * end of the operator's own making, which no healing opens. Who has begun has to go on.
 */
static bool goes_on(const struct world *world, const struct host *leader)
{
    return !world->healed || leader->manager.cluster.operation.words.written_off;
}

static void speak_of_data(struct world *world, struct host *leader)
{
    const struct cluster *cluster = &leader->manager.cluster;
    const struct member *member = missing(world, leader);
    struct command command = { .kind = COMMAND_WRITE_OFF, .token = cluster->token, .expect = cluster->demand_version };
    int32_t best = candidate_most(cluster, leader->manager.lead.heard, &command.timeline, &command.lsn);

    if (best == 0)
        return;
    if (!member || leader->manager.lead_plan.why == WHY_NO_CANDIDATE || world_permille(world, 350)) {
        command.kind = COMMAND_ACCEPT_LOSS;
        member = cluster_member(cluster, best);
    }
    command.node_id = member->node_id;
    command.directory = member->directory;
    mean(world, cluster, &command, best);
    plant_word(world, &command);
    world_trace(leader, "operator: %s n%d, keeps %" PRIX64, command_name(command.kind), command.node_id,
                command.lsn.at);
    (void)operator_submit(leader, &command);
    /* Who was shown to hold most may die of all moments now. */
    if (world_permille(world, 200))
        off(world_host(world, best), until(world, SEC, 10 * SEC));
}

static void speak_of_host(struct world *world, struct host *leader)
{
    const struct cluster *cluster = &leader->manager.cluster;
    const struct member *member = cluster_member(cluster, cluster->primary.node_id);
    struct command command = { .kind = COMMAND_HOST_OFF, .token = cluster->token };

    if (!member || (world_host(world, member->node_id)->up && world->plant != PLANT_NOT_OFF))
        return;
    command.node_id = member->node_id;
    command.stopped_start_no = member->start_no;
    world_trace(leader, "operator: n%d is off", command.node_id);
    (void)operator_submit(leader, &command);
}

void words_moment(struct world *world)
{
    const struct cluster *reference = &world->check.reference;
    struct host *leader = operator_through(world, true);

    if (!world->profile.speaks || !world->complete)
        return;
    if (world->words.next_us == 0)
        world->words.next_us = world->now_us + world_chance(world, SEC, 10 * SEC);
    if (world->now_us >= world->words.next_us && !world->healed)
        misfortune(world);
    struct command lift = { .kind = COMMAND_PAUSE, .number = PAUSE_ENDING, .expect = reference->pause_version };
    if (reference->pause == PAUSE_ON && world->words.step == 0 && leader)
        (void)operator_submit(leader, &lift);
    if (!cluster_fenced(reference) || reference->operation.kind != OPERATION_FAILOVER) {
        world->words.waits_us = 0;
        return;
    }
    if (world->words.waits_us == 0)
        world->words.waits_us = world->now_us;
    if (!leader || world->now_us - world->words.waits_us < PATIENCE_US ||
        leader->manager.cluster.token.no != reference->token.no)
        return;
    enum why why = leader->manager.lead_plan.why;
    if (why == WHY_WRITER_LIVE && leader->manager.cluster.pause != PAUSE_OFF)
        speak_of_host(world, leader);
    else if ((why == WHY_DEMANDS_UNMET || why == WHY_LESS_THAN_TOLD || why == WHY_NO_CANDIDATE) &&
             goes_on(world, leader))
        speak_of_data(world, leader);
}

/* -- what was said ------------------------------------------------------------------------------------------------ */

void words_committed(struct world *world, const struct command *command)
{
    struct host *host = world_host(world, command->node_id);

    /* Who is off holds no lease. */
    if (command->kind == COMMAND_HOST_OFF && host && !host->up)
        world->check.lease_until_us[host->index] = 0;
    if (command->kind != COMMAND_WRITE_OFF && command->kind != COMMAND_ACCEPT_LOSS)
        return;
    for (uint32_t i = 0; i < WORDS_MAX; i++) {
        const struct meant *meant = &world->words.meant[i];
        if (meant->token == command->token.no && meant->expect == command->expect &&
            meant->node_id == command->node_id && world->words.said_count < WORDS_MAX) {
            world->words.said[world->words.said_count++] = *meant;
            return;
        }
    }
}

const struct meant *words_under(const struct world *world, uint64_t token)
{
    uint32_t count = world->words.said_count;

    return count > 0 && world->words.said[count - 1].token == token ? &world->words.said[count - 1] : NULL;
}

static bool gives_up(const struct world *world, const struct meant *word, struct wal commit)
{
    return world->branches[commit.branch].timeline <= word->timeline && !wal_holds(world, word->kept, commit);
}

bool words_give_up(const struct world *world, struct wal commit)
{
    for (uint32_t i = 0; i < world->words.said_count; i++)
        if (gives_up(world, &world->words.said[i], commit))
            return true;
    return false;
}

const struct host *words_keep(const struct world *world, const struct meant *word, struct wal commit)
{
    for (uint32_t i = 0; i < world->profile.data; i++)
        if ((word->asked >> i & 1) && world->hosts[i].server.wal.branch >= 0 &&
            wal_holds(world, world->hosts[i].server.wal, commit))
            return &world->hosts[i];
    return NULL;
}

bool words_gave_up_before(const struct world *world, const struct meant *word, struct wal commit)
{
    for (const struct meant *before = world->words.said; before < word; before++)
        if (gives_up(world, before, commit) && !words_keep(world, before, commit))
            return true;
    return false;
}
