/* test_clock.c - time since boot never goes back; moments are shown in UTC. */
#include "unit.h"

#include "base/clock.h"

static void boot_clock_never_goes_back(void)
{
    int64_t last_us = clock_boot_us();

    CU_ASSERT_TRUE(last_us > 0);
    for (int i = 0; i < 10000; i++) {
        int64_t now_us = clock_boot_us();
        CU_ASSERT_TRUE_FATAL(now_us >= last_us);
        last_us = now_us;
    }
}

/* The kernel's own account of the time since boot, suspend included (proc(5)), read before and after. */
static void boot_clock_is_uptime(void)
{
    double seconds = 0;
    FILE *uptime = fopen("/proc/uptime", "re");

    CU_ASSERT_PTR_NOT_NULL_FATAL(uptime);
    int64_t before_us = clock_boot_us();
    int got = fscanf(uptime, "%lf", &seconds);
    int64_t after_us = clock_boot_us();
    (void)fclose(uptime);
    CU_ASSERT_EQUAL_FATAL(got, 1);
    int64_t shown_us = (int64_t)(seconds * 1e6);
    CU_ASSERT_TRUE(shown_us > before_us - 1000000);
    CU_ASSERT_TRUE(shown_us < after_us + 1000000);
}

static void wall_clock_counts_from_1970(void)
{
    CU_ASSERT_TRUE(clock_wall_us() > INT64_C(1700000000000000));
}

static void moments_are_shown_in_utc(void)
{
    char text[32];

    clock_wall_text(0, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "1970-01-01 00:00:00.000+00");
    clock_wall_text(INT64_C(951782400123456), text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "2000-02-29 00:00:00.123+00");
}

static const struct unit_test tests[] = {
    { "the boot clock never goes back", boot_clock_never_goes_back },
    { "the boot clock is the kernel's uptime", boot_clock_is_uptime },
    { "the wall clock counts from 1970", wall_clock_counts_from_1970 },
    { "moments are shown in UTC", moments_are_shown_in_utc },
};

const struct unit_suite suite_clock = UNIT_SUITE("clock", tests);
