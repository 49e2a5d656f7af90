/* test_pace.c - which answers to a heartbeat are sent. */
#include "unit.h"

#include "consensus/private.h"

#define ELECTION_MS 400

static uv_loop_t loop;
static struct consensus consensus;

static struct raft_message answer_to(raft_id leader, raft_term term, raft_index last)
{
    struct raft_message message = { .type = RAFT_APPEND_ENTRIES_RESULT, .server_id = leader };

    message.append_entries_result =
        (struct raft_append_entries_result){ .version = 1, .term = term, .last_log_index = last };
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
    CU_ASSERT_FALSE(kept_back(answer_to(2, 5, 10)));
    CU_ASSERT_TRUE(kept_back(answer_to(2, 5, 10)));
}

static void end(void)
{
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static void what_is_new_is_said(void)
{
    struct raft_message refusal = answer_to(2, 5, 10);
    struct raft_message vote = { .type = RAFT_REQUEST_VOTE_RESULT, .server_id = 2 };

    begin();
    CU_ASSERT_FALSE(kept_back(answer_to(2, 5, 11)));
    CU_ASSERT_FALSE(kept_back(answer_to(2, 6, 11)));
    CU_ASSERT_FALSE(kept_back(answer_to(3, 6, 11)));
    CU_ASSERT_TRUE(kept_back(answer_to(3, 6, 11)));
    refusal.append_entries_result.rejected = 10;
    CU_ASSERT_FALSE(kept_back(refusal));
    CU_ASSERT_FALSE(kept_back(refusal));
    CU_ASSERT_FALSE(kept_back(vote));
    CU_ASSERT_FALSE(kept_back(vote));
    end();
}

static void a_leader_hears_four_times_in_its_timeout(void)
{
    begin();
    consensus.answered_at -= ELECTION_MS / 4 - 1;
    CU_ASSERT_TRUE(kept_back(answer_to(2, 5, 10)));
    consensus.answered_at -= 1;
    CU_ASSERT_FALSE(kept_back(answer_to(2, 5, 10)));
    CU_ASSERT_TRUE(kept_back(answer_to(2, 5, 10)));
    end();
}

static const struct unit_test tests[] = {
    { "what is new, refused or no answer to a heartbeat is always sent", what_is_new_is_said },
    { "a leader hears the same from a follower four times in its election timeout",
      a_leader_hears_four_times_in_its_timeout },
};

const struct unit_suite suite_pace = UNIT_SUITE("pace", tests);
