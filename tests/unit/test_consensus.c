/*
 * test_consensus.c - Raft groups in one process: real logs in this run's directory, real TLS on loopback.
 *
 * Each member's state machine is the list of the commands it has applied, as text. Everything waits for conditions, up
 * to DEADLINE_MS; elections are as fast as the wrapper allows.
 */
#include "unit.h"

#include "base/clock.h"
#include "base/secret.h"
#include "consensus/consensus.h"
#include "consensus/envelope.h"
#include "net/net.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_MS 8000
#define ELECTION_MS 150
#define HEARTBEAT_MS 20
#define LOG_MAX 400000

struct member {
    uint64_t id;
    char directory[512];
    char address[NET_ADDRESS_MAX];
    struct net *net;
    struct consensus *consensus;
    char log[LOG_MAX]; /* what was applied, each command and a blank */
    size_t log_length;
    unsigned applied, restored, changed;
    bool net_closed, consensus_closed;
};

static uv_loop_t loop;
static uv_timer_t ticker;
static struct member members[4]; /* index 0 is member 1 */

static void tick(uv_timer_t *timer)
{
    (void)timer;
}

#define RUN_UNTIL(condition)                                                                                           \
    do {                                                                                                               \
        uv_update_time(&loop);                                                                                         \
        const uint64_t give_up_at_ = uv_now(&loop) + DEADLINE_MS;                                                      \
        bool held_;                                                                                                    \
        (void)uv_timer_start(&ticker, tick, 5, 5);                                                                     \
        while (!(held_ = (condition)) && uv_now(&loop) < give_up_at_)                                                  \
            (void)uv_run(&loop, UV_RUN_ONCE);                                                                          \
        (void)uv_timer_stop(&ticker);                                                                                  \
        CU_ASSERT(held_);                                                                                              \
    } while (0)

/* --- the state machine, and the network around a member --- */

static void apply(void *ctx, const uint8_t *bytes, size_t length)
{
    struct member *member = ctx;

    CU_ASSERT_FATAL(member->log_length + length + 1 <= LOG_MAX);
    memcpy(member->log + member->log_length, bytes, length);
    member->log_length += length;
    member->log[member->log_length++] = ' ';
    member->applied++;
}

static int snapshot(void *ctx, struct buf *ret_state)
{
    struct member *member = ctx;

    buf_put(ret_state, &member->applied, sizeof member->applied);
    buf_put(ret_state, member->log, member->log_length);
    return 0;
}

static int restore(void *ctx, const uint8_t *bytes, size_t length, struct err *err)
{
    struct member *member = ctx;

    if (length < sizeof member->applied)
        return err_set(err, ERR_CORRUPT, "too short");
    memcpy(&member->applied, bytes, sizeof member->applied);
    member->log_length = length - sizeof member->applied;
    memcpy(member->log, bytes + sizeof member->applied, member->log_length);
    member->restored++;
    return 0;
}

static void changed(void *ctx)
{
    ((struct member *)ctx)->changed++;
}

static void dial(void *ctx, uint64_t id, const char *address, void (*done)(void *dial_ctx, int fd), void *dial_ctx)
{
    net_dial_raft(((struct member *)ctx)->net, id, address, done, dial_ctx);
}

static bool admit(void *ctx, const struct net_hello *hello, char *ret_reason, size_t size)
{
    (void)hello, (void)ret_reason, (void)size;
    return ((struct member *)ctx)->consensus != NULL;
}

static void stream_came(void *ctx, const struct net_hello *from, int fd)
{
    struct member *member = ctx;

    if (member->consensus)
        consensus_accept(member->consensus, from->raft_id, from->address, fd);
    else
        (void)close(fd);
}

static void net_closed(void *ctx)
{
    ((struct member *)ctx)->net_closed = true;
}

static void consensus_closed(void *ctx)
{
    ((struct member *)ctx)->consensus_closed = true;
}

/* --- members --- */

static struct consensus_status status_of(const struct member *member)
{
    struct consensus_status status = { 0 };

    if (member->consensus)
        consensus_status(member->consensus, &status);
    return status;
}

static bool leads(const struct member *member)
{
    return status_of(member).role == CONSENSUS_LEADER;
}

static int open_consensus(struct member *member, struct err *err)
{
    struct consensus_config config = {
        .directory = member->directory,
        .id = member->id,
        .address = member->address,
        .election_timeout_ms = ELECTION_MS,
        .heartbeat_ms = HEARTBEAT_MS,
    };
    struct consensus_callbacks callbacks = {
        .ctx = member, .apply = apply, .snapshot = snapshot, .restore = restore, .changed = changed, .dial = dial
    };

    member->log_length = member->applied = member->restored = 0;
    return consensus_open(&member->consensus, &loop, &config, &callbacks, err);
}

/* Makes the network and an empty directory; member 1 founds the group. */
static void open_member(struct member *member, uint64_t id)
{
    struct net_callbacks callbacks = { .ctx = member, .admit = admit, .raft_stream = stream_came };
    char secret[512], name[64];
    struct net_config config = { .listen = "127.0.0.1:0", .secret_file = unit_path(secret, sizeof secret, "secret") };
    struct err err = { 0 };
    static unsigned groups;

    memset(member, 0, sizeof *member);
    member->id = id;
    groups += id == 1;
    (void)snprintf(name, sizeof name, "raft-%u-%u", groups, (unsigned)id);
    (void)unit_path(member->directory, sizeof member->directory, name);
    CU_ASSERT_EQUAL_FATAL(mkdir(member->directory, 0700), 0);
    if (access(secret, F_OK))
        CU_ASSERT_EQUAL(secret_create(secret, &err), 0);
    CU_ASSERT_EQUAL_FATAL(net_open(&member->net, &loop, &config, &callbacks, &err), 0);
    net_listen_address(member->net, member->address, sizeof member->address);
    net_identify(member->net, 1, 1, id, 1, member->address);
    CU_ASSERT_FALSE(consensus_exists(member->directory));
    if (id == 1)
        CU_ASSERT_EQUAL_FATAL(consensus_bootstrap(member->directory, id, member->address, &err), 0);
    CU_ASSERT_EQUAL_FATAL(open_consensus(member, &err), 0);
}

static void close_consensus(struct member *member)
{
    if (!member->consensus)
        return;
    member->consensus_closed = false;
    consensus_close(member->consensus, consensus_closed, member);
    RUN_UNTIL(member->consensus_closed);
    member->consensus = NULL;
}

static void close_member(struct member *member)
{
    close_consensus(member);
    if (!member->net)
        return;
    net_close(member->net, net_closed, member);
    RUN_UNTIL(member->net_closed);
    member->net = NULL;
}

static void start_loop(void)
{
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    (void)uv_timer_init(&loop, &ticker);
    memset(members, 0, sizeof members);
}

static void end_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        close_member(&members[i]);
    uv_close((uv_handle_t *)&ticker, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

struct result {
    unsigned calls;
    int status;
    char text[256];
};

static void change_done(void *ctx, int status, const struct err *err)
{
    struct result *result = ctx;

    result->calls++;
    result->status = status;
    (void)text_copy(result->text, sizeof result->text, err->text);
}

static void add_member(struct member *leader, const struct member *member, enum consensus_member_role role)
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
static void open_group(unsigned count)
{
    start_loop();
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

static void proposed(void *ctx, enum consensus_outcome outcome)
{
    struct outcomes *outcomes = ctx;

    outcomes->calls++;
    outcomes->committed += outcome == CONSENSUS_COMMITTED;
    outcomes->refused += outcome == CONSENSUS_REFUSED;
    outcomes->unknown += outcome == CONSENSUS_UNKNOWN;
}

static void propose(struct member *member, const char *text, struct outcomes *outcomes)
{
    consensus_propose(member->consensus, (const uint8_t *)text, strlen(text), proposed, outcomes);
}

/* Proposes count commands, as many at a time as are taken. */
static void propose_many(struct member *member, unsigned count, const char *word)
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

static bool same_log(const struct member *first, const struct member *second)
{
    return first->applied == second->applied && first->log_length == second->log_length &&
           memcmp(first->log, second->log, first->log_length) == 0;
}

/* --- what it proves --- */

static void entries_survive_decoding(void)
{
    uint8_t entry[64];
    const uint8_t *bytes;
    size_t length;
    struct err err;

    for (size_t size = 0; size < 20; size++) {
        entry_encode(entry, (const uint8_t *)"abcdefghijklmnopqrst", size);
        CU_ASSERT_EQUAL(entry_size(size) % 8, 0);
        CU_ASSERT_EQUAL(entry_decode(entry, entry_size(size), &bytes, &length, &err), 0);
        CU_ASSERT_EQUAL(length, size);
        CU_ASSERT_EQUAL(memcmp(bytes, "abcdefghijklmnopqrst", size), 0);
        CU_ASSERT_EQUAL(entry_decode(entry, entry_size(size) - 8, &bytes, &length, &err), -ERR_CORRUPT);
        CU_ASSERT_EQUAL(entry_decode(entry, entry_size(size) + 8, &bytes, &length, &err), -ERR_CORRUPT);
    }
    entry[4]++;
    CU_ASSERT_EQUAL(entry_decode(entry, 32, &bytes, &length, &err), -ERR_STALE);
    entry[0]++;
    CU_ASSERT_EQUAL(entry_decode(entry, 32, &bytes, &length, &err), -ERR_CORRUPT);
}

static void damaged_snapshots_are_noticed(void)
{
    uint8_t state[5000];
    unsigned unnoticed = 0;
    struct err err;
    AUTO(buf) wrapped;

    for (size_t i = 0; i < sizeof state; i++)
        state[i] = (uint8_t)(i * i >> 3);
    buf_init(&wrapped, 10000);
    CU_ASSERT_EQUAL(snapshot_encode(&wrapped, state, sizeof state, &err), 0);
    for (size_t i = 0; i <= wrapped.length; i++) { /* each byte changed, then none, then each cut */
        AUTO(buf) back;
        AUTO(buf) cut;
        buf_init(&back, sizeof state);
        buf_init(&cut, sizeof state);
        if (i < wrapped.length)
            wrapped.bytes[i] ^= 0x40;
        int failed = snapshot_decode(&back, wrapped.bytes, wrapped.length, &err);
        if (i < wrapped.length)
            wrapped.bytes[i] ^= 0x40;
        unnoticed += !failed;
        if (i < wrapped.length)
            CU_ASSERT(snapshot_decode(&cut, wrapped.bytes, i, &err) < 0);
        if (i == wrapped.length)
            CU_ASSERT(back.length == sizeof state && memcmp(back.bytes, state, sizeof state) == 0);
    }
    CU_ASSERT_EQUAL(unnoticed, 1);
}

static void alone_it_leads_and_remembers(void)
{
    struct outcomes outcomes = { 0 };
    struct err err;
    char big[CONSENSUS_PROPOSAL_BYTES_MAX + 1];

    start_loop();
    open_member(&members[0], 1);
    propose(&members[0], "early", &outcomes); /* not LEADER yet */
    CU_ASSERT_EQUAL(outcomes.calls, 0);
    RUN_UNTIL(leads(&members[0]) && outcomes.refused == 1 && members[0].changed > 0);
    CU_ASSERT_EQUAL(status_of(&members[0]).leader_id, 1);
    CU_ASSERT_EQUAL(status_of(&members[0]).member_count, 1);
    propose(&members[0], "one", &outcomes);
    propose(&members[0], "", &outcomes); /* commits, is not delivered */
    consensus_flush(members[0].consensus);
    propose(&members[0], "two", &outcomes);
    consensus_propose(members[0].consensus, (const uint8_t *)big, sizeof big, proposed, &outcomes);
    CU_ASSERT_EQUAL(outcomes.calls, 1);
    RUN_UNTIL(outcomes.calls == 5);
    CU_ASSERT_EQUAL(outcomes.committed, 3);
    CU_ASSERT_EQUAL(outcomes.refused, 2);
    CU_ASSERT_EQUAL(members[0].applied, 2);
    CU_ASSERT(consensus_exists(members[0].directory));
    CU_ASSERT_EQUAL(consensus_bootstrap(members[0].directory, 1, "x:1", &err), -ERR_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "in use"));
    for (unsigned i = 0; i < CONSENSUS_IN_FLIGHT_MAX + 5; i++) /* a full queue refuses */
        propose(&members[0], "x", &outcomes);
    RUN_UNTIL(outcomes.calls == 5 + CONSENSUS_IN_FLIGHT_MAX + 5);
    CU_ASSERT_EQUAL(outcomes.refused, 2 + 5);
    close_consensus(&members[0]);
    CU_ASSERT_EQUAL(consensus_bootstrap(members[0].directory, 1, "x:1", &err), -ERR_REFUSED);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), 0);
    RUN_UNTIL(leads(&members[0]));
    CU_ASSERT_EQUAL(members[0].applied, 2 + CONSENSUS_IN_FLIGHT_MAX);
    CU_ASSERT_EQUAL(memcmp(members[0].log, "one two x ", 10), 0);
    end_all();
}

static void three_agree(void)
{
    struct outcomes outcomes = { 0 };
    struct err err;

    open_group(3);
    propose_many(&members[0], 200, "a");
    RUN_UNTIL(same_log(&members[0], &members[1]) && same_log(&members[0], &members[2]));
    CU_ASSERT_EQUAL(members[2].applied, 200);
    CU_ASSERT_EQUAL(status_of(&members[1]).role, CONSENSUS_FOLLOWER);
    CU_ASSERT_EQUAL(status_of(&members[1]).leader_id, 1);
    CU_ASSERT_EQUAL(status_of(&members[1]).member_count, 3);
    propose(&members[1], "not here", &outcomes);
    RUN_UNTIL(outcomes.refused == 1);
    CU_ASSERT_EQUAL(consensus_transfer(members[1].consensus, 0, &err), -ERR_NOT_LEADER);
    CU_ASSERT_EQUAL(consensus_member(members[1].consensus, 9, "x:1", CONSENSUS_VOTER, NULL, NULL, &err),
                    -ERR_NOT_LEADER);
    /* The leader goes; the other two go on; it comes back, from disk, as a follower. */
    close_consensus(&members[0]);
    RUN_UNTIL(leads(&members[1]) || leads(&members[2]));
    struct member *leader = leads(&members[1]) ? &members[1] : &members[2];
    propose_many(leader, 50, "b");
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), 0);
    RUN_UNTIL(same_log(&members[0], leader));
    CU_ASSERT_EQUAL(members[0].applied, 250);
    end_all();
}

static void leadership_is_handed_over(void)
{
    struct err err;

    open_group(3);
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 7, &err), -ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 1, &err), -ERR_NOT_FOUND);
    uint64_t before = status_of(&members[0]).term;
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 3, &err), 0);
    RUN_UNTIL(leads(&members[2]) && status_of(&members[0]).leader_id == 3);
    CU_ASSERT_EQUAL(status_of(&members[0]).role, CONSENSUS_FOLLOWER);
    CU_ASSERT_EQUAL(status_of(&members[2]).term, before + 1);
    propose_many(&members[2], 3, "c");
    CU_ASSERT_EQUAL(consensus_transfer(members[2].consensus, 0, &err), 0);
    RUN_UNTIL(leads(&members[0]) || leads(&members[1]));
    end_all();
}

static void proposals_in_doubt_are_unknown(void)
{
    struct outcomes outcomes = { 0 };

    open_group(3);
    close_member(&members[1]);
    close_member(&members[2]); /* no majority is left */
    propose(&members[0], "in doubt", &outcomes);
    propose(&members[0], "in doubt", &outcomes);
    RUN_UNTIL(outcomes.calls == 2); /* at the latest when it steps down */
    CU_ASSERT_EQUAL(outcomes.unknown, 2);
    CU_ASSERT_EQUAL(members[0].applied, 0);
    RUN_UNTIL(!leads(&members[0]));
    end_all();
}

static void closing_settles_everything(void)
{
    struct outcomes outcomes = { 0 };
    struct result result = { 0 };
    struct err err;

    open_group(2);
    close_member(&members[1]);
    for (int i = 0; i < 10; i++)
        propose(&members[0], "x", &outcomes);
    CU_ASSERT_EQUAL(
        consensus_member(members[0].consensus, 3, "127.0.0.1:1", CONSENSUS_LEARNER, change_done, &result, &err), 0);
    close_consensus(&members[0]);
    CU_ASSERT_EQUAL(outcomes.calls, 10);
    CU_ASSERT_EQUAL(outcomes.unknown, 10);
    CU_ASSERT_EQUAL(result.calls, 1);
    CU_ASSERT(result.status < 0);
    end_all();
}

static void members_come_and_go(void)
{
    struct result result = { 0 };
    struct consensus_status status;
    struct err err;

    open_group(1);
    open_member(&members[1], 2);
    add_member(&members[0], &members[1], CONSENSUS_LEARNER);
    propose_many(&members[0], 10, "d");
    RUN_UNTIL(same_log(&members[0], &members[1])); /* a learner learns */
    status = status_of(&members[0]);
    CU_ASSERT_EQUAL(status.member_count, 2);
    CU_ASSERT_EQUAL(status.members[1].role, CONSENSUS_LEARNER);
    add_member(&members[0], &members[1], CONSENSUS_VOTER);
    CU_ASSERT_EQUAL(status_of(&members[0]).members[1].role, CONSENSUS_VOTER);
    add_member(&members[0], &members[1], CONSENSUS_VOTER); /* already so: fine */
    CU_ASSERT_EQUAL(consensus_member(members[0].consensus, 2, "other:1", CONSENSUS_VOTER, NULL, NULL, &err),
                    -ERR_REFUSED);
    CU_ASSERT_EQUAL(consensus_member(members[0].consensus, 5, members[1].address, CONSENSUS_VOTER, NULL, NULL, &err),
                    -ERR_REFUSED);
    CU_ASSERT_EQUAL(consensus_remove(members[0].consensus, 5, NULL, NULL, &err), -ERR_NOT_FOUND);
    add_member(&members[0], &members[1], CONSENSUS_SPARE);
    CU_ASSERT_EQUAL(consensus_remove(members[0].consensus, 2, change_done, &result, &err), 0);
    RUN_UNTIL(result.calls == 1);
    CU_ASSERT_EQUAL(result.status, 0);
    CU_ASSERT_EQUAL(status_of(&members[0]).member_count, 1);
    propose_many(&members[0], 3, "e"); /* alone again, still working */
    end_all();
}

static void a_leader_may_remove_itself(void)
{
    struct result result = { 0 };
    struct err err;

    open_group(3);
    CU_ASSERT_EQUAL(consensus_remove(members[0].consensus, 1, change_done, &result, &err), 0);
    RUN_UNTIL(result.calls == 1 && (leads(&members[1]) || leads(&members[2])));
    CU_ASSERT_EQUAL(result.status, 0);
    RUN_UNTIL(status_of(&members[1]).member_count == 2 && !leads(&members[0]));
    end_all();
}

static unsigned count_files(const char *directory, const char *prefix)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *dir = opendir(directory);

    while ((entry = readdir(dir)))
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(dir);
    return count;
}

static void a_late_member_comes_by_snapshot(void)
{
    struct err err;

    open_group(1);
    propose_many(&members[0], 3000, "f");
    RUN_UNTIL(count_files(members[0].directory, "snapshot-") >= 2); /* the snapshot and its description */
    open_member(&members[1], 2);
    add_member(&members[0], &members[1], CONSENSUS_VOTER);
    RUN_UNTIL(same_log(&members[0], &members[1]));
    CU_ASSERT_EQUAL(members[1].restored, 1);
    CU_ASSERT_EQUAL(members[1].applied, 3000);
    close_consensus(&members[1]);
    CU_ASSERT_EQUAL(open_consensus(&members[1], &err), 0); /* and it starts from that snapshot again */
    RUN_UNTIL(same_log(&members[0], &members[1]));
    CU_ASSERT_EQUAL(members[1].restored, 1);
    end_all();
}

static void flip_byte(const char *directory, const char *name, off_t at)
{
    char path[1200];
    char byte;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDWR);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static void damage_is_refused_in_words(void)
{
    char path[1200];
    struct err err;

    open_group(1);
    propose_many(&members[0], 20, "g");
    close_consensus(&members[0]);
    flip_byte(members[0].directory, "0000000000000001-0000000000000001", 30);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), -ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "rejoins as a new member"));
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    RUN_UNTIL(open_consensus(&members[0], &err) != -ERR_REFUSED); /* unlocked once the failed opening is gone */
    flip_byte(members[0].directory, "0000000000000001-0000000000000001", 30);
    RUN_UNTIL(open_consensus(&members[0], &err) == 0); /* the damage undone */
    RUN_UNTIL(leads(&members[0]));
    close_consensus(&members[0]);
    (void)snprintf(path, sizeof path, "%s/metadata1", members[0].directory);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/metadata2", members[0].directory);
    (void)unlink(path);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), -ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "metadata"));
    members[0].consensus = NULL;
    end_all();
}

static void an_interrupted_founding_is_repeated(void)
{
    char directory[512], path[600];
    uint8_t metadata[32] = { [0] = 1, [8] = 1, [16] = 1 }; /* format 1, version 1, term 1, no vote */
    struct err err;

    (void)unit_path(directory, sizeof directory, "interrupted");
    CU_ASSERT_EQUAL_FATAL(mkdir(directory, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/metadata1", directory);
    FILE *file = fopen(path, "w");
    CU_ASSERT_EQUAL(fwrite(metadata, sizeof metadata, 1, file), 1);
    (void)fclose(file);
    CU_ASSERT_FALSE(consensus_exists(directory));
    CU_ASSERT_EQUAL(consensus_bootstrap(directory, 1, "127.0.0.1:1", &err), 0);
    CU_ASSERT(consensus_exists(directory));
}

static void settings_are_checked(void)
{
    struct consensus_config config = {
        .directory = "/nonexistent", .id = 1, .address = "x:1", .election_timeout_ms = 1000, .heartbeat_ms = 100
    };
    struct consensus_callbacks callbacks = { 0 };
    struct consensus *consensus;
    struct err err;

    start_loop();
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_SYSTEM);
    config.heartbeat_ms = 400;
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    config.election_timeout_ms = 100;
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    config.id = 0;
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    end_all();
}

/* A limit on the size of files stands in for a failing disk: from now on nothing gets written beyond bytes. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_failing_disk_ends_it_in_order(void)
{
    struct outcomes outcomes = { 0 };
    char big[8192];
    struct err err;

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    open_group(1);
    propose_many(&members[0], 3, "h");
    limit_files(4096);
    for (int i = 0; i < 5; i++)
        propose(&members[0], big, &outcomes);
    RUN_UNTIL(status_of(&members[0]).role == CONSENSUS_DOWN && outcomes.calls == 5);
    CU_ASSERT_EQUAL(outcomes.unknown, 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(status_of(&members[0]).problem, "could not write the raft log"));
    propose(&members[0], "after", &outcomes);
    RUN_UNTIL(outcomes.refused == 1);
    limit_files(RLIM_INFINITY);
    close_consensus(&members[0]);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), 0);
    RUN_UNTIL(leads(&members[0]));
    CU_ASSERT(members[0].applied >= 3);
    end_all();
}

static const struct unit_test tests[] = {
    { "an entry survives encoding, and nothing else passes for one", entries_survive_decoding },
    { "any damage to a snapshot is noticed", damaged_snapshots_are_noticed },
    { "wrong settings are refused", settings_are_checked },
    { "an interrupted founding can be repeated", an_interrupted_founding_is_repeated },
    { "a lone voter leads, commits, refuses what it must, and remembers", alone_it_leads_and_remembers },
    { "three members apply the same in the same order, over a restart", three_agree },
    { "leadership is handed over", leadership_is_handed_over },
    { "proposals that lost their leader are unknown, not refused", proposals_in_doubt_are_unknown },
    { "closing settles every proposal and change once", closing_settles_everything },
    { "members are added, promoted, demoted and removed", members_come_and_go },
    { "a leader may remove itself", a_leader_may_remove_itself },
    { "a late member comes by snapshot, and restarts from it", a_late_member_comes_by_snapshot },
    { "a damaged log is refused in words that help", damage_is_refused_in_words },
    { "a failing disk ends a member in order, with a reason", a_failing_disk_ends_it_in_order },
};

const struct unit_suite suite_consensus = UNIT_SUITE("consensus", tests);
