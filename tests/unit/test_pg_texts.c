/*
 * test_pg_texts.c - texts that PostgreSQL and the operator write: postmaster.pid, pg_hba.conf, connection strings, rows
 * of walsenders, the last words of pg_waldump.
 */
#include "unit.h"

#include "pg/conninfo.h"
#include "pg/hba.h"
#include "pg/held.h"
#include "pg/look.h"
#include "pg/postmaster.h"

static void reads_postmaster_pid(void)
{
    struct postmaster_file file;

    CU_ASSERT_TRUE_FATAL(
        postmaster_parse("14486\n/data\n1795372459\n7501\n/run/pg\n*\n  1302    131130\nready   \n", &file));
    CU_ASSERT_EQUAL(file.pid, 14486);
    CU_ASSERT_EQUAL(file.port, 7501);
    CU_ASSERT_STRING_EQUAL(file.socket_directory, "/run/pg");
    CU_ASSERT_STRING_EQUAL(file.listen_address, "*");
    CU_ASSERT_EQUAL(file.status, POSTMASTER_READY);
}

static void a_short_postmaster_pid_means_starting(void)
{
    struct postmaster_file file;

    CU_ASSERT_TRUE_FATAL(postmaster_parse("14486\n/data\n1795372459\n", &file));
    CU_ASSERT_EQUAL(file.status, POSTMASTER_STARTING);
    CU_ASSERT_FALSE(postmaster_parse("-14486\n/data\n", &file)); /* a single-user server */
    CU_ASSERT_FALSE(postmaster_parse("", &file));
}

static void narrow(const char *rules, const char *expected)
{
    AUTO(buf) text;

    buf_init(&text, 4096);
    hba_narrow(rules, "repmgr", &text);
    buf_put_u8(&text, 0);
    const char *after_comment = strchr((const char *)text.bytes, '\n') + 1;
    CU_ASSERT_STRING_EQUAL(after_comment, expected);
}

static void only_the_agent_gets_in(void)
{
    narrow("host all all 0.0.0.0/0 scram-sha-256\n", "host all \"repmgr\" 0.0.0.0/0 scram-sha-256\n");
    narrow("host app app 10.0.0.0/8 md5\n", "");
    narrow("local all postgres,repmgr peer map=x\n", "local all \"repmgr\" peer map=x\n");
    narrow("hostssl repmgr \"repmgr\" 10.1.1.1/32 cert # us\n", "hostssl repmgr \"repmgr\" 10.1.1.1/32 cert # us\n");
    narrow("host all +dba 0.0.0.0/0 trust\n# comment\n\ninclude other.conf\n", "");
}

static void refusals_stay_refusals(void)
{
    narrow("host all all 10.9.0.0/16 reject\nhost all all all md5\n",
           "host all \"repmgr\" 10.9.0.0/16 reject\nhost all \"repmgr\" all md5\n");
}

static void standbys_still_get_in(void)
{
    narrow("host replication all 10.0.0.0/8 scram-sha-256\n", "host replication all 10.0.0.0/8 scram-sha-256\n");
}

static void upstream_conninfo_is_made_for_replication(void)
{
    struct err err;
    struct conninfo_facts facts;
    AUTO(buf) text;

    buf_init(&text, 8192);
    CU_ASSERT_EQUAL_FATAL(conninfo_for_upstream("host=b port=5433 user=repmgr dbname=repmgr connect_timeout=9 "
                                                "password='it\\'s' application_name=x",
                                                "node 2", "repl", "/etc/pass", &text, &err),
                          0);
    buf_put_u8(&text, 0);
    const char *made = (const char *)text.bytes;
    CU_ASSERT_EQUAL_FATAL(conninfo_read(made, &facts, &err), 0);
    CU_ASSERT_STRING_EQUAL(facts.host, "b");
    CU_ASSERT_STRING_EQUAL(facts.user, "repl");
    CU_ASSERT_STRING_EQUAL(facts.password, "it's");
    CU_ASSERT_STRING_EQUAL(facts.dbname, "");
    CU_ASSERT_PTR_NOT_NULL(strstr(made, "application_name='node 2'"));
    CU_ASSERT_PTR_NOT_NULL(strstr(made, "connect_timeout=2"));
    CU_ASSERT_PTR_NULL(strstr(made, "application_name=x"));
}

static void no_password_on_a_command_line(void)
{
    struct err err;
    char env[CONNINFO_ENV_SIZE];
    AUTO(buf) text;

    buf_init(&text, 8192);
    CU_ASSERT_EQUAL(conninfo_for_program("host=b user=u password=hush", "", "", &text, env, &err), 0);
    CU_ASSERT_PTR_NULL(strstr((const char *)text.bytes, "hush"));
    CU_ASSERT_STRING_EQUAL(env, "PGPASSWORD=hush");
    CU_ASSERT_EQUAL(conninfo_read("host=b nonsense", &(struct conninfo_facts){ 0 }, &err), -ERR_CONFIG);
}

static void knows_what_needs_no_name_service(void)
{
    CU_ASSERT_TRUE(conninfo_is_numeric("10.0.0.1") && conninfo_is_numeric("fe80::1"));
    CU_ASSERT_TRUE(conninfo_is_numeric("/run/postgresql") && conninfo_is_numeric(""));
    CU_ASSERT_FALSE(conninfo_is_numeric("db1") || conninfo_is_numeric("10.0.0"));
}

static void reads_walsenders(void)
{
    struct walsender_seen seen[2];

    uint32_t count =
        look_walsenders("b\t123\t1700000000000001\t1\t1\t4096\t4000\t1700000000000002\t15\trepmgr_slot_12\n"
                        "a name\t124\t5\t0\t0\t0\t0\t0\t0\t-\nthird\t1\t1\t1\t1\t1\t1\t1\t1",
                        seen, 2);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_STRING_EQUAL(seen[0].name, "b");
    CU_ASSERT_EQUAL(seen[0].pid, 123);
    CU_ASSERT_EQUAL(seen[0].started_us, 1700000000000001);
    CU_ASSERT_TRUE(seen[0].streaming && seen[0].synchronous);
    CU_ASSERT_EQUAL(seen[0].flushed.at, 4096);
    CU_ASSERT_EQUAL(seen[0].replayed.at, 4000);
    CU_ASSERT_EQUAL(seen[0].replied_us, 1700000000000002);
    CU_ASSERT_EQUAL(seen[0].lag_us, 15);
    CU_ASSERT_EQUAL(seen[0].slot_node, 12);
    CU_ASSERT_STRING_EQUAL(seen[1].name, "a name");
    CU_ASSERT_FALSE(seen[1].streaming || seen[1].synchronous);
    CU_ASSERT_EQUAL(seen[1].slot_node, -1);
    CU_ASSERT_EQUAL(look_walsenders("b\t1\t1\t1\t1\t1\t1\t1\t1\trepmgr_slot_12x\n", seen, 2), 1);
    CU_ASSERT_EQUAL(seen[0].slot_node, -1);
    CU_ASSERT_EQUAL(look_walsenders("", seen, 2), 0);
}

static void understands_pg_waldump(void)
{
    CU_ASSERT_EQUAL(
        held_parse("pg_waldump: fatal: error in WAL record at 0/301A0C0: invalid record length at 0/301A0F8:"
                   " wanted 24, got 0\n")
            .at,
        0x301A0F8);
    CU_ASSERT_EQUAL(held_parse("pg_waldump: error: could not find a valid record after 1/301A0C0\n").at, 0x10301A0C0);
    CU_ASSERT_EQUAL(held_parse("pg_waldump: error: could not open directory\n").at, 0);
}

static const struct unit_test tests[] = {
    { "postmaster.pid", reads_postmaster_pid },
    { "a postmaster.pid without a status is a starting server's", a_short_postmaster_pid_means_starting },
    { "agent only: others' rules go, rules for all are the agent's", only_the_agent_gets_in },
    { "agent only: a refusal is not turned into a way in", refusals_stay_refusals },
    { "agent only: replication goes on", standbys_still_get_in },
    { "primary_conninfo from an upstream's conninfo", upstream_conninfo_is_made_for_replication },
    { "passwords go by the environment", no_password_on_a_command_line },
    { "addresses and names are told apart", knows_what_needs_no_name_service },
    { "walsenders, no more than there is room for", reads_walsenders },
    { "the end of WAL in pg_waldump's words", understands_pg_waldump },
};

const struct unit_suite suite_pg_texts = UNIT_SUITE("pg_texts", tests);
