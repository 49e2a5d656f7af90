/*
 * test_lag.c - what a majority knows of the primary's position is never less than it told at its last renewal. Design
 * 5.3 step 3; the argument stands in core/lag.h.
 *
 * The rules one by one, then a small world: a holder that writes and renews, voters that hear some rounds, restart, and
 * apply the fence when they like. Whichever majority then reports, it knows enough or says that it does not.
 */
#include "agreed_steps.h"
#include "base/rand.h"
#include "core/lag.h"
#include "core/lease.h"

#define SECOND 1000000LL

static struct lease_ask round_of(const struct cluster *cluster, uint64_t incarnation, uint64_t round, uint64_t lsn)
{
    return (struct lease_ask){ .token = cluster->primary.token,
                               .node_id = cluster->primary.node_id,
                               .incarnation = incarnation,
                               .round = round,
                               .lsn = { lsn } };
}

static void the_newest_round_counts(void)
{
    struct cluster cluster;
    struct lag_word word = { 0 };
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    lag_moved(&word, &cluster, false);
    ask = round_of(&cluster, 1, 7, 700);
    lag_granted(&word, &ask);
    ask = round_of(&cluster, 1, 6, 600); /* overtaken on the way */
    lag_granted(&word, &ask);
    CU_ASSERT(word.known && word.lsn.at == 700);
    ask = round_of(&cluster, 2, 1, 0); /* its daemon was restarted, and its server is down: nothing new */
    lag_granted(&word, &ask);
    CU_ASSERT(word.known && word.lsn.at == 700);
    ask = round_of(&cluster, 2, 2, LAG_BLIND);
    lag_granted(&word, &ask);
    CU_ASSERT(word.lsn.at == LAG_BLIND);
    ask = round_of(&cluster, 2, 3, 800);
    lag_granted(&word, &ask);
    CU_ASSERT(word.lsn.at == 800);
    ask.token.no++;
    ask.round++;
    ask.lsn.at = 900;
    lag_granted(&word, &ask);
    CU_ASSERT(word.lsn.at == 800);
}

static void a_restarted_voter_does_not_know(void)
{
    struct cluster cluster;
    struct lag_word word = { 0 };
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    lag_moved(&word, &cluster, false);
    CU_ASSERT(!word.known);
    lag_moved(&word, &cluster, true);
    CU_ASSERT(!word.known);
    ask = round_of(&cluster, 1, 1, 0);
    lag_granted(&word, &ask);
    CU_ASSERT(!word.known);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    lag_moved(&word, &cluster, true); /* given out after its HELLO: no earlier life granted anything under it */
    CU_ASSERT(word.known && word.lsn.at == 0 && token_is(word.token, cluster.token));
}

/* Every voter's report under the fence. */
static void all_report(const struct cluster *cluster, struct report reports[MEMBERS_MAX],
                       const struct report *heard[MEMBERS_MAX], uint64_t lsn)
{
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        reports[i] = (struct report){
            .raft_id = cluster->members[i].raft_id,
            .token = cluster->token,
            .told = { cluster->primary.token, true, 1, 5 + i, { lsn + i } },
        };
        heard[i] = &reports[i];
    }
}

static void a_majority_under_the_fence_knows(void)
{
    struct cluster cluster;
    struct report reports[MEMBERS_MAX];
    const struct report *heard[MEMBERS_MAX] = { 0 };
    struct lsn lsn = { 0 };

    agreed_four(&cluster, 1);
    all_report(&cluster, reports, heard, 100);
    CU_ASSERT(!lag_known(&cluster, heard, &lsn)); /* nobody is fenced: it may renew at any moment */
    agreed_do_fence(&cluster);
    CU_ASSERT(!lag_known(&cluster, heard, &lsn)); /* reports of before the fence */
    all_report(&cluster, reports, heard, 100);
    CU_ASSERT(lag_known(&cluster, heard, &lsn) && lsn.at == 103);
    heard[3] = NULL;
    CU_ASSERT(lag_known(&cluster, heard, &lsn) && lsn.at == 102);
    reports[2].told.known = false;
    CU_ASSERT(!lag_known(&cluster, heard, &lsn)); /* two of four */
    all_report(&cluster, reports, heard, 100);
    reports[3].told.lsn.at = LAG_BLIND;
    CU_ASSERT(!lag_known(&cluster, heard, &lsn));
    reports[3].told.round = 1; /* and said more since */
    CU_ASSERT(lag_known(&cluster, heard, &lsn) && lsn.at == 102);
    heard[0] = NULL;
    CU_ASSERT(lag_known(&cluster, heard, &lsn)); /* three of four, whoever they are */
    reports[1].raft_id++;
    CU_ASSERT(!lag_known(&cluster, heard, &lsn)); /* of a life under another raft id */
    reports[1].raft_id--;
    cluster.members[1].voter = false;
    CU_ASSERT(lag_known(&cluster, heard, &lsn)); /* two of the three voters */
    cluster.members[2].voter = false;
    CU_ASSERT(!lag_known(&cluster, heard, &lsn)); /* one of the two: who is no voter grants nothing */
    cluster.members[1].voter = cluster.members[2].voter = true;
    heard[0] = &reports[0];
    for (uint32_t i = 0; i < cluster.member_count; i++)
        reports[i].told = (struct lag_word){ .token = cluster.primary.token, .known = true };
    CU_ASSERT(!lag_known(&cluster, heard, &lsn)); /* it never told of anything, and nobody elected it */
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    agreed_do_fence(&cluster);
    all_report(&cluster, reports, heard, 0);
    for (uint32_t i = 0; i < cluster.member_count; i++)
        reports[i].told = (struct lag_word){ .token = cluster.primary.token, .known = true };
    CU_ASSERT(lag_known(&cluster, heard, &lsn) && lsn.at == 0); /* it had not promoted */
}

static void the_holder_tells_what_it_knows(void)
{
    struct cluster cluster;
    struct lag_holder holder = { 0 };
    struct pg_seen pg = { .state = PG_STANDBY, .timeline = { 2 }, .end = { 500 }, .at_us = SECOND };

    agreed_four(&cluster, 1);
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, SECOND).at == 0);                 /* not promoted */
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 5 * SECOND + 1).at == LAG_BLIND); /* it may have promoted unseen */
    pg.state = PG_PRIMARY;
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, SECOND).at == 0); /* on another timeline than the log gave out */
    pg.timeline = cluster.primary.timeline;
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, SECOND).at == 500);
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 5 * SECOND).at == 500);
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 5 * SECOND + 1).at == LAG_BLIND); /* two failure_timeouts unseen */
    pg.end.at = 450; /* what was seen once has been written */
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 5 * SECOND).at == 500);
    pg.state = PG_ORPHANS; /* what is left of it may write */
    pg.at_us = 5 * SECOND + 1;
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 5 * SECOND + 1).at == LAG_BLIND);
    pg.state = PG_STOPPED; /* crashed: the control file's position is a lower bound */
    pg.was_primary = true;
    pg.end.at = 400;
    pg.at_us = 9 * SECOND;
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 9 * SECOND).at == 500);
    pg.clean = true;
    pg.end.at = 600;
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 9 * SECOND).at == 600);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 9 * SECOND).at == 0);
}

/* Its former life may have seen less than was written until now. */
static void a_restarted_holder_is_blind_until_it_sees(void)
{
    struct cluster cluster;
    struct lag_holder holder = { 0 };
    struct pg_seen pg = { .state = PG_PRIMARY, .at_us = 100 * SECOND }; /* it takes no new connections */

    agreed_four(&cluster, 1);
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 100 * SECOND).at == LAG_BLIND);
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, SECOND).at == LAG_BLIND); /* the host has just started, too */
    pg.timeline = cluster.primary.timeline;
    pg.end.at = 500;
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 100 * SECOND).at == 500);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 100 * SECOND).at == LAG_BLIND); /* promoted, and that not reported yet */
    holder = (struct lag_holder){ 0 };
    pg = (struct pg_seen){ .state = PG_STARTING };
    CU_ASSERT(lag_tell(&holder, &cluster, &pg, 100 * SECOND).at == 0); /* it cannot have written under this token */
}

/* --- a small world ------------------------------------------------------------------------------------------------ */

#define VOTERS 5

struct world {
    struct rand chance;
    struct cluster before, after;
    struct lag_word words[VOTERS];
    bool fenced[VOTERS], hello[VOTERS];
    struct lease_holder lease;
    uint64_t incarnation, lsn, renewed_lsn;
};

static void renew(struct world *world)
{
    struct lease_ask ask;

    lease_begin(&world->lease, &world->before, A, world->incarnation, rand_below(&world->chance, 2), SECOND, &ask);
    ask.lsn.at = world->lsn;
    for (int i = 0; i < VOTERS; i++) {
        if (world->fenced[i] || !world->hello[i] || rand_below(&world->chance, 3) == 0)
            continue;
        lag_granted(&world->words[i], &ask);
        struct lease_reply reply = { .node_id = world->before.members[i].node_id,
                                     .incarnation = ask.incarnation,
                                     .round = ask.round,
                                     .granted = true };
        int64_t end_us = world->lease.held_length_us;
        world->lease.held_length_us = 0;
        lease_take(&world->lease, &world->before, world->incarnation, &reply);
        if (world->lease.held_length_us != 0)
            world->renewed_lsn = ask.lsn.at;
        else
            world->lease.held_length_us = end_us;
    }
}

static void restart(struct world *world, int voter)
{
    world->words[voter] = (struct lag_word){ 0 };
    lag_moved(&world->words[voter], &world->before, false);
    world->hello[voter] = false;
    if (voter == 0) {
        world->incarnation++;
        world->lease = (struct lease_holder){ 0 };
    }
}

static void step(struct world *world, bool may_fence)
{
    int voter = (int)rand_below(&world->chance, VOTERS);
    uint64_t what = rand_below(&world->chance, 20);

    world->lsn += rand_below(&world->chance, 100);
    if (what < 1)
        restart(world, voter);
    else if (what < 6)
        world->hello[voter] = true;
    else if (what < 9 && may_fence && world->hello[voter])
        world->fenced[voter] = true;
    else
        renew(world);
}

/* Asks some of those who have applied the fence. */
static bool too_little(struct world *world, bool *ret_known)
{
    struct report reports[VOTERS];
    const struct report *heard[MEMBERS_MAX] = { 0 };
    struct lsn lsn = { 0 };

    for (int i = 0; i < VOTERS; i++) {
        reports[i] = (struct report){ .raft_id = world->after.members[i].raft_id,
                                      .token = world->fenced[i] ? world->after.token : world->before.token,
                                      .told = world->words[i] };
        heard[i] = rand_below(&world->chance, 4) ? &reports[i] : NULL;
    }
    *ret_known = lag_known(&world->after, heard, &lsn);
    return *ret_known && lsn.at < world->renewed_lsn;
}

static void a_majority_never_knows_too_little(void)
{
    static struct world world;
    uint32_t known_count = 0, wrong = 0;

    for (uint64_t seed = 1; seed <= 4000; seed++) {
        memset(&world, 0, sizeof world);
        rand_seed(&world.chance, seed);
        agreed_four(&world.before, 1);
        agreed_grow(&world.before, D);
        world.after = world.before;
        agreed_do_fence(&world.after);
        world.incarnation = 1;
        for (int i = 0; i < VOTERS; i++) {
            world.hello[i] = true;
            lag_moved(&world.words[i], &world.before, true);
        }
        for (int i = 0; i < 60; i++) {
            bool known;
            step(&world, i > 20);
            wrong += too_little(&world, &known);
            known_count += known;
        }
    }
    CU_ASSERT(wrong == 0 && known_count > 1000);
}

static const struct unit_test tests[] = {
    { "the newest round counts", the_newest_round_counts },
    { "a restarted voter does not know", a_restarted_voter_does_not_know },
    { "a majority under the fence knows", a_majority_under_the_fence_knows },
    { "the holder tells what it knows", the_holder_tells_what_it_knows },
    { "a restarted holder is blind until it sees its server", a_restarted_holder_is_blind_until_it_sees },
    { "a majority never knows too little", a_majority_never_knows_too_little },
};
const struct unit_suite suite_lag = UNIT_SUITE("lag", tests);
