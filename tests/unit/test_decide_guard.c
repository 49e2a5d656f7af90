/* test_decide_guard.c - what a member does while its guard is dead. Design 4: guard and daemon watch each other. */
#include "agreed_steps.h"
#include "core/decide.h"

#define NOW 1000000000LL

static struct node_view writable(const struct cluster *cluster, int32_t node_id)
{
    return (struct node_view){
        .node_id = node_id,
        .raft_id = cluster_member(cluster, node_id)->raft_id,
        .start_no = 1,
        .kind = NODE_DATA,
        .pg = { .state = PG_PRIMARY, .timeline = cluster->primary.timeline },
        .guard_mode = WISH_PRIMARY,
        .guard_kill_at_us = NOW,
    };
}

/* By a daemon that has just started and knows nothing too: neither its HELLO nor its log is there yet. */
static void a_dead_guards_order_is_the_daemons(void)
{
    static struct cluster cluster;
    static const struct cluster nothing;
    static struct node_plan plan;

    agreed_four(&cluster, 1);
    struct node_view view = writable(&cluster, A);
    node_decide(&cluster, &view, NOW - 1000, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.why == WHY_HELLO && plan.wake_at_us <= NOW);
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_KILL);
    node_decide(&nothing, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_KILL);
    view.hello = true;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_KILL);
}

static void else_it_is_left_alone(void)
{
    static struct cluster cluster;
    static struct node_plan plan;

    agreed_four(&cluster, 1);
    struct node_view view = writable(&cluster, A);
    view.guard_alive = true;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE);
    view.guard_alive = false;
    view.guard_mode = WISH_PAUSED;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE);
    view.guard_mode = WISH_PRIMARY;
    view.pg.state = PG_STANDBY; /* the page says so still, since nobody was there to be told otherwise */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE);
}

static const struct unit_test tests[] = {
    { "a dead guard's order is the daemon's", a_dead_guards_order_is_the_daemons },
    { "else the server is left alone before HELLO", else_it_is_left_alone },
};
const struct unit_suite suite_decide_guard = UNIT_SUITE("decide_guard", tests);
