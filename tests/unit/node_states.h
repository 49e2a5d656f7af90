/* node_states.h - agreed states before which the views of a member are put. */
#ifndef RAFTMGR_NODE_STATES_H
#define RAFTMGR_NODE_STATES_H

#include "agreed_steps.h"

/* --- agreed states ------------------------------------------------------------------------------------------------ */

static inline void active(struct cluster *cluster)
{
    agreed_four(cluster, 1);
}

static inline void fenced(struct cluster *cluster)
{
    active(cluster);
    agreed_do_fence(cluster);
}

static inline void elected_b(struct cluster *cluster)
{
    fenced(cluster);
    ACCEPTED(cluster, agreed_elect(cluster, B, DEMAND(1, A, C)));
}

static inline void elected_a(struct cluster *cluster)
{
    fenced(cluster);
    ACCEPTED(cluster, agreed_elect(cluster, A, DEMAND(1, B, C)));
}

static inline void promoted_b(struct cluster *cluster)
{
    elected_b(cluster);
    ACCEPTED(cluster, agreed_promoted(cluster));
}

static inline void fenced_again(struct cluster *cluster)
{
    elected_b(cluster);
    agreed_do_fence(cluster);
}

static inline void switching(struct cluster *cluster)
{
    active(cluster);
    ACCEPTED(cluster, agreed_switchover(cluster, B));
}

static inline void switched(struct cluster *cluster)
{
    switching(cluster);
    ACCEPTED(cluster, agreed_elect_over(cluster, B, DEMAND(1, A, C)));
}

static inline void paused(struct cluster *cluster)
{
    active(cluster);
    ACCEPTED(cluster, agreed_pause(cluster, W, PAUSE_ON));
}

static inline void unpausing(struct cluster *cluster)
{
    paused(cluster);
    ACCEPTED(cluster, agreed_pause(cluster, W, PAUSE_ENDING));
}

static inline void alone(struct cluster *cluster)
{
    agreed_four(cluster, 0);
}

static inline void written_off_c(struct cluster *cluster)
{
    fenced(cluster);
    ACCEPTED(cluster, agreed_word(cluster, COMMAND_WRITE_OFF, C, 1000));
    ACCEPTED(cluster, agreed_elect(cluster, B, DEMAND(1, A)));
    ACCEPTED(cluster, agreed_promoted(cluster));
}

static void (*const states[])(struct cluster *cluster) = {
    active,    fenced,   elected_b, elected_a, promoted_b, fenced_again,
    switching, switched, paused,    unpausing, alone,      written_off_c,
};

#endif
