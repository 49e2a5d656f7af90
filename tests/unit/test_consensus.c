/* test_consensus.c - members agree, lead, come and go. */
#include "raft_drive.h"

#include <dirent.h>

static void alone_it_leads_and_remembers(void)
{
    struct outcomes outcomes = { 0 };
    struct err err;
    char big[CONSENSUS_PROPOSAL_BYTES_MAX + 1];

    loop_start();
    memset(members, 0, sizeof members);
    open_member(&members[0], 1);
    propose(&members[0], "early", &outcomes); /* not LEADER yet */
    CU_ASSERT_EQUAL(outcomes.calls, 0);
    RUN_UNTIL(leads(&members[0]) && outcomes.refused == 1 && members[0].changed > 0);
    CU_ASSERT_EQUAL(status_of(&members[0]).leader_id, 1);
    CU_ASSERT_EQUAL(status_of(&members[0]).member_count, 1);
    propose(&members[0], "one", &outcomes);
    propose(&members[0], "", &outcomes); /* commits, is not delivered */
    consensus_flush(members[0].consensus);
    propose(&members[0], "two", &outcomes);
    consensus_propose(members[0].consensus, (const uint8_t *)big, sizeof big, proposed, &outcomes);
    CU_ASSERT_EQUAL(outcomes.calls, 1);
    RUN_UNTIL(outcomes.calls == 5);
    CU_ASSERT_EQUAL(outcomes.committed, 3);
    CU_ASSERT_EQUAL(outcomes.refused, 2);
    CU_ASSERT_EQUAL(members[0].applied, 2);
    CU_ASSERT(consensus_exists(members[0].directory));
    CU_ASSERT_EQUAL(consensus_bootstrap(members[0].directory, 1, "x:1", &err), -ERR_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "in use"));
    for (unsigned i = 0; i < CONSENSUS_IN_FLIGHT_MAX + 5; i++) /* a full queue refuses */
        propose(&members[0], "x", &outcomes);
    RUN_UNTIL(outcomes.calls == 5 + CONSENSUS_IN_FLIGHT_MAX + 5);
    CU_ASSERT_EQUAL(outcomes.refused, 2 + 5);
    close_consensus(&members[0]);
    CU_ASSERT_EQUAL(consensus_bootstrap(members[0].directory, 1, "x:1", &err), -ERR_REFUSED);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), 0);
    RUN_UNTIL(leads(&members[0]));
    CU_ASSERT_EQUAL(members[0].applied, 2 + CONSENSUS_IN_FLIGHT_MAX);
    CU_ASSERT_EQUAL(memcmp(members[0].log, "one two x ", 10), 0);
    end_all();
}

static void three_agree(void)
{
    struct outcomes outcomes = { 0 };
    struct err err;

    open_group(3);
    propose_many(&members[0], 200, "a");
    RUN_UNTIL(same_log(&members[0], &members[1]) && same_log(&members[0], &members[2]));
    CU_ASSERT_EQUAL(members[2].applied, 200);
    CU_ASSERT_EQUAL(status_of(&members[1]).role, CONSENSUS_FOLLOWER);
    CU_ASSERT_EQUAL(status_of(&members[1]).leader_id, 1);
    CU_ASSERT_EQUAL(status_of(&members[1]).member_count, 3);
    propose(&members[1], "not here", &outcomes);
    RUN_UNTIL(outcomes.refused == 1);
    CU_ASSERT_EQUAL(consensus_transfer(members[1].consensus, 0, &err), -ERR_NOT_LEADER);
    CU_ASSERT_EQUAL(consensus_member(members[1].consensus, 9, "x:1", CONSENSUS_VOTER, NULL, NULL, &err),
                    -ERR_NOT_LEADER);
    /* The leader goes; the other two go on; it comes back, from disk, as a follower. */
    close_consensus(&members[0]);
    RUN_UNTIL(leads(&members[1]) || leads(&members[2]));
    struct member *leader = leads(&members[1]) ? &members[1] : &members[2];
    propose_many(leader, 50, "b");
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), 0);
    RUN_UNTIL(same_log(&members[0], leader));
    CU_ASSERT_EQUAL(members[0].applied, 250);
    end_all();
}

static void leadership_is_handed_over(void)
{
    struct err err;

    open_group(3);
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 7, &err), -ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 1, &err), -ERR_NOT_FOUND);
    uint64_t before = status_of(&members[0]).term;
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 3, &err), 0);
    RUN_UNTIL(leads(&members[2]) && status_of(&members[0]).leader_id == 3);
    CU_ASSERT_EQUAL(status_of(&members[0]).role, CONSENSUS_FOLLOWER);
    CU_ASSERT_EQUAL(status_of(&members[2]).term, before + 1);
    propose_many(&members[2], 3, "c");
    CU_ASSERT_EQUAL(consensus_transfer(members[2].consensus, 0, &err), 0);
    RUN_UNTIL(leads(&members[0]) || leads(&members[1]));
    end_all();
}

static void proposals_in_doubt_are_unknown(void)
{
    struct outcomes outcomes = { 0 };

    open_group(3);
    close_member(&members[1]);
    close_member(&members[2]); /* no majority is left */
    propose(&members[0], "in doubt", &outcomes);
    propose(&members[0], "in doubt", &outcomes);
    RUN_UNTIL(outcomes.calls == 2); /* at the latest when it steps down */
    CU_ASSERT_EQUAL(outcomes.unknown, 2);
    CU_ASSERT_EQUAL(members[0].applied, 0);
    RUN_UNTIL(!leads(&members[0]));
    end_all();
}

static void closing_settles_everything(void)
{
    struct outcomes outcomes = { 0 };
    struct result result = { 0 };
    struct err err;

    open_group(2);
    close_member(&members[1]);
    for (int i = 0; i < 10; i++)
        propose(&members[0], "x", &outcomes);
    CU_ASSERT_EQUAL(
        consensus_member(members[0].consensus, 3, "127.0.0.1:1", CONSENSUS_LEARNER, change_done, &result, &err), 0);
    close_consensus(&members[0]);
    CU_ASSERT_EQUAL(outcomes.calls, 10);
    CU_ASSERT_EQUAL(outcomes.unknown, 10);
    CU_ASSERT_EQUAL(result.calls, 1);
    CU_ASSERT(result.status < 0);
    end_all();
}

static void members_come_and_go(void)
{
    struct result result = { 0 };
    struct consensus_status status;
    struct err err;

    open_group(1);
    open_member(&members[1], 2);
    add_member(&members[0], &members[1], CONSENSUS_LEARNER);
    propose_many(&members[0], 10, "d");
    RUN_UNTIL(same_log(&members[0], &members[1])); /* a learner learns */
    status = status_of(&members[0]);
    CU_ASSERT_EQUAL(status.member_count, 2);
    CU_ASSERT_EQUAL(status.members[1].role, CONSENSUS_LEARNER);
    add_member(&members[0], &members[1], CONSENSUS_VOTER);
    CU_ASSERT_EQUAL(status_of(&members[0]).members[1].role, CONSENSUS_VOTER);
    add_member(&members[0], &members[1], CONSENSUS_VOTER); /* already so: fine */
    /* A known member may have moved since it was admitted: Raft's configuration keeps where that was. */
    result = (struct result){ 0 };
    CU_ASSERT_EQUAL(consensus_member(members[0].consensus, 2, "other:1", CONSENSUS_VOTER, change_done, &result, &err),
                    0);
    RUN_UNTIL(result.calls == 1);
    CU_ASSERT_EQUAL(result.status, 0);
    CU_ASSERT_STRING_EQUAL(status_of(&members[0]).members[1].address, members[1].address);
    result = (struct result){ 0 };
    CU_ASSERT_EQUAL(consensus_member(members[0].consensus, 5, members[1].address, CONSENSUS_VOTER, NULL, NULL, &err),
                    -ERR_REFUSED);
    CU_ASSERT_EQUAL(consensus_remove(members[0].consensus, 5, NULL, NULL, &err), -ERR_NOT_FOUND);
    add_member(&members[0], &members[1], CONSENSUS_SPARE);
    CU_ASSERT_EQUAL(consensus_remove(members[0].consensus, 2, change_done, &result, &err), 0);
    RUN_UNTIL(result.calls == 1);
    CU_ASSERT_EQUAL(result.status, 0);
    CU_ASSERT_EQUAL(status_of(&members[0]).member_count, 1);
    propose_many(&members[0], 3, "e"); /* alone again, still working */
    end_all();
}

static void a_leader_may_remove_itself(void)
{
    struct result result = { 0 };
    struct err err;

    open_group(3);
    CU_ASSERT_EQUAL(consensus_remove(members[0].consensus, 1, change_done, &result, &err), 0);
    RUN_UNTIL(result.calls == 1 && (leads(&members[1]) || leads(&members[2])));
    CU_ASSERT_EQUAL(result.status, 0);
    RUN_UNTIL(status_of(&members[1]).member_count == 2 && !leads(&members[0]));
    end_all();
}

static unsigned count_files(const char *directory, const char *prefix)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *dir = opendir(directory);

    while ((entry = readdir(dir)))
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(dir);
    return count;
}

static void a_late_member_comes_by_snapshot(void)
{
    struct err err;

    open_group(1);
    propose_many(&members[0], 3000, "f");
    RUN_UNTIL(count_files(members[0].directory, "snapshot-") >= 2); /* the snapshot and its description */
    open_member(&members[1], 2);
    add_member(&members[0], &members[1], CONSENSUS_VOTER);
    RUN_UNTIL(same_log(&members[0], &members[1]));
    CU_ASSERT_EQUAL(members[1].restored, 1);
    CU_ASSERT_EQUAL(members[1].applied, 3000);
    close_consensus(&members[1]);
    CU_ASSERT_EQUAL(open_consensus(&members[1], &err), 0); /* and it starts from that snapshot again */
    RUN_UNTIL(same_log(&members[0], &members[1]));
    CU_ASSERT_EQUAL(members[1].restored, 1);
    end_all();
}

static const struct unit_test tests[] = {
    { "a lone voter leads, commits, refuses what it must, and remembers", alone_it_leads_and_remembers },
    { "three members apply the same in the same order, over a restart", three_agree },
    { "leadership is handed over", leadership_is_handed_over },
    { "proposals that lost their leader are unknown, not refused", proposals_in_doubt_are_unknown },
    { "closing settles every proposal and change once", closing_settles_everything },
    { "members are added, promoted, demoted and removed", members_come_and_go },
    { "a leader may remove itself", a_leader_may_remove_itself },
    { "a late member comes by snapshot, and restarts from it", a_late_member_comes_by_snapshot },
};

const struct unit_suite suite_consensus = UNIT_SUITE("consensus", tests);
