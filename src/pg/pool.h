/* pool.h - counts what is alive on the loop, so that its owner can wait until everything is closed. */
#ifndef RAFTMGR_PG_POOL_H
#define RAFTMGR_PG_POOL_H

#include <uv.h>

#include "base/base.h"

struct pool {
    uv_loop_t *loop;
    unsigned alive;
    void (*empty)(struct pool *pool); /* called whenever the last one has gone; may be NULL */
};

static inline void pool_add(struct pool *pool)
{
    pool->alive++;
}

static inline void pool_remove(struct pool *pool)
{
    assert(pool->alive > 0);
    if (--pool->alive == 0 && pool->empty)
        pool->empty(pool);
}

#endif
