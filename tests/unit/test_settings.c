/*
 * test_settings.c - raftmgr.conf as values. A limit that is read wrongly, or a contradiction that passes, is found out
 * by a cluster that fails over too early, too late or not at all.
 */
#include "core/settings.h"

#include "unit.h"

static struct settings_reader reader; /* too large for comfort on a stack */
static struct settings settings;

/* Reads a whole file's text. */
static int reads(const char *text, struct err *err)
{
    settings_begin(&reader, &settings);
    int failed = ini_parse(text, strlen(text), "raftmgr.conf", settings_accept, &reader, err);
    return failed ? failed : settings_finish(&reader, err);
}

#define DATA_NODE                                                                                                      \
    "node_id = 1\nnode_name = node1\nconninfo = 'host=h1 user=repmgr dbname=repmgr'\ndata_directory = '/d/1'\n"        \
    "peer_advertise = h1\nsecret_file = '/etc/raftmgr/secret'\n"
#define WITNESS "node_id = 3\nnode_name = w\nnode_kind = witness\npeer_listen = h3:1\nsecret_file = '/s'\n"

static void accepts(const char *text)
{
    struct err err = { .text = "" };

    CU_ASSERT_EQUAL(reads(text, &err), 0);
    if (err.text[0])
        printf("\n  refused: %s\n", err.text);
}

static void refuses(const char *text, const char *reason)
{
    struct err err = { .text = "" };

    CU_ASSERT_EQUAL(reads(text, &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, reason));
    if (!strstr(err.text, reason))
        printf("\n  said '%s', not '%s'\n", err.text, reason);
}

static bool noted(enum note_level level, const char *text)
{
    for (uint32_t i = 0; i < reader.note_count; i++)
        if (reader.notes[i].level == level && strstr(reader.notes[i].text, text))
            return true;
    return false;
}

static void defaults(void)
{
    accepts(DATA_NODE);
    CU_ASSERT_EQUAL(reader.note_count, 0);
    CU_ASSERT_EQUAL(settings.node_id, 1);
    CU_ASSERT_EQUAL(settings.node_kind, NODE_DATA);
    CU_ASSERT_EQUAL(settings.priority, 100);
    CU_ASSERT_STRING_EQUAL(settings.location, "default");
    CU_ASSERT_EQUAL(settings.failover, FAILOVER_AUTOMATIC);
    CU_ASSERT_EQUAL(settings.rejoin, REJOIN_REWIND);
    CU_ASSERT_EQUAL(settings.start_latch, 1);
    CU_ASSERT_STRING_EQUAL(settings.peer_listen, "0.0.0.0:7654");
    CU_ASSERT_STRING_EQUAL(settings.peer_advertise, "h1:7654");
    CU_ASSERT_STRING_EQUAL(settings.control_socket, "/run/raftmgr/control.sock");
    CU_ASSERT_STRING_EQUAL(settings.state_directory, "/var/lib/raftmgr");
    CU_ASSERT_EQUAL(settings.policy.failure_timeout_ms, 2000);
    CU_ASSERT_EQUAL(settings.policy.lease_ttl_ms, 4000);
    CU_ASSERT_EQUAL(settings.policy.guard_kill_time_ms, 250);
    CU_ASSERT_EQUAL(settings.policy.raft_election_timeout_ms, 500);
    CU_ASSERT_EQUAL(settings.policy.raft_heartbeat_ms, 50);
    CU_ASSERT_EQUAL(settings.policy.primary_start_timeout_ms, 0);
    CU_ASSERT_EQUAL(settings.policy.durability, DURABILITY_QUORUM);
    CU_ASSERT_EQUAL(settings.policy.synchronous_count, 1);
    CU_ASSERT_EQUAL(settings.policy.maximum_lag_on_failover_bytes, 1u << 20);
    CU_ASSERT_EQUAL(settings.policy.fence_wait, FENCE_WAIT_LEASE);
}

static void every_row(void)
{
    char text[SETTING_TEXT_SIZE];
    char again[SETTING_TEXT_SIZE];
    const struct setting *row;
    struct err err;

    settings_init(&settings);
    for (size_t i = 0; (row = settings_row(i)); i++) {
        CU_ASSERT_PTR_EQUAL(settings_find(row->name), row);
        CU_ASSERT(strlen(row->text) > 10);
        settings_get(&settings, row, text, sizeof text);
        CU_ASSERT(!row->fallback[0] || !strcmp(row->fallback, text));
        if (!row->fallback[0])
            continue;
        CU_ASSERT_EQUAL(settings_put(&settings, row, text, &err), 0);
        settings_get(&settings, row, again, sizeof again);
        CU_ASSERT_STRING_EQUAL(text, again);
    }
    CU_ASSERT_STRING_EQUAL(settings_heading(0), "The node");
    CU_ASSERT_PTR_NULL(settings_heading(1));
}

static void words_and_units(void)
{
    accepts(DATA_NODE "failure_timeout = 1500ms\nlease_ttl = '2 s'\nmaximum_lag_on_failover = 16MB\n"
                      "node_kind = DATA\nlog_level = notice\nstart_latch = no\nprimary_start_timeout = 1min\n");
    CU_ASSERT_EQUAL(settings.policy.failure_timeout_ms, 1500);
    CU_ASSERT_EQUAL(settings.policy.lease_ttl_ms, 2000);
    CU_ASSERT_EQUAL(settings.policy.primary_start_timeout_ms, 60000);
    CU_ASSERT_EQUAL(settings.policy.maximum_lag_on_failover_bytes, 16u << 20);
    CU_ASSERT_EQUAL(settings.log_level, 2);
    CU_ASSERT_EQUAL(settings.start_latch, 0);
    accepts(DATA_NODE "maximum_lag_on_failover = 0\nlog_level = EMERG\n");
    CU_ASSERT_EQUAL(settings.policy.maximum_lag_on_failover_bytes, 0);
    CU_ASSERT_EQUAL(settings.log_level, 0);

    refuses(DATA_NODE "failure_timeout = 2\n", "raftmgr.conf:7: failure_timeout must be a whole number and a unit (ms");
    refuses(DATA_NODE "failure_timeout = 1.5s\n", "whole number and a unit");
    refuses(DATA_NODE "failure_timeout = 2m\n", "whole number and a unit");
    refuses(DATA_NODE "failure_timeout = 18446744073709551615h\n", "whole number and a unit");
    refuses(DATA_NODE "synchronous_count = -1\n", "must be a whole number, not '-1'");
    refuses(DATA_NODE "durability = sometimes\n", "durability must be one of async, quorum, strict, not 'sometimes'");
    refuses(DATA_NODE "log_level = loud\n", "log_level must be one of ERROR, WARNING, INFO, DEBUG, not 'loud'");
}

static void bounds(void)
{
    refuses(DATA_NODE "failure_timeout = 199ms\n", "failure_timeout must lie between 200ms and 1min, not 199ms");
    refuses(DATA_NODE "failure_timeout = 61s\n", "between");
    refuses(DATA_NODE "lease_ttl = 499ms\n", "lease_ttl must lie between 500ms and 2min, not 499ms");
    refuses(DATA_NODE "synchronous_count = 0\n", "between 1 and 8, not 0");
    refuses(DATA_NODE "synchronous_count = 9\n", "between 1 and 8");
    refuses(DATA_NODE "node_id = 0\n", "node_id must lie between 1");
    refuses(DATA_NODE "node_name = ''\n", "node_name must not be empty");
    refuses(DATA_NODE "node_name = 'n123456789012345678901234567890123456789012345678901234567890123'\n",
            "node_name is longer than 63");
    refuses(DATA_NODE "data_directory = 'd'\n", "data_directory must be an absolute path, not 'd'");
}

static void addresses(void)
{
    static const char *const wrong[] = {
        "", ":1", "h:", "h:0", "h:65536", "h:1x", "a b", "[::1", "[]", "[]:1", "h:1:2"
    };
    char text[ADDRESS_SIZE];
    const char *list;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CU_ASSERT_FALSE(settings_address(wrong[i], text, sizeof text));
    CU_ASSERT(settings_address("h", text, sizeof text) && !strcmp(text, "h:7654"));
    CU_ASSERT(settings_address("10.0.0.1:65535", text, sizeof text) && !strcmp(text, "10.0.0.1:65535"));
    CU_ASSERT(settings_address("[fe80::1]", text, sizeof text) && !strcmp(text, "[fe80::1]:7654"));
    CU_ASSERT_FALSE(settings_address("longer", text, 8));

    accepts(DATA_NODE "join = 'h2, h3:9  [::1]'\n");
    CU_ASSERT_STRING_EQUAL(settings.join, "h2:7654 h3:9 [::1]:7654");
    list = settings.join;
    CU_ASSERT(settings_next_address(&list, text, sizeof text) && !strcmp(text, "h2:7654"));
    CU_ASSERT(settings_next_address(&list, text, sizeof text) && settings_next_address(&list, text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "[::1]:7654");
    CU_ASSERT_FALSE(settings_next_address(&list, text, sizeof text));
    refuses(DATA_NODE "join = 'h2,h3:x'\n", "join must be a list of host:port");
    refuses(DATA_NODE "peer_advertise = '0.0.0.0:1'\n", "no address that another node could reach");
    refuses("node_id=1\nnode_name=w\nnode_kind=witness\nsecret_file='/s'\n", "peer_advertise is not set");
    accepts(WITNESS);
    CU_ASSERT_STRING_EQUAL(settings.peer_advertise, "h3:1");
}

static void required(void)
{
    refuses("", "node_id is not set");
    refuses("node_id=1\n", "node_name is not set");
    refuses("node_id=1\nnode_name=a\n", "conninfo is not set");
    refuses("node_id=1\nnode_name=a\nconninfo='host=x'\n", "data_directory is not set");
    refuses(WITNESS "data_directory = '/d'\n", "a witness has no PostgreSQL: take out data_directory");
    refuses(WITNESS "conninfo = 'host=x'\n", "take out conninfo");
}

static void contradictions(void)
{
    refuses(DATA_NODE "tls_cert_file = '/c'\n", "secret_file and certificates are both set");
    refuses(DATA_NODE "secret_file = ''\n", "neither secret_file nor certificates");
    refuses(DATA_NODE "secret_file = ''\ntls_cert_file = '/c'\ntls_ca_file = '/a'\n", "all of tls_cert_file");
    accepts(DATA_NODE "secret_file = ''\ntls_cert_file = '/c'\ntls_ca_file = '/a'\ntls_key_file = '/k'\n");
    refuses(DATA_NODE "raft_heartbeat = 101ms\n", "at least 5 times raft_heartbeat");
    accepts(DATA_NODE "raft_heartbeat = 100ms\n");
    refuses(DATA_NODE "guard_kill_time = 2s\n", "less than half of lease_ttl");
    refuses(DATA_NODE "state_directory = '/d/1/raft'\n", "must not lie in each other");
    refuses(DATA_NODE "state_directory = '/d'\n", "must not lie in each other");
    accepts(DATA_NODE "state_directory = '/d/11'\n");
    refuses(DATA_NODE "runtime_directory = '/d/1/run'\n", "must not lie in data_directory");
    refuses(DATA_NODE "runtime_directory = '/var/lib/raftmgr/run'\n", "must end with the boot");
    refuses(DATA_NODE "node_name = '*'\n", "must be ASCII without");
    refuses(DATA_NODE "node_name = 'a b'\n", "must be ASCII without");
    refuses(DATA_NODE "conninfo = 'host=a,b dbname=d'\n", "several hosts");
    refuses(DATA_NODE "conninfo = 'dbname=d hostaddr = 10.0.0.1,10.0.0.2'\n", "several hosts");
    refuses(DATA_NODE "conninfo = 'postgresql://u@a:1,b:2/d'\n", "several hosts");
    refuses(DATA_NODE "conninfo = 'postgresql:///d?host=a,b'\n", "several hosts");
    accepts(DATA_NODE "conninfo = 'host=a application_name=x,y'\n");
    accepts(DATA_NODE "conninfo = 'postgresql://u,v@a/d?application_name=x,y'\n");
    refuses(DATA_NODE "conninfo = 'host=h password=x'\n", "contains a password");
    refuses(DATA_NODE "conninfo = 'postgresql://u:x@h:5432/db'\n", "contains a password");
    accepts(DATA_NODE "conninfo = 'postgresql://u@h:5432/db'\n");
    accepts(DATA_NODE "conninfo = 'postgresql://h:5432/db?user=a@b'\n");
    refuses(DATA_NODE "watchdog = required\n", "watchdog must be off");
    refuses(DATA_NODE
            "runtime_directory = '/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaa'\n",
            "set control_socket");
}

static void warnings(void)
{
    accepts(DATA_NODE "lease_ttl = 1s\n");
    CU_ASSERT(noted(NOTE_WARNING, "lease_ttl (1000 ms) is below"));
    accepts(DATA_NODE "lease_ttl = 2250ms\n");
    CU_ASSERT_EQUAL(reader.note_count, 0);
}

static void names_of_repmgr(void)
{
    const char *why;
    const char *name;

    accepts(DATA_NODE "promote_command = 'x'\nloglevel = INFO\nnode_nam = y\n");
    CU_ASSERT(noted(NOTE_NOTICE, "raftmgr.conf:7: repmgr's parameter \"promote_command\" is not used: "));
    CU_ASSERT(noted(NOTE_WARNING, "raftmgr.conf:8: parameter \"loglevel\" was given up by repmgr"));
    CU_ASSERT(noted(NOTE_WARNING, "raftmgr.conf:9: unknown parameter \"node_nam\" is ignored"));
    for (size_t i = 0; (name = settings_repmgr_row(i, &why)); i++)
        CU_ASSERT_PTR_NULL(settings_find(name));
}

static void all_errors(void)
{
    char text[8192] = DATA_NODE;
    struct err err;

    for (int i = 0; i < SETTINGS_NOTES_MAX + 10; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "unknown_%d = 1\n", i);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "priority = x\nlocation = ''\n");
    CU_ASSERT_EQUAL(reads(text, &err), -ERR_CONFIG);
    CU_ASSERT_EQUAL(reader.error_count, 2);
    CU_ASSERT_EQUAL(reader.note_count, SETTINGS_NOTES_MAX);
    CU_ASSERT(noted(NOTE_ERROR, "location must not be empty"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(and 1 more)"));
}

static void policy_by_name(void)
{
    struct policy policy;
    struct policy before;
    char text[SETTING_TEXT_SIZE];
    struct err err;

    settings_policy_init(&policy);
    CU_ASSERT_EQUAL(settings_policy_set(&policy, "failure_timeout", "500ms", &err), 0);
    CU_ASSERT_EQUAL(policy.failure_timeout_ms, 500);
    CU_ASSERT_EQUAL(settings_policy_set(&policy, "durability", "strict", &err), 0);
    CU_ASSERT_EQUAL(policy.durability, DURABILITY_STRICT);
    CU_ASSERT_EQUAL(settings_policy_get(&policy, "durability", text, sizeof text), 0);
    CU_ASSERT_STRING_EQUAL(text, "strict");
    CU_ASSERT_EQUAL(settings_policy_get(&policy, "lease_ttl", text, sizeof text), 0);
    CU_ASSERT_STRING_EQUAL(text, "4s");
    CU_ASSERT_EQUAL(settings_policy_get(&policy, "node_id", text, sizeof text), -ERR_NOT_FOUND);

    before = policy;
    CU_ASSERT_EQUAL(settings_policy_set(&policy, "nonsense", "1", &err), -ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(settings_policy_set(&policy, "node_name", "x", &err), -ERR_REFUSED);
    CU_ASSERT_EQUAL(settings_policy_set(&policy, "lease_ttl", "500ms", &err), -ERR_CONFIG);
    CU_ASSERT_FALSE(settings_policy_diff(&before, &policy, text, sizeof text));

    policy.fence_wait = 2;
    CU_ASSERT_EQUAL(settings_policy_check(&policy, &err), -ERR_CONFIG);
    policy = before;
    policy.raft_heartbeat_ms = 3000000000u;
    CU_ASSERT_EQUAL(settings_policy_check(&policy, &err), -ERR_CONFIG);
}

static void differences(void)
{
    struct policy one;
    struct policy other;
    struct settings file;
    char text[TEXT_SIZE];

    settings_policy_init(&one);
    other = one;
    CU_ASSERT_FALSE(settings_policy_diff(&one, &other, text, sizeof text));
    other.lease_ttl_ms = 6000;
    other.durability = DURABILITY_ASYNC;
    CU_ASSERT(settings_policy_diff(&one, &other, text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "lease_ttl is 4s in the cluster and 6s in the file, "
                                 "durability is quorum in the cluster and async in the file");

    accepts(DATA_NODE);
    file = settings;
    CU_ASSERT_FALSE(settings_need_restart(&settings, &file, text, sizeof text));
    file.log_level = 3;
    CU_ASSERT_FALSE(settings_need_restart(&settings, &file, text, sizeof text));
    file.priority = 1;
    file.rejoin = REJOIN_CLONE;
    CU_ASSERT(settings_need_restart(&settings, &file, text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "priority rejoin");
}

static const struct unit_test tests[] = {
    { "a small file gives the documented defaults", defaults },
    { "every row reads what it writes", every_row },
    { "words and units", words_and_units },
    { "bounds hold and are named", bounds },
    { "addresses and lists of them", addresses },
    { "what a data node and a witness must and must not say", required },
    { "settings that contradict each other are refused", contradictions },
    { "what is unwise is only warned of", warnings },
    { "repmgr's parameters are accepted with a notice, unknown ones with a warning", names_of_repmgr },
    { "all errors are told, before everything else", all_errors },
    { "the cluster's settings by name", policy_by_name },
    { "what differs, as text", differences },
};

const struct unit_suite suite_settings = UNIT_SUITE("settings", tests);
