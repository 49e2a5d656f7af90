/* test_manager.c - what the leader's member remembers of the primary from turn to turn. */
#include "status_world.h"

/* R12: what the primary said before it applied the settings is of rounds by others, of which one may still be out. */
static void a_renewal_counts_from_the_settings(void)
{
    static struct world world;
    struct cluster *cluster = &world.manager.cluster;

    world_make(&world);
    struct report *report = world_hear(&world, A, 1000);
    report->lease_length_us = cluster->policy.lease_ttl_ms * 1000LL;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us != 0);
    cluster->version++;
    cluster->policy_version = cluster->version;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us == 0);
    report->applied = cluster->version;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us != 0);
    report->lease_length_us++;
    world_link(&world);
    CU_ASSERT(world.manager.lead.shorter_since_us == 0);
}

static const struct unit_test tests[] = {
    { "a renewal counts from the settings that it is by", a_renewal_counts_from_the_settings },
};

const struct unit_suite suite_manager = UNIT_SUITE("manager", tests);
