/* test_pace.c - which heartbeats are sent. */
#include "unit.h"

#include "consensus/private.h"

#define ELECTION_MS 400
#define HEARTBEAT_MS 40

static uv_loop_t loop;
static struct consensus consensus;

static struct raft_message heartbeat(raft_id to, raft_term term, raft_index last, raft_index committed)
{
    struct raft_message message = { .type = RAFT_APPEND_ENTRIES, .server_id = to };

    message.append_entries = (struct raft_append_entries){
        .version = 1, .term = term, .prev_log_index = last, .prev_log_term = term, .leader_commit = committed
    };
    return message;
}

static bool kept_back(struct raft_message message)
{
    return pace_says_nothing_new(&consensus, &message);
}

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    memset(&consensus, 0, sizeof consensus);
    consensus.loop = &loop;
    consensus.raft.election_timeout = ELECTION_MS;
    consensus.raft.heartbeat_timeout = HEARTBEAT_MS;
    CU_ASSERT_FALSE(kept_back(heartbeat(2, 5, 10, 9)));
    CU_ASSERT_TRUE(kept_back(heartbeat(2, 5, 10, 9)));
}

static void end(void)
{
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static void what_is_new_is_said(void)
{
    struct raft_message entries = heartbeat(2, 6, 11, 10);
    struct raft_message probe = heartbeat(2, 6, 11, 10);

    begin();
    CU_ASSERT_FALSE(kept_back(heartbeat(2, 5, 10, 10)));
    CU_ASSERT_FALSE(kept_back(heartbeat(2, 5, 11, 10)));
    CU_ASSERT_FALSE(kept_back(heartbeat(2, 6, 11, 10)));
    CU_ASSERT_TRUE(kept_back(heartbeat(2, 6, 11, 10)));
    entries.append_entries.n_entries = 1;
    CU_ASSERT_FALSE(kept_back(entries));
    CU_ASSERT_FALSE(kept_back(entries));
    probe.append_entries.prev_log_term = 4;
    CU_ASSERT_FALSE(kept_back(probe));
    end();
}

static void only_heartbeats_are_kept_back(void)
{
    static const enum raft_message_type types[] = { RAFT_APPEND_ENTRIES_RESULT, RAFT_REQUEST_VOTE,
                                                    RAFT_REQUEST_VOTE_RESULT, RAFT_INSTALL_SNAPSHOT, RAFT_TIMEOUT_NOW };

    begin();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct raft_message message = { .type = types[i], .server_id = 2 };
        CU_ASSERT_FALSE(kept_back(message));
        CU_ASSERT_FALSE(kept_back(message));
    }
    end();
}

/* As many as there may be, and one that came in place of another. */
static void each_member_is_told(void)
{
    begin();
    for (raft_id to = 3; to < CONSENSUS_MEMBERS_MAX + 3; to++) {
        CU_ASSERT_FALSE(kept_back(heartbeat(to, 5, 10, 9)));
        CU_ASSERT_TRUE(kept_back(heartbeat(to, 5, 10, 9)));
    }
    end();
}

static void a_follower_hears_five_times_in_its_timeout(void)
{
    begin();
    consensus.appended[0].at -= ELECTION_MS / 5 - HEARTBEAT_MS / 2 - 1;
    CU_ASSERT_TRUE(kept_back(heartbeat(2, 5, 10, 9)));
    consensus.appended[0].at -= 1;
    CU_ASSERT_FALSE(kept_back(heartbeat(2, 5, 10, 9)));
    CU_ASSERT_TRUE(kept_back(heartbeat(2, 5, 10, 9)));
    end();
}

static const struct unit_test tests[] = {
    { "a heartbeat that says something new is always sent", what_is_new_is_said },
    { "nothing but a heartbeat is kept back", only_heartbeats_are_kept_back },
    { "each member is told for itself", each_member_is_told },
    { "a follower hears the same five times in its election timeout", a_follower_hears_five_times_in_its_timeout },
};

const struct unit_suite suite_pace = UNIT_SUITE("pace", tests);
