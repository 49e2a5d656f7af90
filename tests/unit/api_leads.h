/*
 * api_leads.h - a daemon with its control socket that leads a cluster of A (primary), B, C and the witness W, itself.
 * What it proposes is applied at once.
 */
#ifndef RAFTMGR_TEST_API_LEADS_H
#define RAFTMGR_TEST_API_LEADS_H

#include "api_served.h"
#include "base/clock.h"
#include "status_world.h"

static uint32_t proposed; /* how many commands so far */
static enum command_kind last_proposed;

static inline void leads_propose(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    struct command command;

    (void)ctx;
    (void)ticket;
    CU_ASSERT_EQUAL_FATAL(command_decode(bytes, length, &command, NULL), 0);
    proposed++;
    last_proposed = command.kind;
    (void)cluster_apply(&served.manager.cluster, &command, NULL);
}

static inline int64_t leads_wall_us(void *ctx)
{
    (void)ctx;
    return WORLD_WALL_US;
}

/* Everybody has just been heard. */
static inline void hear_all(void)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (served.manager.heard[i].at_us != 0)
            served.manager.heard[i].at_us = served_now_us;
}

static inline void open_leads(void)
{
    static struct world world;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(open_served(&err), 0);
    served_now_us = clock_boot_us();
    world_make(&world);
    served.manager = world.manager;
    served.manager.ports = (struct ports){ .propose = leads_propose, .wall_us = leads_wall_us };
    served.manager.lead.raft.leader = true;
    served.consensus = (struct consensus *)&served; /* never looked into */
    served.settings.node_id = W;
    served.settings.node_kind = NODE_WITNESS;
    proposed = 0;
    hear_all();
}

static inline void close_leads(int fd)
{
    (void)close(fd);
    served.consensus = NULL;
    close_served();
}

#endif
