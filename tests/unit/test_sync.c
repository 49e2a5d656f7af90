/*
 * test_sync.c - the synchronous set changes without a moment in which an acknowledged commit is not covered by the log.
 * Design 5.6; R1, R2, R7, R8.
 *
 * Which set is wanted is held against a table of situations. How far a change has come is tried on a primary in small:
 * each of its processes reads its settings when it likes, releases commits by its own k and by whoever counts itself
 * in, and standbys lag, leave and come back. After every step the log must cover what has been acknowledged.
 */
#include "agreed_steps.h"
#include "base/rand.h"
#include "core/sync.h"

#define LOST_US 2000000
#define MB (1024u * 1024u)

/* --- which set is wanted ------------------------------------------------------------------------------------------ */

struct bench {
    struct cluster cluster;
    struct report reports[MEMBERS_MAX];
    struct heard heard[MEMBERS_MAX];
    struct demand wanted;
};

static uint32_t index_of(const struct bench *bench, int32_t node_id)
{
    uint32_t i = 0;

    while (bench->cluster.members[i].node_id != node_id)
        i++;
    return i;
}

static struct report *report_of(struct bench *bench, int32_t node_id)
{
    return &bench->reports[index_of(bench, node_id)];
}

/* B, C and D stream from A and have caught up; {none; 0} is agreed. */
static void calm(struct bench *bench, uint32_t durability, uint32_t count)
{
    memset(bench, 0, sizeof *bench);
    agreed_four(&bench->cluster, 0);
    agreed_grow(&bench->cluster, D);
    bench->cluster.policy.durability = durability;
    bench->cluster.policy.synchronous_count = count;
    for (uint32_t i = 0; i < bench->cluster.member_count; i++) {
        const struct member *member = &bench->cluster.members[i];
        bench->reports[i] = (struct report){
            .node_id = member->node_id,
            .raft_id = member->raft_id,
            .start_no = member->start_no,
            .directory = member->directory,
            .pg_state = member->node_id == A ? PG_PRIMARY : PG_STANDBY,
            .end = { 100 * MB },
            .receiver_streaming = true,
            .following = true,
        };
        bench->heard[i].report = &bench->reports[i];
    }
    struct report *primary = report_of(bench, A);
    for (int32_t node = B; node <= D; node++) {
        primary->walsenders[primary->walsender_count].node_id = node;
        primary->walsenders[primary->walsender_count].streaming = true;
        primary->walsenders[primary->walsender_count++].flushed.at = 100 * MB;
    }
}

static bool wants(struct bench *bench)
{
    bench->wanted = (struct demand){ .k = 77 };
    return sync_wanted(&bench->cluster, bench->heard, LOST_US, &bench->wanted);
}

static bool wants_demand(struct bench *bench, struct demand demand)
{
    return wants(bench) && demand_sound(&bench->wanted) && demand_same(&bench->wanted, &demand);
}

static void agree(struct bench *bench, struct demand demand)
{
    ACCEPTED(&bench->cluster, agreed_add(&bench->cluster, demand));
    ACCEPTED(&bench->cluster, agreed_end(&bench->cluster));
}

static void those_who_caught_up_enter(void)
{
    static struct bench bench;
    struct report *primary;

    calm(&bench, DURABILITY_QUORUM, 1);
    CU_ASSERT(wants_demand(&bench, DEMAND(1, B, C, D)));
    primary = report_of(&bench, A);
    primary->walsenders[0].flushed.at = 98 * MB;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, C, D)));
    primary->walsenders[1].streaming = false;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, D)));
    report_of(&bench, D)->following = false; /* it streams, but its settings are of an older token */
    CU_ASSERT(!wants(&bench));               /* {none; 0} is what there is */
    primary->walsenders[1].streaming = true;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, C)));
    report_of(&bench, C)->start_no--; /* what a former life of its daemon said */
    CU_ASSERT(!wants(&bench));
    report_of(&bench, C)->start_no++;
    bench.heard[index_of(&bench, C)].age_us = LOST_US + 1;
    CU_ASSERT(!wants(&bench));
    bench.heard[index_of(&bench, C)].age_us = 0;
    bench.cluster.members[index_of(&bench, C)].written_off = true;
    CU_ASSERT(!wants(&bench));
    bench.cluster.members[index_of(&bench, C)].written_off = false;
    report_of(&bench, C)->lagging = true;
    CU_ASSERT(!wants(&bench));
    report_of(&bench, C)->lagging = false;
    report_of(&bench, C)->receiver_streaming = false; /* then it is somebody else who streams under its name */
    CU_ASSERT(!wants(&bench));
    report_of(&bench, C)->receiver_streaming = true;
    report_of(&bench, C)->directory = agreed_directory(E); /* the log does not know this directory yet (R20) */
    CU_ASSERT(!wants(&bench));
}

static void who_is_named_may_lag_but_not_be_lost(void)
{
    static struct bench bench;
    struct report *primary;

    calm(&bench, DURABILITY_QUORUM, 1);
    agree(&bench, DEMAND(1, B, C, D));
    CU_ASSERT(!wants(&bench));
    primary = report_of(&bench, A);
    primary->walsenders[0].flushed.at = MB;
    CU_ASSERT(!wants(&bench));
    primary->walsenders[0].streaming = false;
    CU_ASSERT(!wants(&bench)); /* B says that it receives: the connection is about to come back */
    bench.heard[index_of(&bench, B)].age_us = LOST_US + 1;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, C, D)));
    primary->walsenders[0].streaming = true;
    report_of(&bench, B)->pg_state = PG_STOPPED; /* it says so itself */
    CU_ASSERT(wants_demand(&bench, DEMAND(1, C, D)));
}

static void quorum_falls_back_and_strict_does_not(void)
{
    static struct bench bench;

    for (uint32_t durability = DURABILITY_ASYNC; durability <= DURABILITY_STRICT; durability++) {
        calm(&bench, durability, 2);
        agree(&bench, DEMAND(2, B, C, D));
        report_of(&bench, A)->walsender_count = 0;
        for (int32_t node = B; node <= D; node++)
            report_of(&bench, node)->pg_state = PG_STOPPED;
        bool falls_back = wants_demand(&bench, DEMAND(0, 0));
        CU_ASSERT(falls_back == (durability != DURABILITY_STRICT));
    }
    calm(&bench, DURABILITY_QUORUM, 2);
    report_of(&bench, A)->walsender_count = 1;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, B)));
    calm(&bench, DURABILITY_STRICT, 5);
    CU_ASSERT(!wants(&bench)); /* more than there are could never be met */
    calm(&bench, DURABILITY_ASYNC, 2);
    CU_ASSERT(!wants(&bench));
}

/* R37: a directory with a new identity has to be named before its member may attach under its name. */
static void strict_names_new_identities_at_once(void)
{
    static struct bench bench;

    calm(&bench, DURABILITY_STRICT, 1);
    agree(&bench, DEMAND(1, B, C, D));
    ACCEPTED(&bench.cluster, agreed_directory_is(&bench.cluster, D, agreed_directory(E)));
    report_of(&bench, A)->walsender_count = 2;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, B, C, E)));
}

static void the_primary_and_strangers_are_never_wanted(void)
{
    static struct bench bench;

    calm(&bench, DURABILITY_QUORUM, 1);
    struct report *primary = report_of(&bench, A);
    primary->walsenders[0].node_id = A;
    primary->walsenders[1].node_id = W;
    CU_ASSERT(wants_demand(&bench, DEMAND(1, D)));
    bench.cluster.members[index_of(&bench, D)].registered = false;
    CU_ASSERT(!wants(&bench));
    bench.heard[index_of(&bench, A)].report = NULL;
    CU_ASSERT(!wants(&bench));
}

static bool names(const struct pg_conf *conf, const char *name)
{
    for (uint32_t i = 0; i < conf->sync_name_count; i++)
        if (strcmp(conf->sync_names[i], name) == 0)
            return true;
    return false;
}

static void settings_name_the_newest_demand(void)
{
    static struct bench bench;
    struct pg_conf conf = { 0 };

    calm(&bench, DURABILITY_QUORUM, 1);
    sync_conf(&bench.cluster, A, &conf);
    CU_ASSERT(conf.sync_count == 0 && conf.sync_name_count == 0); /* empty at a committed k = 0 alone (R8) */
    agree(&bench, DEMAND(1, B));
    ACCEPTED(&bench.cluster, agreed_add(&bench.cluster, DEMAND(2, B, C)));
    sync_conf(&bench.cluster, A, &conf);
    CU_ASSERT(conf.sync_count == 2 && conf.sync_name_count == 2 && names(&conf, "node2") && names(&conf, "node3"));
    CU_ASSERT(conf.demand_version == bench.cluster.demand_version);
    sync_conf(&bench.cluster, B, &conf); /* not itself, and the present primary: nowhere empty */
    CU_ASSERT(conf.sync_count == 2 && conf.sync_name_count == 2 && names(&conf, "node1") && names(&conf, "node3"));
    /* Nobody has that directory any more: the promise is kept by waiting. */
    ACCEPTED(&bench.cluster, agreed_directory_is(&bench.cluster, C, agreed_directory(E)));
    sync_conf(&bench.cluster, A, &conf);
    CU_ASSERT(conf.sync_count == 2 && conf.sync_name_count == 2 && names(&conf, "node2") && !names(&conf, "node3"));
}

/* --- a primary in small ------------------------------------------------------------------------------------------- */

#define STANDBYS 3 /* B, C, D */

struct settings_copy {
    uint64_t version;
    uint32_t k;
    bool named[STANDBYS];
};

struct sender {
    bool connected;
    bool pending;   /* the postmaster has told it to read its settings */
    bool releasing; /* it is about to act on a reply */
    int32_t pid;
    struct settings_copy copy;
    uint64_t flushed;
    int64_t replied_us;
};

struct primary_world {
    struct rand chance;
    struct cluster cluster;
    struct sync_progress progress;
    struct settings_copy file, postmaster, checkpointer;
    struct sender senders[STANDBYS];
    uint64_t end, acknowledged;
    int64_t now_us;
    int32_t pids;
    uint32_t ended;
};

static void write_file(struct primary_world *world)
{
    struct pg_conf conf = { 0 };

    sync_conf(&world->cluster, A, &conf);
    world->file = (struct settings_copy){ .version = conf.demand_version, .k = conf.sync_count };
    for (int i = 0; i < STANDBYS; i++)
        world->file.named[i] = names(&conf, cluster_member(&world->cluster, B + i)->name);
}

/* What a walsender does at each reply: it takes k from its own copy, and counts those who count themselves in. */
static void release(struct primary_world *world, const struct sender *sender, int index)
{
    uint64_t flushed[STANDBYS] = { 0 };
    uint32_t count = 0;

    if (!sender->copy.named[index] || sender->copy.k == 0)
        return;
    for (int i = 0; i < STANDBYS; i++)
        if (world->senders[i].connected && world->senders[i].copy.named[i])
            flushed[count++] = world->senders[i].flushed;
    if (count < sender->copy.k)
        return;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = i + 1; j < count; j++)
            if (flushed[j] > flushed[i]) {
                uint64_t swap = flushed[i];
                flushed[i] = flushed[j];
                flushed[j] = swap;
            }
    if (flushed[sender->copy.k - 1] > world->acknowledged)
        world->acknowledged = flushed[sender->copy.k - 1];
}

static void look(struct primary_world *world)
{
    static struct pg_seen seen;

    seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { world->end }, .conf_present = true };
    seen.conf.demand_version = world->file.version;
    seen.conf_loaded = world->postmaster.version == world->file.version;
    for (int i = 0; i < STANDBYS; i++) {
        const struct sender *sender = &world->senders[i];
        if (!sender->connected)
            continue;
        struct walsender_seen *walsender = &seen.walsenders[seen.walsender_count++];
        *walsender = (struct walsender_seen){
            .pid = sender->pid,
            .streaming = true,
            .synchronous = sender->copy.named[i] && sender->copy.k > 0,
            .flushed = { sender->flushed },
            .replied_us = sender->replied_us,
        };
        (void)text_copy(walsender->name, NAME_SIZE, cluster_member(&world->cluster, B + i)->name);
    }
    sync_observe(&world->progress, &world->cluster, &seen);
    if (world->progress.settled != world->cluster.demand_version || world->cluster.demand_count == 1)
        return;
    ACCEPTED(&world->cluster, agreed_end(&world->cluster));
    world->ended++;
}

static void change_demand(struct primary_world *world)
{
    struct demand demand = { 0 };

    for (int32_t node = B; node <= D; node++)
        if (rand_below(&world->chance, 2))
            demand.directories[demand.count++] = agreed_directory(node);
    demand.k = (uint32_t)rand_below(&world->chance, demand.count + 1u);
    if (demand.k == 0)
        demand = (struct demand){ 0 };
    ACCEPTED(&world->cluster, agreed_add(&world->cluster, demand));
}

static void one_step(struct primary_world *world)
{
    int index = (int)rand_below(&world->chance, STANDBYS);
    struct sender *sender = &world->senders[index];
    bool newest = world->file.version == world->cluster.demand_version;

    world->now_us++;
    switch (rand_below(&world->chance, 12)) {
    case 0:
        if (rand_below(&world->chance, 10) == 0)
            change_demand(world);
        break;
    case 1:
        if (!newest)
            write_file(world);
        break;
    case 2:
        if (world->postmaster.version == world->file.version)
            break;
        world->postmaster = world->file;
        for (int i = 0; i < STANDBYS; i++)
            world->senders[i].pending = true;
        break;
    case 3:
        world->checkpointer = world->postmaster;
        break;
    case 4: /* the CHECKPOINT that leaving k = 0 asks for */
        if (newest && world->postmaster.version == world->file.version && world->progress.checkpoint_needed &&
            world->progress.version == world->file.version) {
            world->checkpointer = world->postmaster;
            world->progress.checkpoint_done = true;
        }
        break;
    case 5:
        if (rand_below(&world->chance, 4) == 0)
            sender->connected = false;
        break;
    case 6:
        if (!sender->connected)
            *sender = (struct sender){
                .connected = true, .pid = ++world->pids, .copy = world->postmaster, .flushed = sender->flushed
            };
        break;
    case 7:
        world->end += 1 + rand_below(&world->chance, 3);
        if (world->checkpointer.k == 0)
            world->acknowledged = world->end; /* nobody waits */
        break;
    case 8: /* a reply comes, and anybody can see it */
        if (!sender->connected || sender->releasing)
            break;
        sender->flushed += rand_below(&world->chance, world->end - sender->flushed + 1);
        sender->replied_us = world->now_us;
        sender->releasing = true;
        break;
    case 9: /* what follows from it; settings are read between two replies */
        if (!sender->connected || !sender->releasing)
            break;
        release(world, sender, index);
        if (sender->pending)
            sender->copy = world->file;
        sender->pending = sender->releasing = false;
        break;
    default:
        look(world);
        break;
    }
}

/* Any of either S may make up either k: that many must hold what was acknowledged. */
static bool covered(const struct primary_world *world)
{
    uint32_t least = UINT32_MAX, holders = 0;

    for (uint32_t i = 0; i < world->cluster.demand_count; i++)
        least = world->cluster.demands[i].k < least ? world->cluster.demands[i].k : least;
    for (int i = 0; i < STANDBYS; i++) {
        bool named = false;
        for (uint32_t j = 0; j < world->cluster.demand_count; j++)
            named = named || demand_names(&world->cluster.demands[j], agreed_directory(B + i));
        holders += named && world->senders[i].flushed >= world->acknowledged;
    }
    return holders >= least;
}

static void what_is_acknowledged_is_covered(void)
{
    static struct primary_world world;
    uint32_t ended = 0;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        memset(&world, 0, sizeof world);
        rand_seed(&world.chance, seed);
        agreed_four(&world.cluster, 0);
        agreed_grow(&world.cluster, D);
        write_file(&world);
        world.postmaster = world.checkpointer = world.file;
        for (int i = 0; i < 6000; i++) {
            one_step(&world);
            CU_ASSERT_FATAL(covered(&world));
        }
        ended += world.ended;
    }
    CU_ASSERT(ended > 3000);
}

static const struct unit_test tests[] = {
    { "standbys enter when they have caught up", those_who_caught_up_enter },
    { "who is named may lag but not be lost", who_is_named_may_lag_but_not_be_lost },
    { "quorum falls back and strict does not", quorum_falls_back_and_strict_does_not },
    { "strict names new identities at once", strict_names_new_identities_at_once },
    { "the primary and strangers are never wanted", the_primary_and_strangers_are_never_wanted },
    { "settings name the newest demand", settings_name_the_newest_demand },
    { "what is acknowledged is covered at every step of a change", what_is_acknowledged_is_covered },
};
const struct unit_suite suite_sync = UNIT_SUITE("sync", tests);
