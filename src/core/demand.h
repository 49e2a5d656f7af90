/* demand.h - what an acknowledgement required: {S, k} (design 5.6). How demands change: cluster_demands.c. */
#ifndef RAFTMGR_DEMAND_H
#define RAFTMGR_DEMAND_H

#include "core/types.h"

#define DIRECTORIES_MAX (2 * MEMBERS_MAX) /* of one demand: a merged one may name retired directories too */

/* An acknowledged commit was on the disks of k of these directories (design 5.6). */
struct demand {
    uint64_t version;
    struct token token;
    uint32_t k;
    uint32_t count;
    struct directory_id directories[DIRECTORIES_MAX];
};

bool demand_names(const struct demand *demand, struct directory_id directory);
/* k is at most the count of directories, each of which is one, and named once. */
bool demand_sound(const struct demand *demand);
/* The same k over the same set, order aside; both are sound. */
bool demand_same(const struct demand *left, const struct demand *right);

#endif
