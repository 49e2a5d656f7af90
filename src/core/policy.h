/*
 * policy.h - the settings of the cluster: they live in the log, are taken from the founder's file, and are changed by
 * `rmctl config set` alone. Bounds and defaults stand in core/settings.def.
 */
#ifndef RAFTMGR_POLICY_H
#define RAFTMGR_POLICY_H

#include "base/base.h"

enum durability { DURABILITY_ASYNC, DURABILITY_QUORUM, DURABILITY_STRICT };
enum fence_wait { FENCE_WAIT_LEASE, FENCE_WAIT_NONE };

struct policy {
    uint32_t failure_timeout_ms;
    uint32_t lease_ttl_ms;
    uint32_t guard_kill_time_ms;
    uint32_t raft_election_timeout_ms;
    uint32_t raft_heartbeat_ms;
    uint32_t primary_start_timeout_ms; /* 0: fail over at once where a synchronous standby is ready */
    uint32_t durability;               /* enum durability */
    uint32_t synchronous_count;
    uint64_t maximum_lag_on_failover_bytes;
    uint32_t fence_wait; /* enum fence_wait */
};

#endif
