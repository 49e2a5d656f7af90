/*
 * test_pg_wal.c - what is read from a data directory that nobody answers for: the control file, where a checkpoint
 * record ends, which timeline WAL on disk is of, placeholders for reserved timelines.
 */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pg/wal.h"

#define SEGMENT (UINT64_C(1) << 20) /* the least that PostgreSQL allows */

static char data[512];

static void make(const char *name, const void *bytes, size_t length)
{
    char path[1024];
    struct err err;

    (void)snprintf(path, sizeof path, "%s/%s", data, name);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, bytes, length, 0600, &err), 0);
}

static void make_text(const char *name, const char *text)
{
    make(name, text, strlen(text));
}

static void fresh_directory(const char *name)
{
    char path[1024];

    (void)unit_path(data, sizeof data, name);
    CU_ASSERT_TRUE_FATAL(mkdir(data, 0700) == 0 || errno == EEXIST);
    (void)snprintf(path, sizeof path, "%s/pg_wal", data);
    CU_ASSERT_TRUE_FATAL(mkdir(path, 0700) == 0 || errno == EEXIST);
    (void)snprintf(path, sizeof path, "%s/global", data);
    CU_ASSERT_TRUE_FATAL(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static void put(uint8_t *bytes, size_t at, const void *value, size_t size)
{
    memcpy(bytes + at, value, size);
}

static void control_bytes(uint8_t bytes[64], uint32_t version, uint32_t state, uint64_t checkpoint)
{
    uint64_t identifier = 7300000000000000001;
    uint32_t timeline = 5;

    memset(bytes, 0, 64);
    put(bytes, 0, &identifier, 8);
    put(bytes, 8, &version, 4);
    put(bytes, 16, &state, 4);
    put(bytes, 32, &checkpoint, 8);
    put(bytes, 40, &checkpoint, 8);
    put(bytes, 48, &timeline, 4);
}

static void reads_the_control_file(void)
{
    uint8_t bytes[64];
    struct control control;
    struct err err;

    control_bytes(bytes, 1300, 1, 0x2000028);
    CU_ASSERT_EQUAL_FATAL(control_parse(bytes, sizeof bytes, &control, &err), 0);
    CU_ASSERT_EQUAL(control.system_identifier, 7300000000000000001);
    CU_ASSERT_EQUAL(control.state, CONTROL_SHUT_DOWN);
    CU_ASSERT_EQUAL(control.checkpoint.at, 0x2000028);
    CU_ASSERT_EQUAL(control.timeline.no, 5);
}

static void refuses_a_strange_control_file(void)
{
    uint8_t bytes[64];
    struct control control;
    struct err err;

    control_bytes(bytes, 1201, 1, 0);
    CU_ASSERT_EQUAL(control_parse(bytes, sizeof bytes, &control, &err), -ERR_CORRUPT);
    control_bytes(bytes, 1300, 7, 0);
    CU_ASSERT_EQUAL(control_parse(bytes, sizeof bytes, &control, &err), -ERR_CORRUPT);
    CU_ASSERT_EQUAL(control_parse(bytes, 20, &control, &err), -ERR_CORRUPT);
}

/* A segment file of zeroes with this record length at an offset. */
static void make_segment(const char *name, size_t offset, uint32_t length)
{
    static uint8_t bytes[SEGMENT];
    char path[64];

    memset(bytes, 0, sizeof bytes);
    put(bytes, offset, &length, sizeof length);
    (void)snprintf(path, sizeof path, "pg_wal/%s", name);
    make(path, bytes, sizeof bytes);
}

static uint64_t end_of(uint64_t checkpoint)
{
    struct control control = { .state = CONTROL_SHUT_DOWN, .timeline = { 1 }, .checkpoint = { checkpoint } };
    struct lsn end = { 0 };
    struct err err;

    return control_end(data, &control, &end, &err) == 0 ? end.at : 0;
}

static void finds_the_end_of_the_checkpoint(void)
{
    fresh_directory("wal_end");
    make_segment("000000010000000000000001", 0x28, 114);
    CU_ASSERT_EQUAL(end_of(SEGMENT + 0x28), SEGMENT + 0x28 + 120);
    make_segment("000000010000000000000001", 0x1FE8, 114); /* 24 bytes on this page, the rest behind a page header */
    CU_ASSERT_EQUAL(end_of(SEGMENT + 0x1FE8), SEGMENT + 0x2000 + 24 + 96);
    make_segment("000000010000000000000001", SEGMENT - 24, 114); /* goes on in the next segment */
    CU_ASSERT_EQUAL(end_of(2 * SEGMENT - 24), 2 * SEGMENT + 40 + 96);
    make_segment("000000010000000000000001", 0x2000 - 120,
                 114); /* ends with the page: the next header is not its own */
    CU_ASSERT_EQUAL(end_of(SEGMENT + 0x2000 - 120), SEGMENT + 0x2000);
    make_segment("000000010000000000000001", 0x28, 0);
    CU_ASSERT_EQUAL(end_of(SEGMENT + 0x28), 0);
}

static void names_segments(void)
{
    char name[WAL_NAME_SIZE];
    struct timeline timeline;
    uint64_t high;
    uint64_t low;

    wal_name((struct timeline){ 18 }, (struct lsn){ 0x1FF000028 }, 16 * SEGMENT, name);
    CU_ASSERT_STRING_EQUAL(name, "0000001200000001000000FF");
    CU_ASSERT_TRUE(wal_name_parse(name, &timeline, &high, &low));
    CU_ASSERT_EQUAL(timeline.no, 18);
    CU_ASSERT_EQUAL(high, 1);
    CU_ASSERT_EQUAL(low, 0xFF);
    CU_ASSERT_FALSE(wal_name_parse("0000001200000001000000FF.partial", &timeline, &high, &low));
    CU_ASSERT_FALSE(wal_name_parse("00000012.history", &timeline, &high, &low));
}

static uint32_t follow(uint32_t known, uint64_t end)
{
    return history_follow(data, (struct timeline){ known }, (struct lsn){ end }, SEGMENT).no;
}

static void follows_a_newer_timeline_on_disk(void)
{
    fresh_directory("wal_follow");
    make_segment("000000010000000000000003", 0, 0);
    make_segment("000000030000000000000003", 0, 0);
    make_text("pg_wal/00000002.history", "1\t0/28\treserved\n");
    make_text("pg_wal/00000003.history", "1\t0/300100\tno recovery target specified\n");
    CU_ASSERT_EQUAL(follow(1, 0x300180), 3);
    CU_ASSERT_EQUAL(follow(1, 0x300100), 1); /* ends where the new one begins: nothing of it is here */
    CU_ASSERT_EQUAL(follow(1, 0x400100), 1); /* no segment of it there */
    CU_ASSERT_EQUAL(follow(3, 0x300080), 3);
}

static void does_not_follow_what_a_rewind_left(void)
{
    fresh_directory("wal_stale");
    make_segment("000000050000000000000003", 0, 0);
    make_segment("000000090000000000000003", 0, 0); /* its history went with the rewind */
    CU_ASSERT_EQUAL(follow(5, 0x300180), 5);
    make_segment("000000060000000000000003", 0, 0); /* a stranger's child */
    make_text("pg_wal/00000006.history", "4\t0/300100\tno recovery target specified\n");
    CU_ASSERT_EQUAL(follow(5, 0x300180), 5);
}

static void tells_the_timeline_of_a_position(void)
{
    struct history history = { 2, { { { 1 }, { 0x100 } }, { { 3 }, { 0x200 } } } };

    CU_ASSERT_EQUAL(history_timeline_at(&history, (struct timeline){ 7 }, (struct lsn){ 0x100 }).no, 1);
    CU_ASSERT_EQUAL(history_timeline_at(&history, (struct timeline){ 7 }, (struct lsn){ 0x101 }).no, 3);
    CU_ASSERT_EQUAL(history_timeline_at(&history, (struct timeline){ 7 }, (struct lsn){ 0x200 }).no, 3);
    CU_ASSERT_EQUAL(history_timeline_at(&history, (struct timeline){ 7 }, (struct lsn){ 0x201 }).no, 7);
}

static bool there(uint32_t timeline)
{
    return history_exists(data, (struct timeline){ timeline });
}

static void reserves_numbers_and_gives_them_back(void)
{
    struct err err;

    fresh_directory("wal_reserve");
    make_text("pg_wal/00000003.history", "1\t0/300100\treal\n");
    CU_ASSERT_EQUAL(history_reserve(data, (struct timeline){ 1 }, (struct timeline){ 6 }, &err), 0);
    CU_ASSERT_TRUE(there(2) && there(3) && there(4) && there(5));
    CU_ASSERT_FALSE(there(6));
    CU_ASSERT_EQUAL(history_clean(data, (struct timeline){ 1 }, &err), 0);
    CU_ASSERT_TRUE(there(2) && there(3)); /* 2 is needed to find 3 */
    CU_ASSERT_FALSE(there(4) || there(5));
    CU_ASSERT_EQUAL(history_clean(data, (struct timeline){ 3 }, &err), 0);
    CU_ASSERT_TRUE(there(3));
}

static void refuses_numbers_that_cannot_be(void)
{
    struct err err;

    fresh_directory("wal_refuse");
    make_text("pg_wal/00000004.history", "1\t0/300100\treal\n");
    CU_ASSERT_EQUAL(history_reserve(data, (struct timeline){ 1 }, (struct timeline){ 4 }, &err), -ERR_REFUSED);
    CU_ASSERT_EQUAL(history_reserve(data, (struct timeline){ 3 }, (struct timeline){ 3 }, &err), -ERR_REFUSED);
    CU_ASSERT_EQUAL(history_reserve(data, (struct timeline){ 0 }, (struct timeline){ 3 }, &err), -ERR_REFUSED);
    CU_ASSERT_FALSE(there(2));
}

static const struct unit_test tests[] = {
    { "the control file's fields", reads_the_control_file },
    { "an unknown version or state and a short file are refused", refuses_a_strange_control_file },
    { "where a checkpoint record ends, across pages and segments", finds_the_end_of_the_checkpoint },
    { "names of segments", names_segments },
    { "a newer timeline counts once something of it is on disk", follows_a_newer_timeline_on_disk },
    { "segments that a rewind left or of strangers do not count", does_not_follow_what_a_rewind_left },
    { "a position at the switch belongs to the older timeline", tells_the_timeline_of_a_position },
    { "placeholders fill the gap, and go when nothing follows them", reserves_numbers_and_gives_them_back },
    { "a number that is taken or not above is refused", refuses_numbers_that_cannot_be },
};

const struct unit_suite suite_pg_wal = UNIT_SUITE("pg_wal", tests);
