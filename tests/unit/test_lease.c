/*
 * test_lease.c - a holder's lease is over before any majority says so. Design 5.2, 5.8; R10 to R13, R24.
 *
 * The rules one by one, then a small world: voters with clocks of their own rates, lost and late messages, daemons that
 * restart, and a state that each applies when it likes. At no instant does a holder believe in its lease once a
 * majority of voters that applied the fence have said that their grants are over.
 */
#include "agreed_steps.h"
#include "base/rand.h"
#include "core/lease.h"

#define SECOND 1000000LL

static struct lease_ask ask_of(const struct cluster *cluster, int32_t node_id)
{
    return (struct lease_ask){
        .token = cluster->token, .node_id = node_id, .incarnation = 1, .round = 1, .length_us = 5 * SECOND
    };
}

static bool grants(const struct cluster *cluster, bool hello, struct lease_ask ask)
{
    struct lease_voter voter;

    lease_voter_init(&voter, SECOND);
    return lease_voter_answer(&voter, cluster, W, hello, &ask, 2 * SECOND).granted;
}

static void a_voter_grants_by_its_applied_state(void)
{
    struct cluster cluster;
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    CU_ASSERT(grants(&cluster, true, ask_of(&cluster, A)));
    CU_ASSERT(!grants(&cluster, false, ask_of(&cluster, A))); /* R10: it has forgotten what was committed */
    CU_ASSERT(!grants(&cluster, true, ask_of(&cluster, B)));
    for (int64_t wrong = -1; wrong <= 1; wrong += 2) {
        ask = ask_of(&cluster, A);
        ask.token.no += (uint64_t)wrong;
        CU_ASSERT(!grants(&cluster, true, ask));
    }
    ask = ask_of(&cluster, A);
    agreed_do_fence(&cluster);
    CU_ASSERT(!grants(&cluster, true, ask));
    CU_ASSERT(!grants(&cluster, true, ask_of(&cluster, A)));
    CU_ASSERT(!grants(&cluster, true, ask_of(&cluster, B)));
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    CU_ASSERT(!grants(&cluster, true, ask_of(&cluster, A))); /* R13: a grant is for {token, node} */
    CU_ASSERT(grants(&cluster, true, ask_of(&cluster, B)));
    CU_ASSERT(!grants(&(struct cluster){ 0 }, true, (struct lease_ask){ .length_us = 1 }));
}

/* R21: SWITCHOVER only reserves, the old token stays renewed. */
static void a_switchover_leaves_the_lease(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_switchover(&cluster, B));
    CU_ASSERT(grants(&cluster, true, ask_of(&cluster, A)));
}

/* R12: no voter grants for longer than the log says may be out. */
static void no_grant_is_longer_than_lease_max(void)
{
    struct cluster cluster;
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    ask = ask_of(&cluster, A);
    ask.length_us = cluster.lease_max_ms * 1000LL + 1;
    CU_ASSERT(!grants(&cluster, true, ask));
    ask.length_us = 0;
    CU_ASSERT(!grants(&cluster, true, ask));
    ask.length_us = -1;
    CU_ASSERT(!grants(&cluster, true, ask));
    cluster.lease_max_ms = 9000; /* the holder still asks by the former, longer setting */
    ask.length_us = 9 * SECOND;
    CU_ASSERT(grants(&cluster, true, ask));
}

static void a_voter_remembers_its_longest_grant(void)
{
    struct cluster cluster;
    struct lease_voter voter;
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    cluster.lease_max_ms = 9000;
    lease_voter_init(&voter, 100 * SECOND);
    CU_ASSERT(!lease_voter_over(&voter, &cluster, 109 * SECOND - 1));
    CU_ASSERT(lease_voter_over(&voter, &cluster, 109 * SECOND));
    ask = ask_of(&cluster, A);
    ask.length_us = 9 * SECOND;
    (void)lease_voter_answer(&voter, &cluster, W, true, &ask, 110 * SECOND);
    ask.length_us = 2 * SECOND;
    (void)lease_voter_answer(&voter, &cluster, W, true, &ask, 111 * SECOND);
    CU_ASSERT(lease_voter_over_at(&voter, &cluster) == 119 * SECOND);
    ask.node_id = B; /* what is refused is not remembered */
    ask.length_us = 9 * SECOND;
    (void)lease_voter_answer(&voter, &cluster, W, true, &ask, 112 * SECOND);
    CU_ASSERT(!lease_voter_over(&voter, &cluster, 119 * SECOND - 1) &&
              lease_voter_over(&voter, &cluster, 119 * SECOND));
}

/* A restarted voter has forgotten its grants: by the state in which it speaks, the longest may be out since its start.
 */
static void a_restarted_voter_assumes_the_longest(void)
{
    struct cluster cluster;
    struct lease_voter voter;

    agreed_four(&cluster, 1);
    lease_voter_init(&voter, 50 * SECOND);
    CU_ASSERT(lease_voter_over_at(&voter, &cluster) == 55 * SECOND);
    cluster.lease_max_ms = 30000;
    CU_ASSERT(lease_voter_over_at(&voter, &cluster) == 80 * SECOND);
}

static struct lease_reply reply_of(int32_t node_id, const struct lease_ask *ask, bool granted)
{
    return (struct lease_reply){ .node_id = node_id,
                                 .incarnation = ask->incarnation,
                                 .round = ask->round,
                                 .granted = granted,
                                 .token = ask->token };
}

static void take(struct lease_holder *holder, const struct cluster *cluster, struct lease_reply reply)
{
    lease_take(holder, cluster, 1, &reply);
}

static void a_lease_needs_a_majority_of_the_round(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };
    struct lease_ask ask, next;

    agreed_four(&cluster, 1); /* four voters: three are a majority */
    CU_ASSERT(!lease_valid(&holder, &cluster, 0));
    lease_begin(&holder, &cluster, A, 1, true, 10 * SECOND, &ask);
    CU_ASSERT(ask.length_us == 5 * SECOND && token_is(ask.token, cluster.token) && ask.node_id == A && ask.healthy);
    take(&holder, &cluster, reply_of(A, &ask, true));
    take(&holder, &cluster, reply_of(B, &ask, true));
    take(&holder, &cluster, reply_of(B, &ask, true)); /* the same one twice */
    take(&holder, &cluster, reply_of(E, &ask, true)); /* no voter */
    take(&holder, &cluster, reply_of(W, &ask, false));
    struct lease_reply former = reply_of(C, &ask, true);
    former.incarnation = 2;
    take(&holder, &cluster, former); /* of another life of this daemon (R24) */
    CU_ASSERT(!lease_valid(&holder, &cluster, 10 * SECOND));
    lease_begin(&holder, &cluster, A, 1, true, 11 * SECOND, &next);
    CU_ASSERT(next.round > ask.round);
    take(&holder, &cluster, reply_of(W, &ask, true)); /* late: of the round before */
    CU_ASSERT(!lease_valid(&holder, &cluster, 11 * SECOND));
    take(&holder, &cluster, reply_of(A, &next, true));
    take(&holder, &cluster, reply_of(B, &next, true));
    CU_ASSERT(!lease_valid(&holder, &cluster, 11 * SECOND));
    take(&holder, &cluster, reply_of(W, &next, true));
    CU_ASSERT(lease_valid(&holder, &cluster, 11 * SECOND));
    int64_t end_us = 11 * SECOND + 5 * SECOND - 5 * SECOND / LEASE_DRIFT;
    CU_ASSERT(lease_valid(&holder, &cluster, end_us - 1) && !lease_valid(&holder, &cluster, end_us));
}

static void granted_by_all(struct lease_holder *holder, const struct cluster *cluster, int64_t now_us)
{
    const int32_t nodes[] = { A, B, C, W };
    struct lease_ask ask;

    lease_begin(holder, cluster, cluster->primary.node_id, 1, true, now_us, &ask);
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        take(holder, cluster, reply_of(nodes[i], &ask, true));
}

static void a_newer_token_ends_the_lease_at_once(void)
{
    struct cluster cluster, fenced;
    struct lease_holder holder = { 0 };
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    granted_by_all(&holder, &cluster, 0);
    CU_ASSERT(lease_valid(&holder, &cluster, SECOND));
    fenced = cluster;
    agreed_do_fence(&fenced);
    CU_ASSERT(!lease_valid(&holder, &fenced, SECOND)); /* applied here */
    lease_begin(&holder, &cluster, A, 1, true, SECOND, &ask);
    struct lease_reply refusal = reply_of(W, &ask, false);
    refusal.token.no--;
    take(&holder, &cluster, refusal); /* a voter that lags */
    CU_ASSERT(lease_valid(&holder, &cluster, SECOND));
    refusal.token = fenced.token;
    refusal.round--; /* of an older round: the news is as good */
    take(&holder, &cluster, refusal);
    CU_ASSERT(!lease_valid(&holder, &cluster, SECOND));
    granted_by_all(&holder, &cluster, 2 * SECOND);
    CU_ASSERT(!lease_valid(&holder, &cluster, 2 * SECOND));
}

/* A return to the primary's role under a newer token begins from nothing. */
static void a_new_token_begins_from_nothing(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };
    struct lease_ask ask, old;

    agreed_four(&cluster, 1);
    granted_by_all(&holder, &cluster, 0);
    lease_begin(&holder, &cluster, A, 1, true, 0, &old);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, A, DEMAND(1, B, C)));
    CU_ASSERT(!lease_valid(&holder, &cluster, 1));
    lease_begin(&holder, &cluster, A, 1, true, SECOND, &ask);
    CU_ASSERT(token_is(ask.token, cluster.token) && ask.round > old.round);
    CU_ASSERT(!lease_valid(&holder, &cluster, SECOND));
    for (int32_t node = A; node <= W; node++)
        take(&holder, &cluster, reply_of(node, &old, true));
    CU_ASSERT(!lease_valid(&holder, &cluster, SECOND));
    granted_by_all(&holder, &cluster, SECOND);
    CU_ASSERT(lease_valid(&holder, &cluster, SECOND));
    lease_drop(&holder);
    CU_ASSERT(!lease_valid(&holder, &cluster, SECOND));
    lease_begin(&holder, &cluster, A, 1, true, SECOND, &old);
    CU_ASSERT(old.round > ask.round); /* replies to what was asked before cannot be taken for new ones */
}

/* R11: what was granted under one set of voters is not counted under another. */
static void a_change_of_voters_begins_a_new_round(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    lease_begin(&holder, &cluster, A, 1, true, 0, &ask);
    take(&holder, &cluster, reply_of(A, &ask, true));
    take(&holder, &cluster, reply_of(B, &ask, true));
    ACCEPTED(&cluster, agreed_voter(&cluster, C, false));
    take(&holder, &cluster, reply_of(W, &ask, true));
    CU_ASSERT(!lease_valid(&holder, &cluster, 1));
    CU_ASSERT(lease_due_us(&holder, &cluster) <= 0); /* at once */
    uint64_t config = cluster.config_version;
    lease_begin(&holder, &cluster, A, 1, true, 1, &ask);
    take(&holder, &cluster, reply_of(C, &ask, true));
    take(&holder, &cluster, reply_of(A, &ask, true));
    CU_ASSERT(!lease_valid(&holder, &cluster, 1));
    take(&holder, &cluster, reply_of(B, &ask, true));
    CU_ASSERT(lease_valid(&holder, &cluster, 1) && holder.held_config == config);
}

static void the_holder_stops_in_time(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };

    agreed_four(&cluster, 1);
    granted_by_all(&holder, &cluster, 10 * SECOND);
    int64_t end_us = 10 * SECOND + 5 * SECOND - 5 * SECOND / LEASE_DRIFT;
    CU_ASSERT(lease_kill_at_us(&holder) == end_us - SECOND);
    CU_ASSERT(lease_give_up_at_us(&holder) < lease_kill_at_us(&holder));
    CU_ASSERT(lease_due_us(&holder, &cluster) + SECOND < lease_give_up_at_us(&holder));
    CU_ASSERT(holder.held_length_us == 5 * SECOND);
}

/* Rounds are the sign of life that suspicion goes by, and one lost message must not cost a fifth of the lease. */
static void rounds_come_often_enough(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };
    struct lease_ask ask;

    agreed_four(&cluster, 1);
    granted_by_all(&holder, &cluster, 10 * SECOND);
    CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 10 * SECOND + SECOND / 2); /* four times a failure_timeout */
    cluster.policy.failure_timeout_ms = 60000;
    CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 11 * SECOND); /* five times a lease */
    lease_begin(&holder, &cluster, A, 1, true, 11 * SECOND, &ask);
    CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 11 * SECOND + SECOND / 4); /* nobody has answered yet */
    take(&holder, &cluster, reply_of(A, &ask, true));
    take(&holder, &cluster, reply_of(B, &ask, true));
    CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 11 * SECOND + SECOND / 4);
    take(&holder, &cluster, reply_of(C, &ask, true));
    CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 12 * SECOND);
    lease_drop(&holder); /* a promotion waits for the first one under a token: sooner still, but not for ever */
    for (int64_t soon_ms = 20; soon_ms <= 80; soon_ms *= 2) {
        lease_begin(&holder, &cluster, A, 1, true, 20 * SECOND, &ask);
        CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 20 * SECOND + soon_ms * 1000);
    }
    lease_begin(&holder, &cluster, A, 1, true, 20 * SECOND, &ask);
    CU_ASSERT_EQUAL(lease_due_us(&holder, &cluster), 20 * SECOND + SECOND / 4);
}

/* What holds was granted by the settings of its round: other ones neither stretch the end nor strike before it. */
static void settings_count_from_the_next_round(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };

    agreed_four(&cluster, 1);
    granted_by_all(&holder, &cluster, 10 * SECOND);
    int64_t kill_at_us = lease_kill_at_us(&holder);
    int64_t give_up_us = lease_give_up_at_us(&holder);
    CU_ASSERT(give_up_us > 12 * SECOND && lease_due_us(&holder, &cluster) > 10 * SECOND);
    cluster.policy.lease_ttl_ms = cluster.lease_max_ms = 60000;
    CU_ASSERT(lease_due_us(&holder, &cluster) == 0);
    cluster.policy.guard_kill_time_ms = 9000;
    CU_ASSERT(lease_kill_at_us(&holder) == kill_at_us && lease_give_up_at_us(&holder) == give_up_us);
    granted_by_all(&holder, &cluster, 11 * SECOND);
    CU_ASSERT(lease_due_us(&holder, &cluster) > 11 * SECOND);
    CU_ASSERT(lease_kill_at_us(&holder) == holder.end_us - 9 * SECOND && holder.end_us > 60 * SECOND);
}

/* A renewal by a shorter lease does not shorten what holds. */
static void a_lease_only_grows(void)
{
    struct cluster cluster;
    struct lease_holder holder = { 0 };

    agreed_four(&cluster, 1);
    granted_by_all(&holder, &cluster, 10 * SECOND);
    cluster.policy.lease_ttl_ms = 2000;
    granted_by_all(&holder, &cluster, 11 * SECOND);
    CU_ASSERT(holder.end_us == 10 * SECOND + 5 * SECOND - 5 * SECOND / LEASE_DRIFT);
    CU_ASSERT(holder.held_length_us == 2 * SECOND); /* but it is known by what it renewed last (R12) */
}

/* --- a small world ------------------------------------------------------------------------------------------------ */

#define VOTERS 5
#define MAILS 64

struct mail {
    int64_t due_us; /* true time; 0: none */
    bool is_reply;
    int to;
    struct lease_ask ask;
    struct lease_reply reply;
};

struct host {
    double rate;       /* of its clock */
    int64_t offset_us; /* of its clock */
    bool hello;        /* has applied its own HELLO */
    bool fenced;       /* has applied the FENCE */
    bool follows;      /* its HELLO comes behind the FENCE in the log */
    struct lease_voter voter;
};

struct world {
    struct rand chance;
    struct cluster cluster, after; /* before and after the FENCE */
    bool committed;                /* the FENCE */
    struct host hosts[VOTERS];     /* host 0 is the holder's */
    struct lease_holder holder;
    uint64_t incarnation;
    int64_t end_us; /* latest end that any life of the holder, or its guard, went by: host 0's clock */
    struct mail mails[MAILS];
    int64_t now_us;
};

static int64_t clock_of(const struct world *world, const struct host *host)
{
    return host->offset_us + (int64_t)(host->rate * (double)world->now_us);
}

static const struct cluster *state_of(const struct world *world, const struct host *host)
{
    return host->fenced ? &world->after : &world->cluster;
}

static void post(struct world *world, struct mail mail)
{
    for (size_t i = 0; i < MAILS; i++) {
        if (world->mails[i].due_us != 0)
            continue;
        mail.due_us = world->now_us + 1 + (int64_t)rand_below(&world->chance, 50000);
        if (rand_below(&world->chance, 6) == 0)
            mail.due_us += (int64_t)rand_below(&world->chance, 7) * SECOND;
        if (rand_below(&world->chance, 8) != 0) /* else it is lost */
            world->mails[i] = mail;
        return;
    }
}

static void deliver(struct world *world, struct mail *mail)
{
    struct host *host = &world->hosts[mail->to];

    mail->due_us = 0;
    if (mail->is_reply) {
        lease_take(&world->holder, state_of(world, host), world->incarnation, &mail->reply);
        if (world->holder.end_us > world->end_us)
            world->end_us = world->holder.end_us;
        return;
    }
    struct mail answer = { .is_reply = true };
    answer.reply = lease_voter_answer(&host->voter, state_of(world, host), world->cluster.members[mail->to].node_id,
                                      host->hello, &mail->ask, clock_of(world, host));
    post(world, answer);
}

static void begin_round(struct world *world)
{
    struct lease_ask ask;

    if (world->hosts[0].fenced || !world->hosts[0].hello)
        return;
    world->cluster.policy.lease_ttl_ms = rand_below(&world->chance, 2) ? 5000 : 2000; /* lease_max stays at 5000 */
    lease_begin(&world->holder, &world->cluster, A, world->incarnation, true, clock_of(world, &world->hosts[0]), &ask);
    for (int to = 0; to < VOTERS; to++)
        post(world, (struct mail){ .to = to, .ask = ask });
}

/* The daemon restarts: it has forgotten its grants and, until its HELLO comes, what it had applied. */
static void restart(struct world *world, struct host *host)
{
    lease_voter_init(&host->voter, clock_of(world, host));
    host->hello = host->fenced = false;
    host->follows = world->committed;
    if (host == &world->hosts[0]) {
        world->incarnation++;
        world->holder = (struct lease_holder){ 0 };
    }
}

static void something_happens(struct world *world)
{
    struct host *host = &world->hosts[rand_below(&world->chance, VOTERS)];
    uint64_t what = rand_below(&world->chance, 400);

    if (what == 0)
        restart(world, host);
    else if (what == 1)
        world->committed = true;
    else if (what < 12 && world->committed)
        host->fenced = true;
    else if (what < 40 && !host->hello) {
        host->hello = true;
        host->fenced = host->fenced || host->follows;
    } else if (what < 140)
        begin_round(world);
}

/* A majority has applied the fence, and each says of itself that its grants are over. */
static bool majority_says_over(const struct world *world)
{
    uint32_t count = 0;

    for (int i = 0; i < VOTERS; i++)
        count += world->hosts[i].hello && world->hosts[i].fenced &&
                 lease_voter_over(&world->hosts[i].voter, &world->after, clock_of(world, &world->hosts[i]));
    return count >= cluster_majority(&world->after);
}

/* Lives until a majority says so. Returns by how long the holder's lease outlived that; clocks differ by one in
 * `drift`. */
static int64_t outlived_us(uint64_t seed, double drift)
{
    static struct world world;

    memset(&world, 0, sizeof world);
    rand_seed(&world.chance, seed);
    agreed_four(&world.cluster, 1);
    agreed_grow(&world.cluster, D);
    world.after = world.cluster;
    agreed_do_fence(&world.after);
    for (int i = 0; i < VOTERS; i++) {
        world.hosts[i].rate = 1.0 + ((double)rand_below(&world.chance, 3) - 1.0) / 2.0 / drift;
        world.hosts[i].offset_us = (int64_t)rand_below(&world.chance, 1000) * SECOND + SECOND;
        world.hosts[i].hello = true;
        lease_voter_init(&world.hosts[i].voter, clock_of(&world, &world.hosts[i]) - 100 * SECOND);
    }
    for (int i = 0; i < 20000; i++) {
        world.now_us += (int64_t)rand_below(&world.chance, 40000);
        for (size_t j = 0; j < MAILS; j++)
            if (world.mails[j].due_us != 0 && world.mails[j].due_us <= world.now_us)
                deliver(&world, &world.mails[j]);
        something_happens(&world);
        if (majority_says_over(&world))
            return world.end_us == 0 ? INT64_MIN : world.end_us - clock_of(&world, &world.hosts[0]);
    }
    return INT64_MIN;
}

static void no_lease_outlives_its_majority(void)
{
    int held = 0, close_calls = 0;

    for (uint64_t seed = 1; seed <= 2500; seed++) {
        int64_t us = outlived_us(seed, LEASE_DRIFT * 1.02);
        CU_ASSERT_FATAL(us <= 0);
        held += us != INT64_MIN;
        close_calls += us > -SECOND;
    }
    CU_ASSERT(held > 2000 && close_calls > 20);
}

/* So that the test above means something: with clocks that differ by more than the allowance, a lease is found out. */
static void clocks_beyond_the_allowance_break_it(void)
{
    int outlived = 0;

    for (uint64_t seed = 1; seed <= 2500; seed++)
        outlived += outlived_us(seed, LEASE_DRIFT / 8.0) > 0;
    CU_ASSERT(outlived > 0);
}

static const struct unit_test tests[] = {
    { "a voter grants by its applied state", a_voter_grants_by_its_applied_state },
    { "a switchover leaves the lease as it is", a_switchover_leaves_the_lease },
    { "no grant is longer than lease_max", no_grant_is_longer_than_lease_max },
    { "a voter remembers its longest grant", a_voter_remembers_its_longest_grant },
    { "a restarted voter assumes the longest lease", a_restarted_voter_assumes_the_longest },
    { "a lease needs a majority of one round", a_lease_needs_a_majority_of_the_round },
    { "a newer token ends the lease at once", a_newer_token_ends_the_lease_at_once },
    { "a new token begins from nothing", a_new_token_begins_from_nothing },
    { "a change of the voters begins a new round", a_change_of_voters_begins_a_new_round },
    { "the holder stops in time", the_holder_stops_in_time },
    { "a lease only grows", a_lease_only_grows },
    { "rounds come often enough", rounds_come_often_enough },
    { "settings that change count from the next round", settings_count_from_the_next_round },
    { "no lease outlives what a majority says of it", no_lease_outlives_its_majority },
    { "clocks beyond the allowance would break that", clocks_beyond_the_allowance_break_it },
};
const struct unit_suite suite_lease = UNIT_SUITE("lease", tests);
