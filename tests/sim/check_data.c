/* check_data.c - the checkers of commits (G3), of data directories, of switchovers, and of life after healing. */
#include "world.h"

/* Whose directory this is, or was. */
static const struct host *host_of_directory(const struct world *world, struct directory_id directory)
{
    for (uint32_t i = 0; i < world->check.directory_count; i++)
        if (directory_is(world->check.directories[i].directory, directory))
            return &world->hosts[world->check.directories[i].host];
    return NULL;
}

void check_directory(struct host *host, struct directory_id directory)
{
    struct check *check = &host->world->check;

    if (directory.no == 0 || host_of_directory(host->world, directory))
        return;
    if (check->directory_count == ARRAY_LEN(check->directories)) {
        check_fail(host->world, "CIRCLE", "n%u is rewound or cloned without end", host->index + 1);
        return;
    }
    check->directories[check->directory_count].directory = directory;
    check->directories[check->directory_count++].host = host->index;
}

void check_left_behind(struct host *host, const struct host *former)
{
    struct check *check = &host->world->check;

    for (uint32_t i = 0; i < check->directory_count; i++)
        if (check->directories[i].host == host->index)
            check->directories[i].host = former->index;
}

static bool named_before(const struct cluster *cluster, uint32_t index, struct directory_id directory)
{
    for (uint32_t i = 0; i < index; i++)
        if (demand_names(&cluster->demands[i], directory))
            return true;
    return false;
}

/*
 * The demands in the log are such that every set of directories that meets them has the commit (design 5.8): those that
 * lack it are too few to meet {union of S, least k}. One that was rewound or cloned since stands for its old self here:
 * it was acknowledged by that name. In an election it does not, which can only make nodes wait.
 */
static void check_demands(struct host *host, struct wal commit)
{
    struct world *world = host->world;
    const struct cluster *reference = &world->check.reference;
    uint32_t named = 0, lack = 0, least = UINT32_MAX;

    if (reference->cluster_id == 0 || reference->primary.node_id != host->node_id)
        return;
    for (uint32_t i = 0; i < reference->demand_count; i++) {
        const struct demand *demand = &reference->demands[i];
        least = demand->k < least ? demand->k : least;
        for (uint32_t j = 0; j < demand->count; j++) {
            if (named_before(reference, i, demand->directories[j]))
                continue;
            const struct host *one = host_of_directory(world, demand->directories[j]);
            named++;
            /* One whose host was replaced held it when it replied. */
            if (one && (!one->server.present || one->server.system != SYSTEM_OWN))
                continue;
            lack += !one || one->server.wal.branch < 0 || !wal_holds(world, one->server.wal, commit);
        }
    }
    if (named - lack < least)
        check_fail(world, "G3", "n%u acknowledges %" PRIu64 " of timeline %u, which no demand in the log covers",
                   host->index + 1, commit.end, world->branches[commit.branch].timeline);
}

void check_acked(struct host *host, struct wal commit)
{
    struct world *world = host->world;
    struct check *check = &world->check;
    struct branch *branch = &world->branches[commit.branch];
    const struct host *present = check->present >= 0 ? &world->hosts[check->present] : NULL;

    check->acks++;
    check->last_ack_us = world->now_us;
    /* Given up by an operator, who took somebody to be gone: not lost by us. */
    if (present != host && words_give_up(world, commit))
        return;
    /* A thawed host may acknowledge until its guard runs, where it waits for nobody. */
    if (check->async && present != host)
        return;
    if (commit.end > branch->acked)
        branch->acked = commit.end;
    if (check->async)
        return;
    if (present && present != host && !wal_holds(world, present->server.wal, commit))
        check_fail(world, "G3", "n%u acknowledges %" PRIu64 " of timeline %u, and n%u, primary since, lacks it",
                   host->index + 1, commit.end, branch->timeline, present->index + 1);
    check_demands(host, commit);
}

/* The lag rule's bound: what the primary told of when it last renewed, less the allowance. */
static void check_bound(struct host *host, struct wal lost)
{
    struct world *world = host->world;
    uint32_t writer = world->branches[lost.branch].host;
    uint64_t held = wal_common(world, host->server.wal, lost);
    uint64_t told = world->check.told_lsn[writer];
    uint64_t allowance = world->check.reference.policy.maximum_lag_on_failover_bytes;

    if (told > lost.end)
        told = lost.end;
    if (held + allowance < told)
        check_fail(world, "G4",
                   "n%u is primary from %" PRIu64 ", n%u had told of %" PRIu64 " and %" PRIu64 " may be lost",
                   host->index + 1, held, writer + 1, told, allowance);
}

/* An operator gave this commit up: nobody whom that word still asked for had it. */
static bool given_up(struct host *host, const struct meant *word, struct wal acked)
{
    struct world *world = host->world;

    if (!words_give_up(world, acked))
        return false;
    const struct host *holder = word ? words_keep(world, word, acked) : NULL;
    if (holder && !words_gave_up_before(world, word, acked))
        check_fail(world, "G3", "n%u is primary and lacks what n%u holds, which nobody gave up", host->index + 1,
                   holder->index + 1);
    return true;
}

void check_loss(struct host *host)
{
    struct world *world = host->world;
    const struct check *check = &world->check;
    const struct meant *word = words_under(world, host->server.conf.token.no);
    bool lag_rule = world->profile.policy.durability == DURABILITY_ASYNC;

    for (uint32_t i = 0; i < world->branch_count; i++) {
        struct wal acked = { (int32_t)i, world->branches[i].acked };
        if (acked.end == 0 || wal_holds(world, host->server.wal, acked))
            continue;
        if (given_up(host, word, acked))
            world->branches[i].acked = 0;
        else if (check->reference.operation.kind == OPERATION_SWITCHOVER)
            check_fail(world, "G5", "the switchover to n%u lost what was acknowledged up to %" PRIu64, host->index + 1,
                       acked.end);
        else if (!check->async)
            check_fail(world, "G3", "n%u is primary and lacks the commit acknowledged at %" PRIu64 " of timeline %u",
                       host->index + 1, acked.end, world->branches[i].timeline);
        else if (lag_rule)
            check_bound(host, acked);
        world->branches[i].acked = 0; /* said once */
    }
}

void check_attached(struct host *host, struct host *upstream)
{
    struct world *world = host->world;

    if (!wal_holds(world, upstream->server.wal, host->server.wal) &&
        !wal_holds(world, host->server.wal, upstream->server.wal))
        check_fail(world, "G3", "n%u streams timeline %u from n%u and has other WAL of that number", host->index + 1,
                   wal_timeline(world, host->server.wal), upstream->index + 1);
}

/* Its directory is about to be written over: every acknowledged commit is somewhere else. */
void check_data_lost(struct host *host)
{
    struct world *world = host->world;

    for (uint32_t i = 0; i < world->branch_count && !world->check.async; i++) {
        struct wal commit = { (int32_t)i, world->branches[i].acked };
        bool held = commit.end == 0;
        for (uint32_t j = 0; j < world->profile.data && !held; j++)
            held = host_wal(&world->hosts[j]).branch >= 0 && wal_holds(world, host_wal(&world->hosts[j]), commit);
        if (!held)
            check_fail(world, "G3",
                       "n%u gives up the last copy of the commit acknowledged at %" PRIu64 " of timeline %u",
                       host->index + 1, commit.end, world->branches[i].timeline);
    }
    fault_strike(host);
}

void check_disturbed(struct world *world)
{
    world->check.switchover_until_us = 0;
    world->check.faults++;
}

static bool streams(const struct host *host, const struct host *primary)
{
    const struct server *server = &host->server;

    return server->state == SERVER_STANDBY && server->receiver.running && server->receiver.from == primary->index &&
           server->wal.end + 4096 >= primary->server.wal.end;
}

/* A node whose settings do not allow what it would take to bring it back. */
static bool may_stay_away(const struct host *host)
{
    enum why why = host->manager.node_plan.why;

    return host->world->profile.rejoin != REJOIN_CLONE &&
           (why == WHY_STANDBY_DIVERGED || why == WHY_NO_DATA || why == WHY_STANDBY_REWIND);
}

static uint32_t expected_k(const struct world *world)
{
    const struct policy *policy = &world->check.reference.policy;
    uint32_t back = 0;

    for (uint32_t i = 0; i < world->profile.data; i++)
        back += !may_stay_away(&world->hosts[i]);
    if (policy->durability == DURABILITY_ASYNC || back == 0)
        return 0;
    return policy->synchronous_count < back - 1 ? policy->synchronous_count : back - 1;
}

static bool missing(char *ret_why, size_t size, const char *what, uint32_t host)
{
    (void)snprintf(ret_why, size, "%s (n%u)", what, host + 1);
    return false;
}

bool check_at_rest(struct world *world, char *ret_why, size_t size)
{
    const struct cluster *reference = &world->check.reference;
    const struct host *primary = world_host(world, reference->primary.node_id);

    if (reference->cluster_id == 0 || !primary)
        return missing(ret_why, size, "the cluster is not founded", 0);
    for (uint32_t i = 0; i < world->profile.hosts; i++) {
        const struct member *member = cluster_member(reference, (int32_t)i + 1);
        if (!member || !member->registered || !member->voter)
            return missing(ret_why, size, "not registered, or no voter", i);
        if (!world->hosts[i].daemon_up || !world->hosts[i].manager.node.hello)
            return missing(ret_why, size, "its daemon has not said hello", i);
        if (world->hosts[i].manager.cluster.version + 2 < reference->version)
            return missing(ret_why, size, "its state is old", i);
    }
    if (reference->operation.kind != OPERATION_NONE)
        return missing(ret_why, size, "an operation is open", primary->index);
    if (reference->pause != PAUSE_OFF)
        return missing(ret_why, size, "paused", primary->index);
    if (reference->primary.phase != PRIMARY_ACTIVE || primary->server.state != SERVER_PRIMARY)
        return missing(ret_why, size, "no primary", primary->index);
    for (uint32_t i = 0; i < world->profile.data; i++)
        if (&world->hosts[i] != primary && !streams(&world->hosts[i], primary) && !may_stay_away(&world->hosts[i]))
            return missing(ret_why, size, "does not stream", i);
    if (reference->demand_count != 1 || reference->demands[0].k != expected_k(world))
        return missing(ret_why, size, "the synchronous set is not as it should be", primary->index);
    return true;
}

static void check_switchover(struct world *world)
{
    const struct check *check = &world->check;

    if (check->switchover_until_us != 0 && world->now_us > check->switchover_until_us)
        check_fail(world, "G5", "an undisturbed switchover has not ended in time");
}

void check_end(struct world *world)
{
    char why[128];
    struct wal lost;
    const struct check *check = &world->check;

    check_switchover(world);
    if (!check->failed && !check_at_rest(world, why, sizeof why))
        check_fail(world, "LIVE", "at the end: %s", why);
    if (!check->failed && check->last_ack_us + 2 * SEC < world->end_us)
        check_fail(world, "LIVE", "the last acknowledgement is %" PRId64 " ms old",
                   (world->end_us - check->last_ack_us) / MS);
    if (!check->failed && !check->async && check->present >= 0 &&
        !wal_holds_all_acked(world, world->hosts[check->present].server.wal, &lost))
        check_fail(world, "G3", "at the end the commit acknowledged at %" PRIu64 " is lost", lost.end);
}
