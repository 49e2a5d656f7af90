/*
 * test_api_publish.c - the rows of the repmgr schema. Tools read them and act on them; a wrong type or upstream, or an
 * event that is told twice or never, is what would be noticed last.
 */
#include "daemon/publish.h"

#include "status_world.h"

static struct world world;

static void makes_the_rows(void)
{
    static struct pg_schema schema;
    static const struct pg_schema nothing;

    world_make(&world);
    publish_rows(&world.manager, &nothing, WORLD_NOW_US, &schema);
    CU_ASSERT_EQUAL_FATAL(schema.node_count, 4);
    const struct pg_schema_node *a = &schema.nodes[0];
    const struct pg_schema_node *b = &schema.nodes[1];
    const struct pg_schema_node *w = &schema.nodes[3];
    CU_ASSERT(a->node_id == A && b->node_id == B && w->node_id == W);
    CU_ASSERT_STRING_EQUAL(a->type, "primary");
    CU_ASSERT_STRING_EQUAL(b->type, "standby");
    CU_ASSERT_STRING_EQUAL(w->type, "witness");
    CU_ASSERT(a->upstream_node_id == 0 && b->upstream_node_id == A && w->upstream_node_id == A);
    CU_ASSERT(a->active && b->active && w->active);
    CU_ASSERT(a->priority == 100 && w->priority == 0);
    CU_ASSERT_STRING_EQUAL(b->slot_name, "repmgr_slot_2");
    CU_ASSERT_STRING_EQUAL(w->slot_name, "");
    CU_ASSERT_STRING_EQUAL(b->conninfo, "host=10.0.0.2");
    CU_ASSERT_STRING_EQUAL(w->conninfo, "host=10.0.0.1,10.0.0.2,10.0.0.3");
    CU_ASSERT_EQUAL(schema.voting_term, 1);

    /* Who is not registered has no row. */
    world.manager.cluster.members[2].registered = false;
    publish_rows(&world.manager, &nothing, WORLD_NOW_US, &schema);
    CU_ASSERT_EQUAL(schema.node_count, 3);
    CU_ASSERT_STRING_EQUAL(schema.nodes[2].conninfo, "host=10.0.0.1,10.0.0.2");
}

static void ports_and_users_are_kept(void)
{
    static struct pg_schema schema;
    static const struct pg_schema nothing;

    world_make(&world);
    struct cluster *cluster = &world.manager.cluster;
    (void)text_copy(cluster->members[0].conninfo, CONNINFO_SIZE, "host=n1 port=6001 user=repmgr dbname=repmgr");
    (void)text_copy(cluster->members[1].conninfo, CONNINFO_SIZE, "host=n2 user=repmgr dbname=repmgr");
    (void)text_copy(cluster->members[1].replication_user, NAME_SIZE, "copier");
    cluster->members[2].registered = false;
    publish_rows(&world.manager, &nothing, WORLD_NOW_US, &schema);
    CU_ASSERT_STRING_EQUAL(schema.nodes[0].repluser, "repmgr");
    CU_ASSERT_STRING_EQUAL(schema.nodes[1].repluser, "copier");
    CU_ASSERT_PTR_NOT_NULL(strstr(schema.nodes[2].conninfo, "host=n1,n2"));
    CU_ASSERT_PTR_NOT_NULL(strstr(schema.nodes[2].conninfo, "port=6001,5432"));
    CU_ASSERT_PTR_NOT_NULL(strstr(schema.nodes[2].conninfo, "dbname=repmgr"));
}

static void who_is_down_is_not_active(void)
{
    world_make(&world);
    const struct cluster *cluster = &world.manager.cluster;
    const struct member *b = cluster_member(cluster, B);

    CU_ASSERT(publish_active(&world.manager, b, WORLD_NOW_US));
    world_hear(&world, B, 0)->following = false;
    CU_ASSERT(!publish_active(&world.manager, b, WORLD_NOW_US));
    world_hear(&world, B, 0)->pg_state = PG_STOPPED;
    CU_ASSERT(!publish_active(&world.manager, b, WORLD_NOW_US));
    /* Never heard: the benefit of the doubt, while this daemon is young. */
    memset(&world.manager.heard[1], 0, sizeof world.manager.heard[1]);
    CU_ASSERT(!publish_active(&world.manager, b, WORLD_NOW_US));
    CU_ASSERT(publish_active(&world.manager, b, world.manager.started_us + 1000));
    CU_ASSERT(publish_active(&world.manager, cluster_member(cluster, A), WORLD_NOW_US));
    CU_ASSERT(publish_active(&world.manager, cluster_member(cluster, W), WORLD_NOW_US));
}

static void record(int number)
{
    struct cluster *cluster = &world.manager.cluster;
    struct record *next = &cluster->records[cluster->record_count++ % RECORDS_MAX];

    *next = (struct record){ .wall_us = number, .node_id = A, .successful = true };
    (void)snprintf(next->event, sizeof next->event, "event%d", number);
}

/* Every event once, in order, in as many steps as it takes; then nothing changes any more. */
static void each_event_once(void)
{
    static struct pg_schema before, after;
    int next = 0;

    world_make(&world);
    world.manager.cluster.record_count = 0;
    memset(&before, 0, sizeof before);
    for (int i = 0; i < SCHEMA_EVENTS_MAX + 5; i++)
        record(i);
    for (int step = 0; step < 2; step++) {
        publish_rows(&world.manager, &before, WORLD_NOW_US, &after);
        for (uint32_t i = 0; i < after.event_count; i++)
            CU_ASSERT_EQUAL(after.events[i].at_us, next++);
        before = after;
    }
    CU_ASSERT_EQUAL(next, SCHEMA_EVENTS_MAX + 5);
    publish_rows(&world.manager, &before, WORLD_NOW_US, &after);
    CU_ASSERT(publish_same(&before, &after));
    record(next);
    publish_rows(&world.manager, &before, WORLD_NOW_US, &after);
    CU_ASSERT(!publish_same(&before, &after));
    CU_ASSERT_EQUAL_FATAL(after.event_count, 1);
    CU_ASSERT_STRING_EQUAL(after.events[0].event, "event21");

    /* More than the log's state keeps: those that it still has. */
    before = after;
    for (int i = 0; i < RECORDS_MAX + 3; i++)
        record(100 + i);
    publish_rows(&world.manager, &before, WORLD_NOW_US, &after);
    CU_ASSERT_EQUAL(after.event_count, SCHEMA_EVENTS_MAX);
    CU_ASSERT_EQUAL(after.events[0].at_us, 103);
}

static const struct unit_test tests[] = {
    { "rows are repmgr's, column for column", makes_the_rows },
    { "a witness' conninfo names every data node's host and port", ports_and_users_are_kept },
    { "a standby that is down or astray is not active", who_is_down_is_not_active },
    { "each event is published once, in order", each_event_once },
};
const struct unit_suite suite_api_publish = UNIT_SUITE("api_publish", tests);
