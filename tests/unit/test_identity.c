/* test_identity.c - what a node must not forget: repeated starts, lost and damaged files, a copied data directory. */
#include "daemon/daemon.h"

#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#define NODE 2
#define CLUSTER 0xfeedbeef12345678u

static struct daemon node;

/* The same host after another start: nothing is remembered but the files. */
static int start(const char *name, struct err *err)
{
    if (node.lock_fd > 0)
        (void)close(node.lock_fd);
    memset(&node, 0, sizeof node);
    node.settings.node_id = NODE;
    (void)unit_path(node.settings.state_directory, sizeof node.settings.state_directory, name);
    (void)unit_path(node.settings.data_directory, sizeof node.settings.data_directory, name);
    return identity_open(&node, err);
}

static void write_file(const char *name, const char *text)
{
    char path[PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/%s", node.settings.state_directory, name);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void remove_file(const char *name)
{
    char path[PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/%s", node.settings.state_directory, name);
    (void)unlink(path);
}

static void become_member(void)
{
    struct identity identity = node.identity;
    struct err err = { 0 };

    identity.cluster_id = CLUSTER;
    identity.raft_id = 0x1f;
    identity.epoch = 3;
    identity.system_identifier = 7301234567890123456u;
    identity.founder = true;
    identity.raft_election_timeout_ms = 700;
    identity.raft_heartbeat_ms = 70;
    CU_ASSERT_EQUAL(identity_save(&node, &identity, &err), 0);
}

static void end(void)
{
    (void)close(node.lock_fd);
    node.lock_fd = -1;
}

static void counts_every_start(void)
{
    struct err err = { 0 };

    for (uint64_t expected = 1; expected <= 20; expected++) {
        CU_ASSERT_EQUAL_FATAL(start("counted", &err), 0);
        CU_ASSERT_EQUAL(node.identity.start_no, expected);
        CU_ASSERT_EQUAL(node.identity.raft_id, 0);
    }
    end();
}

static void remembers_who_it_is(void)
{
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("member", &err), 0);
    become_member();
    CU_ASSERT_EQUAL(node.identity.cluster_id, CLUSTER);
    CU_ASSERT_EQUAL_FATAL(start("member", &err), 0);
    CU_ASSERT(node.identity.cluster_id == CLUSTER && node.identity.raft_id == 0x1f && node.identity.epoch == 3);
    CU_ASSERT_EQUAL(node.identity.system_identifier, 7301234567890123456u);
    CU_ASSERT(node.identity.founder && !node.identity.begun);
    CU_ASSERT(node.identity.raft_election_timeout_ms == 700 && node.identity.raft_heartbeat_ms == 70);
    CU_ASSERT_EQUAL(node.identity.start_no, 2);
    end();
}

static void one_daemon_a_state_directory(void)
{
    static struct daemon other;
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("locked", &err), 0);
    other.settings = node.settings;
    CU_ASSERT_EQUAL(identity_open(&other, &err), -(int)ERR_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another raftmgrd"));
    (void)close(other.lock_fd);
    end();
    CU_ASSERT_EQUAL(start("locked", &err), 0);
    CU_ASSERT_EQUAL(node.identity.start_no, 2); /* the one that was refused counted nothing */
    end();
}

static void a_lost_counter_is_no_new_beginning(void)
{
    static const char *const damaged[] = {
        "",          "start\n",   "start \n", "start -1\n", "start 1", "start 0x7\n", "start 11111111111111111\n",
        "begin 3\n", "start 3 \n"
    };
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("counter", &err), 0);
    become_member();
    remove_file("start");
    CU_ASSERT_EQUAL(start("counter", &err), -(int)ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--force"));
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
        write_file("start", damaged[i]);
        CU_ASSERT_EQUAL(start("counter", &err), -(int)ERR_CORRUPT);
    }
    write_file("start", "start ff\n");
    CU_ASSERT_EQUAL_FATAL(start("counter", &err), 0);
    CU_ASSERT_EQUAL(node.identity.start_no, 0x100);
    end();
}

static void a_damaged_member_file_is_no_new_member(void)
{
    static const char *const damaged[] = {
        "",
        "cluster 5\n",
        "cluster 5\nraft_id 1\nepoch 0\nsystem 9\nfounder 0\nbegun ",
        "cluster 5\nraft_id 1\nepoch 0\nsystem 9\nfounder 0\nbegun 1",
        "cluster 0\nraft_id 1\nepoch 0\nsystem 9\nfounder 0\nbegun 1\n",
        "cluster 5\nraft_id 0\nepoch 0\nsystem 9\nfounder 0\nbegun 1\n",
        "cluster 5\nraft_id 1\nepoch 100000000\nsystem 9\nfounder 0\nbegun 1\n",
        "cluster 5\nraft_id z\nepoch 0\nsystem 9\nfounder 0\nbegun 1\n",
    };
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("damaged", &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
        write_file("member", damaged[i]);
        CU_ASSERT_EQUAL(start("damaged", &err), -(int)ERR_CORRUPT);
        CU_ASSERT_EQUAL(node.identity.raft_id, 0);
    }
    write_file("member", "cluster 5\nraft_id 1\nepoch 0\nsystem 9\nfounder 0\nbegun 1\n");
    CU_ASSERT_EQUAL_FATAL(start("damaged", &err), 0);
    CU_ASSERT(node.identity.raft_id == 1 && node.identity.begun);
    CU_ASSERT_EQUAL(node.identity.raft_election_timeout_ms, 0); /* a file without: the configuration's count */
    end();
}

static void a_lost_member_file_beside_a_log_is_told(void)
{
    char path[PATH_SIZE + 16];
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("lost", &err), 0);
    (void)snprintf(path, sizeof path, "%s/raft", node.settings.state_directory);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL(start("lost", &err), 0); /* an empty one says nothing */
    write_file("raft/open-1", "");
    CU_ASSERT_EQUAL(start("lost", &err), 0); /* nor does one that a member made and never wrote to */
    write_file("raft/open-1", "12345678");
    CU_ASSERT_EQUAL(start("lost", &err), -(int)ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--force"));
    end();
}

static void what_cannot_be_written_changes_nothing(void)
{
    char path[PATH_SIZE + 32];
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("unwritable", &err), 0);
    (void)snprintf(path, sizeof path, "%s/member.raftmgr-new", node.settings.state_directory);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0); /* nothing can be written where this lies, by root neither */
    struct identity identity = { .cluster_id = 5, .raft_id = 1 };
    CU_ASSERT(identity_save(&node, &identity, &err) < 0);
    CU_ASSERT_EQUAL(node.identity.cluster_id, 0);
    (void)snprintf(path, sizeof path, "%s/start.raftmgr-new", node.settings.state_directory);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT(start("unwritable", &err) < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not count this start"));
    end();
}

static void the_data_directory_says_whose_it_is(void)
{
    struct directory_id directory = { 77 };
    uint64_t cluster_id = 1;
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("data", &err), 0);
    CU_ASSERT_EQUAL(identity_read_directory(&node, &cluster_id, &directory, &err), 0);
    CU_ASSERT(cluster_id == 0 && directory.no == 0);
    become_member();
    CU_ASSERT_EQUAL(identity_save_directory(&node, (struct directory_id){ 0xabc }, &err), 0);
    CU_ASSERT_EQUAL(identity_read_directory(&node, &cluster_id, &directory, &err), 0);
    CU_ASSERT(cluster_id == CLUSTER && directory.no == 0xabc);
    node.settings.node_id = NODE + 1; /* a copy of it on another node: the cluster's, but nobody's directory */
    CU_ASSERT_EQUAL(identity_read_directory(&node, &cluster_id, &directory, &err), 0);
    CU_ASSERT(cluster_id == CLUSTER && directory.no == 0);
    node.settings.node_id = NODE;
    write_file("raftmgr.id", "cluster 5\nnode 2\ndirectory ab"); /* cut off: not directory 0xab */
    CU_ASSERT_EQUAL(identity_read_directory(&node, &cluster_id, &directory, &err), 0);
    CU_ASSERT(cluster_id == 5 && directory.no == 0);
    CU_ASSERT_EQUAL(identity_save_directory(&node, (struct directory_id){ 0 }, &err), 0);
    CU_ASSERT_EQUAL(identity_save_directory(&node, (struct directory_id){ 0 }, &err), 0);
    CU_ASSERT_EQUAL(identity_read_directory(&node, &cluster_id, &directory, &err), 0);
    CU_ASSERT(cluster_id == 0 && directory.no == 0);
    end();
}

static void a_data_directory_that_is_gone_has_no_identity(void)
{
    char nowhere[PATH_SIZE + 16];
    struct err err = { 0 };

    CU_ASSERT_EQUAL_FATAL(start("identity", &err), 0);
    become_member();
    (void)snprintf(nowhere, sizeof nowhere, "%s/nowhere", node.settings.state_directory);
    (void)text_copy(node.settings.data_directory, PATH_SIZE, nowhere);
    CU_ASSERT_EQUAL(identity_save_directory(&node, (struct directory_id){ 0 }, &err), 0);
    CU_ASSERT_EQUAL(symlink("gone", nowhere), 0); /* what it led to has been moved away for a clone */
    CU_ASSERT_EQUAL(identity_save_directory(&node, (struct directory_id){ 0 }, &err), 0);
    (void)unlink(nowhere);
    end();
}

static const struct unit_test tests[] = {
    { "counts every start", counts_every_start },
    { "remembers who it is", remembers_who_it_is },
    { "one daemon a state directory", one_daemon_a_state_directory },
    { "a lost or damaged counter is no new beginning", a_lost_counter_is_no_new_beginning },
    { "a damaged member file is no new member", a_damaged_member_file_is_no_new_member },
    { "a lost member file beside a log is told", a_lost_member_file_beside_a_log_is_told },
    { "what cannot be written changes nothing", what_cannot_be_written_changes_nothing },
    { "the data directory says whose it is", the_data_directory_says_whose_it_is },
    { "a data directory that is gone has no identity", a_data_directory_that_is_gone_has_no_identity },
};
const struct unit_suite suite_identity = UNIT_SUITE("identity", tests);
