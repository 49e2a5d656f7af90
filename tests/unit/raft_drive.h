/* raft_drive.h - what the tests of consensus/ ask a Raft group to do: take members in, agree on commands. */
#ifndef RAFTMGR_RAFT_DRIVE_H
#define RAFTMGR_RAFT_DRIVE_H

#include "raft_group.h"

struct result {
    unsigned calls;
    int status;
    char text[256];
};

static inline void change_done(void *ctx, int status, const struct err *err)
{
    struct result *result = ctx;

    result->calls++;
    result->status = status;
    (void)text_copy(result->text, sizeof result->text, err->text);
}

static inline void add_member(struct member *leader, const struct member *member, enum consensus_member_role role)
{
    struct result result = { 0 };
    struct err err = { 0 };

    CU_ASSERT_EQUAL(consensus_member(leader->consensus, member->id, member->address, role, change_done, &result, &err),
                    0);
    CU_ASSERT_EQUAL(result.calls, 0);
    CU_ASSERT_EQUAL(consensus_remove(leader->consensus, member->id, NULL, NULL, &err),
                    -ERR_REFUSED); /* one at a time */
    RUN_UNTIL(result.calls == 1);
    CU_ASSERT_EQUAL(result.status, 0);
}

/* A group of count voters, led by member 1. */
static inline void open_group(unsigned count)
{
    loop_start();
    memset(members, 0, sizeof members);
    open_member(&members[0], 1);
    RUN_UNTIL(leads(&members[0]));
    for (unsigned i = 1; i < count; i++) {
        open_member(&members[i], i + 1);
        add_member(&members[0], &members[i], CONSENSUS_VOTER);
    }
}

struct outcomes {
    unsigned calls, committed, refused, unknown;
};

static inline void proposed(void *ctx, enum consensus_outcome outcome)
{
    struct outcomes *outcomes = ctx;

    outcomes->calls++;
    outcomes->committed += outcome == CONSENSUS_COMMITTED;
    outcomes->refused += outcome == CONSENSUS_REFUSED;
    outcomes->unknown += outcome == CONSENSUS_UNKNOWN;
}

static inline void propose(struct member *member, const char *text, struct outcomes *outcomes)
{
    consensus_propose(member->consensus, (const uint8_t *)text, strlen(text), proposed, outcomes);
}

/* Proposes count commands, as many at a time as are taken. */
static inline void propose_many(struct member *member, unsigned count, const char *word)
{
    struct outcomes outcomes = { 0 };
    unsigned sent = 0;
    char text[64];

    while (sent < count) {
        unsigned goal = sent + CONSENSUS_IN_FLIGHT_MAX < count ? sent + CONSENSUS_IN_FLIGHT_MAX : count;
        for (; sent < goal; sent++) {
            (void)snprintf(text, sizeof text, "%s%u", word, sent);
            propose(member, text, &outcomes);
        }
        RUN_UNTIL(outcomes.calls == sent);
        CU_ASSERT_EQUAL_FATAL(outcomes.committed, sent);
    }
}

static inline bool same_log(const struct member *first, const struct member *second)
{
    return first->applied == second->applied && first->log_length == second->log_length &&
           memcmp(first->log, second->log, first->log_length) == 0;
}

#endif
