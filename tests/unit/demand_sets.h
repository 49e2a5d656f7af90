/*
 * demand_sets.h - sets of the data directories of A to D as bits, for what is tried over all small sets. Bit 0 is A's,
 * the primary's.
 */
#ifndef RAFTMGR_TEST_DEMAND_SETS_H
#define RAFTMGR_TEST_DEMAND_SETS_H

#include "agreed.h"

#define SETS 16
#define BIT(node) (1u << ((node)-1))

static inline uint32_t size_of(uint32_t set)
{
    return (uint32_t)__builtin_popcount(set);
}

static inline uint32_t set_of(const struct demand *demand)
{
    uint32_t set = 0;

    for (uint32_t i = 0; i < demand->count; i++)
        set |= 1u << (demand->directories[i].no - agreed_directory(A).no);
    return set;
}

static inline struct demand demand_of(uint32_t k, uint32_t set)
{
    struct demand demand = { .k = k };

    for (int32_t node = A; node <= D; node++)
        if (set & BIT(node))
            demand.directories[demand.count++] = agreed_directory(node);
    return demand;
}

#endif
