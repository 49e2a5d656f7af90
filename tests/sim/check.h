/*
 * check.h - the guarantees of docs/safety.md as checkers. They see the whole world, true time included, and stop the
 * run at the first violation, named after the guarantee:
 *
 *   G1     two valid leases at one instant; two writers; a writer past its lease's end
 *   G2     a promotion or start that nothing committed permits; tokens going back; a token or timeline used twice
 *   G3     an acknowledged commit that the present primary, or the demand it was acknowledged under, does not have
 *   G4     with durability=async, a failover that loses more than maximum_lag_on_failover from what the primary last
 * told G5     a switchover that loses anything, or does not end within its deadline G7     PostgreSQL started on an
 * unfinished directory LIVE   after healing: no primary, a standby that does not stream, an open operation, no
 * acknowledgement STATE  two nodes differ after the same entry;  RAFT: our small Raft itself is wrong;  CIRCLE: time
 * stands still
 */
#ifndef RAFTMGR_SIM_CHECK_H
#define RAFTMGR_SIM_CHECK_H

#include "core/decide.h"
#include "server.h"

#define CHECK_HOSTS 6
#define TOKENS_MAX 1024
#define INDEXES_MAX 16384
#define TERMS_MAX 4096
#define UNMANAGED_US (INT64_C(86400) * 1000000) /* "lease" of a server that nobody manages yet */

struct check {
    bool failed;
    char name[16];
    char text[512];
    int64_t at_us;
    uint64_t moments, messages, cranks, writes, acks, promotions, restarts, faults;
    uint64_t commands[COMMAND_COUNT]; /* applied with effect */
    uint64_t node_why[WHY_COUNT], lead_why[WHY_COUNT];
    enum why last_node_why[CHECK_HOSTS], last_lead_why[CHECK_HOSTS];
    int64_t lease_until_us[CHECK_HOSTS]; /* true time; held now until then */
    int64_t lease_end_us[CHECK_HOSTS];   /* true end of the longest it ever had; 0: never any */
    uint64_t token_seen[CHECK_HOSTS];    /* newest token that this node ever applied */
    uint64_t stopped_at[CHECK_HOSTS];    /* version it had applied when its PostgreSQL last ended */
    int32_t present;                     /* host that became writable last, under the newest token; -1: none */
    uint64_t present_token;
    int64_t last_ack_us;
    uint64_t told_lsn[CHECK_HOSTS]; /* position that it had told of when it last renewed its lease */
    bool async;                     /* the cluster was asynchronous at some time: G3 does not apply */
    int64_t switchover_until_us;    /* an undisturbed switchover must be over by then; 0: none */
    int32_t token_owner[TOKENS_MAX];
    uint32_t token_timeline[TOKENS_MAX];
    bool timeline_used[TIMELINES_MAX];
    uint64_t leader_of[TERMS_MAX];
    uint32_t directory_count; /* every identity that a data directory ever had, and whose */
    struct {
        struct directory_id directory;
        uint32_t host;
    } directories[512];
    uint64_t reference_index;
    uint32_t committed[INDEXES_MAX]; /* entry by index, + 1 */
    uint64_t hashes[INDEXES_MAX];
    struct cluster reference; /* the log applied as soon as anybody applied it */
};

void check_begin(struct world *world);
void check_end(struct world *world);
void check_fail(struct world *world, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

void check_leader(const struct host *host);
void check_before_apply(struct host *host, uint64_t index, uint32_t entry);
void check_applied(struct host *host, uint64_t index);
void check_restored(struct host *host, uint64_t index);
void check_daemon_started(struct host *host);
void check_cranked(struct host *host);
/* A lease round is sent to one voter. */
void check_asked(struct host *host, const struct lease_ask *ask);
void check_guard(const struct host *host);
void check_promote(struct host *host, const struct pg_action *action);
void check_start(struct host *host, bool as_primary);
void check_promoted(struct host *host, uint32_t timeline);
void check_writable(struct host *host);
void check_stopped(struct host *host);
void check_wrote(struct host *host);
/* This host's data directory has this identity now. */
void check_directory(struct host *host, struct directory_id directory);
/* The server of a host that was replaced goes on elsewhere: the directories that it had are there. */
void check_left_behind(struct host *host, const struct host *former);
void check_acked(struct host *host, struct wal commit);
void check_attached(struct host *host, struct host *upstream);
void check_data_lost(struct host *host);
/* This host is primary now: what was acknowledged before and is not there is lost, and within what bounds? */
void check_loss(struct host *host);
/* A fault has just happened: switchovers under way are not undisturbed any more. */
void check_disturbed(struct world *world);
/* True when the cluster is as it should be at rest; else *ret_why says what is missing. */
bool check_at_rest(struct world *world, char *ret_why, size_t size);

#endif
