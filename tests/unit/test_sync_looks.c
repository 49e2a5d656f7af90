/*
 * test_sync_looks.c - which looks at the primary's walsenders end a change of the synchronous set, and whose word
 * counts in them. Design 5.6; R1, R7.
 */
#include "agreed_steps.h"
#include "core/sync.h"

static struct walsender_seen *walsender(struct pg_seen *seen, int32_t node_id, bool synchronous, uint64_t flushed)
{
    struct walsender_seen *made = &seen->walsenders[seen->walsender_count++];

    *made = (struct walsender_seen){
        .pid = 100 + node_id, .streaming = true, .synchronous = synchronous, .flushed = { flushed }, .replied_us = 1
    };
    (void)snprintf(made->name, sizeof made->name, "node%d", node_id);
    return made;
}

/* G6: standbys whose connections break again and again must not keep a change from coming to its end. */
static void broken_connections_are_forgotten(void)
{
    struct cluster cluster;
    static struct pg_seen seen;
    struct sync_progress progress = { 0 };

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(2, B, C)));
    seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { 500 }, .conf_present = true, .conf_loaded = true };
    seen.conf.demand_version = cluster.demand_version;
    (void)walsender(&seen, B, true, 400);
    (void)walsender(&seen, C, true, 400);
    for (int i = 0; i < 3 * MEMBERS_MAX; i++) {
        seen.walsenders[0].pid = 1000 + i;
        sync_observe(&progress, &cluster, &seen);
    }
    CU_ASSERT(progress.settled != cluster.demand_version);
    for (int i = 0; i < 6; i++) {
        seen.walsenders[0].replied_us++;
        seen.walsenders[1].replied_us++;
        seen.end.at += 10;
        seen.walsenders[0].flushed = seen.walsenders[1].flushed = seen.end;
        sync_observe(&progress, &cluster, &seen);
    }
    CU_ASSERT(progress.settled == cluster.demand_version);
}

/* A change of k alone is seen by two replies since a new connection saw the settings of this very demand in force. */
static void only_the_newest_settings_show_a_change(void)
{
    struct cluster cluster;
    static struct pg_seen seen;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(2, B, C)));
    for (int right = 0; right < 3; right++) {
        struct sync_progress progress = { 0 };
        seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { 500 }, .conf_present = true, .conf_loaded = right != 1 };
        seen.conf.demand_version = cluster.demand_version - (right == 0);
        (void)walsender(&seen, B, true, 400);
        (void)walsender(&seen, C, true, 400);
        for (int i = 0; i < 8; i++) {
            seen.walsenders[0].replied_us++;
            seen.walsenders[1].replied_us++;
            seen.walsenders[0].flushed = seen.walsenders[1].flushed = seen.end = (struct lsn){ 500 };
            sync_observe(&progress, &cluster, &seen);
        }
        CU_ASSERT_EQUAL(progress.settled == cluster.demand_version, right == 2);
    }
}

/* What was released before the settings were in force may lie up to the end of that look; k of S must have flushed
 * what a later look found. */
static void the_position_is_of_a_later_look(void)
{
    struct cluster cluster;
    static struct pg_seen seen;
    struct sync_progress progress = { 0 };

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, C)));
    seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { 500 }, .conf_present = true, .conf_loaded = true };
    seen.conf.demand_version = cluster.demand_version;
    (void)walsender(&seen, B, false, 500);
    (void)walsender(&seen, C, true, 500);
    for (int i = 0; i < 8 && !progress.effective; i++) {
        seen.walsenders[1].replied_us++;
        sync_observe(&progress, &cluster, &seen);
    }
    CU_ASSERT_FATAL(progress.effective);
    seen.end.at = 600;
    sync_observe(&progress, &cluster, &seen);
    sync_observe(&progress, &cluster, &seen);
    CU_ASSERT(progress.settled != cluster.demand_version); /* it has 500 */
    seen.walsenders[1].flushed.at = 600;
    sync_observe(&progress, &cluster, &seen);
    CU_ASSERT(progress.settled == cluster.demand_version);
}

/* R7: one standby with two connections is one holder. */
static void two_connections_are_one_holder(void)
{
    struct cluster cluster;
    static struct pg_seen seen;
    struct sync_progress progress = { 0 };

    agreed_four(&cluster, 0);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(2, B, C)));
    seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { 500 }, .conf_present = true, .conf_loaded = true };
    seen.conf.demand_version = cluster.demand_version;
    (void)walsender(&seen, B, true, 900);
    walsender(&seen, B, true, 900)->pid++;
    (void)walsender(&seen, C, true, 400);
    for (int i = 0; i < 6; i++) {
        progress.checkpoint_done = i > 0;
        sync_observe(&progress, &cluster, &seen);
        CU_ASSERT(progress.settled != cluster.demand_version);
    }
    seen.walsenders[2].flushed.at = 900;
    sync_observe(&progress, &cluster, &seen);
    CU_ASSERT(progress.settled == cluster.demand_version);
}

/* R7: it acknowledges what the member lacks. The member's own connection is the one through the member's slot. */
static void who_borrows_a_name_is_a_stray(void)
{
    struct cluster cluster;
    static struct pg_seen seen;

    agreed_four(&cluster, 1);
    seen = (struct pg_seen){ .state = PG_PRIMARY };
    walsender(&seen, B, true, 400)->slot_node = B;
    struct walsender_seen *other = walsender(&seen, B, true, 900);
    (void)text_copy(other->name, sizeof other->name, "NODE2");
    CU_ASSERT_PTR_NULL(sync_stray(&cluster, &seen)); /* not known which slot, if any */
    other->slot_node = -1;
    CU_ASSERT_PTR_EQUAL(sync_stray(&cluster, &seen), other);
    other->slot_node = C;
    CU_ASSERT_PTR_EQUAL(sync_stray(&cluster, &seen), other);
    other->streaming = false; /* it has not come to its slot yet */
    CU_ASSERT_PTR_NULL(sync_stray(&cluster, &seen));
    other->streaming = true;
    other->synchronous = false; /* it counts nowhere */
    CU_ASSERT_PTR_NULL(sync_stray(&cluster, &seen));
    other->synchronous = true;
    (void)text_copy(other->name, sizeof other->name, "somebody");
    CU_ASSERT_PTR_NULL(sync_stray(&cluster, &seen));
    (void)text_copy(other->name, sizeof other->name, "node2");
    seen.state = PG_STANDBY;
    CU_ASSERT_PTR_NULL(sync_stray(&cluster, &seen));
}

/* What a stray has flushed is not what the member has. */
static void a_stray_flushes_for_nobody(void)
{
    struct cluster cluster;
    static struct pg_seen seen;
    struct sync_progress progress = { 0 };

    agreed_four(&cluster, 0);
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, B)));
    seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { 500 }, .conf_present = true, .conf_loaded = true };
    seen.conf.demand_version = cluster.demand_version;
    walsender(&seen, B, true, 900)->slot_node = -1;
    walsender(&seen, B, true, 400)->slot_node = B;
    for (int i = 0; i < 6; i++) {
        progress.checkpoint_done = i > 0;
        sync_observe(&progress, &cluster, &seen);
        CU_ASSERT(progress.settled != cluster.demand_version);
    }
    seen.walsenders[1].flushed.at = 900;
    sync_observe(&progress, &cluster, &seen);
    CU_ASSERT(progress.settled == cluster.demand_version);
}

/* B was admitted anew, from another host; the server that it had before goes on streaming under its name, and would
 * take its slot in the moment in which the new one is restarted. */
static void a_former_server_acknowledges_for_nobody(void)
{
    struct cluster cluster;
    static struct pg_seen seen;
    struct sync_progress progress = { 0 };

    agreed_four(&cluster, 0);
    struct command join = agreed_join(&cluster, B);
    join.flag = true;
    ACCEPTED(&cluster, join);
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 1));
    ACCEPTED(&cluster, agreed_directory_is(&cluster, B, agreed_directory(E)));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, E)));
    seen = (struct pg_seen){ .state = PG_PRIMARY, .end = { 500 }, .conf_present = true, .conf_loaded = true };
    seen.conf.demand_version = cluster.demand_version;
    struct walsender_seen *former = walsender(&seen, B, true, 900);
    former->slot_node = B;
    CU_ASSERT_PTR_EQUAL(sync_stray(&cluster, &seen), former);
    for (int i = 0; i < 6; i++) {
        progress.checkpoint_done = i > 0;
        sync_observe(&progress, &cluster, &seen);
        CU_ASSERT(progress.settled != cluster.demand_version);
    }
    former->slot_no = cluster_member(&cluster, B)->slot_no; /* its own, after all */
    CU_ASSERT_PTR_NULL(sync_stray(&cluster, &seen));
    sync_observe(&progress, &cluster, &seen);
    CU_ASSERT(progress.settled == cluster.demand_version);
}

static const struct unit_test tests[] = {
    { "broken connections are forgotten", broken_connections_are_forgotten },
    { "only the newest demand's settings show a change", only_the_newest_settings_show_a_change },
    { "the position to be flushed is of a later look", the_position_is_of_a_later_look },
    { "two connections are one holder", two_connections_are_one_holder },
    { "who borrows a member's name is a stray", who_borrows_a_name_is_a_stray },
    { "a stray flushes for nobody", a_stray_flushes_for_nobody },
    { "a former server acknowledges for nobody", a_former_server_acknowledges_for_nobody },
};
const struct unit_suite suite_sync_looks = UNIT_SUITE("sync_looks", tests);
