/* test_decide_standby.c - a standby with a new data directory attaches under its name when that is known. R37. */
#include "agreed_steps.h"
#include "core/decide.h"

#define NOW 1000000000LL

struct bench {
    struct cluster cluster;
    struct node_view view;
    struct report primary;
    struct node_plan plan;
};

/* B, rewound from A under A's token, and stopped. */
static void rewound(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    agreed_four(&bench->cluster, 1);
    bench->cluster.primary.phase = PRIMARY_ACTIVE;
    bench->primary = (struct report){
        .node_id = A,
        .token = bench->cluster.token,
        .pg_state = PG_PRIMARY,
        .checkpointed = true,
        .timeline = bench->cluster.primary.timeline,
        .applied = bench->cluster.version,
    };
    bench->view = (struct node_view){
        .node_id = B,
        .raft_id = cluster_member(&bench->cluster, B)->raft_id,
        .start_no = 1,
        .kind = NODE_DATA,
        .hello = true,
        .directory = { 0xBEEF },
        .rewound_under = bench->cluster.token,
        .pg = { .state = PG_STOPPED, .timeline = bench->cluster.primary.timeline, .end = { 100 } },
        .primary = &bench->primary,
    };
}

static bool starts(struct bench *bench)
{
    node_decide(&bench->cluster, &bench->view, NOW, &bench->plan);
    return bench->plan.action.kind == ACT_START_STANDBY && bench->plan.action.conf.upstream == A;
}

static void a_new_directory_is_known_before_it_attaches(void)
{
    static struct bench bench;

    rewound(&bench);
    CU_ASSERT(!starts(&bench));
    CU_ASSERT(bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_DIRECTORY);
    ACCEPTED(&bench.cluster, agreed_directory_is(&bench.cluster, B, bench.view.directory));
    bench.view.directory_at = bench.cluster.version;
    CU_ASSERT(!starts(&bench)); /* the primary has not applied that, and would take it for the old one */
    bench.primary.applied = bench.cluster.version;
    CU_ASSERT(starts(&bench));
}

static void one_that_was_known_needs_no_word(void)
{
    static struct bench bench;

    rewound(&bench);
    ACCEPTED(&bench.cluster, agreed_directory_is(&bench.cluster, B, bench.view.directory));
    bench.primary.applied = 0;
    CU_ASSERT(starts(&bench)); /* of before this life */
    bench.view.directory_at = bench.cluster.version;
    CU_ASSERT(!starts(&bench));
    bench.cluster.primary.permitted_at = bench.cluster.version; /* the election found it in the log */
    CU_ASSERT(starts(&bench));
}

/* R9: "no rewind required", and the WAL is another all the same. */
static void a_rewind_in_vain_is_followed_by_a_clone(void)
{
    static struct bench bench;

    rewound(&bench);
    bench.view.rewound_under.no = 0;
    bench.view.diverged_under = bench.cluster.token;
    bench.view.pg.can_rewind = true;
    bench.view.rejoin = REJOIN_CLONE;
    node_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.action.kind == ACT_REWIND);
    bench.view.rewound_under = bench.cluster.token;
    node_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.action.kind == ACT_CLONE);
    bench.view.rejoin = REJOIN_REWIND;
    node_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.action.kind == ACT_NONE && bench.plan.why == WHY_STANDBY_DIVERGED);
}

static const struct unit_test tests[] = {
    { "a new directory is known before it attaches", a_new_directory_is_known_before_it_attaches },
    { "a rewind in vain is followed by a clone", a_rewind_in_vain_is_followed_by_a_clone },
    { "one that was known needs no word", one_that_was_known_needs_no_word },
};
const struct unit_suite suite_decide_standby = UNIT_SUITE("decide_standby", tests);
