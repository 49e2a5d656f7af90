/*
 * test_cluster_demands.c - what was promised of acknowledged commits stays promised. Design 5.6, 5.8; R1 to R3, R25,
 * R30, R31, model/.
 *
 * The rules are held against their purpose, spelled out over all small sets: a commit that was acknowledged under some
 * demand lies on the primary and on k of its S; whoever is asked later must meet one of them.
 */
#include "agreed_steps.h"
#include "demand_sets.h"

/* These directories have reported: they meet the demand. */
static bool meets(uint32_t reported, const struct demand *demand)
{
    return size_of(set_of(demand) & ~reported) < demand->k;
}

/*
 * The demands as one. While a change is under way, walsenders have new settings or old ones: each counts by its own k
 * those who count themselves in by their own S, so that any of either S may make up either k.
 */
static struct demand mixed(const struct cluster *cluster)
{
    uint32_t all = 0, least = UINT32_MAX;

    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        all |= set_of(&cluster->demands[i]);
        least = cluster->demands[i].k < least ? cluster->demands[i].k : least;
    }
    return demand_of(least, all);
}

/* The primary may have acknowledged a commit that lies on exactly these directories. */
static bool may_be_acknowledged(uint32_t holders, const struct demand *demand)
{
    return (holders & BIT(A)) && size_of(holders & set_of(demand)) >= demand->k;
}

static void add_makes_the_newest(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    uint64_t version = cluster.demand_version;
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(2, B, C)));
    CU_ASSERT(cluster.demand_count == 2 && cluster.demand_version == version + 1);
    CU_ASSERT(cluster_demand(&cluster)->version == version + 1 && cluster_demand(&cluster)->k == 2);
    CU_ASSERT(cluster.demands[0].k == 1 && token_is(cluster_demand(&cluster)->token, cluster.token));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(0, 0)));
    CU_ASSERT(cluster_demand(&cluster)->k == 0 && cluster.demands[0].k == 1 && cluster.demands[0].count == 2);
}

/* All pairs of demands, and all third ones: whoever meets what is left has met what was there (R1, R2). */
static void add_forgets_nothing(void)
{
    struct cluster start, cluster;

    agreed_four(&start, 1);
    for (uint32_t one = 0; one < SETS * 4; one++) {
        for (uint32_t two = 0; two < SETS * 4; two++) {
            struct demand first = demand_of(one / SETS, one % SETS & ~1u);
            struct demand second = demand_of(two / SETS, two % SETS & ~1u);
            if (first.k > first.count || second.k > second.count)
                continue;
            cluster = start;
            cluster.demand_count = 2;
            cluster.demands[0] = first;
            cluster.demands[1] = second;
            struct demand before = mixed(&cluster);
            ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, D)));
            struct demand after = mixed(&cluster);
            CU_ASSERT_FATAL(cluster.demand_count == 2 && set_of(&cluster.demands[1]) == BIT(D));
            CU_ASSERT_FATAL(set_of(&cluster.demands[0]) == (set_of(&first) | set_of(&second)));
            CU_ASSERT_FATAL(cluster.demands[0].k == (first.k < second.k ? first.k : second.k));
            for (uint32_t reported = 0; reported < SETS; reported++)
                CU_ASSERT_FATAL(!meets(reported, &after) || meets(reported, &before));
        }
    }
}

static void add_never_names_the_primary(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    REFUSED(&cluster, agreed_add(&cluster, DEMAND(1, A, B)));
    REFUSED(&cluster, agreed_add(&cluster, DEMAND(1, A)));
    struct command zero = agreed_add(&cluster, DEMAND(1, B, C));
    zero.demand.directories[1].no = 0;
    REFUSED(&cluster, zero);
    REFUSED(&cluster, agreed_add(&cluster, DEMAND(3, B, C))); /* more than there are could never be met */
}

static void add_and_end_are_refused_once_fenced(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, B)));
    struct command add = agreed_add(&cluster, DEMAND(1, C)), end = agreed_end(&cluster);
    agreed_do_fence(&cluster);
    REFUSED(&cluster, add);
    REFUSED(&cluster, end);
    add.token = end.token = cluster.token;
    REFUSED(&cluster, add);
    REFUSED(&cluster, end);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    CU_ASSERT(cluster.demand_count == 1);
    add.token = end.token = (struct token){ cluster.token.no - 2 };
    REFUSED(&cluster, add);
    REFUSED(&cluster, end);
    add.token = end.token = cluster.token;
    REFUSED(&cluster, end);  /* of a demand that ELECT has replaced */
    ACCEPTED(&cluster, add); /* the winner's own, before it has promoted */
}

static void end_leaves_the_newest_alone(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    NOTHING(&cluster, agreed_end(&cluster));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(2, B, C)));
    struct command end = agreed_end(&cluster), late = end;
    late.expect--;
    REFUSED(&cluster, late);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, C)));
    REFUSED(&cluster, end); /* seen through by the primary, but a newer one has come */
    ACCEPTED(&cluster, agreed_end(&cluster));
    CU_ASSERT(cluster.demand_count == 1 && cluster.demands[0].k == 1 && set_of(&cluster.demands[0]) == BIT(C));
}

/* What ELECT may leave: S holds all whom the replaced ones name and the old primary, less the winner; k at most the
 * least. */
static bool elect_rule(const struct cluster *cluster, int32_t winner, const struct demand *demand)
{
    uint32_t all = BIT(A), least = UINT32_MAX, set = set_of(demand);

    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        all |= set_of(&cluster->demands[i]);
        if (cluster->demands[i].k < least)
            least = cluster->demands[i].k;
    }
    all &= ~BIT(winner);
    if (set & BIT(winner) || demand->k > least || demand->k > demand->count)
        return false;
    return demand->k == 0 ? set == 0 : (all & ~set) == 0;
}

/* Every commit that any of the demands may have acknowledged is still met by whoever meets the one that ELECT leaves.
 */
static bool elect_keeps_all(const struct cluster *cluster, int32_t winner, const struct demand *demand)
{
    struct demand old = mixed(cluster);

    for (uint32_t holders = 0; holders < SETS; holders++)
        for (uint32_t reported = 0; may_be_acknowledged(holders, &old) && reported < SETS; reported++)
            if (meets(reported, demand) && !(reported & (holders | BIT(winner))))
                return false;
    return true;
}

/* All pairs of demands, all winners, all that ELECT could leave: accepted is what the rule allows, and that is safe. */
static void elect_keeps_what_was_promised(void)
{
    struct cluster start, cluster, after;
    uint32_t accepted = 0;

    agreed_four(&start, 1);
    agreed_grow(&start, D);
    agreed_do_fence(&start);
    for (uint32_t pair = 0; pair < 8 * 4 * 8 * 4; pair++) {
        struct demand first = demand_of(pair % 4, pair / 4 % 8 << 1),
                      second = demand_of(pair / 32 % 4, pair / 128 << 1);
        if (first.k > first.count || second.k > second.count)
            continue;
        cluster = start;
        cluster.demand_count = 2;
        cluster.demands[0] = first;
        cluster.demands[1] = second;
        after = cluster;
        for (uint32_t choice = 0; choice < SETS * 5 * 4; choice++) {
            int32_t winner = A + (int32_t)(choice % 4);
            struct demand demand = demand_of(choice / 4 % 5, choice / 20);
            struct command elect = agreed_elect(&after, winner, demand);
            bool ok = cluster_apply(&after, &elect, NULL) == APPLY_OK;
            CU_ASSERT_FATAL(ok == elect_rule(&cluster, winner, &demand));
            if (!ok)
                continue;
            accepted++;
            CU_ASSERT_FATAL(after.demand_count == 1 && demand_same(cluster_demand(&after), &demand));
            CU_ASSERT_FATAL(after.demand_version > cluster.demand_version);
            CU_ASSERT_FATAL(demand.k == 0 || elect_keeps_all(&cluster, winner, &demand));
            after = cluster;
        }
    }
    CU_ASSERT(accepted > 1000);
}

/* A directory twice in S would let one acknowledgement count for two. */
static void elect_counts_nobody_twice(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 2);
    agreed_do_fence(&cluster);
    struct command elect = agreed_elect(&cluster, B, DEMAND(2, A, C));
    CU_ASSERT(elect.demand.count == 2);
    struct command twice = agreed_elect(&cluster, B, DEMAND(2, A, C, C));
    REFUSED(&cluster, twice);
    ACCEPTED(&cluster, elect);
    twice = agreed_add(&cluster, DEMAND(2, C, C));
    twice.raft_id = cluster_member(&cluster, B)->raft_id;
    REFUSED(&cluster, twice);
}

/* 5.6: ADD falls back when standbys are lost. Many members must not make it impossible (G6). */
static void there_is_room_for_every_member(void)
{
    struct cluster cluster;
    struct demand all = { .k = 1 }, few;

    agreed_found(&cluster);
    for (int32_t node = 10; cluster.member_count < MEMBERS_MAX; node++) {
        ACCEPTED(&cluster, agreed_join(&cluster, node));
        ACCEPTED(&cluster, agreed_hello(&cluster, node, 1));
        ACCEPTED(&cluster, agreed_directory_is(&cluster, node, agreed_directory(node)));
        all.directories[all.count++] = agreed_directory(node);
    }
    for (uint32_t k = 1; k < 6; k++) {
        all.k = k;
        ACCEPTED(&cluster, agreed_add(&cluster, all));
    }
    few = all;
    few.count = few.k = 1;
    ACCEPTED(&cluster, agreed_add(&cluster, few));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(0, 0)));
}

/* Retired directories stay named until END. However many there are, ELECT must still be able to name them all. */
static void a_demand_never_loses_a_name(void)
{
    struct cluster cluster;
    struct demand named = { .k = 1 };

    agreed_four(&cluster, 1);
    for (uint64_t i = 0; i < 3 * DIRECTORIES_MAX; i++) {
        struct demand demand = { .k = 1, .count = 1, .directories = { { 0x1000 + i } } };
        struct command add = agreed_add(&cluster, demand);
        if (agreed_apply(&cluster, &add) != APPLY_OK)
            break;
        named.directories[named.count++] = demand.directories[0];
        CU_ASSERT_FATAL(named.count < DIRECTORIES_MAX);
    }
    CU_ASSERT(named.count > DIRECTORIES_MAX / 2);
    ACCEPTED(&cluster, agreed_end(&cluster));
    CU_ASSERT(cluster.demand_count == 1);
    /* The same without END, from {B, C} on: all of it, and the old primary. */
    agreed_four(&cluster, 1);
    struct demand left = DEMAND(1, A, C);
    for (uint32_t i = 0; i < named.count; i++) {
        struct command add = agreed_add(&cluster, (struct demand){ 0 });
        add.demand = (struct demand){ .k = 1, .count = 1, .directories = { named.directories[i] } };
        if (agreed_apply(&cluster, &add) != APPLY_OK)
            break;
        left.directories[left.count++] = named.directories[i];
    }
    agreed_do_fence(&cluster);
    struct command elect = agreed_elect(&cluster, B, left);
    elect.demand.count--;
    REFUSED(&cluster, elect);
    elect.demand = left;
    elect.demand.directories[0] = agreed_directory(E); /* not the old primary */
    REFUSED(&cluster, elect);
    elect.demand = left;
    ACCEPTED(&cluster, elect);
}

/* One place is the old primary's: ELECT names it beside all others. Whom two demands name takes one place. */
static void places_are_counted_once(void)
{
    struct cluster cluster;
    struct demand demand = { .k = 1 };

    agreed_found(&cluster);
    for (uint64_t i = 0; i < 15; i++)
        demand.directories[demand.count++].no = 0x1000 + i;
    ACCEPTED(&cluster, agreed_add(&cluster, demand));
    ACCEPTED(&cluster, agreed_add(&cluster, demand));
    demand.count = 0;
    for (uint64_t i = 0; i <= DIRECTORIES_MAX - 1 - 15; i++)
        demand.directories[demand.count++].no = 0x2000 + i;
    REFUSED(&cluster, agreed_add(&cluster, demand));
    demand.count--;
    ACCEPTED(&cluster, agreed_add(&cluster, demand));
    CU_ASSERT(cluster.demands[0].count == 15 && cluster.demands[1].count == 16);
}

static void demands_compare_as_sets(void)
{
    struct demand left = DEMAND(1, B, C), right = DEMAND(1, C, B);

    CU_ASSERT(demand_same(&left, &right) && demand_same(&right, &left));
    right.k = 2;
    CU_ASSERT(!demand_same(&left, &right));
    right = DEMAND(1, B, D);
    CU_ASSERT(!demand_same(&left, &right) && demand_names(&right, agreed_directory(D)));
}

static const struct unit_test tests[] = {
    { "ADD makes the newest demand", add_makes_the_newest },
    { "ADD forgets nothing, over all small sets", add_forgets_nothing },
    { "ADD never names the primary, nobody, or more than there are", add_never_names_the_primary },
    { "ADD and END are refused once fenced or replaced", add_and_end_are_refused_once_fenced },
    { "END leaves the newest alone, unless a newer has come", end_leaves_the_newest_alone },
    { "ELECT keeps what was promised, over all small sets", elect_keeps_what_was_promised },
    { "nobody counts twice", elect_counts_nobody_twice },
    { "there is room for every member in every demand", there_is_room_for_every_member },
    { "places in a demand are counted once", places_are_counted_once },
    { "a demand never loses a name", a_demand_never_loses_a_name },
    { "demands compare as sets", demands_compare_as_sets },
};
const struct unit_suite suite_cluster_demands = UNIT_SUITE("cluster_demands", tests);
