/*
 * test_cluster_words.c - what operators say while a failover is open: WRITE_OFF, ACCEPT_LOSS, HOST_OFF. Design 5.2, 5.3
 * step 6; R17, R25, R30; decision 0012.
 *
 * What a word gives up is named by it and nothing else is: every commit that anybody else may hold is still asked for,
 * over all small sets, and a word that comes late, twice, or for a situation that has changed is refused.
 */
#include "agreed_steps.h"
#include "core/candidate.h"
#include "demand_sets.h"

/* A, B, C, D and the witness, A fenced under the pair of demands (all of k and S over B, C, D) with this number. */
static bool fenced_under(struct cluster *cluster, uint32_t pair)
{
    struct demand first = demand_of(pair % 4, pair / 4 % 8 << 1),
                  second = demand_of(pair / 32 % 4, pair / 128 % 8 << 1);

    if (!demand_sound(&first) || !demand_sound(&second))
        return false;
    agreed_four(cluster, 0);
    agreed_grow(cluster, D);
    agreed_do_fence(cluster);
    cluster->demands[0] = first;
    cluster->demands[1] = second;
    cluster->demand_count = 1 + pair / 1024;
    cluster->demands[cluster->demand_count - 1].version = cluster->demand_version;
    return true;
}

#define PAIRS (2 * 1024u)

/* A commit that lies on exactly these may have been acknowledged: by either demand, or by a mixture (decision 0011). */
static bool may_be_acknowledged(const struct cluster *cluster, uint32_t holders)
{
    uint32_t set = 0, least = UINT32_MAX;

    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        set |= set_of(&cluster->demands[i]);
        least = cluster->demands[i].k < least ? cluster->demands[i].k : least;
    }
    return (holders & BIT(A)) && size_of(holders & set) >= least;
}

static bool met(const struct cluster *cluster, uint32_t reported)
{
    struct demand all = demand_of(0, reported);

    return demands_met(cluster, all.directories, all.count);
}

/*
 * Whatever any other member of S holds of what may have been acknowledged is still asked for: a set that meets the new
 * demand has somebody of them, unless only those who were written off, and the primary, which is silent, hold it. Where
 * the demands came to k = 0, only the primary is asked, until it is itself written off.
 */
static void check_kept(const struct cluster *before, const struct cluster *after, uint32_t gone)
{
    uint32_t named = 0;

    for (uint32_t i = 0; i < before->demand_count; i++)
        named |= set_of(&before->demands[i]);
    for (uint32_t reported = 0; reported < SETS; reported++) {
        if ((reported & (gone | BIT(A))) || !met(after, reported))
            continue;
        for (uint32_t holders = 0; holders < SETS; holders++) {
            if (!may_be_acknowledged(before, holders) || !(holders & named & ~gone))
                continue;
            CU_ASSERT_FATAL((holders & reported) != 0);
        }
    }
}

/* The way out is one: with everybody in S but these written off in turn, those left are enough. */
static void check_way_out(struct cluster *cluster, uint32_t reported)
{
    for (int32_t node = D; node >= A; node--) {
        struct command word = agreed_word(cluster, COMMAND_WRITE_OFF, node, 1000);
        if (!(reported & BIT(node)) && !met(cluster, reported))
            (void)agreed_apply(cluster, &word);
    }
    CU_ASSERT_FATAL(met(cluster, reported));
}

static void a_write_off_gives_up_one(void)
{
    static struct cluster before, after, further;
    uint32_t accepted = 0;

    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        if (!fenced_under(&before, pair))
            continue;
        for (int32_t node = A; node <= D; node++) {
            after = before;
            struct command word = agreed_word(&after, COMMAND_WRITE_OFF, node, 1000);
            uint32_t k = UINT32_MAX, named = 0;
            for (uint32_t i = 0; i < before.demand_count; i++) {
                named |= set_of(&before.demands[i]);
                k = before.demands[i].k < k ? before.demands[i].k : k;
            }
            bool asked = (named & BIT(node)) || (node == A && k == 0);
            CU_ASSERT_FATAL(agreed_apply(&after, &word) == (asked ? APPLY_OK : APPLY_REFUSED));
            if (!asked)
                continue;
            accepted++;
            CU_ASSERT_FATAL(after.demand_count == 1 && after.demands[0].version == before.demand_version + 1);
            CU_ASSERT_FATAL(set_of(&after.demands[0]) == (named & ~BIT(node)));
            CU_ASSERT_FATAL(after.demands[0].k == (k > 1 ? k - 1 : node == A || k == 1 ? 1 : 0));
            check_kept(&before, &after, BIT(node));
            for (int32_t other = B; other <= D; other++) {
                further = after;
                word = agreed_word(&further, COMMAND_WRITE_OFF, other, 1000);
                if (other != node && agreed_apply(&further, &word) == APPLY_OK)
                    check_kept(&before, &further, BIT(node) | BIT(other));
            }
        }
    }
    CU_ASSERT(accepted > 800);
}

/* G6: whoever is left, with the others written off they are enough. */
static void it_is_a_way_out(void)
{
    static struct cluster before, after;

    for (uint32_t pair = 0; pair < PAIRS; pair++)
        for (uint32_t reported = 2; fenced_under(&before, pair) && reported < SETS; reported += 2) {
            after = before;
            check_way_out(&after, reported);
        }
}

/* What ELECT leaves covers what was kept: it is on the winner, on the old primary, and on those named. */
static void elect_keeps_what_is_left(void)
{
    static struct cluster before, after;

    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        if (!fenced_under(&before, pair))
            continue;
        struct command word = agreed_word(&before, COMMAND_WRITE_OFF, D, 1000);
        after = before;
        if (agreed_apply(&after, &word) != APPLY_OK)
            continue;
        struct demand left;
        struct directory_id answering[] = { agreed_directory(A), agreed_directory(C) };
        elect_demand(&after, agreed_directory(B), answering, 2, &left);
        ACCEPTED(&after, agreed_elect(&after, B, left));
        CU_ASSERT_FATAL(after.demands[0].k == 0 || demand_names(&after.demands[0], agreed_directory(A)));
        for (uint32_t holders = 0; holders < SETS; holders++)
            if (may_be_acknowledged(&before, holders) && (holders & BIT(B)))
                CU_ASSERT_FATAL(size_of(holders & set_of(&after.demands[0])) >= after.demands[0].k);
    }
}

static void words_belong_to_one_fence(void)
{
    static const enum command_kind kinds[] = { COMMAND_WRITE_OFF, COMMAND_ACCEPT_LOSS };
    struct cluster cluster, again;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        agreed_four(&cluster, 1);
        REFUSED(&cluster,
                agreed_word(&cluster, kinds[i], C, 1000)); /* an open primary would go on accepting C's word */
        agreed_do_fence(&cluster);
        struct command word = agreed_word(&cluster, kinds[i], C, 1000), bad;
        again = cluster;
        bad = word;
        bad.token.no--;
        REFUSED(&cluster, bad);
        bad = word;
        bad.expect--;
        REFUSED(&cluster, bad);
        bad = word;
        bad.directory = agreed_directory(E);
        REFUSED(&cluster, bad);
        bad = word;
        bad.lsn.at = 0;
        REFUSED(&cluster, bad);
        bad = word;
        bad.node_id = 77;
        REFUSED(&cluster, bad);
        ACCEPTED(&cluster, word);
        REFUSED(&cluster, word); /* twice */
        /* An ELECT that was decided before is decided anew. */
        struct command elect = agreed_elect(&again, B, DEMAND(1, A, C));
        REFUSED(&cluster, elect);
        /* The next FENCE forgets it all, and the same word is of another situation. */
        elect.expect = cluster.demand_version;
        ACCEPTED(&cluster, elect);
        agreed_do_fence(&cluster);
        CU_ASSERT(!cluster.operation.words.accepted && !cluster.operation.words.written_off);
        CU_ASSERT(cluster.operation.words.lsn.at == 0);
        REFUSED(&cluster, word);
    }
}

/* The loss ends where it was said to end, whoever leads and whatever that one has heard. */
static void nobody_is_elected_who_holds_less(void)
{
    struct cluster cluster, further;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_ACCEPT_LOSS, B, 1000));
    struct command elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
    elect.lsn.at = 999;
    REFUSED(&cluster, elect);
    elect.lsn.at = 5000;
    elect.timeline.no--;
    REFUSED(&cluster, elect);
    /* Who was shown to hold most is lost as well: another word, with less. The first one, late, changes nothing. */
    struct command first = agreed_word(&cluster, COMMAND_ACCEPT_LOSS, B, 1000);
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_ACCEPT_LOSS, C, 900));
    REFUSED(&cluster, first);
    /* Who then writes one off waits for the others: an acceptance is of its own situation alone. */
    further = cluster;
    ACCEPTED(&further, agreed_word(&further, COMMAND_WRITE_OFF, B, 800));
    CU_ASSERT(!further.operation.words.accepted && further.operation.words.written_off);
    elect = agreed_elect(&cluster, C, DEMAND(1, A, B));
    elect.lsn.at = 900;
    ACCEPTED(&cluster, elect);
}

/* Its directory counts for nothing until it is another one. */
static void who_is_written_off_comes_back_with_another_directory(void)
{
    struct cluster cluster, joined;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_WRITE_OFF, C, 1000));
    CU_ASSERT(cluster_member(&cluster, C)->written_off);
    CU_ASSERT(strstr(cluster.records[(cluster.record_count - 1) % RECORDS_MAX].text, "loss") != NULL);
    REFUSED(&cluster, agreed_elect(&cluster, C, DEMAND(1, A, B)));
    NOTHING(&cluster, agreed_directory_is(&cluster, C, agreed_directory(C)));
    ACCEPTED(&cluster, agreed_hello(&cluster, C, 2));
    CU_ASSERT(cluster_member(&cluster, C)->written_off);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A)));
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    REFUSED(&cluster, agreed_switchover(&cluster, C));
    joined = cluster;
    ACCEPTED(&cluster, agreed_directory_is(&cluster, C, agreed_directory(E)));
    CU_ASSERT(!cluster_member(&cluster, C)->written_off);
    /* Or admitted anew. */
    struct command join = agreed_join(&joined, C);
    join.flag = true;
    ACCEPTED(&joined, join);
    CU_ASSERT(!cluster_member(&joined, C)->written_off);
}

/* G6: where nobody else is left there would be no way on. */
static void the_last_one_is_not_written_off(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 2);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_WRITE_OFF, C, 1000));
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_WRITE_OFF, B, 1000));
    ACCEPTED(&cluster, agreed_elect(&cluster, A, DEMAND(0, 0)));
    agreed_do_fence(&cluster);
    REFUSED(&cluster, agreed_word(&cluster, COMMAND_WRITE_OFF, A, 1000));
    /* Then one of them may be named after all. */
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_ACCEPT_LOSS, B, 1000));
    CU_ASSERT(!cluster_member(&cluster, B)->written_off && cluster_member(&cluster, C)->written_off);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(0, 0)));
}

/* A rewound member's former directory holds nothing any more: nobody waits for it after a word. */
static void nobody_waits_for_what_is_written_over(void)
{
    struct cluster cluster, unsaid;
    struct directory_id reported[] = { agreed_directory(B) };

    agreed_four(&cluster, 2);
    ACCEPTED(&cluster, agreed_directory_is(&cluster, C, agreed_directory(E)));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, B, E)));
    agreed_do_fence(&cluster);
    CU_ASSERT(!demands_met(&cluster, reported, 1));
    /* A member that has not said which directory it has may have that one. */
    unsaid = cluster;
    ACCEPTED(&unsaid, agreed_join(&unsaid, D));
    ACCEPTED(&unsaid, agreed_word(&unsaid, COMMAND_WRITE_OFF, C, 1000));
    CU_ASSERT(!demands_met(&unsaid, reported, 1));
    ACCEPTED(&cluster, agreed_word(&cluster, COMMAND_WRITE_OFF, C, 1000));
    CU_ASSERT(cluster.demands[0].count == 1 && demand_names(&cluster.demands[0], agreed_directory(B)));
    CU_ASSERT(cluster.demands[0].k == 1 && demands_met(&cluster, reported, 1) && !demands_met(&cluster, NULL, 0));
}

static void a_host_is_off_until_its_daemon_says_hello(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    REFUSED(&cluster, agreed_host_off(&cluster, A));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    REFUSED(&cluster, agreed_host_off(&cluster, A));
    agreed_do_fence(&cluster);
    struct command word = agreed_host_off(&cluster, A), bad = word;
    REFUSED(&cluster, agreed_host_off(&cluster, B));
    bad.token.no--;
    REFUSED(&cluster, bad);
    bad = word;
    bad.stopped_start_no--;
    REFUSED(&cluster, bad);
    ACCEPTED(&cluster, word);
    NOTHING(&cluster, word);
    CU_ASSERT(cluster.operation.words.host_off && cluster.pause == PAUSE_ENDING);
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 2));
    CU_ASSERT(cluster.operation.words.host_off);
    ACCEPTED(&cluster, agreed_hello(&cluster, A, 2));
    CU_ASSERT(!cluster.operation.words.host_off);
    REFUSED(&cluster, word); /* said of the life before */
    ACCEPTED(&cluster, agreed_host_off(&cluster, A));
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    agreed_do_fence(&cluster);
    CU_ASSERT(!cluster.operation.words.host_off);
}

static const struct unit_test tests[] = {
    { "a write-off gives up what one member alone holds, over all small sets", a_write_off_gives_up_one },
    { "whoever is left, writing the others off is a way out", it_is_a_way_out },
    { "ELECT after a write-off keeps what is left, over all small sets", elect_keeps_what_is_left },
    { "words belong to one FENCE and one situation", words_belong_to_one_fence },
    { "nobody is elected who holds less than was said", nobody_is_elected_who_holds_less },
    { "who is written off comes back with another directory", who_is_written_off_comes_back_with_another_directory },
    { "the last one with data is not written off", the_last_one_is_not_written_off },
    { "nobody waits for a directory that was written over", nobody_waits_for_what_is_written_over },
    { "a host is off until its daemon says HELLO", a_host_is_off_until_its_daemon_says_hello },
};
const struct unit_suite suite_cluster_words = UNIT_SUITE("cluster_words", tests);
