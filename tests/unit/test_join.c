/*
 * test_join.c - admission: a leader whose log the test writes is asked over the real network, and nobody gets a raft id
 * that a JOIN proposed for somebody else gave out.
 */
#include "daemon/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agreed.h"
#include "net_nodes.h"

#define PROPOSED_MAX 16
#define LONG_US 60000000

static struct daemon leader;
static struct node asking; /* the hosts that want in ask through this one */
static struct command proposed[PROPOSED_MAX];
static unsigned proposed_count;
static int64_t wall_us;

struct asked {
    unsigned calls;
    uint64_t raft_id;
    char error[TEXT_SIZE];
    char leader[ADDRESS_SIZE];
};

/* -- the leader --------------------------------------------------------------------------------------------------- */

static void note_proposal(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    (void)ctx;
    (void)ticket;
    CU_ASSERT_FATAL(proposed_count < PROPOSED_MAX);
    CU_ASSERT_EQUAL_FATAL(command_decode(bytes, length, &proposed[proposed_count++], NULL), 0);
}

static int64_t next_wall(void *ctx)
{
    (void)ctx;
    return ++wall_us;
}

static void no_event(void *ctx, enum event event, const char *text)
{
    (void)ctx;
    (void)event;
    (void)text;
}

static void commit(const struct command *command)
{
    struct consensus_callbacks callbacks = live_consensus_callbacks(&leader);
    AUTO(buf) bytes;

    buf_init(&bytes, COMMAND_BYTES_MAX);
    command_encode(command, &bytes);
    CU_ASSERT_FATAL(!bytes.failed);
    callbacks.apply(callbacks.ctx, bytes.bytes, bytes.length);
}

static void begin(void)
{
    const struct manager_config config = { .self = { .node_id = A, .raft_id = 1, .start_no = 1 } };
    const struct ports ports = { .propose = note_proposal, .wall_us = next_wall, .event = no_event };
    const struct net_callbacks callbacks = live_net_callbacks(&leader);
    struct command founding = agreed_founding();
    struct err err = { 0 };
    char secret[512];

    loop_start();
    open_node(&asking, 2, "secret");
    memset(&leader, 0, sizeof leader);
    proposed_count = 0;
    const struct net_config net = { .listen = "127.0.0.1:0",
                                    .secret_file = make_secret(secret, sizeof secret, "secret") };
    CU_ASSERT_EQUAL_FATAL(net_open(&leader.net, &loop, &net, &callbacks, &err), 0);
    manager_init(&leader.manager, &config, &ports);
    leader.identity = (struct identity){ .cluster_id = 77, .raft_id = 1, .start_no = 1, .begun = true };
    commit(&founding);
    CU_ASSERT_EQUAL_FATAL(leader.manager.cluster.cluster_id, 77);
    leader.manager.lead.raft.leader = true;
    leader.manager.lead.raft.leader_id = 1;
}

static bool leader_closed;

static void leader_gone(void *ctx)
{
    (void)ctx;
    leader_closed = true;
}

static void end(void)
{
    leader.closing = true;
    join_stop(&leader);
    leader_closed = false;
    net_close(leader.net, leader_gone, NULL);
    RUN_UNTIL(leader_closed);
    close_node(&asking);
    loop_end();
}

/* -- who asks ----------------------------------------------------------------------------------------------------- */

static void heard(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err)
{
    struct asked *asked = ctx;

    (void)err;
    asked->calls++;
    json_t *answer = status == 0 ? json_loadb((const char *)bytes, length, 0, NULL) : NULL;
    const char *raft_id = json_string_value(json_object_get(answer, "raft_id"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    const char *named = json_string_value(json_object_get(answer, "leader"));
    asked->raft_id = raft_id ? strtoull(raft_id, NULL, 16) : 0;
    (void)text_copy(asked->error, sizeof asked->error, error ? error : "");
    (void)text_copy(asked->leader, sizeof asked->leader, named ? named : "");
    json_decref(answer);
}

static void send_text(const char *text, struct asked *asked)
{
    char address[NET_ADDRESS_MAX];

    *asked = (struct asked){ 0 };
    net_listen_address(leader.net, address, sizeof address);
    net_request(asking.net, address, (const uint8_t *)text, strlen(text), DEADLINE_MS, heard, asked);
}

static void ask_as(int32_t node_id, uint64_t asker, bool force, struct asked *asked)
{
    const struct member member = agreed_member(node_id);
    char text[2048];

    (void)snprintf(text, sizeof text,
                   "{\"request\":\"join\",\"asker\":\"%" PRIx64 "\",\"node_id\":%d,\"name\":\"%s\",\"kind\":%d,"
                   "\"address\":\"%s\",\"conninfo\":\"%s\",\"location\":\"\",\"priority\":100,\"manual\":false,"
                   "\"replication_user\":\"\",\"config_file\":\"\",\"system\":\"%x\",\"force\":%s}",
                   asker, node_id, member.name, (int)member.kind, member.address, member.conninfo, AGREED_SYSTEM,
                   force ? "true" : "false");
    send_text(text, asked);
}

static void hello(int32_t node_id)
{
    const struct member *member = cluster_member(&leader.manager.cluster, node_id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(member);
    struct command command = { .kind = COMMAND_HELLO, .raft_id = member->raft_id, .start_no = 1, .member = *member };

    commit(&command);
}

/* -- tests -------------------------------------------------------------------------------------------------------- */

static void admits_once_it_is_committed(void)
{
    struct asked asked;

    begin();
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(proposed_count == 1);
    CU_ASSERT(proposed[0].kind == COMMAND_JOIN && proposed[0].member.node_id == B);
    join_turn(&leader, clock_boot_us());
    CU_ASSERT_EQUAL(asked.calls, 0);
    commit(&proposed[0]);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_EQUAL(asked.raft_id, 2);
    CU_ASSERT_EQUAL(cluster_member(&leader.manager.cluster, B)->raft_id, 2);
    end();
}

/* Both ask before either is in the log; the second one must not be told the first one's raft id. */
static void one_raft_id_for_one_of_two(void)
{
    struct asked first, second;

    begin();
    ask_as(B, 11, false, &first);
    RUN_UNTIL(proposed_count == 1);
    ask_as(B, 22, false, &second);
    RUN_UNTIL(second.calls == 1);
    CU_ASSERT_EQUAL(second.raft_id, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(second.error, "being admitted already"));
    commit(&proposed[0]);
    RUN_UNTIL(first.calls == 1);
    CU_ASSERT_EQUAL(first.raft_id, 2);
    /* Nor does it throw the first one out before that one could say HELLO. */
    ask_as(B, 22, false, &second);
    RUN_UNTIL(second.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(second.error, "same node_id"));
    hello(B);
    leader.admissions[0].until_us = 0; /* later */
    ask_as(B, 22, false, &second);
    RUN_UNTIL(second.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(second.error, "belongs to member"));
    CU_ASSERT_EQUAL(proposed_count, 1);
    end();
}

/* Another leader admits another host under the number that this one was asked for. */
static void another_leaders_join_is_nobodys_answer(void)
{
    struct asked asked;

    begin();
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(proposed_count == 1);
    struct command theirs = proposed[0];
    theirs.wall_us = 500000;
    commit(&theirs);
    CU_ASSERT_EQUAL(cluster_member(&leader.manager.cluster, B)->raft_id, 2);
    join_turn(&leader, clock_boot_us() + LONG_US);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_EQUAL(asked.raft_id, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "not committed in time"));
    end();
}

static void late_joins_do_not_answer_later_questions(void)
{
    struct asked asked;

    begin();
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(proposed_count == 1);
    join_turn(&leader, clock_boot_us() + LONG_US);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "try again"));
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(proposed_count == 2);
    commit(&proposed[0]); /* raft id 2, which nobody will ever use */
    CU_ASSERT_EQUAL(cluster_member(&leader.manager.cluster, B)->raft_id, 2);
    commit(&proposed[1]);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_EQUAL(asked.raft_id, 3);
    CU_ASSERT_EQUAL(cluster_member(&leader.manager.cluster, B)->raft_id, 3);
    end();
}

static void a_lost_reply_costs_a_raft_id_only(void)
{
    struct asked asked;

    begin();
    for (uint64_t raft_id = 2; raft_id < 6; raft_id++) {
        ask_as(W, 11, false, &asked);
        RUN_UNTIL(proposed_count == raft_id - 1);
        commit(&proposed[raft_id - 2]);
        RUN_UNTIL(asked.calls == 1);
        CU_ASSERT_EQUAL(asked.raft_id, raft_id);
    }
    CU_ASSERT_EQUAL(leader.manager.cluster.member_count, 2);
    end();
}

static void a_refusal_in_the_log_is_told(void)
{
    struct asked first, second;

    begin();
    ask_as(B, 11, false, &first);
    RUN_UNTIL(proposed_count == 1);
    struct command namesake = proposed[0];
    namesake.member.node_id = C;
    namesake.wall_us = 500000;
    commit(&namesake);
    commit(&proposed[0]);
    RUN_UNTIL(first.calls == 1);
    CU_ASSERT_EQUAL(first.raft_id, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(first.error, "try again"));
    ask_as(B, 11, false, &second);
    RUN_UNTIL(second.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(second.error, "name"));
    end();
}

static void wiped_members_need_force(void)
{
    struct asked asked;

    begin();
    ask_as(W, 11, false, &asked);
    RUN_UNTIL(proposed_count == 1);
    commit(&proposed[0]);
    RUN_UNTIL(asked.calls == 1);
    hello(W);
    leader.admissions[0].until_us = 0;
    ask_as(W, 12, false, &asked);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "--force"));
    ask_as(W, 12, true, &asked);
    RUN_UNTIL(asked.calls == 1); /* taken, but that the primary has not been heard of */
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "renewed its lease"));
    CU_ASSERT_EQUAL(proposed_count, 1);
    end();
}

static void who_may_not_admit_says_so(void)
{
    struct asked asked;

    begin();
    leader.identity.begun = false;
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "state directory"));
    leader.manager.lead.raft.leader = false;
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_STRING_EQUAL(asked.leader, "10.0.0.1:7654");
    leader.manager.lead.raft.leader_id = 0;
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "no leader"));
    leader.stopping = true;
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "ending"));
    leader.stopping = false;
    leader.manager.cluster = (struct cluster){ 0 };
    ask_as(B, 11, false, &asked);
    RUN_UNTIL(asked.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "no member of a cluster itself"));
    CU_ASSERT_EQUAL(proposed_count, 0);
    end();
}

static void nonsense_is_refused(void)
{
    static const char *const texts[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"request\":1}",
        "{\"request\":\"join\"}",
        "{\"request\":\"join\",\"node_id\":4294967298,\"name\":\"n\",\"address\":\"a:1\",\"conninfo\":\"\","
        "\"location\":\"\",\"priority\":1,\"replication_user\":\"\",\"config_file\":\"\",\"system\":\"5151\"}",
        "{\"request\":\"join\",\"node_id\":2,\"name\":\"n\",\"address\":\"a:1\",\"conninfo\":\"\","
        "\"location\":\"\",\"priority\":-1,\"replication_user\":\"\",\"config_file\":\"\",\"system\":\"5151\"}",
    };
    struct asked asked;

    begin();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        send_text(texts[i], &asked);
        RUN_UNTIL(asked.calls == 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(asked.error, "cannot be read"));
    }
    CU_ASSERT_EQUAL(proposed_count, 0);
    end();
}

static void the_end_of_the_daemon_answers_all(void)
{
    struct asked first, second;

    begin();
    ask_as(B, 11, false, &first);
    ask_as(C, 12, false, &second);
    RUN_UNTIL(proposed_count == 2);
    leader.closing = true;
    join_stop(&leader);
    RUN_UNTIL(first.calls == 1 && second.calls == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(first.error, "ending"));
    CU_ASSERT_PTR_NOT_NULL(strstr(second.error, "ending"));
    end();
}

/* -- a daemon that wants in --------------------------------------------------------------------------------------- */

static struct daemon host;
static bool host_closed;

#define RUN_BOTH_UNTIL(condition)                                                                                      \
    do {                                                                                                               \
        bool held_;                                                                                                    \
        const int64_t give_up_at_ = clock_boot_us() + DEADLINE_MS * 1000;                                              \
        while (!(held_ = (condition)) && clock_boot_us() < give_up_at_) {                                              \
            (void)uv_run(&loop, UV_RUN_NOWAIT);                                                                        \
            (void)uv_run(&host.loop, UV_RUN_NOWAIT);                                                                   \
        }                                                                                                              \
        CU_ASSERT(held_);                                                                                              \
    } while (0)

static void host_begin(const char *members)
{
    const struct net_callbacks callbacks = live_net_callbacks(&host);
    struct err err = { 0 };
    char secret[512];

    memset(&host, 0, sizeof host);
    settings_init(&host.settings);
    host.settings.node_id = W;
    host.settings.node_kind = NODE_WITNESS;
    host.settings.priority = 100;
    (void)text_copy(host.settings.node_name, sizeof host.settings.node_name, "node9");
    (void)text_copy(host.settings.peer_advertise, sizeof host.settings.peer_advertise, "10.0.0.9:7654");
    (void)text_copy(host.settings.location, sizeof host.settings.location, "here");
    (void)text_copy(host.settings.join, sizeof host.settings.join, members);
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&host.loop), 0);
    const struct net_config net = { .listen = "127.0.0.1:0",
                                    .secret_file = make_secret(secret, sizeof secret, "secret") };
    CU_ASSERT_EQUAL_FATAL(net_open(&host.net, &host.loop, &net, &callbacks, &err), 0);
    log_set_level(LOG_ERROR);
    join_start(&host, false);
}

static void host_gone(void *ctx)
{
    (void)ctx;
    host_closed = true;
}

static void host_end(void)
{
    host.closing = true;
    join_stop(&host);
    host_closed = false;
    net_close(host.net, host_gone, NULL);
    RUN_BOTH_UNTIL(host_closed);
    (void)uv_run(&host.loop, UV_RUN_DEFAULT);
    join_free(&host);
    CU_ASSERT_EQUAL(uv_loop_close(&host.loop), 0);
    log_set_level(LOG_INFO);
}

/* Asks until it is taken, and ends with the answer still owed. */
static void a_daemon_asks_for_itself(void)
{
    char address[NET_ADDRESS_MAX];

    begin();
    net_listen_address(leader.net, address, sizeof address);
    host_begin(address);
    RUN_BOTH_UNTIL(proposed_count == 1);
    const struct member *member = &proposed[0].member;
    CU_ASSERT(proposed[0].kind == COMMAND_JOIN && !proposed[0].flag);
    CU_ASSERT(member->node_id == W && member->kind == NODE_WITNESS && member->priority == 0);
    CU_ASSERT_STRING_EQUAL(member->name, "node9");
    CU_ASSERT_STRING_EQUAL(member->address, "10.0.0.9:7654");
    CU_ASSERT_STRING_EQUAL(member->location, "here");
    CU_ASSERT_NOT_EQUAL(leader.admissions[0].asker, 0);
    CU_ASSERT_STRING_EQUAL(host.join_problem, "");
    host_end();
    end();
}

/* What a member says counts more than that another is not reached, and stands. */
static void one_verdict_a_round(void)
{
    char address[NET_ADDRESS_MAX];
    char members[2 * NET_ADDRESS_MAX + 32];

    begin();
    leader.identity.begun = false;
    net_listen_address(leader.net, address, sizeof address);
    (void)snprintf(members, sizeof members, "127.0.0.1:1,%s,127.0.0.1:2", address);
    host_begin(members);
    RUN_BOTH_UNTIL(host.join_problem[0] != '\0');
    CU_ASSERT_PTR_NULL(strstr(host.join_problem, "state directory")); /* at once what is known at once */
    RUN_BOTH_UNTIL(strstr(host.join_problem, "state directory"));
    join_start(&host, true); /* by the operator's word: told anew, and asked with force */
    CU_ASSERT_STRING_EQUAL(host.join_problem, "");
    leader.identity.begun = true;
    RUN_BOTH_UNTIL(strstr(host.join_problem, "renewed its lease"));
    host_end();
    end();
}

/* Term and vote are left, the entries that it had confirmed are not. */
static void a_member_without_its_log_is_refused(void)
{
    uint8_t metadata[32] = { [0] = 1, [8] = 1, [16] = 7, [24] = 2 }; /* format 1, version 1, term 7, vote for 2 */
    char path[PATH_SIZE + 32];
    struct err err = { 0 };

    begin();
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&leader.loop), 0);
    leader.settings.node_kind = NODE_WITNESS;
    (void)text_copy(leader.settings.peer_advertise, sizeof leader.settings.peer_advertise, "127.0.0.1:1");
    (void)unit_path(leader.settings.state_directory, sizeof leader.settings.state_directory, "emptied");
    CU_ASSERT_EQUAL_FATAL(mkdir(leader.settings.state_directory, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/raft", leader.settings.state_directory);
    CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/raft/metadata1", leader.settings.state_directory);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, metadata, sizeof metadata, 0600, &err), 0);
    CU_ASSERT_EQUAL(daemon_become_member(&leader, &err), -(int)ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "admitted anew"));
    CU_ASSERT_PTR_NULL(leader.consensus);
    CU_ASSERT_EQUAL(uv_loop_close(&leader.loop), 0);
    end();
}

static const struct unit_test tests[] = {
    { "admits once it is committed", admits_once_it_is_committed },
    { "of two daemons with one node id, one gets the raft id", one_raft_id_for_one_of_two },
    { "another leader's JOIN is nobody's answer", another_leaders_join_is_nobodys_answer },
    { "late JOINs do not answer later questions", late_joins_do_not_answer_later_questions },
    { "a lost reply costs a raft id only", a_lost_reply_costs_a_raft_id_only },
    { "a refusal in the log is told", a_refusal_in_the_log_is_told },
    { "wiped members need force", wiped_members_need_force },
    { "who may not admit says so", who_may_not_admit_says_so },
    { "nonsense is refused", nonsense_is_refused },
    { "the end of the daemon answers all", the_end_of_the_daemon_answers_all },
    { "a daemon asks for itself", a_daemon_asks_for_itself },
    { "one verdict a round", one_verdict_a_round },
    { "a member whose log holds nothing any more is refused", a_member_without_its_log_is_refused },
};
const struct unit_suite suite_join = UNIT_SUITE("join", tests);
