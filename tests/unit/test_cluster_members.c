/*
 * test_cluster_members.c - who is in, who votes, and which proposals count. Design 5.1, 5.2; R10 to R12, R19, R20, R35.
 *
 * Each test tries to get an act of the past, a copy, or an impostor accepted.
 */
#include "agreed_steps.h"
#include "core/decide.h"

static struct command restarted(const struct cluster *cluster, int32_t node_id)
{
    return agreed_hello(cluster, node_id, cluster_member(cluster, node_id)->start_no + 1);
}

static void founding_happens_once(void)
{
    struct cluster cluster;
    struct command again = agreed_founding();

    agreed_found(&cluster);
    CU_ASSERT(cluster_is_primary(&cluster, A) && !cluster_fenced(&cluster));
    CU_ASSERT(cluster_voters(&cluster) == 1 && cluster_majority(&cluster) == 1);
    CU_ASSERT(cluster.timeline_max.no == AGREED_TIMELINE && cluster.lease_max_ms == 5000);
    CU_ASSERT(cluster_demand(&cluster)->k == 0 && cluster_demand(&cluster)->count == 0);
    REFUSED(&cluster, again);
    again.cluster_id = 78;
    again.member.node_id = B;
    again.raft_id = again.member.raft_id = 2;
    REFUSED(&cluster, again);
}

static void nothing_but_founding_before_it(void)
{
    struct cluster cluster = { 0 };

    CU_ASSERT(cluster_demand(&cluster) == NULL && !cluster_fenced(&cluster) && !cluster_is_primary(&cluster, 0));
    for (int kind = COMMAND_FOUND + 1; kind < COMMAND_COUNT; kind++)
        REFUSED(&cluster, (struct command){ .kind = (enum command_kind)kind, .raft_id = 1, .start_no = 1 });
}

static void founder_needs_an_identity(void)
{
    struct cluster cluster = { 0 };
    struct command command = agreed_founding();

    command.member.directory.no = 0;
    REFUSED(&cluster, command);
    command = agreed_founding();
    command.cluster_id = 0;
    REFUSED(&cluster, command);
    command = agreed_founding();
    command.member.kind = NODE_WITNESS;
    REFUSED(&cluster, command);
}

/* R35: with starts that have no order, a delayed HELLO would lock the present daemon out. */
static void hellos_only_grow(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 5));
    REFUSED(&cluster, agreed_hello(&cluster, B, 4));
    REFUSED(&cluster, agreed_hello(&cluster, B, 5));
    CU_ASSERT(cluster_member(&cluster, B)->start_no == 5);
    struct command stranger = agreed_hello(&cluster, B, 6);
    stranger.raft_id = 4711;
    REFUSED(&cluster, stranger);
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 6));
}

static void hello_changes_no_standing(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command hello = restarted(&cluster, B);
    hello.member.kind = NODE_WITNESS;
    hello.member.voter = false;
    hello.member.registered = false;
    hello.member.node_id = C;
    hello.member.directory.no = 0x666;
    hello.member.raft_id = 99;
    (void)text_copy(hello.member.name, sizeof hello.member.name, "node3");
    hello.member.priority = 7;
    struct member before = *cluster_member(&cluster, B);
    ACCEPTED(&cluster, hello);
    const struct member *after = cluster_member(&cluster, B);
    CU_ASSERT(after->kind == before.kind && after->voter && after->registered && after->raft_id == before.raft_id);
    CU_ASSERT(directory_is(after->directory, before.directory) && strcmp(after->name, before.name) == 0);
    CU_ASSERT(after->priority == 7);
}

/* R10, R35: a proposal does not outlive its proposer's restart, whatever it is. */
static void proposals_end_with_their_proposers_life(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    for (int32_t node = A; node <= W; node++) {
        if (!cluster_member(&cluster, node))
            continue;
        struct cluster later = cluster;
        struct command hello = restarted(&later, node);
        CU_ASSERT(agreed_apply(&later, &hello) == APPLY_OK);
        for (int kind = COMMAND_JOIN; kind < COMMAND_COUNT; kind++) {
            struct command command = agreed_by(&cluster, node, (enum command_kind)kind);
            command.node_id = B;
            command.timeline.no = 99;
            command.expect = cluster.config_version;
            REFUSED(&later, command);
            command.start_no += 2; /* a life that has not said HELLO yet */
            REFUSED(&later, command);
            command.start_no = 0;
            REFUSED(&later, command);
            command.raft_id = 999;
            REFUSED(&later, command);
        }
    }
}

/* Before its first HELLO a member proposes nothing, not even with start number 0. */
static void newcomers_say_hello_first(void)
{
    struct cluster cluster;

    agreed_found(&cluster);
    ACCEPTED(&cluster, agreed_join(&cluster, B));
    REFUSED(&cluster, agreed_directory_is(&cluster, B, agreed_directory(B)));
    CU_ASSERT(cluster_member(&cluster, B)->start_no == 0 && cluster_member(&cluster, B)->directory.no == 0);
}

static void joining_twice_is_refused(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    REFUSED(&cluster, agreed_join(&cluster, B));
    REFUSED(&cluster, agreed_join(&cluster, A));
    struct command join = agreed_join(&cluster, D);
    (void)text_copy(join.member.name, sizeof join.member.name, "node2");
    REFUSED(&cluster, join);
    join = agreed_join(&cluster, D);
    join.system_identifier++;
    REFUSED(&cluster, join);
    join = agreed_join(&cluster, D);
    (void)text_copy(join.member.address, sizeof join.member.address, cluster_member(&cluster, B)->address);
    REFUSED(&cluster, join);
    join = agreed_join(&cluster, 0);
    REFUSED(&cluster, join);
    join = agreed_join(&cluster, D);
    join.member.name[0] = '\0';
    REFUSED(&cluster, join);
}

/* R7: PostgreSQL takes "NODE2" for "node2", and would count one's acknowledgement as the other's. */
static void case_does_not_tell_names_apart(void)
{
    static const char *const others[] = { "NODE2", "Node2", "nodE2" };
    struct cluster cluster;

    agreed_four(&cluster, 1);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct command join = agreed_join(&cluster, D);
        (void)text_copy(join.member.name, sizeof join.member.name, others[i]);
        REFUSED(&cluster, join);
        CU_ASSERT(cluster_member_by_name(&cluster, others[i]) == cluster_member(&cluster, B));
    }
    CU_ASSERT_PTR_NULL(cluster_member_by_name(&cluster, "node"));
    CU_ASSERT_PTR_NULL(cluster_member_by_name(&cluster, "node22"));
    CU_ASSERT_PTR_NULL(cluster_member_by_name(&cluster, "node\x12")); /* differs from '2' in the bit that tells case */
    struct command join = agreed_join(&cluster, D);
    (void)text_copy(join.member.name, sizeof join.member.name, "node2b");
    ACCEPTED(&cluster, join);
}

static void raft_ids_are_never_given_twice(void)
{
    struct cluster cluster;
    uint64_t last;

    agreed_four(&cluster, 1);
    last = cluster.raft_id_last;
    for (int i = 0; i < 3; i++) {
        struct command join = agreed_join(&cluster, C);
        join.member.raft_id = 1; /* what a newcomer says of itself does not count */
        join.flag = true;
        ACCEPTED(&cluster, join);
        CU_ASSERT(cluster_member(&cluster, C)->raft_id == ++last);
        ACCEPTED(&cluster, agreed_hello(&cluster, C, 1));
    }
}

/* R19: who lost the state directory comes back as a stranger: no vote, no promise, and no directory known. */
static void readmission_begins_from_nothing(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct member before = *cluster_member(&cluster, C);
    uint64_t config = cluster.config_version;
    struct command join = agreed_join(&cluster, C);
    join.flag = true;
    join.member.voter = join.member.registered = true;
    join.member.start_no = 40;
    join.member.directory = before.directory;
    ACCEPTED(&cluster, join);
    const struct member *after = cluster_member(&cluster, C);
    CU_ASSERT(after->raft_id > before.raft_id && !after->voter && !after->registered && after->start_no == 0);
    CU_ASSERT(after->directory.no == 0);
    CU_ASSERT(cluster.config_version > config && cluster.member_count == 4);
    struct command late = { .kind = COMMAND_RESERVE, .raft_id = before.raft_id, .start_no = 1, .timeline = { 50 } };
    REFUSED(&cluster, late);
    late.kind = COMMAND_HELLO;
    late.start_no = 9;
    REFUSED(&cluster, late);
}

static const char *slot_of(const struct cluster *cluster, int32_t node_id)
{
    static char slot[NAME_SIZE];

    member_slot(cluster_member(cluster, node_id), slot);
    return slot;
}

/* The server that a node had before may stream still: it does not know the slot of the one that comes after it. */
static void a_readmitted_node_has_another_slot(void)
{
    struct cluster cluster;
    char first[NAME_SIZE];

    agreed_four(&cluster, 1);
    uint64_t slots = node_slots(&cluster, A);
    CU_ASSERT_STRING_EQUAL(slot_of(&cluster, C), "repmgr_slot_3");
    for (int i = 0; i < 2; i++) { /* the second time before the node has said a word */
        struct command join = agreed_join(&cluster, C);
        join.flag = true;
        (void)text_copy(first, sizeof first, slot_of(&cluster, C));
        ACCEPTED(&cluster, join);
        CU_ASSERT_STRING_NOT_EQUAL(slot_of(&cluster, C), first);
        CU_ASSERT(strncmp(slot_of(&cluster, C), "repmgr_slot_3_", 14) == 0);
        CU_ASSERT(node_slots(&cluster, A) != slots);
    }
    (void)text_copy(first, sizeof first, slot_of(&cluster, C));
    ACCEPTED(&cluster, agreed_hello(&cluster, C, 1));
    CU_ASSERT_STRING_EQUAL(slot_of(&cluster, C), first);
    CU_ASSERT_STRING_EQUAL(slot_of(&cluster, B), "repmgr_slot_2");
    /* Who was admitted and has never come has no server that could be in the way. */
    ACCEPTED(&cluster, agreed_join(&cluster, D));
    ACCEPTED(&cluster, agreed_join(&cluster, D));
    CU_ASSERT_STRING_EQUAL(slot_of(&cluster, D), "repmgr_slot_4");
}

static void the_primary_is_not_readmitted(void)
{
    struct cluster cluster;
    struct command join;

    agreed_four(&cluster, 1);
    join = agreed_join(&cluster, A);
    join.flag = true;
    REFUSED(&cluster, join);
    agreed_do_fence(&cluster);
    join = agreed_join(&cluster, A);
    join.flag = true;
    REFUSED(&cluster, join);
}

/* R20: two members with one identity would stand for each other's commits. */
static void an_identity_belongs_to_one_member(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command join = agreed_join(&cluster, D);
    join.member.directory = agreed_directory(B);
    ACCEPTED(&cluster, join);
    CU_ASSERT(cluster_member(&cluster, D)->directory.no == 0);
    ACCEPTED(&cluster, agreed_hello(&cluster, D, 1));
    REFUSED(&cluster, agreed_directory_is(&cluster, D, agreed_directory(B)));
    REFUSED(&cluster, agreed_directory_is(&cluster, D, agreed_directory(A)));
    ACCEPTED(&cluster, agreed_directory_is(&cluster, D, agreed_directory(D)));
    NOTHING(&cluster, agreed_directory_is(&cluster, D, agreed_directory(D)));
    CU_ASSERT(cluster_member_by_directory(&cluster, agreed_directory(D)) == cluster_member(&cluster, D));
    CU_ASSERT(cluster_member_by_directory(&cluster, (struct directory_id){ 0 }) == NULL);
}

static void a_member_names_its_own_directory(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command command = agreed_directory_is(&cluster, B, agreed_directory(E));
    command.node_id = C;
    REFUSED(&cluster, command);
    REFUSED(&cluster, agreed_directory_is(&cluster, W, agreed_directory(E)));
    REFUSED(&cluster, agreed_directory_is(&cluster, A, agreed_directory(E))); /* the primary */
}

/* R29: a replaced primary may get a new directory; what was promised of the old one stays said of the old one. */
static void a_replaced_primary_keeps_its_old_promise(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_directory_is(&cluster, A, agreed_directory(E)));
    CU_ASSERT(directory_is(cluster.primary.directory, agreed_directory(A)));
    CU_ASSERT(cluster_member_by_directory(&cluster, agreed_directory(A)) == NULL);
}

static void voters_change_one_at_a_time(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command stale = agreed_voter(&cluster, B, false);
    ACCEPTED(&cluster, agreed_voter(&cluster, C, false));
    CU_ASSERT(cluster_voters(&cluster) == 3 && cluster.config_version == cluster.version);
    REFUSED(&cluster, stale);
    NOTHING(&cluster, agreed_voter(&cluster, C, false));
    ACCEPTED(&cluster, agreed_voter(&cluster, C, true));
    CU_ASSERT(cluster_voters(&cluster) == 4 && cluster_majority(&cluster) == 3);
    struct command unknown = agreed_voter(&cluster, D, true);
    REFUSED(&cluster, unknown);
}

static void the_last_voter_stays(void)
{
    struct cluster cluster;

    agreed_found(&cluster);
    REFUSED(&cluster, agreed_voter(&cluster, A, false));
}

static void only_registered_members_vote(void)
{
    struct cluster cluster;

    agreed_found(&cluster);
    ACCEPTED(&cluster, agreed_join(&cluster, B));
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 1));
    REFUSED(&cluster, agreed_voter(&cluster, B, true));
}

/* R11: a renewal of a shorter length by the new voters says nothing of a longer one by the old. */
static void voters_stay_while_a_longer_lease_is_out(void)
{
    struct cluster cluster;
    struct command command;

    agreed_four(&cluster, 1);
    command = agreed_by(&cluster, A, COMMAND_POLICY);
    command.policy = cluster.policy;
    command.policy.lease_ttl_ms /= 2;
    command.expect = cluster.policy_version;
    ACCEPTED(&cluster, command);
    REFUSED(&cluster, agreed_voter(&cluster, C, false));
    struct command join = agreed_join(&cluster, C);
    join.flag = true;
    REFUSED(&cluster, join);
    command = agreed_by(&cluster, A, COMMAND_LEASE_MAX);
    command.number = cluster.policy.lease_ttl_ms;
    command.expect = cluster.policy_version;
    ACCEPTED(&cluster, command);
    ACCEPTED(&cluster, agreed_voter(&cluster, C, false));
}

/* R11: none between FENCE and the end of its operation; by no door. */
static void voters_stay_while_fenced(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_join(&cluster, D));
    ACCEPTED(&cluster, agreed_hello(&cluster, D, 1));
    struct command command = agreed_by(&cluster, A, COMMAND_REGISTER);
    command.node_id = D;
    ACCEPTED(&cluster, command);
    agreed_do_fence(&cluster);
    for (int elected = 0; elected < 2; elected++) {
        REFUSED(&cluster, agreed_voter(&cluster, D, true));
        REFUSED(&cluster, agreed_voter(&cluster, C, false));
        struct command join = agreed_join(&cluster, C);
        join.flag = true;
        REFUSED(&cluster, join);
        if (!elected)
            ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    }
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    ACCEPTED(&cluster, agreed_voter(&cluster, D, true));
}

/* R11, R17: the lease without end is the old voters'; by no door, and no change is made of an older configuration. */
static void voters_stay_while_a_pause_ends(void)
{
    struct cluster cluster;
    struct command join;

    agreed_four(&cluster, 1);
    join = agreed_join(&cluster, C);
    join.flag = true;
    struct command stale = join;
    stale.expect--;
    REFUSED(&cluster, stale);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    REFUSED(&cluster, agreed_voter(&cluster, C, false));
    REFUSED(&cluster, join);
    ACCEPTED(&cluster, agreed_pause(&cluster, A, PAUSE_OFF));
    ACCEPTED(&cluster, join);
}

/* A voter that never said HELLO must not be taken out by a JOIN without force. */
static void a_silent_voter_is_no_back_door(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_join(&cluster, D));
    struct command command = agreed_by(&cluster, A, COMMAND_REGISTER);
    command.node_id = D;
    ACCEPTED(&cluster, command);
    command = agreed_voter(&cluster, D, true);
    (void)agreed_apply(&cluster, &command); /* whether it may vote already is not the point */
    uint32_t voters = cluster_voters(&cluster);
    agreed_do_fence(&cluster);
    command = agreed_join(&cluster, D);
    (void)agreed_apply(&cluster, &command);
    command.expect = 0;
    (void)agreed_apply(&cluster, &command);
    CU_ASSERT(cluster_voters(&cluster) == voters);
}

static void there_is_an_end_to_members(void)
{
    struct cluster cluster;

    agreed_found(&cluster);
    for (int32_t node = 10; cluster.member_count < MEMBERS_MAX; node++)
        ACCEPTED(&cluster, agreed_join(&cluster, node));
    REFUSED(&cluster, agreed_join(&cluster, 100));
}

static const struct unit_test tests[] = {
    { "voters stay while a longer lease is out", voters_stay_while_a_longer_lease_is_out },
    { "a cluster is founded once", founding_happens_once },
    { "before founding everything else is refused", nothing_but_founding_before_it },
    { "a founder is a data node with identities", founder_needs_an_identity },
    { "start numbers only grow", hellos_only_grow },
    { "HELLO changes nobody's standing", hello_changes_no_standing },
    { "no proposal outlives its proposer's restart", proposals_end_with_their_proposers_life },
    { "a newcomer proposes nothing before its HELLO", newcomers_say_hello_first },
    { "a node id, a name, a system, an address: joining twice is refused", joining_twice_is_refused },
    { "case does not tell names apart", case_does_not_tell_names_apart },
    { "raft ids are never given out twice", raft_ids_are_never_given_twice },
    { "readmission by force begins from nothing", readmission_begins_from_nothing },
    { "a readmitted node has another slot", a_readmitted_node_has_another_slot },
    { "the primary is not readmitted, fenced or not", the_primary_is_not_readmitted },
    { "a directory's identity belongs to one member", an_identity_belongs_to_one_member },
    { "a member names its own directory, the primary none", a_member_names_its_own_directory },
    { "a replaced primary's promise is of its old directory", a_replaced_primary_keeps_its_old_promise },
    { "voters change one at a time", voters_change_one_at_a_time },
    { "the last voter stays", the_last_voter_stays },
    { "only registered members vote", only_registered_members_vote },
    { "voters stay from FENCE to the end of the operation", voters_stay_while_fenced },
    { "voters stay while a pause ends", voters_stay_while_a_pause_ends },
    { "a JOIN without force changes no voters", a_silent_voter_is_no_back_door },
    { "there is an end to members", there_is_an_end_to_members },
};
const struct unit_suite suite_cluster_members = UNIT_SUITE("cluster_members", tests);
