/* test_rand.c - a seed replays for ever; identities differ. */
#include "unit.h"

#include "base/rand.h"

/* The first numbers of splitmix64 from seed 1234567, as published with the algorithm: a kept seed must go on to replay.
 */
static void seed_gives_the_published_numbers(void)
{
    static const uint64_t wanted[] = { 6457827717110365317u, 3203168211198807973u, 9817491932198370423u };
    struct rand rand;

    rand_seed(&rand, 1234567);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        CU_ASSERT_EQUAL(rand_next(&rand), wanted[i]);
}

static void below_stays_below_and_spreads(void)
{
    unsigned counts[10] = { 0 };
    struct rand rand;

    rand_seed(&rand, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t number = rand_below(&rand, ARRAY_LEN(counts));
        CU_ASSERT_TRUE_FATAL(number < ARRAY_LEN(counts));
        counts[number]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        CU_ASSERT_TRUE(counts[i] > 800 && counts[i] < 1200);
    CU_ASSERT_EQUAL(rand_below(&rand, 1), 0);
}

static void identities_differ_and_are_not_zero(void)
{
    uint64_t last = 0;

    for (int i = 0; i < 100; i++) {
        uint64_t identity = rand_identity();
        CU_ASSERT_NOT_EQUAL(identity, 0);
        CU_ASSERT_NOT_EQUAL(identity, last);
        last = identity;
    }
}

static const struct unit_test tests[] = {
    { "a seed gives the published numbers", seed_gives_the_published_numbers },
    { "numbers below a limit stay below it and spread", below_stays_below_and_spreads },
    { "identities differ and are not zero", identities_differ_and_are_not_zero },
};

const struct unit_suite suite_rand = UNIT_SUITE("rand", tests);
