/* rand.c - seeded chance (splitmix64, public domain constants by S. Vigna) and identities. See rand.h. */
#include "base/rand.h"

#include <sys/random.h>

void rand_seed(struct rand *rand, uint64_t seed)
{
    rand->state = seed;
}

uint64_t rand_next(struct rand *rand)
{
    uint64_t mix = (rand->state += 0x9e3779b97f4a7c15u);

    mix = (mix ^ (mix >> 30)) * 0xbf58476d1ce4e5b9u;
    mix = (mix ^ (mix >> 27)) * 0x94d049bb133111ebu;
    return mix ^ (mix >> 31);
}

uint64_t rand_below(struct rand *rand, uint64_t limit)
{
    assert(limit > 0);
    return rand_next(rand) % limit;
}

uint64_t rand_identity(void)
{
    uint64_t identity = 0;

    while (identity == 0) {
        ssize_t got = getrandom(&identity, sizeof identity, 0);
        assert(got == (ssize_t)sizeof identity);
        (void)got;
    }
    return identity;
}
