/* test_manager.c - what the leader's member remembers of the primary from turn to turn. */
#include "status_world.h"

/* R12: what the primary said before it applied the settings is of rounds by others, of which one may still be out. */
static void a_renewal_counts_from_the_settings(void)
{
    static struct world world;
    struct cluster *cluster = &world.manager.cluster;

    world_make(&world);
    struct report *report = world_hear(&world, A, 1000);
    report->lease_length_us = cluster->policy.lease_ttl_ms * 1000LL;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us != 0);
    cluster->version++;
    cluster->policy_version = cluster->version;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us == 0);
    report->applied = cluster->version;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us != 0);
    report->lease_length_us++;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us == 0);
}

static void unheard(void *ctx, uint64_t raft_id, const struct message *message)
{
    (void)ctx, (void)raft_id, (void)message;
}

static void uncounted(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    (void)ctx, (void)bytes, (void)length, (void)ticket;
}

static void unseen(void *ctx)
{
    (void)ctx;
}

static void untold(void *ctx, enum event event, const char *text)
{
    (void)ctx, (void)event, (void)text;
}

static int64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

/* The world's member leads and elects this node, which says at once that its promotion failed. */
static void elect_and_fail(struct world *world, int32_t node_id, int64_t now_us)
{
    struct manager *manager = &world->manager;
    struct cluster *cluster = &manager->cluster;
    struct demand demand = { 0 };

    if (!cluster_fenced(cluster))
        agreed_do_fence(cluster);
    elect_demand(cluster, cluster_member(cluster, node_id)->directory, NULL, 0, &demand);
    ACCEPTED(cluster, agreed_elect(cluster, node_id, demand));
    for (int32_t node = A; node <= C; node++)
        world_hear(world, node, 0);
    manager->heard[cluster_member(cluster, node_id) - cluster->members].report.trouble = TROUBLE_FAILED;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        manager->heard[i].at_us = manager->heard[i].at_us ? now_us : 0;
    manager->lead.raft.leader = true;
    manager->lead.proposed_at_us = 0;
    (void)manager_crank(manager, now_us);
    manager->lead.proposed_at_us = 0; /* the proposal is lost, and made again */
    (void)manager_crank(manager, now_us + 1000);
}

/* A failed election counts once; who failed gives way to the others until they have failed, too. */
static void failures_are_counted(void)
{
    static struct world world;
    const struct failures *failures = &world.manager.lead.failures;

    world_make(&world);
    world.manager.ports = (struct ports){ .send = unheard, .propose = uncounted, .event = untold, .wall_us = no_time };
    elect_and_fail(&world, B, WORLD_NOW_US);
    CU_ASSERT(failures->count == 1 && failures->mask == 2 && failures->avoid == 2);
    CU_ASSERT_EQUAL(failures->at_us, WORLD_NOW_US);
    elect_and_fail(&world, C, WORLD_NOW_US + 1000000);
    CU_ASSERT(failures->count == 2 && failures->mask == 6 && failures->avoid == 6);
    elect_and_fail(&world, B, WORLD_NOW_US + 2000000);
    CU_ASSERT(failures->count == 3 && failures->mask == 6 && failures->avoid == 2);
    ACCEPTED(&world.manager.cluster, agreed_promoted(&world.manager.cluster));
    world_link(&world);
    CU_ASSERT(failures->count == 0 && failures->mask == 0);
}

/* What the manager's proposals come to: each is applied at once, to a state in which it does not fit. */
struct refusals {
    struct manager *manager;
    uint32_t count;
    int64_t now_us;
    uint8_t bytes[COMMAND_BYTES_MAX];
    size_t length;
};

static void refuse(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    struct refusals *refusals = ctx;

    (void)ticket;
    refusals->count++;
    memcpy(refusals->bytes, bytes, length);
    refusals->length = length;
}

/* Cranks for this many seconds; how often something was proposed. */
static uint32_t proposals_in(struct refusals *refusals, int64_t seconds)
{
    struct manager *manager = refusals->manager;
    int64_t until_us = refusals->now_us + seconds * 1000000;

    refusals->count = 0;
    while (refusals->now_us < until_us) {
        uint32_t before = refusals->count;
        for (uint32_t i = 0; i < MEMBERS_MAX; i++)
            if (manager->heard[i].at_us) {
                manager->heard[i].at_us = refusals->now_us;
                manager->heard[i].report.applied = UINT64_MAX;
            }
        (void)manager_crank(manager, refusals->now_us);
        refusals->now_us += 2000;
        if (refusals->count != before)
            manager_apply(manager, refusals->bytes, refusals->length, refusals->now_us);
    }
    return refusals->count;
}

static void refuse_forwarded(void *ctx, uint64_t raft_id, const struct message *message)
{
    (void)raft_id;
    if (message->kind == MESSAGE_FORWARD)
        refuse(ctx, message->forward.bytes, message->forward.length, 0);
}

/* Each refusal is an entry of the log, and moves the version: what is refused for ever is not repeated at its speed. */
static void refused_proposals_are_not_hurried(void)
{
    static struct world world;
    static struct refusals refusals;
    struct manager *manager = &world.manager;
    struct cluster *cluster = &manager->cluster;

    for (int leads = 0; leads < 2; leads++) {
        world_make(&world);
        refusals = (struct refusals){ .manager = manager, .now_us = WORLD_NOW_US };
        manager->ports = (struct ports){ .ctx = &refusals,
                                         .flush = unseen,
                                         .look = unseen,
                                         .send = refuse_forwarded,
                                         .propose = refuse,
                                         .event = untold,
                                         .wall_us = no_time };
        if (leads) {
            /* A voter is wanted, and no change of the voters fits. */
            manager->lead.raft.leader = true;
            cluster->members[2].voter = false;
            cluster->pause = PAUSE_ENDING;
            manager->heard[0].report.lease_config = cluster->config_version;
        } else {
            /* A copy of B's data directory. */
            manager->node.node_id = C;
            manager->node.raft_id = cluster_member(cluster, C)->raft_id;
            manager->node.kind = NODE_DATA;
            manager->node.directory = agreed_directory(B);
        }
        CU_ASSERT(proposals_in(&refusals, 20) <= 22);
        uint32_t later = proposals_in(&refusals, 60);
        CU_ASSERT(later >= 5 && later <= (leads ? 61 : 10));
        if (leads)
            cluster->pause = PAUSE_OFF;
        else
            cluster->members[1].directory = agreed_directory(E);
        CU_ASSERT_EQUAL(proposals_in(&refusals, 60), 1);
        CU_ASSERT(leads ? cluster->members[2].voter : directory_is(cluster->members[2].directory, agreed_directory(B)));
    }
}

/* The primary's next report, and what its daemon makes of it. */
static void hear_trouble(struct world *world, enum pg_state state, enum trouble trouble, int64_t now_us)
{
    struct report *report = world_hear(world, A, 0);

    report->pg_state = state;
    report->trouble = trouble;
    world->manager.heard[0].at_us = now_us;
    manager_link_leader(&world->manager, now_us);
}

/* A start that fails, or a server that ends soon after each start, is one trouble: its time runs
 * (primary_start_timeout). */
static void trouble_lasts_until_it_serves(void)
{
    static struct world world;
    const int64_t *since_us = &world.manager.lead.trouble_since_us, begun_us = WORLD_NOW_US + 1000000;
    int64_t now_us = begun_us;

    world_make(&world);
    hear_trouble(&world, PG_STOPPED, TROUBLE_STOPPED, now_us);
    CU_ASSERT_EQUAL(*since_us, begun_us);
    for (int start = 0; start < 20; start++) {
        hear_trouble(&world, PG_STOPPED, TROUBLE_NONE, now_us += 500000); /* permitted to start */
        if (start % 2)
            hear_trouble(&world, PG_PRIMARY, TROUBLE_NONE, now_us += 500000);
        hear_trouble(&world, PG_STOPPED, TROUBLE_STOPPED, now_us += 500000);
        CU_ASSERT_EQUAL(*since_us, begun_us);
    }
    hear_trouble(&world, PG_PRIMARY, TROUBLE_NONE, now_us += 500000);
    now_us += 3000000;
    manager_link_leader(&world.manager, now_us); /* silent: that is no service */
    CU_ASSERT_EQUAL(*since_us, begun_us);
    for (int i = 0; i < 6; i++)
        hear_trouble(&world, PG_PRIMARY, TROUBLE_NONE, now_us += 500000);
    CU_ASSERT_EQUAL(*since_us, 0);

    hear_trouble(&world, PG_STOPPED, TROUBLE_STOPPED, now_us);
    agreed_do_fence(&world.manager.cluster);
    hear_trouble(&world, PG_STOPPED, TROUBLE_NONE, now_us += 500000);
    CU_ASSERT_EQUAL(*since_us, 0);
}

/* The running action of the world's member ends so. */
static void end_action(struct manager *manager, enum act_kind kind, int code)
{
    struct pg_result result = { .id = ++manager->action_id, .kind = kind, .code = code };

    manager->node.acting = kind;
    manager->acting_token = manager->cluster.token;
    manager->acted_at_us = 0;
    manager_acted(manager, &result, WORLD_NOW_US);
}

/* R6: pg_rewind goes by the primary's control file. Where no checkpoint was written it sees no difference. */
static void a_checkpoint_that_failed_is_none(void)
{
    static struct world world;
    struct manager *manager = &world.manager;

    world_make(&world);
    manager->ports = (struct ports){ .event = untold, .look = unseen };
    end_action(manager, ACT_CHECKPOINT, -(int)ERR_DB_CONN);
    manager_build_report(manager, WORLD_NOW_US);
    CU_ASSERT_FALSE(manager->report.checkpointed);
    end_action(manager, ACT_CHECKPOINT, 0);
    manager_build_report(manager, WORLD_NOW_US);
    CU_ASSERT(manager->report.checkpointed);
}

static void count(void *ctx)
{
    uint32_t *looks = ctx;

    (*looks)++;
}

/* The primary's own look is up to a second old, and a switchover asks for what it shows. */
static void a_standby_that_begins_to_stream_is_looked_at(void)
{
    static struct world world;
    struct message message = { .kind = MESSAGE_REPORT };
    struct manager *manager = &world.manager;
    uint32_t looks = 0;

    world_make(&world);
    manager->ports = (struct ports){ .ctx = &looks, .look = count };
    manager->node.pg.state = PG_PRIMARY;
    for (int round = 1; round <= 2; round++) {
        message.report = world_report(&manager->cluster, B);
        message.report.receiver_streaming = false;
        manager_message(manager, message.report.raft_id, &message, WORLD_NOW_US);
        CU_ASSERT_EQUAL(looks, (uint32_t)round - 1);
        message.report.receiver_streaming = true;
        for (int time = 0; time < 3; time++)
            manager_message(manager, message.report.raft_id, &message, WORLD_NOW_US);
        CU_ASSERT_EQUAL(looks, (uint32_t)round);
    }
    manager->node.pg.state = PG_STANDBY;
    manager->heard[1].report.receiver_streaming = false;
    manager_message(manager, message.report.raft_id, &message, WORLD_NOW_US);
    CU_ASSERT_EQUAL(looks, 2);
}

static const struct unit_test tests[] = {
    { "a primary looks at once when a standby begins to stream", a_standby_that_begins_to_stream_is_looked_at },
    { "what is refused is not repeated at the speed of the log", refused_proposals_are_not_hurried },
    { "failed elections are counted", failures_are_counted },
    { "a primary's trouble lasts until it serves", trouble_lasts_until_it_serves },
    { "a renewal counts from the settings that it is by", a_renewal_counts_from_the_settings },
    { "a checkpoint that failed is none", a_checkpoint_that_failed_is_none },
};

const struct unit_suite suite_manager = UNIT_SUITE("manager", tests);
