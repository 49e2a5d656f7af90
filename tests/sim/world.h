/*
 * world.h - everything around the managers under test: hosts with clocks, processes and power, the network between
 * them, and chance. Virtual time, one seed, one run.
 */
#ifndef RAFTMGR_SIM_WORLD_H
#define RAFTMGR_SIM_WORLD_H

#include "agenda.h"
#include "base/rand.h"
#include "check.h"
#include "daemon/manager.h"
#include "group.h"
#include "plant.h"
#include "server.h"
#include "words.h"

#define HOSTS_MAX 6 /* five, and a machine that is no member any more */
#define SLOTS_MAX 4096
#define ENTRIES_MAX 32768
#define SERVERS_MAX 512
#define STORE_BYTES (8u << 20)

#define MS INT64_C(1000)
#define SEC INT64_C(1000000)

enum traffic { TRAFFIC_PEER, TRAFFIC_RAFT, TRAFFIC_WAL, TRAFFIC_COUNT };

/* What a seed decides about its whole run. */
struct profile {
    uint32_t hosts, data;
    enum rejoin rejoin;
    struct policy policy;
    uint32_t faults;          /* classes by bit, fault.c */
    int64_t every_us;         /* mean time between faults; 0: none */
    uint32_t strike_permille; /* how often a moment of the protocol draws a fault upon itself */
    int64_t early_us;         /* faults begin here even if the cluster is not complete; 0: when it is */
    uint64_t snapshot_every;
    uint32_t fast_link_us;
    bool speaks, pauses; /* an operator, words.c */
};

struct guard_fake {
    bool alive, told_alive, standby_wanted, stopping;
    enum guard_wish mode;
    int64_t kill_at_us;  /* as ordered, host's clock */
    int64_t deadline_us; /* INT64_MAX: nothing to stop */
    uint32_t life;
};

struct act_fake {
    bool running, cancelled, from_known;
    uint64_t serial;
    uint32_t step;
    int64_t until_us; /* of the present step */
    int64_t deadline_us;
    struct pg_action action;
    struct pg_result result;
    struct wal source; /* REWIND, CLONE */
};

#define ROUNDS_KEPT 16u

/* What a lease round told of the position, to be found by the lease's end that it leads to. */
struct told_round {
    int64_t end_us;
    uint64_t lsn;
};

struct host {
    struct world *world;
    uint32_t index;
    int32_t node_id;
    uint32_t member; /* index of the host by whose name its server connects: its own, but for a former server */
    bool data;
    char name[NAME_SIZE], conninfo[NAME_SIZE];
    int64_t offset_us, wall_offset_us;
    int64_t rate_ppm;
    bool up, daemon_up, joined;
    uint32_t boot, life;
    uint32_t latched_boot; /* the newest boot in which the daemon let the server be started */
    int64_t frozen_until_us, paused_until_us, slow_disk_until_us;
    uint32_t round_count; /* of its lease rounds, the newest of which are kept */
    struct told_round rounds[ROUNDS_KEPT];
    int64_t asked_us;              /* for admission */
    uint64_t wiped_raft_id;        /* of the member that it was before it was wiped */
    uint64_t start_no;             /* on disk */
    struct directory_id directory; /* on disk, as the daemon saved it */
    int64_t timer_at_us;           /* true time of the timer under way; 0: none */
    int64_t wake_at_us;            /* when the manager wants to be cranked */
    bool cranking;
    bool looking, look_again;
    struct pg_seen seen;
    struct raft_node raft;
    struct guard_fake guard;
    struct act_fake act;
    struct server server;
    struct server aside; /* what its file system holds while that is not mounted; present: it is not */
    struct manager manager;
};

struct slot {
    uint32_t refs;
    uint64_t from;
    union {
        struct message message;
        struct raft_message raft;
    };
};

struct world {
    uint64_t seed;
    struct rand rand;
    int64_t now_us, end_us, heal_us, faults_from_us;
    bool healed, complete, trace;
    enum plant plant;
    struct profile profile;
    struct host hosts[HOSTS_MAX];
    struct host *former; /* whose server was left behind when its host was replaced, and streams on; NULL: nobody's */
    int64_t cut_until_us[HOSTS_MAX][HOSTS_MAX][TRAFFIC_COUNT];
    int64_t bad_net_until_us, failing_until_us;
    uint32_t loss_permille, twice_permille;
    int64_t delay_us;
    uint64_t connections, serials;
    uint32_t branch_count;
    struct branch branches[BRANCHES_MAX];
    uint32_t entry_count, servers_count, store_used;
    struct entry entries[ENTRIES_MAX];
    struct servers servers[SERVERS_MAX];
    struct check check;
    struct words_said words;
    uint32_t free_count;
    uint16_t free_slots[SLOTS_MAX];
    struct slot slots[SLOTS_MAX];
    struct agenda agenda;
    uint8_t store[STORE_BYTES];
};

/* world.c. Runs one seed; world->check says what was found. */
void world_run(struct world *world, uint64_t seed, int64_t seconds);
/* Puts a moment for a host after a delay; life 0 unless it belongs to the daemon's life or the boot. */
void world_put(struct host *host, enum moment_kind kind, int64_t after_us, uint64_t a, uint64_t b);
int64_t world_chance(struct world *world, int64_t from, int64_t to); /* evenly, both included */
bool world_permille(struct world *world, uint32_t permille);
void world_trace(const struct host *host, const char *format, ...) PRINTF_LIKE(2, 3);
int64_t clock_of(const struct host *host);                      /* its CLOCK_BOOTTIME now */
int64_t clock_until(const struct host *host, int64_t local_us); /* true time left until its clock shows this */
struct host *world_host(struct world *world, int32_t node_id);
struct host *world_host_by_raft(struct world *world, uint64_t raft_id);
bool host_frozen(const struct host *host);

/* picture.c */
void picture(const struct world *world);

/* net.c */
bool net_open(const struct world *world, uint32_t from, uint32_t to, enum traffic traffic);
int64_t net_delay(struct world *world);
void net_send(struct host *host, uint64_t raft_id, const struct message *message);
void net_send_raft(struct host *host, const struct raft_message *message);
void net_arrived(struct host *host, const struct moment *moment);

/* host.c: the daemon, its ports, the guard */
void host_crank(struct host *host);
void host_daemon_start(struct host *host);
void host_daemon_crash(struct host *host);
void host_power_off(struct host *host);
/* What a host begins with. */
void host_init(struct host *host, struct world *world, uint32_t index);
void host_look(struct host *host);
void host_moment(struct host *host, const struct moment *moment);
void guard_moment(struct host *host, const struct moment *moment);
void guard_order(struct host *host, enum guard_wish mode, int64_t kill_at_us);
void guard_die(struct host *host);

/* The WAL that its data directory has, mounted or not. */
struct wal host_wal(const struct host *host);
/* The file system with its data directory is away, and another PostgreSQL system's data is there: after a boot. */
void host_other_system(struct host *host, bool comes_back);

/* act.c */
void act_begin(struct host *host, const struct pg_action *action);
void act_cancel(struct host *host);
void act_step(struct host *host, const struct moment *moment);
void act_abandon(struct host *host);

/* operator.c and fault.c */
void profile_draw(struct world *world);
void operator_moment(struct world *world);
/* A member whose daemon answers, or the leader; NULL: there is none. */
struct host *operator_through(struct world *world, bool leading);
bool operator_submit(struct host *through, struct command *command);

void fault_moment(struct world *world, const struct moment *moment);
void fault_heal(struct world *world);
void fault_strike(struct host *host); /* something interesting has just happened here */
/* Nobody promotes by hand while a failover is open: who then spoils the one that has the data has to say himself what
 * is to become of it. Nor does anybody promote the primary. */
bool fault_may_promote(const struct host *host);

#endif
