/* rand.h - the only source of chance: seeded numbers for spreading and simulating, and unpredictable identities. */
#ifndef RAFTMGR_RAND_H
#define RAFTMGR_RAND_H

#include "base/base.h"

struct rand {
    uint64_t state;
};

/* The same seed gives the same numbers for ever. */
void rand_seed(struct rand *rand, uint64_t seed);
uint64_t rand_next(struct rand *rand);
/* Evenly from 0 to limit - 1; limit > 0. */
uint64_t rand_below(struct rand *rand, uint64_t limit);
/* 64 unpredictable bits that are never 0, from the kernel: identities of clusters, data directories, raft members. */
uint64_t rand_identity(void);

#endif
