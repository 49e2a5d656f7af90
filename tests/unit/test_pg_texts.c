/*
 * test_pg_texts.c - texts that PostgreSQL and the operator write: postmaster.pid, pg_hba.conf, connection strings, rows
 * of walsenders, the last words of pg_waldump, versions.
 */
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/conninfo.h"
#include "pg/hba.h"
#include "pg/held.h"
#include "pg/look.h"
#include "pg/postmaster.h"
#include "pg/programs.h"

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
    (void)hba_narrow(rules, "repmgr", true, &text);
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
    narrow("host app, repmgr app,\trepmgr 10.0.0.0/8 md5\n", "host app,repmgr \"repmgr\" 10.0.0.0/8 md5\n");
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
    narrow("host all,replication repl 10.0.0.0/8 md5\n", "host replication repl 10.0.0.0/8 md5\n");
    narrow("host replication,repmgr all 10.0.0.0/8 md5\n",
           "host replication all 10.0.0.0/8 md5\nhost replication,repmgr \"repmgr\" 10.0.0.0/8 md5\n");
    narrow("host \"replication\" app 10.0.0.0/8 md5\n", ""); /* a database of that name */
    narrow("host all \"all\" 10.0.0.0/8 md5\n", "");         /* a user of that name */
}

/* Else it would lock itself out and wait for its own connection in vain. */
static void no_rule_for_the_agent_is_told(void)
{
    AUTO(buf) text;

    buf_init(&text, 4096);
    CU_ASSERT_FALSE(
        hba_narrow("host all +agents 10.0.0.0/8 md5\nhost replication repl all md5\n", "repmgr", true, &text));
    CU_ASSERT_FALSE(hba_narrow("host all repl all md5\n", "repmgr", true, &text));
    CU_ASSERT_TRUE(hba_narrow("host all repl all md5\nlocal all all peer\n", "repmgr", true, &text));
}

static void lines_go_on_from_14(void)
{
    static const char rules[] = "# never \\\nhost all all all trust\nhost all \\\n  all all md5\n";
    AUTO(buf) old;
    AUTO(buf) new;

    buf_init(&old, 4096);
    buf_init(&new, 4096);
    (void)hba_narrow(rules, "u", true, &new);
    buf_put_u8(&new, 0);
    CU_ASSERT_STRING_EQUAL(strchr((const char *)new.bytes, '\n') + 1, "host all \"u\" all md5\n");
    (void)hba_narrow(rules, "u", false, &old);
    buf_put_u8(&old, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)old.bytes, "\nhost all \"u\" all trust\n"));
}

static void write_rules(const char *directory, const char *name, const char *text)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static void remove_rules(const char *directory, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    CU_ASSERT_EQUAL(remove(path), 0);
}

/* PostgreSQL 16: relative to the including file, directories by name, a missing file is an error unless allowed. */
static void included_rules_stand_in_their_place(void)
{
    char directory[] = "/tmp/raftmgr-unit-XXXXXX";
    char sub[64];
    char path[64];
    struct err err;
    AUTO(buf) text;
    AUTO(buf) broken;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    (void)snprintf(sub, sizeof sub, "%s/d", directory);
    (void)snprintf(path, sizeof path, "%s/main", directory);
    CU_ASSERT_EQUAL_FATAL(mkdir(sub, 0700), 0);
    write_rules(directory, "main", "one\ninclude \"sub\" # x\ninclude_if_exists none\ninclude_dir d\nlast");
    write_rules(directory, "sub", "two\n");
    write_rules(sub, "b.conf", "four\n");
    write_rules(sub, "a.conf", "three\n");
    write_rules(sub, "a.txt", "never\n");
    buf_init(&text, 4096);
    CU_ASSERT_EQUAL(hba_read(path, &text, &err), 0);
    buf_put_u8(&text, 0);
    CU_ASSERT_STRING_EQUAL((const char *)text.bytes, "one\ntwo\nthree\nfour\nlast\n");
    write_rules(directory, "sub", "include main\n");
    buf_init(&broken, 1 << 16);
    CU_ASSERT_EQUAL(hba_read(path, &broken, &err), -ERR_CONFIG); /* in a circle */
    remove_rules(directory, "sub");
    CU_ASSERT_EQUAL(hba_read(path, &broken, &err), -ERR_NOT_FOUND);
    static const char *const names[] = { "d/a.conf", "d/b.conf", "d/a.txt", "d", "main", "" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        remove_rules(directory, names[i]);
}

/* The copy lies in another directory than the operator's file. */
static void lists_in_files_are_found_from_elsewhere(void)
{
    static const char rules[] =
        "host @dbs, @\"two words\",all,@/abs +g,x@y,\"@u\" 10.0.0.0/8 md5 # @no\nlocal all @b, md5\n";
    char directory[] = "/tmp/raftmgr-unit-XXXXXX";
    char expected[512];
    char path[64];
    struct err err;
    AUTO(buf) text;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/main", directory);
    write_rules(directory, "main", rules);
    buf_init(&text, 4096);
    CU_ASSERT_EQUAL(hba_read(path, &text, &err), 0);
    buf_put_u8(&text, 0);
    (void)snprintf(expected, sizeof expected,
                   "host @\"%s/\"dbs, @\"%s/two words\",all,@/abs +g,x@y,\"@u\" 10.0.0.0/8 md5 # @no\n"
                   "local all @\"%s/\"b, md5\n",
                   directory, directory, directory);
    CU_ASSERT_STRING_EQUAL((const char *)text.bytes, expected);
    remove_rules(directory, "main");
    remove_rules(directory, "");
}

static void upstream_conninfo_is_made_for_replication(void)
{
    struct err err;
    struct conninfo_facts facts;
    AUTO(buf) text;

    buf_init(&text, 8192);
    CU_ASSERT_EQUAL_FATAL(conninfo_for_upstream("host=b port=5433 user=repmgr dbname=repmgr connect_timeout=9 "
                                                "password='it\\'s' application_name=x",
                                                "node 2", "repl", "/etc/pass", 16, &text, &err),
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
    AUTO(buf) newer;
    buf_init(&newer, 8192);
    CU_ASSERT_EQUAL(conninfo_for_upstream("host=b dbname=repmgr", "b", "", "", 17, &newer, &err), 0);
    buf_put_u8(&newer, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)newer.bytes, "dbname=repmgr")); /* for sync_replication_slots */
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
    CU_ASSERT_EQUAL(look_walsenders("b\t1\t1\t1\t1\t1\t1\t1\t1\trepmgr_slot_12_77\n", seen, 2), 1);
    CU_ASSERT(seen[0].slot_node == 12 && seen[0].slot_no == 77);
    CU_ASSERT_EQUAL(look_walsenders("b\t1\t1\t1\t1\t1\t1\t1\t1\trepmgr_slot_12_077\n", seen, 2), 1);
    CU_ASSERT_EQUAL(seen[0].slot_node, -1);
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
    CU_ASSERT_EQUAL(/* PostgreSQL 16 and later */
                    held_parse(
                        "pg_waldump: error: error in WAL record at 0/301A0C0: invalid record length at 0/301A0F8:"
                        " expected at least 24, got 0\n")
                        .at,
                    0x301A0F8);
    CU_ASSERT_EQUAL(held_parse("pg_waldump: error: could not find a valid record after 1/301A0C0\n").at, 0x10301A0C0);
    CU_ASSERT_EQUAL(held_parse("pg_waldump: error: could not open directory\n").at, 0);
}

static void understands_versions(void)
{
    CU_ASSERT_EQUAL(programs_parse_version("pg_ctl (PostgreSQL) 13.16 (Debian 13.16-0+deb11u1)\n"), 13);
    CU_ASSERT_EQUAL(programs_parse_version("pg_ctl (PostgreSQL) 17.11\n"), 17);
    CU_ASSERT_EQUAL(programs_parse_version("pg_ctl (PostgreSQL) 18beta1\n"), 18);
    CU_ASSERT_EQUAL(programs_parse_version("pg_ctl: command not found 17\n"), 0);
    CU_ASSERT_EQUAL(programs_parse_version(""), 0);
}

static void programs_are_of_the_datas_version(void)
{
    char directory[] = "/tmp/raftmgr-unit-XXXXXX";
    char path[64];
    struct err err;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    CU_ASSERT_EQUAL(programs_match(directory, "/bin/17", 17, &err), 0); /* nothing to be of a version yet */
    (void)snprintf(path, sizeof path, "%s/PG_VERSION", directory);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, "13\n", 3, 0600, &err), 0);
    CU_ASSERT_EQUAL(programs_match(directory, "/bin/13", 13, &err), 0);
    CU_ASSERT_EQUAL(programs_match(directory, "/bin/17", 17, &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is of PostgreSQL 13, but the programs in '/bin/17' are of PostgreSQL 17"));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static const struct unit_test tests[] = {
    { "postmaster.pid", reads_postmaster_pid },
    { "a postmaster.pid without a status is a starting server's", a_short_postmaster_pid_means_starting },
    { "agent only: others' rules go, rules for all are the agent's", only_the_agent_gets_in },
    { "agent only: a refusal is not turned into a way in", refusals_stay_refusals },
    { "agent only: replication goes on", standbys_still_get_in },
    { "pg_hba.conf: no rule left for the agent is told", no_rule_for_the_agent_is_told },
    { "agent only: a rule over two lines, as from PostgreSQL 14 on", lines_go_on_from_14 },
    { "included rules stand where they are included", included_rules_stand_in_their_place },
    { "lists in files are found from elsewhere", lists_in_files_are_found_from_elsewhere },
    { "primary_conninfo from an upstream's conninfo", upstream_conninfo_is_made_for_replication },
    { "passwords go by the environment", no_password_on_a_command_line },
    { "addresses and names are told apart", knows_what_needs_no_name_service },
    { "walsenders, no more than there is room for", reads_walsenders },
    { "the end of WAL in pg_waldump's words", understands_pg_waldump },
    { "versions in programs' words", understands_versions },
    { "data and programs of different major versions are refused", programs_are_of_the_datas_version },
};

const struct unit_suite suite_pg_texts = UNIT_SUITE("pg_texts", tests);
