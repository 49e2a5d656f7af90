/*
 * test_cluster_settings.c - the cluster's settings, the longest lease that may be out, and the pause. Design 5.2; R12,
 * R17, R33. And whatever is proposed in whatever order: what must hold after each command (chance).
 */
#include "agreed_steps.h"
#include "base/rand.h"
#include "core/candidate.h"

static struct command policy_of(const struct cluster *cluster)
{
    struct command command = agreed_by(cluster, W, COMMAND_POLICY);

    command.policy = cluster->policy;
    command.expect = cluster->policy_version;
    return command;
}

static struct command lease_of(const struct cluster *cluster, uint32_t lease_ttl_ms)
{
    struct command command = policy_of(cluster);

    command.policy.lease_ttl_ms = lease_ttl_ms;
    return command;
}

static struct command lease_max_of(const struct cluster *cluster, uint32_t lease_max_ms)
{
    struct command command = agreed_by(cluster, W, COMMAND_LEASE_MAX);

    command.number = lease_max_ms;
    command.expect = cluster->policy_version;
    return command;
}

static void settings_change_one_at_a_time(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command one = policy_of(&cluster), two = policy_of(&cluster);
    one.policy.failure_timeout_ms = 9000;
    two.policy.synchronous_count = 2;
    ACCEPTED(&cluster, one);
    REFUSED(&cluster, two); /* it would have set failure_timeout back */
    CU_ASSERT(cluster.policy.failure_timeout_ms == 9000 && cluster.policy_version == cluster.version - 1);
}

/* R12: a shorter lease comes into force, but the longer one may be out until it is known to have ended. */
static void lease_max_goes_up_at_once_and_down_late(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, lease_of(&cluster, 8000));
    CU_ASSERT(cluster.lease_max_ms == 8000);
    ACCEPTED(&cluster, lease_of(&cluster, 3000));
    CU_ASSERT(cluster.lease_max_ms == 8000 && cluster.policy.lease_ttl_ms == 3000);
    ACCEPTED(&cluster, lease_of(&cluster, 6000));
    CU_ASSERT(cluster.lease_max_ms == 8000);
    REFUSED(&cluster, lease_max_of(&cluster, 5000)); /* below the one in force */
    ACCEPTED(&cluster, lease_max_of(&cluster, 6000));
    CU_ASSERT(cluster.lease_max_ms == 6000);
    NOTHING(&cluster, lease_max_of(&cluster, 7000)); /* it never raises */
}

/* The primary was seen to renew by the shorter lease; meanwhile the setting went up and came down again. */
static void lease_max_is_not_lowered_by_an_old_sight(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, lease_of(&cluster, 3000));
    struct command lower = lease_max_of(&cluster, 3000);
    ACCEPTED(&cluster, lease_of(&cluster, 5000));
    ACCEPTED(&cluster, lease_of(&cluster, 3000));
    REFUSED(&cluster, lower);
    CU_ASSERT(cluster.lease_max_ms == 5000);
}

static void what_an_operation_rests_on_stays(void)
{
    struct cluster start;

    agreed_four(&start, 1);
    ACCEPTED(&start, lease_of(&start, 4000));
    for (int fenced = 0; fenced < 2; fenced++) {
        struct cluster cluster = start;
        if (fenced)
            agreed_do_fence(&cluster);
        else
            ACCEPTED(&cluster, agreed_switchover(&cluster, B));
        REFUSED(&cluster, lease_of(&cluster, 9000));
        REFUSED(&cluster, lease_of(&cluster, 1000));
        REFUSED(&cluster, lease_max_of(&cluster, 4000));
        struct command command = policy_of(&cluster);
        command.policy.durability = DURABILITY_ASYNC; /* R33 */
        REFUSED(&cluster, command);
        command = policy_of(&cluster);
        command.policy.guard_kill_time_ms++;
        REFUSED(&cluster, command);
        command = policy_of(&cluster);
        command.policy.fence_wait = FENCE_WAIT_NONE;
        REFUSED(&cluster, command);
        command = policy_of(&cluster);
        command.policy.synchronous_count = 2;
        ACCEPTED(&cluster, command);
    }
}

/* Said of what was before the pause, and late: it does not end what came after. */
static void a_pause_is_not_ended_by_an_old_word(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command early = agreed_pause(&cluster, W, PAUSE_ENDING);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    (void)agreed_apply(&cluster, &early);
    CU_ASSERT_EQUAL(cluster.pause, PAUSE_ON);
}

static void a_pause_ends_when_the_guard_is_armed(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    NOTHING(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    NOTHING(&cluster, agreed_pause(&cluster, A, PAUSE_OFF));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    NOTHING(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    NOTHING(&cluster, agreed_pause(&cluster, A, PAUSE_OFF)); /* nobody has lifted it */
    CU_ASSERT(cluster.pause == PAUSE_ON);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    for (int32_t node = B; node <= W; node++)
        if (cluster_member(&cluster, node))
            REFUSED(&cluster, agreed_pause(&cluster, node, PAUSE_OFF));
    struct command old = agreed_pause(&cluster, A, PAUSE_OFF);
    old.token.no--;
    REFUSED(&cluster, old);
    CU_ASSERT(cluster.pause == PAUSE_ENDING);
    ACCEPTED(&cluster, agreed_pause(&cluster, A, PAUSE_OFF));
    CU_ASSERT(cluster.pause == PAUSE_OFF);
}

/* R17: the primary repeats that its guard is armed until it sees that applied; a copy may come in a later pause. */
static void an_armed_guard_ends_its_own_pause_alone(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    struct command armed = agreed_pause(&cluster, A, PAUSE_OFF);
    ACCEPTED(&cluster, armed);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    REFUSED(&cluster, armed);
    CU_ASSERT(cluster.pause == PAUSE_ENDING);
    ACCEPTED(&cluster, agreed_pause(&cluster, A, PAUSE_OFF));
}

/* A copy that was held up on its way does not pause the cluster again, nor lift the next pause. */
static void a_late_copy_of_a_pause_changes_nothing(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command pause = agreed_pause(&cluster, W, PAUSE_ON);
    ACCEPTED(&cluster, pause);
    NOTHING(&cluster, pause);
    struct command lift = agreed_pause(&cluster, W, PAUSE_ENDING);
    ACCEPTED(&cluster, lift);
    NOTHING(&cluster, lift);
    REFUSED(&cluster, pause);
    ACCEPTED(&cluster, agreed_pause(&cluster, A, PAUSE_OFF));
    REFUSED(&cluster, pause);
    CU_ASSERT_EQUAL(cluster.pause, PAUSE_OFF);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    REFUSED(&cluster, lift);
    CU_ASSERT_EQUAL(cluster.pause, PAUSE_ON);
}

static void no_pause_during_an_operation(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command pause = agreed_pause(&cluster, W, PAUSE_ON);
    ACCEPTED(&cluster, agreed_switchover(&cluster, B));
    REFUSED(&cluster, pause);
    agreed_do_fence(&cluster);
    REFUSED(&cluster, pause);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    REFUSED(&cluster, pause);
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
}

/* The old primary was fenced before it said that its guard is armed: its lease has no end but its own word. */
static void a_fence_does_not_end_the_pause(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    struct command armed = agreed_pause(&cluster, A, PAUSE_OFF);
    agreed_do_fence(&cluster);
    REFUSED(&cluster, armed);
    armed.token = cluster.token;
    REFUSED(&cluster, armed);
    CU_ASSERT(cluster.pause == PAUSE_ENDING);
}

/* --- chance ------------------------------------------------------------------------------------------------------- */

#define TOKENS_MAX 4096

struct past {
    int32_t owner_of[TOKENS_MAX]; /* node that was elected under the token */
    uint32_t timeline_last;       /* given out or seen, whichever is greater */
    uint64_t raft_id_last;
};

static struct demand any_demand(struct rand *chance)
{
    struct demand demand = { 0 };

    for (int32_t node = A; node <= D; node++)
        if (rand_below(chance, 2) == 0)
            demand.directories[demand.count++] = agreed_directory(node);
    demand.k = (uint32_t)rand_below(chance, demand.count + 1u);
    return demand;
}

/* What the kind compares with, as it is now. */
static uint64_t expect_of(const struct cluster *cluster, enum command_kind kind)
{
    if (kind == COMMAND_ELECT || kind == COMMAND_END || kind == COMMAND_WRITE_OFF || kind == COMMAND_ACCEPT_LOSS)
        return cluster->demand_version;
    if (kind == COMMAND_RESTART)
        return cluster->primary.permitted_at;
    if (kind == COMMAND_PAUSE)
        return cluster->pause_version;
    return kind == COMMAND_VOTER || kind == COMMAND_JOIN ? cluster->config_version : cluster->policy_version;
}

/* A proposal that fits its own part of the state, whether it is time for it or not. */
static struct command fitting_command(struct rand *chance, const struct cluster *cluster)
{
    const int32_t nodes[] = { A, B, C, D, W };
    int32_t primary = cluster->primary.node_id, by = nodes[rand_below(chance, 5)], on = nodes[rand_below(chance, 5)];
    enum command_kind kind = (enum command_kind)(1 + rand_below(chance, COMMAND_COUNT - 1));
    bool over = kind == COMMAND_ELECT && cluster->operation.kind == OPERATION_SWITCHOVER;

    if (kind == COMMAND_PROMOTED || kind == COMMAND_PAUSE)
        by = primary;
    if (kind == COMMAND_RESTART || kind == COMMAND_HOST_OFF)
        on = primary;
    struct command command = agreed_by(cluster, by, kind);
    command.token.no += over;
    command.start_no += kind == COMMAND_HELLO;
    command.node_id = on;
    command.expect = expect_of(cluster, kind);
    command.member = agreed_member(on);
    command.system_identifier = AGREED_SYSTEM;
    command.flag = rand_below(chance, 2) == 0;
    command.policy = cluster->policy;
    command.policy.lease_ttl_ms = 3000 + 1000 * (uint32_t)rand_below(chance, 3);
    command.number = kind == COMMAND_PAUSE ? (uint32_t)rand_below(chance, 3) : command.policy.lease_ttl_ms;
    command.timeline = kind == COMMAND_RESERVE ? cluster->timeline_max : cluster->primary.timeline;
    command.lsn.at = 1000 + rand_below(chance, 2);
    command.directory = cluster_member(cluster, on)->directory;
    if (kind == COMMAND_DIRECTORY)
        command.directory = agreed_directory(by);
    if (over || kind == COMMAND_RESTART || kind == COMMAND_HOST_OFF)
        command.stopped_start_no = cluster_member(cluster, primary)->start_no;
    command.demand = any_demand(chance);
    if (kind == COMMAND_ELECT)
        elect_demand(cluster, command.directory, NULL, 0, &command.demand);
    return command;
}

/* The same, one time in four with something wrong or old in it. */
static struct command any_command(struct rand *chance, const struct cluster *cluster)
{
    struct command command = fitting_command(chance, cluster);

    switch (rand_below(chance, 32)) {
    case 0:
        command.token.no++;
        break;
    case 1:
        command.token = cluster->primary.token;
        break;
    case 2:
        command.start_no--;
        break;
    case 3:
        command.expect--;
        break;
    case 4:
        command.directory = agreed_directory(E);
        break;
    case 5:
        command.timeline.no++;
        break;
    case 6:
        command.stopped_start_no++;
        break;
    case 7:
        command.demand = any_demand(chance);
        break;
    default:
        break;
    }
    return command;
}

static void check_election(const struct cluster *before, const struct cluster *after, struct past *past)
{
    uint64_t token = after->primary.token.no;

    if (token_is(before->primary.token, after->primary.token)) {
        CU_ASSERT_FATAL(before->primary.node_id == after->primary.node_id);
        CU_ASSERT_FATAL(before->primary.timeline.no == after->primary.timeline.no);
        return;
    }
    CU_ASSERT_FATAL(token < TOKENS_MAX && past->owner_of[token] == 0 && token_is(after->token, after->primary.token));
    past->owner_of[token] = after->primary.node_id;
    CU_ASSERT_FATAL(before->operation.kind != OPERATION_NONE && before->pause != PAUSE_ON);
    CU_ASSERT_FATAL(after->primary.timeline.no > past->timeline_last + 1);
    CU_ASSERT_FATAL(!cluster_member(before, after->primary.node_id)->written_off);
    CU_ASSERT_FATAL(!words_less(before, after->primary.from_timeline, after->primary.position));
    CU_ASSERT_FATAL(cluster_fenced(before) ||
                    (before->operation.kind == OPERATION_SWITCHOVER && before->primary.phase == PRIMARY_ACTIVE));
}

static void check_step(const struct cluster *before, const struct cluster *after, struct past *past)
{
    uint32_t moved = 0;

    check_election(before, after, past);
    past->timeline_last = after->timeline_max.no;
    CU_ASSERT_FATAL(after->token.no - before->token.no <= 1);
    for (uint32_t i = 0; i < after->member_count; i++) {
        const struct member *now = &after->members[i];
        bool same = i < before->member_count && before->members[i].raft_id == now->raft_id;
        CU_ASSERT_FATAL(same ? now->start_no >= before->members[i].start_no : now->raft_id > past->raft_id_last);
        moved += i < before->member_count ? before->members[i].voter != now->voter : now->voter;
        for (uint32_t j = 0; j < i; j++) {
            CU_ASSERT_FATAL(now->directory.no == 0 || !directory_is(now->directory, after->members[j].directory));
            CU_ASSERT_FATAL(now->raft_id != after->members[j].raft_id);
        }
    }
    past->raft_id_last = after->raft_id_last;
    CU_ASSERT_FATAL(moved <= 1 && (moved == 0 || before->operation.kind != OPERATION_FAILOVER));
    CU_ASSERT_FATAL(moved == 0 || after->config_version == after->version);
    CU_ASSERT_FATAL(after->demand_count > 0 && cluster_voters(after) > 0);
    CU_ASSERT_FATAL(!demand_names(cluster_demand(after), after->primary.directory));
    CU_ASSERT_FATAL(after->lease_max_ms >= before->lease_max_ms || before->operation.kind == OPERATION_NONE);
    CU_ASSERT_FATAL(cluster_fenced(after) == (after->token.no > after->primary.token.no));
    CU_ASSERT_FATAL((after->operation.kind == OPERATION_NONE) ==
                    (after->primary.phase == PRIMARY_ACTIVE && !cluster_fenced(after) &&
                     after->operation.kind != OPERATION_SWITCHOVER));
}

static void whatever_is_proposed(void)
{
    static struct past past;
    uint32_t accepted[COMMAND_COUNT] = { 0 };

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct cluster cluster, before;
        struct rand chance;
        rand_seed(&chance, seed);
        agreed_four(&cluster, (uint32_t)(seed % 3));
        agreed_grow(&cluster, D);
        memset(&past, 0, sizeof past);
        past.owner_of[cluster.token.no] = A;
        past.timeline_last = cluster.timeline_max.no;
        past.raft_id_last = cluster.raft_id_last;
        for (int i = 0; i < 3000; i++) {
            struct command command = any_command(&chance, &cluster);
            before = cluster;
            if (cluster_apply(&cluster, &command, NULL) == APPLY_OK)
                accepted[command.kind]++;
            else
                CU_ASSERT_FATAL(cluster.token.no == before.token.no);
            check_step(&before, &cluster, &past);
        }
    }
    for (int kind = COMMAND_HELLO; kind < COMMAND_COUNT; kind++)
        CU_ASSERT(accepted[kind] > 20);
}

static const struct unit_test tests[] = {
    { "a guard that is armed ends its own pause alone", an_armed_guard_ends_its_own_pause_alone },
    { "settings change one at a time", settings_change_one_at_a_time },
    { "lease_max goes up at once and down late", lease_max_goes_up_at_once_and_down_late },
    { "lease_max is not lowered by an old sight", lease_max_is_not_lowered_by_an_old_sight },
    { "what an operation rests on stays while it is open", what_an_operation_rests_on_stays },
    { "a pause is not ended by an old word", a_pause_is_not_ended_by_an_old_word },
    { "a pause ends when the primary's guard is armed", a_pause_ends_when_the_guard_is_armed },
    { "no pause begins during an operation", no_pause_during_an_operation },
    { "a late copy of a pause changes nothing", a_late_copy_of_a_pause_changes_nothing },
    { "a FENCE does not end the pause", a_fence_does_not_end_the_pause },
    { "whatever is proposed, in whatever order", whatever_is_proposed },
};
const struct unit_suite suite_cluster_settings = UNIT_SUITE("cluster_settings", tests);
