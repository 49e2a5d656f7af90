/*
 * test_candidate.c - who is elected holds every acknowledged commit. Design 5.3 steps 3 and 4; R1 to R3, R5, R9, R20,
 * R23, R29, R33, R36.
 *
 * Coverage is held against its meaning over all small sets: all pairs of demands, everybody who may hold a commit that
 * was acknowledged under one of them, everybody who may have reported.
 */
#include "agreed_steps.h"
#include "core/candidate.h"
#include "demand_sets.h"

#define HELD ((struct lsn){ 2000 })
#define MISSED ((struct lsn){ 1000 })

struct bench {
    struct cluster cluster;
    struct report reports[MEMBERS_MAX];
    struct heard heard[MEMBERS_MAX];
    struct ranking ranking;
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

static enum verdict verdict_of(const struct bench *bench, int32_t node_id)
{
    return bench->ranking.verdicts[index_of(bench, node_id)];
}

/* The member has reported its end of WAL under the present fence. */
static void reports(struct bench *bench, int32_t node_id, struct lsn end)
{
    uint32_t i = index_of(bench, node_id);
    const struct member *member = &bench->cluster.members[i];

    bench->reports[i] = (struct report){
        .node_id = node_id,
        .raft_id = member->raft_id,
        .start_no = member->start_no,
        .hello = true,
        .token = bench->cluster.token,
        .directory = member->directory,
        .system_identifier = AGREED_SYSTEM,
        .fence = {
            .token = bench->cluster.token,
            .data = true,
            .directory = member->directory,
            .timeline = { AGREED_TIMELINE },
            .end = end,
        },
    };
    bench->heard[i] = (struct heard){ .report = &bench->reports[i] };
}

static void rank(struct bench *bench)
{
    memset(&bench->ranking, 0x5a, sizeof bench->ranking);
    candidate_rank(&bench->cluster, bench->heard, bench->cluster.token, 0, 0, (struct lsn){ 0 }, &bench->ranking);
}

/* A is fenced, primary of B, C, D under {B, C, D; k}; nobody has reported. */
static void fenced_bench(struct bench *bench, uint32_t k)
{
    memset(bench, 0, sizeof *bench);
    agreed_four(&bench->cluster, 0);
    agreed_grow(&bench->cluster, D);
    if (k > 0) {
        ACCEPTED(&bench->cluster, agreed_add(&bench->cluster, DEMAND(k, B, C, D)));
        ACCEPTED(&bench->cluster, agreed_end(&bench->cluster));
    }
    agreed_do_fence(&bench->cluster);
}

/* --- coverage ----------------------------------------------------------------------------------------------------- */

/*
 * A acknowledged a commit that lies on exactly these: by one of the demands, or while its walsenders read the settings
 * anew, one by one: each counts by its own k whoever counts itself in by its own S.
 */
static bool acknowledged_by(const struct cluster *cluster, uint32_t holders)
{
    uint32_t set = 0, least = UINT32_MAX;

    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        set |= set_of(&cluster->demands[i]);
        least = cluster->demands[i].k < least ? cluster->demands[i].k : least;
    }
    return (holders & BIT(A)) && size_of(holders & set) >= least;
}

/* Whoever may hold such a commit alone with the silent ones. */
static bool surely_covered(const struct cluster *cluster, uint32_t reported)
{
    for (uint32_t holders = 0; holders < SETS; holders++)
        if (acknowledged_by(cluster, holders) && !(holders & reported))
            return false;
    return true;
}

static void check_reporters(struct bench *bench, uint32_t reported)
{
    bool standbys = surely_covered(&bench->cluster, reported & ~BIT(A));

    for (uint32_t holders = 0; holders < SETS; holders++) {
        if (!acknowledged_by(&bench->cluster, holders))
            continue;
        memset(bench->heard, 0, sizeof bench->heard);
        for (int32_t node = A; node <= D; node++)
            if (reported & BIT(node))
                reports(bench, node, holders & BIT(node) ? HELD : MISSED);
        rank(bench);
        CU_ASSERT_FATAL(bench->ranking.covered == surely_covered(&bench->cluster, reported));
        CU_ASSERT_FATAL(bench->ranking.want_primary_data == !standbys);
        CU_ASSERT_FATAL((bench->ranking.winner != 0) == (bench->ranking.covered && reported != 0));
        if (bench->ranking.winner == 0)
            continue;
        CU_ASSERT_FATAL((holders & reported & BIT(bench->ranking.winner)) != 0);
        CU_ASSERT_FATAL(bench->ranking.position.at == HELD.at && bench->ranking.furthest == bench->ranking.winner);
        CU_ASSERT_FATAL(!standbys || bench->ranking.winner != A);
        CU_ASSERT_FATAL(verdict_of(bench, bench->ranking.winner) == VERDICT_WINNER);
    }
}

/* All demands and pairs of them over B, C, D. */
static void the_winner_holds_every_acknowledged_commit(void)
{
    static struct bench bench;
    uint32_t pairs = 0;

    fenced_bench(&bench, 0);
    for (uint32_t pair = 0; pair < 32 * 32; pair++) {
        struct demand first = demand_of(pair % 4, pair / 4 % 8 << 1),
                      second = demand_of(pair / 32 % 4, pair / 128 << 1);
        if (!demand_sound(&first) || !demand_sound(&second))
            continue;
        pairs++;
        bench.cluster.demands[0] = first;
        bench.cluster.demands[1] = second;
        for (bench.cluster.demand_count = 1; bench.cluster.demand_count <= 2; bench.cluster.demand_count++)
            for (uint32_t reported = 0; reported < SETS; reported++)
                check_reporters(&bench, reported);
    }
    CU_ASSERT(pairs == 20 * 20);
}

/* R23: {none; 0} is met by the primary that wrote under it and by nobody else, however many answer. */
static void nobody_covers_for_a_primary_that_stood_alone(void)
{
    static struct bench bench;

    fenced_bench(&bench, 0);
    for (int32_t node = B; node <= D; node++)
        reports(&bench, node, HELD);
    rank(&bench);
    CU_ASSERT(!bench.ranking.covered && bench.ranking.winner == 0 && bench.ranking.want_primary_data);
    reports(&bench, A, MISSED);
    rank(&bench);
    CU_ASSERT(bench.ranking.covered && bench.ranking.winner != 0);
}

/* --- whose report counts ------------------------------------------------------------------------------------------ */

/* B's report is spoilt in one way; C and D hold less and do not cover alone. */
static void expect_not_counted(const char *what, enum verdict expected, void (*spoil)(struct bench *bench))
{
    static struct bench bench;

    fenced_bench(&bench, 1);
    for (int32_t node = B; node <= D; node++)
        reports(&bench, node, node == B ? HELD : MISSED);
    rank(&bench);
    CU_ASSERT_FATAL(bench.ranking.winner == B);
    spoil(&bench);
    rank(&bench);
    bool right = verdict_of(&bench, B) == expected && bench.ranking.winner == 0 && !bench.ranking.covered;
    if (!right)
        printf("%s: verdict %d, winner %d\n", what, (int)verdict_of(&bench, B), bench.ranking.winner);
    CU_ASSERT(right);
}

static void never_heard(struct bench *bench)
{
    bench->heard[index_of(bench, B)].report = NULL;
}
static void heard_long_ago(struct bench *bench)
{
    bench->heard[index_of(bench, B)].age_us = 2000001;
}
static void of_a_former_life(struct bench *bench)
{
    report_of(bench, B)->start_no--;
}
static void of_a_later_life(struct bench *bench)
{
    report_of(bench, B)->start_no++;
}
static void of_another_raft_id(struct bench *bench)
{
    report_of(bench, B)->raft_id--;
}
static void of_an_older_fence(struct bench *bench)
{
    report_of(bench, B)->fence.token.no--;
}
static void of_no_fence(struct bench *bench)
{
    report_of(bench, B)->fence.token.no = 0;
}
static void without_its_end(struct bench *bench)
{
    report_of(bench, B)->fence.data = false;
}
static void of_another_directory(struct bench *bench)
{
    report_of(bench, B)->fence.directory = agreed_directory(E);
}
static void of_no_directory(struct bench *bench)
{
    report_of(bench, B)->fence.directory.no = 0;
}
static void of_another_system(struct bench *bench)
{
    /* Another cluster's volume, or a fresh initdb: on the same timeline, and further than anybody. */
    report_of(bench, B)->system_identifier++;
    report_of(bench, B)->fence.end.at *= 2;
}
static void of_no_known_system(struct bench *bench)
{
    report_of(bench, B)->system_identifier = 0;
}
static void lagging(struct bench *bench)
{
    report_of(bench, B)->lagging = true;
}
static void of_an_unknown_timeline(struct bench *bench)
{
    report_of(bench, B)->fence.timeline.no++;
}

static void of_a_foreign_timeline(struct bench *bench)
{
    bench->cluster.timeline_max.no++;
    report_of(bench, B)->fence.timeline.no++;
}

/* The newest number, given out and reported to begin at 1000; its report tells of another beginning. */
static void of_a_timeline_that_begins_elsewhere(struct bench *bench)
{
    struct report *report = report_of(bench, B);

    agreed_give(&bench->cluster, C, 1000);
    report->timeline = report->fence.timeline = bench->cluster.timeline_max;
    report->history = (struct history){ 1, { { { AGREED_TIMELINE }, { 999 } } } };
}

static void of_no_known_directory(struct bench *bench)
{
    bench->cluster.members[index_of(bench, B)].directory.no = 0;
    report_of(bench, B)->fence.directory.no = 0;
}

static void written_off(struct bench *bench)
{
    bench->cluster.members[index_of(bench, B)].written_off = true;
}

static void only_fitting_reports_count(void)
{
    static const struct {
        const char *what;
        enum verdict expected;
        void (*spoil)(struct bench *bench);
    } cases[] = {
        { "never heard", VERDICT_SILENT, never_heard },
        { "heard long ago", VERDICT_SILENT, heard_long_ago },
        { "of a former life", VERDICT_SILENT, of_a_former_life },
        { "of a life that has not said HELLO", VERDICT_SILENT, of_a_later_life },
        { "of another raft id", VERDICT_SILENT, of_another_raft_id },
        { "of an older fence", VERDICT_SILENT, of_an_older_fence },
        { "of no fence", VERDICT_SILENT, of_no_fence },
        { "without its end of WAL", VERDICT_NO_DATA, without_its_end },
        { "of another directory (R20)", VERDICT_DIRECTORY, of_another_directory },
        { "of no directory", VERDICT_DIRECTORY, of_no_directory },
        { "of a directory that the log does not know", VERDICT_DIRECTORY, of_no_known_directory },
        { "of a directory that was written off", VERDICT_WRITTEN_OFF, written_off },
        { "of another PostgreSQL system", VERDICT_SYSTEM, of_another_system },
        { "of a system that was not read", VERDICT_NO_DATA, of_no_known_system },
        { "lagging (R26)", VERDICT_LAGGING, lagging },
        { "of an unknown timeline (R26)", VERDICT_LAGGING, of_an_unknown_timeline },
        { "of a timeline made by hand (R36)", VERDICT_FOREIGN, of_a_foreign_timeline },
        { "of a timeline that begins elsewhere", VERDICT_FOREIGN, of_a_timeline_that_begins_elsewhere },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_not_counted(cases[i].what, cases[i].expected, cases[i].spoil);
}

/* The history that is told beside a report may be of a later look, at a timeline that the report says nothing of. */
static void a_later_looks_history_speaks_for_no_report(void)
{
    static struct bench bench;

    fenced_bench(&bench, 1);
    for (int32_t node = B; node <= D; node++)
        reports(&bench, node, node == B ? HELD : MISSED);
    struct report *report = report_of(&bench, B);
    report->history =
        (struct history){ 2, { { { AGREED_TIMELINE }, { 1500 } }, { { AGREED_TIMELINE + 1 }, { 1600 } } } };
    report->timeline.no = AGREED_TIMELINE + 2;
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == B);
    report->timeline.no = AGREED_TIMELINE;
    rank(&bench);
    CU_ASSERT_EQUAL(verdict_of(&bench, B), VERDICT_FOREIGN);
}

/* R29: the primary's host was wiped and cloned from a lagging standby, and now "the primary itself" reports. */
static void a_wiped_primary_is_not_the_primary(void)
{
    static struct bench bench;

    fenced_bench(&bench, 1);
    reports(&bench, A, HELD);
    reports(&bench, C, MISSED);
    rank(&bench);
    CU_ASSERT(bench.ranking.covered && bench.ranking.winner == A);
    ACCEPTED(&bench.cluster, agreed_directory_is(&bench.cluster, A, agreed_directory(E)));
    reports(&bench, A, HELD);
    rank(&bench);
    CU_ASSERT(!bench.ranking.covered && bench.ranking.winner == 0);
    /* Nor does a new identity stand for the old one that a demand names (R37). */
    ACCEPTED(&bench.cluster, agreed_directory_is(&bench.cluster, B, (struct directory_id){ 0x99 }));
    for (int32_t node = B; node <= D; node++)
        reports(&bench, node, HELD);
    rank(&bench);
    CU_ASSERT(!bench.ranking.covered); /* the old directory may have been the only holder */
    bench.cluster.demands[0].k = 2;
    rank(&bench);
    CU_ASSERT(bench.ranking.covered);
}

/* --- who is preferred --------------------------------------------------------------------------------------------- */

static void all_report(struct bench *bench)
{
    fenced_bench(bench, 1);
    for (int32_t node = B; node <= D; node++)
        reports(bench, node, HELD);
}

static void rank_order_is_data_then_wish(void)
{
    static struct bench bench;
    struct member *members = bench.cluster.members;

    all_report(&bench);
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == B); /* node id */
    CU_ASSERT(verdict_of(&bench, C) == VERDICT_READY && verdict_of(&bench, W) == VERDICT_WITNESS);
    (void)text_copy(members[index_of(&bench, A)].location, NAME_SIZE, "here");
    (void)text_copy(members[index_of(&bench, D)].location, NAME_SIZE, "here");
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == D); /* the old primary's location */
    members[index_of(&bench, C)].priority = 101;
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == C); /* priority */
    candidate_rank(&bench.cluster, bench.heard, bench.cluster.token, B, 0, (struct lsn){ 0 }, &bench.ranking);
    CU_ASSERT(bench.ranking.winner == B); /* the wanted successor */
    candidate_rank(&bench.cluster, bench.heard, bench.cluster.token, B, 1u << index_of(&bench, B), (struct lsn){ 0 },
                   &bench.ranking);
    CU_ASSERT(bench.ranking.winner == C); /* it has just failed */
    report_of(&bench, D)->fence.end.at++;
    candidate_rank(&bench.cluster, bench.heard, bench.cluster.token, B, 1u << index_of(&bench, D), (struct lsn){ 0 },
                   &bench.ranking);
    CU_ASSERT(bench.ranking.winner == D); /* but whoever holds more goes before all wishes */
    CU_ASSERT(verdict_of(&bench, B) == VERDICT_BEHIND && bench.ranking.position.at == HELD.at + 1);
    agreed_give(&bench.cluster, B, 0);
    report_of(&bench, B)->fence.timeline = bench.cluster.timeline_max;
    report_of(&bench, B)->fence.end = MISSED;
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == B && bench.ranking.timeline.no == AGREED_TIMELINE + 2); /* R9: timeline first */
    CU_ASSERT(bench.ranking.position.at == MISSED.at);
}

/* Whoever holds most counts for coverage even where it may not lead; nobody who holds less leads instead of it (R28).
 */
static void who_may_not_lead_is_not_passed_over(void)
{
    static struct bench bench;

    all_report(&bench);
    report_of(&bench, B)->fence.end.at++;
    bench.cluster.members[index_of(&bench, B)].priority = 0;
    rank(&bench);
    CU_ASSERT(verdict_of(&bench, B) == VERDICT_PRIORITY && bench.ranking.furthest == B && bench.ranking.winner == 0);
    CU_ASSERT(bench.ranking.covered && bench.ranking.want_primary_data);
    bench.cluster.members[index_of(&bench, B)].registered = false;
    rank(&bench);
    CU_ASSERT(verdict_of(&bench, B) == VERDICT_UNREGISTERED && bench.ranking.winner == 0);
    report_of(&bench, B)->fence.end.at--;
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == C); /* it holds the same */
}

/* Operators were told what is kept: where the reporters hold less there is no winner, and nothing is covered. */
static void less_than_was_told_covers_nothing(void)
{
    static struct bench bench;

    all_report(&bench);
    bench.cluster.operation.words.timeline.no = AGREED_TIMELINE;
    bench.cluster.operation.words.lsn.at = HELD.at;
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == B && !bench.ranking.less);
    bench.cluster.operation.words.lsn.at = HELD.at + 1;
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == 0 && bench.ranking.furthest == 0);
    CU_ASSERT(bench.ranking.less && !bench.ranking.covered);
}

/* Whom operators are shown: who holds most of those who count, and of those who were written off where nobody else is.
 */
static void who_holds_most_may_be_written_off(void)
{
    static struct bench bench;
    struct timeline timeline;
    struct lsn end;

    fenced_bench(&bench, 1);
    CU_ASSERT_EQUAL(candidate_most(&bench.cluster, bench.heard, &timeline, &end), 0);
    reports(&bench, B, HELD);
    reports(&bench, C, MISSED);
    bench.cluster.members[index_of(&bench, B)].written_off = true;
    CU_ASSERT_EQUAL(candidate_most(&bench.cluster, bench.heard, &timeline, &end), C);
    CU_ASSERT(timeline.no == AGREED_TIMELINE && end.at == MISSED.at);
    bench.cluster.members[index_of(&bench, C)].written_off = true;
    CU_ASSERT_EQUAL(candidate_most(&bench.cluster, bench.heard, &timeline, &end), B);
    CU_ASSERT_EQUAL(end.at, HELD.at);
}

/* G6: the old primary comes back, and nobody else may lead. Its priority does not matter. */
static void the_old_primary_is_the_way_out(void)
{
    static struct bench bench;

    all_report(&bench);
    report_of(&bench, B)->fence.end.at++;
    bench.cluster.members[index_of(&bench, B)].priority = 0;
    bench.cluster.members[index_of(&bench, A)].priority = 0;
    reports(&bench, A, (struct lsn){ HELD.at + 7 });
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == A && bench.ranking.position.at == HELD.at + 7);
}

/* The replaced primary's unacknowledged tail is nobody's need while the standbys cover. */
static void the_old_primary_does_not_rank_without_need(void)
{
    static struct bench bench;

    all_report(&bench);
    reports(&bench, A, (struct lsn){ HELD.at + 7 });
    rank(&bench);
    CU_ASSERT(bench.ranking.winner == B && verdict_of(&bench, A) == VERDICT_REPLACED);
    CU_ASSERT(!bench.ranking.want_primary_data && bench.ranking.position.at == HELD.at);
}

/* --- async -------------------------------------------------------------------------------------------------------- */

static void rank_async(struct bench *bench, uint64_t primary_at)
{
    candidate_rank(&bench->cluster, bench->heard, bench->cluster.token, 0, 0, (struct lsn){ primary_at },
                   &bench->ranking);
}

static void async_elects_within_the_limit(void)
{
    static struct bench bench;

    fenced_bench(&bench, 0);
    bench.cluster.policy.maximum_lag_on_failover_bytes = 500;
    reports(&bench, B, MISSED);
    reports(&bench, C, (struct lsn){ 1500 });
    rank_async(&bench, 2000);
    CU_ASSERT(bench.ranking.covered && bench.ranking.winner == C);
    CU_ASSERT(verdict_of(&bench, B) == VERDICT_BEHIND);
    rank_async(&bench, 2001);
    CU_ASSERT(bench.ranking.winner == 0 && verdict_of(&bench, C) == VERDICT_LAG_LIMIT);
    CU_ASSERT(bench.ranking.want_primary_data);
    reports(&bench, A, (struct lsn){ 2100 }); /* and there it is: nothing is lost */
    rank_async(&bench, 2001);
    CU_ASSERT(bench.ranking.winner == A);
}

/* --- what ELECT leaves -------------------------------------------------------------------------------------------- */

static void elect_demand_is_always_allowed(void)
{
    static struct bench bench;
    uint32_t kept = 0;

    fenced_bench(&bench, 0);
    bench.cluster.demand_count = 2;
    for (uint32_t pair = 0; pair < 32 * 32; pair++) {
        struct demand first = demand_of(pair % 4, pair / 4 % 8 << 1),
                      second = demand_of(pair / 32 % 4, pair / 128 << 1);
        if (!demand_sound(&first) || !demand_sound(&second))
            continue;
        bench.cluster.demands[0] = first;
        bench.cluster.demands[1] = second;
        for (uint32_t i = 0; i < 4 * SETS * 3; i++) {
            int32_t winner = A + (int32_t)(i % 4);
            struct demand answering = demand_of(0, i / 4 % SETS & ~BIT(winner)), demand;
            uint32_t least = first.k < second.k ? first.k : second.k;
            bench.cluster.policy.durability = i / 64;
            elect_demand(&bench.cluster, agreed_directory(winner), answering.directories, answering.count, &demand);
            CU_ASSERT_FATAL(elect_demand_allowed(&bench.cluster, agreed_directory(winner), &demand));
            CU_ASSERT_FATAL(bench.cluster.policy.durability == DURABILITY_STRICT || demand.k <= answering.count);
            CU_ASSERT_FATAL(demand.k == 0 || (set_of(&demand) & set_of(&answering)) == set_of(&answering));
            if (bench.cluster.policy.durability == DURABILITY_STRICT)
                CU_ASSERT_FATAL(demand.k == least);
            kept += demand.k > 0;
        }
    }
    CU_ASSERT(kept > 1000);
}

static void every_verdict_has_its_words(void)
{
    for (int i = VERDICT_WINNER; i <= VERDICT_WRITTEN_OFF; i++)
        CU_ASSERT(verdict_text((enum verdict)i)[0] != '\0');
}

static const struct unit_test tests[] = {
    { "the winner holds every acknowledged commit, over all small sets", the_winner_holds_every_acknowledged_commit },
    { "nobody covers for a primary that stood alone", nobody_covers_for_a_primary_that_stood_alone },
    { "only fitting reports count", only_fitting_reports_count },
    { "a later look's history speaks for no report", a_later_looks_history_speaks_for_no_report },
    { "a wiped primary is not the primary", a_wiped_primary_is_not_the_primary },
    { "data ranks first, then wishes", rank_order_is_data_then_wish },
    { "who holds most and may not lead is not passed over", who_may_not_lead_is_not_passed_over },
    { "less than was told covers nothing", less_than_was_told_covers_nothing },
    { "who holds most may be one that was written off", who_holds_most_may_be_written_off },
    { "the old primary is the way out where nobody may lead", the_old_primary_is_the_way_out },
    { "the old primary does not rank without need", the_old_primary_does_not_rank_without_need },
    { "async elects within its limit, or the old primary", async_elects_within_the_limit },
    { "what an election leaves is always allowed", elect_demand_is_always_allowed },
    { "every verdict has its words", every_verdict_has_its_words },
};
const struct unit_suite suite_candidate = UNIT_SUITE("candidate", tests);
