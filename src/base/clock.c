/* clock.c - the only reader of time. See clock.h. */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);

    assert(failed == 0);
    (void)failed;
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_boot_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

void clock_wall_text(int64_t wall_us, char *text, size_t size)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    char day[24];

    assert(size >= 32);
    gmtime_r(&seconds, &parts);
    (void)strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &parts);
    (void)snprintf(text, size, "%s.%03d+00", day, (int)(wall_us / 1000 % 1000));
}
