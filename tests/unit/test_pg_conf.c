/* test_pg_conf.c - raftmgr's settings file: what is written is read back, and it wins over what else sets its names. */
#include "unit.h"

#include "pg/conf.h"

static struct pg_conf example(void)
{
    struct pg_conf conf = {
        .upstream = 3,
        .slot = "repmgr_slot_2",
        .sync_count = 2,
        .sync_name_count = 3,
        .demand_version = 18,
        .token = { 281474976710657 },
        .agent_only = true,
        .source = 0xfedcba9876543210,
    };

    (void)text_copy(conf.sync_names[0], NAME_SIZE, "plain");
    (void)text_copy(conf.sync_names[1], NAME_SIZE, "it's \"odd\", too");
    (void)text_copy(conf.sync_names[2], NAME_SIZE, "back\\slash)");
    return conf;
}

static void render(const struct pg_conf *conf, const struct conf_extra *extra, struct buf *text)
{
    buf_init(text, CONF_BYTES_MAX);
    conf_render(conf, extra, text);
    buf_put_u8(text, 0);
    CU_ASSERT_FALSE_FATAL(text->failed);
}

static void reads_back_what_it_wrote(void)
{
    struct pg_conf conf = example();
    struct pg_conf back;
    struct conf_extra extra = { .latch = "/run/x/latch", .primary_conninfo = "host=a password='it''s'", .written = 77 };
    uint64_t written;
    AUTO(buf) text;

    render(&conf, &extra, &text);
    CU_ASSERT_TRUE_FATAL(conf_parse((const char *)text.bytes, &back, &written));
    CU_ASSERT_EQUAL(written, 77);
    CU_ASSERT_EQUAL(back.upstream, conf.upstream);
    CU_ASSERT_STRING_EQUAL(back.slot, conf.slot);
    CU_ASSERT_EQUAL(back.sync_count, conf.sync_count);
    CU_ASSERT_EQUAL_FATAL(back.sync_name_count, conf.sync_name_count);
    for (uint32_t i = 0; i < conf.sync_name_count; i++)
        CU_ASSERT_STRING_EQUAL(back.sync_names[i], conf.sync_names[i]);
    CU_ASSERT_EQUAL(back.demand_version, conf.demand_version);
    CU_ASSERT_TRUE(token_is(back.token, conf.token));
    CU_ASSERT_EQUAL(back.agent_only, conf.agent_only);
    CU_ASSERT_EQUAL(back.source, conf.source);
}

static void refuses_a_part_of_itself(void)
{
    struct pg_conf conf = example();
    struct pg_conf back;
    struct conf_extra extra = { .primary_conninfo = "host=a", .written = 77 };
    uint64_t written;
    AUTO(buf) text;

    render(&conf, &extra, &text);
    char *last = strstr((char *)text.bytes, "raftmgr.written");
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    *last = '\0';
    CU_ASSERT_FALSE(conf_parse((const char *)text.bytes, &back, &written));
    CU_ASSERT_FALSE(conf_parse("", &back, &written));
    CU_ASSERT_FALSE(conf_parse("port = 5432\n", &back, &written));
}

static void detached_has_no_source_of_wal(void)
{
    struct pg_conf conf = example();
    struct conf_extra extra = { .primary_conninfo = "host=a" };
    AUTO(buf) text;
    AUTO(buf) rewinding;

    conf.upstream = 0;
    render(&conf, &extra, &text);
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)text.bytes, "\nprimary_conninfo = ''\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)text.bytes, "\nprimary_slot_name = ''\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)text.bytes, "\nrestore_command = ''\n"));
    extra.keep_restore = true;
    render(&conf, &extra, &rewinding);
    CU_ASSERT_PTR_NULL(strstr((const char *)rewinding.bytes, "restore_command"));
}

static void attached_keeps_the_operators_archive(void)
{
    struct pg_conf conf = example();
    struct conf_extra extra = { .primary_conninfo = "host=a password=it's\\" };
    AUTO(buf) text;

    render(&conf, &extra, &text);
    CU_ASSERT_PTR_NULL(strstr((const char *)text.bytes, "restore_command"));
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)text.bytes, "primary_conninfo = 'host=a password=it''s\\\\'\n"));
}

/* PostgreSQL 13 reads restore_command at a start only: what is to be empty in a fence has to be so from the start on.
 */
static void before_14_a_standby_has_no_archive(void)
{
    struct pg_conf conf = example();
    struct conf_extra extra = { .primary_conninfo = "host=a", .major = 13 };
    AUTO(buf) old;
    AUTO(buf) new;
    AUTO(buf) rewinding;

    render(&conf, &extra, &old);
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)old.bytes, "\nrestore_command = ''\n"));
    extra.major = 14;
    render(&conf, &extra, &new);
    CU_ASSERT_PTR_NULL(strstr((const char *)new.bytes, "restore_command"));
    conf.upstream = 0;
    extra = (struct conf_extra){ .keep_restore = true, .major = 13 };
    render(&conf, &extra, &rewinding);
    CU_ASSERT_PTR_NULL(strstr((const char *)rewinding.bytes, "restore_command"));
}

static void sync_names_are_quoted(void)
{
    struct pg_conf conf = example();
    char value[CONF_VALUE_MAX];

    conf_sync_value(&conf, value, sizeof value);
    CU_ASSERT_STRING_EQUAL(value, "ANY 2 (\"plain\",\"it's \"\"odd\"\", too\",\"back\\slash)\")");
    conf.sync_count = 0;
    conf_sync_value(&conf, value, sizeof value);
    CU_ASSERT_STRING_EQUAL(value, "");
}

static void longest_names_fit(void)
{
    struct pg_conf conf = { .sync_count = 16, .sync_name_count = MEMBERS_MAX };
    char value[CONF_VALUE_MAX];

    for (size_t i = 0; i < MEMBERS_MAX; i++)
        memset(conf.sync_names[i], '"', NAME_SIZE - 1);
    conf_sync_value(&conf, value, sizeof value);
    CU_ASSERT_TRUE(strlen(value) < sizeof value);
    CU_ASSERT_EQUAL(value[strlen(value) - 1], ')');
}

static void strips_its_names_from_auto_conf(void)
{
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    unsigned count = conf_strip("# by ALTER SYSTEM\nwork_mem = '4MB'\nPrimary_Conninfo = 'host=x'\n"
                                "synchronous_standby_names='a'\nprimary_conninfo_x = '1'\n",
                                &text);
    buf_put_u8(&text, 0);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_STRING_EQUAL((const char *)text.bytes, "# by ALTER SYSTEM\nwork_mem = '4MB'\nprimary_conninfo_x = '1'\n");
}

static void count_clash(void *ctx, const char *name)
{
    unsigned *count = ctx;

    *count += strcmp(name, "wal_log_hints") == 0;
}

static void names_what_clashes(void)
{
    unsigned count = 0;

    conf_clashes("wal_log_hints = off\n#wal_log_hints = off\nport = 1\n", count_clash, &count);
    CU_ASSERT_EQUAL(count, 1);
}

/* conf_include's answer and text. */
static bool include(const char *from, const char *path, const char *expected)
{
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    bool changed = conf_include(from, path, &text);
    buf_put_u8(&text, 0);
    CU_ASSERT_STRING_EQUAL((const char *)text.bytes, expected);
    return changed;
}

static void includes_itself_last_and_once(void)
{
    CU_ASSERT_TRUE(include("port = 1", CONF_FILE, "port = 1\ninclude '" CONF_FILE "'\n"));
    CU_ASSERT_FALSE(
        include("port = 1\ninclude '" CONF_FILE "'\n# end\n", CONF_FILE, "port = 1\n# end\ninclude '" CONF_FILE "'\n"));
    CU_ASSERT_TRUE(include("include '" CONF_FILE "'\nport = 1\n", CONF_FILE, "port = 1\ninclude '" CONF_FILE "'\n"));
    CU_ASSERT_TRUE(include("include = '/other/" CONF_FILE "'\ninclude 'mine.conf'\n", "/data/" CONF_FILE,
                           "include 'mine.conf'\ninclude '/data/" CONF_FILE "'\n"));
}

static const struct unit_test tests[] = {
    { "what was written is read back, odd names included", reads_back_what_it_wrote },
    { "a file that was cut short is not taken", refuses_a_part_of_itself },
    { "detached: no primary, no slot, no archive", detached_has_no_source_of_wal },
    { "attached: the operator's restore_command stays in force", attached_keeps_the_operators_archive },
    { "before 14: no archive while attached either, but for a rewind", before_14_a_standby_has_no_archive },
    { "synchronous_standby_names quotes names", sync_names_are_quoted },
    { "sixteen names of the worst kind fit", longest_names_fit },
    { "lines of postgresql.auto.conf that would win are left out, others stay", strips_its_names_from_auto_conf },
    { "clashing names are found, comments are not", names_what_clashes },
    { "postgresql.conf includes it once, as its last setting", includes_itself_last_and_once },
};

const struct unit_suite suite_pg_conf = UNIT_SUITE("pg_conf", tests);
