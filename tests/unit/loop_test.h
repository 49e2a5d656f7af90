/*
 * loop_test.h - one libuv loop for a test, run until what the test waits for has happened.
 *
 * loop_start, then RUN_UNTIL as often as needed, then loop_end, which also proves that no handle was left behind.
 */
#ifndef RAFTMGR_LOOP_TEST_H
#define RAFTMGR_LOOP_TEST_H

#include "unit.h"

#include <uv.h>

#define DEADLINE_MS 8000

static uv_loop_t loop;
static uv_timer_t ticker; /* wakes the loop, so that conditions outside of it are looked at too */

static inline void loop_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until condition holds; fails after DEADLINE_MS. */
#define RUN_UNTIL(condition)                                                                                           \
    do {                                                                                                               \
        uv_update_time(&loop);                                                                                         \
        const uint64_t give_up_at_ = uv_now(&loop) + DEADLINE_MS;                                                      \
        bool held_;                                                                                                    \
        (void)uv_timer_start(&ticker, loop_tick, 5, 5);                                                                \
        while (!(held_ = (condition)) && uv_now(&loop) < give_up_at_)                                                  \
            (void)uv_run(&loop, UV_RUN_ONCE);                                                                          \
        (void)uv_timer_stop(&ticker);                                                                                  \
        CU_ASSERT(held_);                                                                                              \
    } while (0)

static inline void loop_start(void)
{
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    (void)uv_timer_init(&loop, &ticker);
}

static inline void loop_end(void)
{
    uv_close((uv_handle_t *)&ticker, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

#endif
