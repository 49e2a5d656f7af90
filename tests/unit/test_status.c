/*
 * test_status.c - the status object. It is what people and programs see of a cluster that is in trouble, so each part
 * is held against reports that are set by hand, and its shape against the golden files that rmctl is tested with.
 */
#include "daemon/status.h"

#include <stdlib.h>

#include "core/survive.h"
#include "status_world.h"

static struct world world;

static const json_t *at(const json_t *object, const char *name)
{
    return json_object_get(object, name);
}

static int64_t number(const json_t *object, const char *name)
{
    CU_ASSERT(json_is_integer(at(object, name)));
    return json_integer_value(at(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(at(object, name));

    return value ? value : "(none)";
}

static bool holds(const json_t *object, const char *name)
{
    CU_ASSERT(json_is_boolean(at(object, name)));
    return json_is_true(at(object, name));
}

static const json_t *of_node(const json_t *list, int32_t node_id)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(at(json_array_get(list, i), "node_id")) == node_id)
            return json_array_get(list, i);
    return NULL;
}

/* Every member of the golden object is there, as a value of the same kind where both have one. */
static void same_shape(const json_t *golden, const json_t *made, const char *where)
{
    const char *name;
    json_t *wanted;

    json_object_foreach((json_t *)golden, name, wanted)
    {
        const json_t *found = at(made, name);
        bool flags = json_is_boolean(wanted) && json_is_boolean(found);
        bool same = found &&
                    (json_is_null(wanted) || json_is_null(found) || flags || json_typeof(wanted) == json_typeof(found));
        CU_ASSERT(same);
        if (!same)
            printf("\n    %s.%s is missing or of another kind", where, name);
        if (json_is_object(wanted) && json_is_object(found))
            same_shape(wanted, found, name);
        if (json_is_array(wanted) && json_is_object(json_array_get(wanted, 0)) &&
            json_is_object(json_array_get(found, 0)))
            same_shape(json_array_get(wanted, 0), json_array_get(found, 0), name);
    }
}

static void has_the_documented_shape(void)
{
    static const char *const names[] = { "healthy", "fenced", "waiting", "unfounded" };
    char path[128];

    world_make(&world);
    json_t *healthy = status_json(&world.facts);
    agreed_do_fence(&world.manager.cluster);
    world_link(&world);
    json_t *fenced = status_json(&world.facts);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "tests/golden/status/%s.json", names[i]);
        json_t *golden = json_load_file(path, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(golden);
        same_shape(golden, i == 0 ? healthy : fenced, names[i]);
        json_decref(golden);
    }
    json_decref(healthy);
    json_decref(fenced);
}

static void tells_of_a_healthy_cluster(void)
{
    world_make(&world);
    json_t *status = status_json(&world.facts);
    const json_t *primary = at(status, "primary");
    const json_t *lease = at(status, "lease");
    const json_t *b = of_node(at(status, "members"), B);
    const json_t *w = of_node(at(status, "members"), W);

    CU_ASSERT_STRING_EQUAL(text(status, "at"), "2026-01-31 12:34:56.789+00");
    CU_ASSERT_STRING_EQUAL(text(status, "state"), "member");
    CU_ASSERT(json_is_null(at(status, "waiting_for")));
    CU_ASSERT(holds(status, "writable"));
    CU_ASSERT(!holds(status, "paused"));
    CU_ASSERT_EQUAL(json_array_size(at(status, "problems")), 0);
    CU_ASSERT_STRING_EQUAL(text(at(status, "cluster"), "id"), "000000000000004d");
    CU_ASSERT_EQUAL(number(at(status, "raft"), "leader"), B);
    CU_ASSERT_EQUAL(json_array_size(at(at(status, "raft"), "voters")), 4);
    CU_ASSERT_EQUAL(number(primary, "node_id"), A);
    CU_ASSERT_EQUAL(number(primary, "token"), 1);
    CU_ASSERT_EQUAL(number(primary, "timeline"), AGREED_TIMELINE);
    CU_ASSERT_STRING_EQUAL(text(primary, "phase"), "active");
    CU_ASSERT(holds(lease, "valid"));
    CU_ASSERT_EQUAL(number(lease, "left_ms"), 3460); /* what it said, less the age of that */
    CU_ASSERT(json_is_null(at(status, "guard")));    /* of a witness */
    CU_ASSERT_EQUAL(json_array_size(at(status, "members")), 4);
    CU_ASSERT_STRING_EQUAL(text(b, "role"), "standby");
    CU_ASSERT_STRING_EQUAL(text(b, "state"), "running");
    CU_ASSERT_STRING_EQUAL(text(b, "pg"), "standby");
    CU_ASSERT_STRING_EQUAL(text(b, "lsn"), "0/5000148");
    CU_ASSERT_STRING_EQUAL(text(b, "attached"), "streaming");
    CU_ASSERT_STRING_EQUAL(text(b, "slot"), "repmgr_slot_2");
    CU_ASSERT_EQUAL(number(b, "lag_bytes"), 0);
    CU_ASSERT_EQUAL(number(b, "age_ms"), 40);
    CU_ASSERT_EQUAL(number(b, "upstream"), A);
    CU_ASSERT(holds(b, "synchronous") && holds(b, "active") && holds(b, "streaming"));
    CU_ASSERT_EQUAL(json_array_size(at(b, "problems")), 0);
    CU_ASSERT_EQUAL(number(w, "age_ms"), 0);
    CU_ASSERT_STRING_EQUAL(text(w, "role"), "witness");
    CU_ASSERT_STRING_EQUAL(text(w, "state"), "running");
    CU_ASSERT_PTR_NOT_NULL(strstr(text(w, "conninfo"), "host=10.0.0.1,10.0.0.2,10.0.0.3"));
    CU_ASSERT(json_is_null(at(w, "pg")) && json_is_null(at(w, "slot")));
    CU_ASSERT(json_is_null(at(status, "operation")));
    CU_ASSERT_EQUAL(number(of_node(at(status, "candidates"), A), "rank"), 0);
    CU_ASSERT_EQUAL(number(of_node(at(status, "candidates"), B), "rank"), 1);
    CU_ASSERT_EQUAL(number(of_node(at(status, "candidates"), C), "rank"), 2);
    CU_ASSERT(holds(at(status, "survivable"), "one_more_failure"));
    const json_t *demand = json_array_get(at(status, "demands"), 0);
    CU_ASSERT_EQUAL(number(demand, "k"), 1);
    CU_ASSERT_EQUAL(json_array_size(at(demand, "members")), 2);
    CU_ASSERT(holds(demand, "in_effect"));
    CU_ASSERT(json_array_size(at(status, "history")) > 3);
    json_decref(status);
}

static void silence_is_no_sign_of_life(void)
{
    world_make(&world);
    (void)world_hear(&world, A, 4200000);
    world_link(&world);
    json_t *status = status_json(&world.facts);
    const json_t *a = of_node(at(status, "members"), A);

    CU_ASSERT(!holds(status, "writable")); /* its lease was 3.5 s */
    CU_ASSERT(!holds(at(status, "lease"), "valid"));
    CU_ASSERT(!holds(a, "reachable"));
    CU_ASSERT_STRING_EQUAL(text(a, "state"), "unreachable");
    CU_ASSERT_STRING_EQUAL(text(a, "pg"), "unknown");
    CU_ASSERT_STRING_EQUAL(text(a, "lsn"), "0/5000148"); /* the last one known */
    CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(at(a, "problems"), 0)), "no sign of its daemon for 4.2 s");
    json_decref(status);
}

/* Nobody has heard C, and B has fallen behind. */
static void tells_what_is_wrong(void)
{
    world_make(&world);
    memset(&world.manager.heard[2], 0, sizeof world.manager.heard[2]);
    struct report *b = world_hear(&world, B, 0);
    b->receiver_streaming = false;
    b->end = (struct lsn){ 0x4000000 };
    (void)text_copy(b->waiting, sizeof b->waiting, "its WAL diverged");
    struct report *a = world_hear(&world, A, 0);
    a->walsender_count = 0;
    (void)text_copy(a->problem, sizeof a->problem, "needs a restart");
    world_link(&world);
    json_t *status = status_json(&world.facts);
    const json_t *members = at(status, "members");

    CU_ASSERT_EQUAL(number(of_node(members, B), "lag_bytes"), 0x1000148);
    CU_ASSERT(json_is_null(at(of_node(members, B), "attached")));
    CU_ASSERT(!holds(of_node(members, B), "streaming"));
    CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(at(of_node(members, B), "problems"), 0)),
                           "does not stream from the primary: its WAL diverged");
    CU_ASSERT(json_is_null(at(of_node(members, C), "age_ms")));
    CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(at(of_node(members, C), "problems"), 0)),
                           "no sign of its daemon since this one started");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(at(of_node(members, A), "problems"), 0)),
                           "needs a restart");
    CU_ASSERT_EQUAL(number(of_node(at(status, "candidates"), B), "rank"), 0);
    CU_ASSERT_STRING_EQUAL(text(of_node(at(status, "candidates"), C), "why"), "is unreachable");
    json_decref(status);
}

/* A fence: what is waited for, who has reported, and who comes next, seen by a member that does not lead. */
static void tells_what_a_failover_waits_for(void)
{
    struct report *report;

    world_make(&world);
    world.manager.voter.granted_until_us = WORLD_NOW_US + 1300000;
    agreed_do_fence(&world.manager.cluster);
    (void)world_hear(&world, A, 5000000);
    report = world_hear(&world, B, 0);
    report->following = report->receiver_streaming = false;
    report->fence = (struct fence_report){ .token = world.manager.cluster.token,
                                           .data = true,
                                           .directory = report->directory,
                                           .timeline = report->timeline,
                                           .end = report->end };
    report = world_hear(&world, C, 0);
    report->following = report->receiver_streaming = false;
    world_link(&world);
    json_t *status = status_json(&world.facts);
    const json_t *operation = at(status, "operation");
    char *why = json_dumps(at(operation, "why"), 0);

    CU_ASSERT(!holds(status, "writable"));
    CU_ASSERT_STRING_EQUAL(text(at(status, "primary"), "phase"), "fenced");
    CU_ASSERT_STRING_EQUAL(text(operation, "kind"), "failover");
    CU_ASSERT_STRING_EQUAL(text(operation, "phase"), "fenced");
    CU_ASSERT_EQUAL(number(operation, "from"), A);
    CU_ASSERT_EQUAL(number(operation, "node_id"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text(operation, "waiting_for"), "in 1.3 s"));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "node2 has reported 0/5000148 on timeline 3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "node1 has not been heard for 5.0 s"));
    CU_ASSERT_STRING_EQUAL(text(of_node(at(status, "members"), B), "state"), "fenced");
    CU_ASSERT_EQUAL(number(of_node(at(status, "candidates"), C), "rank"), 0);
    free(why);
    json_decref(status);
}

/* Who is waited for may be gone for good: the commands by which a person says so stand with it (G6). */
static void names_the_ways_out(void)
{
    world_make(&world);
    agreed_do_fence(&world.manager.cluster);
    struct report *report = world_hear(&world, A, 0);
    report->pg_state = PG_STOPPED;
    report->fence = (struct fence_report){ .token = world.manager.cluster.token, .stopped = true };
    (void)world_hear(&world, C, 5000000);
    world_link(&world);
    json_t *status = status_json(&world.facts);
    char *why = json_dumps(at(at(status, "operation"), "why"), 0);
    CU_ASSERT(strstr(why, "rmctl failover accept-loss") && strstr(why, "rmctl failover write-off"));
    CU_ASSERT_PTR_NULL(strstr(why, "host-off"));
    free(why);
    json_decref(status);

    /* All are heard, and the data of one is gone. */
    report = world_hear(&world, A, 0);
    report->pg_state = PG_ABSENT;
    report->fence = (struct fence_report){ .token = world.manager.cluster.token, .stopped = true };
    (void)world_hear(&world, B, 0);
    (void)world_hear(&world, C, 0);
    world_link(&world);
    status = status_json(&world.facts);
    why = json_dumps(at(at(status, "operation"), "why"), 0);
    CU_ASSERT(strstr(why, "rmctl failover accept-loss") && strstr(why, "rmctl failover write-off"));
    free(why);
    json_decref(status);

    world.manager.cluster.pause = PAUSE_ENDING;
    (void)world_hear(&world, A, 5000000);
    world_link(&world);
    status = status_json(&world.facts);
    why = json_dumps(at(at(status, "operation"), "why"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "rmctl failover host-off node1"));
    free(why);
    json_decref(status);
}

static void tells_where_a_node_stands(void)
{
    world_make(&world);
    world.facts.member = false;
    world.settings.node_kind = NODE_DATA;
    json_t *status = status_json(&world.facts);
    CU_ASSERT_STRING_EQUAL(text(status, "state"), "unfounded");
    CU_ASSERT_PTR_NOT_NULL(strstr(text(status, "waiting_for"), "rmctl primary register"));
    CU_ASSERT(json_is_null(at(status, "cluster")) && json_is_null(at(status, "survivable")));
    json_decref(status);

    (void)text_copy(world.settings.join, sizeof world.settings.join, "10.0.0.1");
    world.facts.join_problem = "the secret is another";
    status = status_json(&world.facts);
    CU_ASSERT_STRING_EQUAL(text(status, "state"), "joining");
    CU_ASSERT_STRING_EQUAL(text(status, "waiting_for"), "the secret is another");
    json_decref(status);

    world.facts.member = true;
    world.manager.node.raft_id = world.manager.cluster.raft_id_last + 1; /* its admission is not read yet */
    status = status_json(&world.facts);
    CU_ASSERT_STRING_EQUAL(text(status, "state"), "joining");
    json_decref(status);

    world.manager.node.raft_id = world.manager.cluster.raft_id_last;
    world.manager.cluster.members[3].raft_id = 99;
    status = status_json(&world.facts);
    CU_ASSERT_STRING_EQUAL(text(status, "state"), "removed");
    json_decref(status);

    world.facts.down = true;
    world.facts.raft_problem = "the log is damaged";
    status = status_json(&world.facts);
    CU_ASSERT_STRING_EQUAL(text(status, "state"), "damaged");
    CU_ASSERT_STRING_EQUAL(text(status, "waiting_for"), "the log is damaged");
    json_decref(status);
}

/* Texts of other programs need not be UTF-8; the object must be one that can be written all the same. */
static void takes_any_text(void)
{
    world_make(&world);
    struct report *b = world_hear(&world, B, 0);
    (void)text_copy(b->problem, sizeof b->problem,
                    "Verbindung \xfc"
                    "ber");
    json_t *status = status_json(&world.facts);
    char *dumped = json_dumps(status, JSON_COMPACT);

    CU_ASSERT_PTR_NOT_NULL_FATAL(dumped);
    CU_ASSERT_PTR_NOT_NULL(strstr(dumped, "Verbindung ?ber"));
    free(dumped);
    json_decref(status);
}

/* -- one more failure -----------------------------------------------------------------------------------------------
 */

static bool survives(char *why)
{
    struct heard heard[MEMBERS_MAX] = { 0 };
    const struct cluster *cluster = &world.manager.cluster;

    for (uint32_t i = 0; i < cluster->member_count; i++)
        heard[i].report = status_report(&world.facts, &cluster->members[i], &heard[i].age_us);
    return survive_one_more(cluster, heard, why);
}

static void counts_majority_and_data(void)
{
    char why[SURVIVE_WHY_SIZE];

    world_make(&world);
    CU_ASSERT(survives(why));
    CU_ASSERT_STRING_EQUAL(why, "");

    /* C away: A, B and W are three of four; one less is no majority. */
    (void)world_hear(&world, C, 9000000);
    CU_ASSERT(!survives(why));
    CU_ASSERT_STRING_EQUAL(why,
                           "node3 is away: without node1 there is no majority, without node2 there is no majority, "
                           "without node9 there is no majority");

    /* k of {B, C} is 1: without C's data B alone does not meet the demand. */
    world_make(&world);
    world_hear(&world, C, 0)->following = false;
    CU_ASSERT(!survives(why));
    CU_ASSERT_STRING_EQUAL(why, "without node1 nobody has all that was acknowledged");

    /* Nobody of those who have the data may lead. */
    world_make(&world);
    world.manager.cluster.members[1].priority = 0;
    world.manager.cluster.members[2].manual = true;
    CU_ASSERT(!survives(why));
    CU_ASSERT_STRING_EQUAL(why, "without node1 nobody could become primary");

    world_make(&world);
    world.manager.cluster.pause = PAUSE_ON;
    CU_ASSERT(!survives(why));
    CU_ASSERT_STRING_EQUAL(why, "failover is paused");
}

static void strict_commits_wait(void)
{
    char why[SURVIVE_WHY_SIZE];

    world_make(&world);
    world.manager.cluster.policy.durability = DURABILITY_STRICT;
    CU_ASSERT(survives(why));
    world.manager.cluster.demands[0].k = 2;
    CU_ASSERT(!survives(why));
    CU_ASSERT_STRING_EQUAL(why, "without node2 commits wait, because durability is strict, without node3 commits wait, "
                                "because durability is strict");
}

static const struct unit_test tests[] = {
    { "the object has the documented shape", has_the_documented_shape },
    { "a healthy cluster is described member by member", tells_of_a_healthy_cluster },
    { "an old report is no sign of life, and its lease has run out", silence_is_no_sign_of_life },
    { "what is wrong with a member stands with it", tells_what_is_wrong },
    { "an open failover says what it waits for, on any node", tells_what_a_failover_waits_for },
    { "who waits for what may never come is told the ways out", names_the_ways_out },
    { "a node that is no member says where it stands", tells_where_a_node_stands },
    { "texts that are no UTF-8 do not spoil the object", takes_any_text },
    { "one more failure: majority, data and who may lead", counts_majority_and_data },
    { "one more failure: strict commits wait for k", strict_commits_wait },
};
const struct unit_suite suite_status = UNIT_SUITE("status", tests);
