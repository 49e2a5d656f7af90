/* test_buf.c - what is written is read back; nothing is written beyond the maximum, nothing read beyond the end. */
#include "unit.h"

#include "base/buf.h"
#include "base/rand.h"

static void written_is_read_back(void)
{
    AUTO(buf) buf = { 0 };
    char text[8];

    buf_init(&buf, 1000);
    buf_put_u8(&buf, 0xa1);
    buf_put_u16(&buf, 0xb1b2);
    buf_put_u32(&buf, 0xc1c2c3c4u);
    buf_put_u64(&buf, UINT64_MAX - 1);
    buf_put_text(&buf, "node b");
    CU_ASSERT_FALSE(buf.failed);
    CU_ASSERT_EQUAL(buf.length, 1 + 2 + 4 + 8 + 2 + 6);

    struct cursor cursor = cursor_of(buf.bytes, buf.length);
    CU_ASSERT_EQUAL(cursor_u8(&cursor), 0xa1);
    CU_ASSERT_EQUAL(cursor_u16(&cursor), 0xb1b2);
    CU_ASSERT_EQUAL(cursor_u32(&cursor), 0xc1c2c3c4u);
    CU_ASSERT_EQUAL(cursor_u64(&cursor), UINT64_MAX - 1);
    CU_ASSERT_FALSE(cursor_done(&cursor));
    cursor_text(&cursor, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "node b");
    CU_ASSERT_TRUE(cursor_done(&cursor));
}

static void integers_are_little_endian(void)
{
    static const uint8_t wanted[] = { 0x04, 0x03, 0x02, 0x01, 0x02, 0x00, 'o', 'k' };
    AUTO(buf) buf = { 0 };

    buf_init(&buf, 100);
    buf_put_u32(&buf, 0x01020304);
    buf_put_text(&buf, "ok");
    CU_ASSERT_EQUAL_FATAL(buf.length, sizeof wanted);
    CU_ASSERT_EQUAL(memcmp(buf.bytes, wanted, sizeof wanted), 0);
}

static void maximum_is_reached_and_kept(void)
{
    AUTO(buf) buf = { 0 };

    buf_init(&buf, 1000);
    for (int i = 0; i < 250; i++)
        buf_put_u32(&buf, 7);
    CU_ASSERT_FALSE(buf.failed);
    CU_ASSERT_EQUAL(buf.length, 1000);
    CU_ASSERT_TRUE(buf.capacity <= 1000);
    buf_put_u8(&buf, 1);
    CU_ASSERT_TRUE(buf.failed);
    CU_ASSERT_EQUAL(buf.length, 1000);
}

static void writer_fails_for_good(void)
{
    uint8_t bytes[20] = { 0 };
    AUTO(buf) buf = { 0 };

    buf_init(&buf, 16);
    buf_put(&buf, bytes, sizeof bytes);
    CU_ASSERT_TRUE(buf.failed);
    buf_put_u8(&buf, 1);
    CU_ASSERT_TRUE(buf.failed);
    CU_ASSERT_EQUAL(buf.length, 0);
    buf_release(&buf);
    CU_ASSERT_FALSE(buf.failed);
    buf_put_u8(&buf, 1);
    CU_ASSERT_EQUAL(buf.length, 1);
}

static void text_too_long_for_its_length_fails(void)
{
    static char text[UINT16_MAX + 2];
    AUTO(buf) buf = { 0 };

    memset(text, 'x', sizeof text - 1);
    buf_init(&buf, 2 * sizeof text);
    buf_put_text(&buf, text);
    CU_ASSERT_TRUE(buf.failed);
    CU_ASSERT_EQUAL(buf.length, 0);
}

static void reader_fails_for_good_and_gives_zero(void)
{
    static const uint8_t bytes[] = { 1, 2, 3 };
    struct cursor cursor = cursor_of(bytes, sizeof bytes);

    CU_ASSERT_EQUAL(cursor_u32(&cursor), 0);
    CU_ASSERT_TRUE(cursor.failed);
    CU_ASSERT_EQUAL(cursor_u8(&cursor), 0);
    CU_ASSERT_FALSE(cursor_done(&cursor));
}

static void empty_input_is_done(void)
{
    struct cursor cursor = cursor_of(NULL, 0);

    CU_ASSERT_TRUE(cursor_done(&cursor));
    CU_ASSERT_EQUAL(cursor_u8(&cursor), 0);
    CU_ASSERT_FALSE(cursor_done(&cursor));
}

static void text_must_fit_with_its_terminator(void)
{
    static const uint8_t bytes[] = { 4, 0, 'a', 'b', 'c', 'd' };
    char text[5];
    char small[4];

    struct cursor cursor = cursor_of(bytes, sizeof bytes);
    cursor_text(&cursor, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "abcd");
    cursor = cursor_of(bytes, sizeof bytes);
    cursor_text(&cursor, small, sizeof small);
    CU_ASSERT_TRUE(cursor.failed);
    CU_ASSERT_STRING_EQUAL(small, "");
}

static void text_with_zero_or_cut_short_fails(void)
{
    static const uint8_t zero[] = { 3, 0, 'a', 0, 'c' };
    static const uint8_t cut[] = { 9, 0, 'a', 'b' };
    char text[16];

    struct cursor cursor = cursor_of(zero, sizeof zero);
    cursor_text(&cursor, text, sizeof text);
    CU_ASSERT_TRUE(cursor.failed);
    cursor = cursor_of(cut, sizeof cut);
    cursor_text(&cursor, text, sizeof text);
    CU_ASSERT_TRUE(cursor.failed);
    CU_ASSERT_STRING_EQUAL(text, "");
}

/* Any bytes at all: reading stays inside them (the sanitizers watch) and ends. */
static void any_bytes_are_read_safely(void)
{
    struct rand rand;

    rand_seed(&rand, 1);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[40];
        size_t length = (size_t)rand_below(&rand, sizeof bytes + 1);
        char text[12];
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)rand_below(&rand, 16);
        struct cursor cursor = cursor_of(bytes, length);
        for (int step = 0; step < 20 && !cursor.failed; step++) {
            if (rand_below(&rand, 2))
                cursor_text(&cursor, text, sizeof text);
            else
                (void)cursor_u32(&cursor);
            CU_ASSERT_TRUE_FATAL(cursor.at <= length);
        }
        CU_ASSERT_TRUE_FATAL(cursor.failed);
    }
}

static const struct unit_test tests[] = {
    { "what is written is read back", written_is_read_back },
    { "integers are little endian", integers_are_little_endian },
    { "the maximum can be reached and not passed", maximum_is_reached_and_kept },
    { "a writer that failed fails until released", writer_fails_for_good },
    { "a text longer than its length field fails", text_too_long_for_its_length_fails },
    { "a reader past the end gives zero and fails for good", reader_fails_for_good_and_gives_zero },
    { "nothing to read is done", empty_input_is_done },
    { "a text must fit with its terminator", text_must_fit_with_its_terminator },
    { "a text with a zero byte, or cut short, fails", text_with_zero_or_cut_short_fails },
    { "any bytes are read safely", any_bytes_are_read_safely },
};

const struct unit_suite suite_buf = UNIT_SUITE("buf", tests);
