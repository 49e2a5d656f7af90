/*
 * test_api_task.c - requests that change the cluster: what they propose, what they wait for, and what they refuse. The
 * daemon is a leader whose proposals are applied at once, in a cluster of A (primary), B, C and the witness W, itself.
 */
#include "api_leads.h"

static int open_member(void)
{
    open_leads();
    return dial();
}

static void pauses_once(void)
{
    int fd = open_member();

    /* Answered only when the primary's daemon says that it has applied the pause. */
    say(fd, "{\"command\":\"pause\"}\n");
    for (int i = 0; i < 10; i++)
        (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    api_turn(&served, served_now_us);
    CU_ASSERT_EQUAL(served.manager.cluster.pause, PAUSE_ON);
    CU_ASSERT(served.manager.heard[0].report.applied < served.manager.cluster.version);
    served.manager.heard[0].report.applied = served.manager.cluster.version;
    expect(fd, "");
    say(fd, "{\"command\":\"pause\"}\n");
    json_t *line = hear(fd);
    CU_ASSERT(json_is_false(json_object_get(json_object_get(line, "result"), "changed")));
    json_decref(line);
    CU_ASSERT_EQUAL(proposed, 1);
    say(fd, "{\"command\":\"switchover\"}\n");
    expect(fd, "REFUSED");
    say(fd, "{\"command\":\"unpause\"}\n");
    for (int i = 0; i < 10; i++)
        (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    api_turn(&served, served_now_us);
    CU_ASSERT_EQUAL(served.manager.cluster.pause, PAUSE_ENDING);
    served_now_us += 2500000; /* no primary says that its guard is armed */
    expect(fd, "");
    CU_ASSERT_EQUAL(proposed, 2);
    close_leads(fd);
}

static void sets_what_is_allowed(void)
{
    int fd = open_member();

    say(fd, "{\"command\":\"config_set\",\"name\":\"failure_timeout\",\"value\":\"3s\"}\n");
    json_t *line = hear(fd);
    const json_t *result = json_object_get(line, "result");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "value")), "3s");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "old")), "2s");
    json_decref(line);
    CU_ASSERT_EQUAL(served.manager.cluster.policy.failure_timeout_ms, 3000);
    say(fd, "{\"command\":\"config_set\",\"name\":\"failure_timeout\",\"value\":\"3000ms\"}\n");
    expect(fd, "");
    CU_ASSERT_EQUAL(proposed, 1);
    say(fd, "{\"command\":\"config_set\",\"name\":\"failure_timeout\",\"value\":\"1h\"}\n");
    expect(fd, "CONFIG");
    say(fd, "{\"command\":\"config_set\",\"name\":\"priority\",\"value\":\"1\"}\n");
    expect(fd, "REFUSED");
    say(fd, "{\"command\":\"config_set\",\"name\":\"no_such\",\"value\":\"1\"}\n");
    expect(fd, "NOT_FOUND");
    CU_ASSERT_EQUAL(proposed, 1);
    close_leads(fd);
}

/* Each of these alone forbids a switchover to B, and nothing is proposed. */
static void checks_before_it_changes(void)
{
    static const char request[] = "{\"command\":\"switchover\",\"to\":\"node2\"}\n";
    int fd = open_member();
    struct report *a = &served.manager.heard[0].report;
    struct report *b = &served.manager.heard[1].report;

    say(fd, "{\"command\":\"switchover\",\"to\":\"2\",\"dry_run\":true}\n");
    expect(fd, "");
    for (int i = 0; i < 12; i++) {
        const struct report a_before = *a;
        const struct report b_before = *b;
        const struct cluster before = served.manager.cluster;
        const int64_t heard_us = served.manager.heard[1].at_us;
        switch (i) {
        case 0:
            a->lease_valid = false;
            break;
        case 1:
            a->guard_armed = false;
            break;
        case 2:
            a->pg_answering = false;
            break;
        case 3:
            a->walsenders[0].streaming = false;
            break;
        case 4:
            b->receiver_streaming = false;
            break;
        case 5:
            b->timeline.no++;
            break;
        case 6:
            a->walsenders[0].flushed.at -= 0x4000000;
            break;
        case 7:
            b->directory.no++;
            break;
        case 8:
            served.manager.heard[1].at_us -= 10000000;
            break;
        case 9:
            served.manager.cluster.members[1].registered = false;
            break;
        case 10:
            served.manager.cluster.primary.phase = PRIMARY_ELECTED;
            break;
        case 11:
            b->start_no++;
            break;
        default:
            break;
        }
        say(fd, request);
        expect(fd, "REFUSED");
        *a = a_before;
        *b = b_before;
        served.manager.cluster = before;
        served.manager.heard[1].at_us = heard_us;
    }
    say(fd, "{\"command\":\"switchover\",\"to\":\"node9\"}\n");
    expect(fd, "REFUSED");
    say(fd, "{\"command\":\"switchover\",\"to\":\"node1\"}\n");
    expect(fd, "REFUSED");
    say(fd, "{\"command\":\"switchover\",\"to\":\"node77\"}\n");
    expect(fd, "NOT_FOUND");
    CU_ASSERT_EQUAL(proposed, 0);
    close_leads(fd);
}

static void pump(void)
{
    for (int i = 0; i < 10; i++)
        (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    hear_all();
    api_turn(&served, served_now_us);
}

/* Proposes, sees the old primary stop, and elects this node as the leader would. */
static void switch_to(int32_t winner)
{
    struct cluster *cluster = &served.manager.cluster;

    pump();
    CU_ASSERT_EQUAL_FATAL(proposed, 1);
    CU_ASSERT_EQUAL_FATAL(last_proposed, COMMAND_SWITCHOVER);
    CU_ASSERT_EQUAL(cluster->operation.timeout_ms, 50000); /* some is kept for the way back */
    pump();
    served.manager.heard[0].report.pg_state = PG_STOPPED;
    pump();
    served_now_us += 300000;
    struct demand demand;
    const struct directory_id others[] = { agreed_directory(winner == A ? B : A) };
    elect_demand(cluster, agreed_directory(winner), others, 1, &demand);
    ACCEPTED(cluster, agreed_elect_over(cluster, winner, demand));
    pump();
    served_now_us += 100000;
    ACCEPTED(cluster, agreed_promoted(cluster));
    pump();
}

static void follows_a_switchover_to_its_end(void)
{
    int fd = open_member();

    say(fd, "{\"command\":\"switchover\"}\n"); /* the best: B */
    switch_to(B);
    struct report *a = &served.manager.heard[0].report;
    *a = world_report(&served.manager.cluster, A);
    pump();
    json_t *line = hear(fd);
    while (json_object_get(line, "progress")) {
        json_decref(line);
        line = hear(fd);
    }
    const json_t *result = json_object_get(line, "result");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json_object_get(result, "to"), "node_id")), B);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "token")), 2);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "timeline")), AGREED_TIMELINE + 2);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "outage_ms")), 400);
    json_decref(line);
    CU_ASSERT_EQUAL(proposed, 1);
    close_leads(fd);
}

static void says_how_a_switchover_failed(void)
{
    int fd = open_member();

    say(fd, "{\"command\":\"switchover\",\"to\":\"node2\"}\n");
    switch_to(A); /* back to the old primary */
    expect(fd, "SWITCHOVER");
    close_leads(fd);

    fd = open_member();
    say(fd, "{\"command\":\"switchover\",\"to\":\"node2\"}\n");
    switch_to(B);
    served_now_us += 61000000; /* the old primary never comes back */
    expect(fd, "INCOMPLETE");
    close_leads(fd);

    fd = open_member();
    say(fd, "{\"command\":\"switchover\",\"to\":\"node2\"}\n");
    pump();
    pump();
    agreed_do_fence(&served.manager.cluster);
    pump();
    struct demand demand;
    struct cluster *cluster = &served.manager.cluster;
    elect_demand(cluster, agreed_directory(C), NULL, 0, &demand);
    ACCEPTED(cluster, agreed_elect(cluster, C, demand));
    ACCEPTED(cluster, agreed_promoted(cluster));
    expect(fd, "SWITCHOVER");
    close_leads(fd);
}

static void proposals_are_repeated_and_bounded(void)
{
    int fd = open_member();

    served.manager.lead.raft.leader = false;
    served.manager.lead.raft.leader_id = 0;
    say(fd, "{\"command\":\"pause\"}\n");
    pump();
    served_now_us += 9000000;
    pump();
    json_t *line = hear(fd); /* a sign of life */
    CU_ASSERT_PTR_NOT_NULL(json_object_get(line, "progress"));
    json_decref(line);
    served_now_us += 2000000;
    expect(fd, "NOT_LEADER");
    CU_ASSERT_EQUAL(proposed, 0);
    close_leads(fd);
}

static const struct unit_test tests[] = {
    { "pause and unpause propose once, and wait for the state", pauses_once },
    { "settings are proposed when they are allowed and new", sets_what_is_allowed },
    { "each condition of a switchover is asked for before anything is changed", checks_before_it_changes },
    { "a switchover is followed to its end, and its outage measured", follows_a_switchover_to_its_end },
    { "a switchover that failed says how", says_how_a_switchover_failed },
    { "without a leader a request ends at its deadline and says so", proposals_are_repeated_and_bounded },
};
const struct unit_suite suite_api_task = UNIT_SUITE("api_task", tests);
