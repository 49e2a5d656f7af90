/*
 * pool_held.h - libuv's threads, held: no lookup of a name is done before the test says so. Needs loop_test.h's loop.
 */
#ifndef RAFTMGR_TEST_POOL_HELD_H
#define RAFTMGR_TEST_POOL_HELD_H

#include "loop_test.h"

#define POOL_THREADS 4 /* libuv's default */

static uv_sem_t pool_may_go;
static uv_barrier_t pool_idle;
static uv_work_t pool_holds[POOL_THREADS];
static uv_work_t pool_ends[POOL_THREADS];

static inline void pool_wait(uv_work_t *work)
{
    (void)work;
    uv_sem_wait(&pool_may_go);
}

static inline void pool_meet(uv_work_t *work)
{
    (void)work;
    (void)uv_barrier_wait(&pool_idle);
}

static inline void pool_done(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
}

static inline void pool_hold(void)
{
    CU_ASSERT_EQUAL_FATAL(uv_sem_init(&pool_may_go, 0), 0);
    CU_ASSERT_EQUAL_FATAL(uv_barrier_init(&pool_idle, POOL_THREADS + 1), 0);
    for (size_t i = 0; i < POOL_THREADS; i++)
        CU_ASSERT_EQUAL(uv_queue_work(&loop, &pool_holds[i], pool_wait, pool_done), 0);
}

static inline void pool_let_go(void)
{
    for (size_t i = 0; i < POOL_THREADS; i++)
        uv_sem_post(&pool_may_go);
}

/* Comes back when all that was queued before is done, and its answer waits for the loop: every thread is here then. */
static inline void pool_finish(void)
{
    for (size_t i = 0; i < POOL_THREADS; i++)
        CU_ASSERT_EQUAL(uv_queue_work(&loop, &pool_ends[i], pool_meet, pool_done), 0);
    (void)uv_barrier_wait(&pool_idle);
}

/* After the loop has ended. */
static inline void pool_forget(void)
{
    uv_sem_destroy(&pool_may_go);
    uv_barrier_destroy(&pool_idle);
}

#endif
