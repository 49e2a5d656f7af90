/*
 * consensus.c - one member's life with libraft: opening and closing it, what it is now, proposals. See consensus.h.
 *
 * libraft tells nobody when it becomes leader or follower, so its state is looked at before and after each poll of the
 * loop; it changes only in between, inside callbacks of the same loop. What the caller is told waits for an idle
 * handle, so that it never comes from inside a call into libraft, or into us.
 */
#include "consensus/consensus.h"

#include "base/clock.h"
#include "base/rand.h"
#include "consensus/envelope.h"
#include "consensus/private.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define DIRECTORY_BYTES_MAX 800
#define ELECTION_MS_MIN 150
#define ELECTION_MS_MAX 60000
#define HEARTBEAT_MS_MIN 20
#define SNAPSHOT_THRESHOLD 1024 /* entries since the last snapshot */
#define SNAPSHOT_TRAILING 512   /* kept behind it for members that lag a little */
#define SEGMENT_BYTES (1u << 20)
#define CONNECT_RETRY_MS 100
#define DISK_RETRY_MS 1000
#define INSTALL_SNAPSHOT_MS 2000 /* then it is sent again */
#define CATCH_UP_ROUNDS 4
#define CATCH_UP_ROUND_MS 5000

void *consensus_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        abort();
    return memory;
}

static void deliver(uv_idle_t *idle);

void consensus_defer(struct consensus *consensus)
{
    if (!uv_is_closing((uv_handle_t *)&consensus->idle))
        (void)uv_idle_start(&consensus->idle, deliver);
}

void consensus_down(struct consensus *consensus, const char *format, ...)
{
    va_list args;

    if (consensus->down)
        return;
    consensus->down = true;
    va_start(args, format);
    (void)vsnprintf(consensus->problem, sizeof consensus->problem, format, args);
    va_end(args);
    consensus->changed = true;
    consensus->since_us = clock_boot_us();
    consensus_defer(consensus);
}

/* --- proposals --- */

static void settle(struct proposal *proposal, enum consensus_outcome outcome)
{
    struct consensus *consensus = proposal->consensus;

    proposal->outcome = outcome;
    proposal->next = NULL;
    *consensus->finished_end = proposal;
    consensus->finished_end = &proposal->next;
    consensus_defer(consensus);
}

static void applied(struct raft_apply *request, int status, void *result)
{
    struct proposal *proposal = request->data;

    (void)result;
    proposal->consensus->in_flight--;
    settle(proposal, status ? CONSENSUS_UNKNOWN : CONSENSUS_COMMITTED);
}

static void tell_finished(struct consensus *consensus)
{
    struct proposal *proposal;

    while ((proposal = consensus->finished)) {
        struct proposal told = *proposal;
        consensus->finished = proposal->next;
        if (!consensus->finished)
            consensus->finished_end = &consensus->finished;
        free(proposal);
        if (told.done)
            told.done(told.ctx, told.outcome);
    }
}

static bool may_propose(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;

    return consensus->raft_phase == RAFT_OPEN && !consensus->down && !consensus->closing &&
           raft_state(raft) == RAFT_LEADER && raft_transferee(raft) == 0 &&
           consensus->leading_term == raft->current_term && consensus->in_flight < CONSENSUS_IN_FLIGHT_MAX;
}

/* Hands the proposal to libraft, or settles it. */
static void submit(struct proposal *proposal, const uint8_t *bytes, size_t length)
{
    struct consensus *consensus = proposal->consensus;
    struct raft_buffer buffer = { .len = entry_size(length) };

    buffer.base = raft_malloc(buffer.len);
    if (!buffer.base)
        abort();
    entry_encode(buffer.base, bytes, length);
    proposal->request.data = proposal;
    int status = raft_apply(&consensus->raft, &proposal->request, &buffer, 1, applied);
    if (status == RAFT_NOTLEADER || status == RAFT_NOSPACE) {
        /* Refused before it was looked at (client.c, ClientSubmit): the buffer is still ours. */
        raft_free(buffer.base);
        settle(proposal, CONSENSUS_REFUSED);
    } else if (status) {
        /* Failed halfway. Whether libraft has freed the buffer is not to be known: it is left alone. */
        consensus_down(consensus, "libraft could not take an entry: %s", raft_strerror(status));
        settle(proposal, CONSENSUS_UNKNOWN);
    } else {
        consensus->in_flight++;
    }
}

void consensus_propose(struct consensus *consensus, const uint8_t *bytes, size_t length,
                       void (*done)(void *ctx, enum consensus_outcome outcome), void *ctx)
{
    struct proposal *proposal = consensus_alloc(sizeof *proposal);

    proposal->consensus = consensus;
    proposal->done = done;
    proposal->ctx = ctx;
    if (may_propose(consensus) && length <= CONSENSUS_PROPOSAL_BYTES_MAX)
        submit(proposal, bytes, length);
    else
        settle(proposal, CONSENSUS_REFUSED);
}

void consensus_flush(struct consensus *consensus)
{
    consensus_propose(consensus, NULL, 0, NULL, NULL);
}

/* --- what we are now --- */

struct barrier {
    struct raft_barrier request; /* data: consensus */
    uint64_t term;
};

static void barrier_applied(struct raft_barrier *request, int status)
{
    struct barrier *barrier = (struct barrier *)request;
    struct consensus *consensus = request->data;

    if (status == 0) {
        consensus->leading_term = barrier->term;
        consensus->changed = true;
        consensus_defer(consensus);
    }
    free(barrier);
}

/* A new leader knows what is committed only once an entry of its own term is (Raft thesis, 6.4). */
static void ask_for_barrier(struct consensus *consensus)
{
    struct barrier *barrier = consensus_alloc(sizeof *barrier);

    consensus->barrier_term = consensus->raft.current_term;
    barrier->term = consensus->raft.current_term;
    barrier->request.data = consensus;
    if (raft_barrier(&consensus->raft, &barrier->request, barrier_applied) == 0)
        return;
    free(barrier);
    consensus_down(consensus, "libraft could not begin a term as leader");
}

static uint64_t leader_of(struct consensus *consensus)
{
    raft_id id = 0;
    const char *address;

    if (raft_state(&consensus->raft) == RAFT_LEADER)
        return consensus->id; /* libraft forgets it while leadership is handed over */
    raft_leader(&consensus->raft, &id, &address);
    return id;
}

/* Compares libraft's state with what we saw last. */
static void look(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    bool moved =
        consensus->change.active && !consensus->change.told && uv_now(consensus->loop) >= consensus->change.deadline_at;

    if (consensus->raft_phase != RAFT_OPEN || consensus->down)
        return;
    int state = (int)raft_state(raft);
    uint64_t leader = leader_of(consensus);
    uint64_t configuration = raft->configuration_uncommitted_index ? raft->configuration_uncommitted_index
                                                                   : raft->configuration_committed_index;
    if (state == RAFT_UNAVAILABLE) {
        consensus_down(consensus, "libraft has given up: %s", raft_errmsg(raft));
        return;
    }
    if (state != consensus->seen_state || raft->current_term != consensus->seen_term ||
        leader != consensus->seen_leader) {
        consensus->seen_state = state;
        consensus->seen_term = raft->current_term;
        consensus->seen_leader = leader;
        consensus->since_us = clock_boot_us();
        consensus->changed = true;
    }
    if (configuration != consensus->seen_configuration || raft->configuration.n != consensus->seen_members) {
        consensus->seen_configuration = configuration;
        consensus->seen_members = raft->configuration.n;
        consensus->changed = true;
    }
    if (state == RAFT_LEADER && consensus->barrier_term != raft->current_term)
        ask_for_barrier(consensus);
    guard_look(consensus);
    if (consensus->changed || moved)
        consensus_defer(consensus);
}

static void before_poll(uv_prepare_t *prepare)
{
    struct consensus *consensus = prepare->data;

    look(consensus);
    if (consensus->raft_phase == RAFT_OPEN)
        pace_arm(consensus);
}

static void after_poll(uv_check_t *check)
{
    look(check->data);
}

static enum consensus_role role_now(const struct consensus *consensus)
{
    if (consensus->down || consensus->raft_phase != RAFT_OPEN)
        return CONSENSUS_DOWN;
    switch (consensus->raft.state) {
    case RAFT_LEADER:
        return consensus->leading_term == consensus->raft.current_term ? CONSENSUS_LEADER : CONSENSUS_LEADER_PENDING;
    case RAFT_CANDIDATE:
        return CONSENSUS_CANDIDATE;
    default:
        return CONSENSUS_FOLLOWER;
    }
}

static enum consensus_member_role member_role(int role)
{
    return role == RAFT_VOTER ? CONSENSUS_VOTER : role == RAFT_STANDBY ? CONSENSUS_LEARNER : CONSENSUS_SPARE;
}

void consensus_status(const struct consensus *consensus, struct consensus_status *ret_status)
{
    const struct raft *raft = &consensus->raft;

    *ret_status = (struct consensus_status){ .role = role_now(consensus), .since_us = consensus->since_us };
    (void)text_copy(ret_status->problem, sizeof ret_status->problem, consensus->problem);
    if (consensus->raft_phase != RAFT_OPEN)
        return;
    ret_status->term = raft->current_term;
    ret_status->leader_id = consensus->down ? 0 : consensus->seen_leader;
    ret_status->last_index = raft_last_index((struct raft *)(uintptr_t)raft);
    ret_status->commit_index = raft->commit_index;
    ret_status->applied_index = raft->last_applied;
    ret_status->changing = consensus->change.active || raft->transfer || raft->configuration_uncommitted_index;
    for (unsigned i = 0; i < raft->configuration.n && i < CONSENSUS_MEMBERS_MAX; i++) {
        struct consensus_member_status *member = &ret_status->members[ret_status->member_count++];
        member->id = raft->configuration.servers[i].id;
        member->role = member_role(raft->configuration.servers[i].role);
        (void)text_copy(member->address, sizeof member->address, raft->configuration.servers[i].address);
    }
}

static void transferred(struct raft_transfer *request)
{
    struct consensus *consensus = request->data;

    consensus->changed = true;
    consensus_defer(consensus);
}

int consensus_transfer(struct consensus *consensus, uint64_t id, struct err *err)
{
    struct consensus_status status;

    consensus_status(consensus, &status);
    if (status.role != CONSENSUS_LEADER && status.role != CONSENSUS_LEADER_PENDING)
        return err_set(err, ERR_NOT_LEADER, "this node does not lead the Raft group");
    if (status.changing)
        return err_set(err, ERR_REFUSED, "a change of raft members, or of the leader, is under way");
    consensus->transfer = (struct raft_transfer){ .data = consensus };
    int failed = raft_transfer(&consensus->raft, &consensus->transfer, id, transferred);
    if (failed == RAFT_BADID || failed == RAFT_NOTFOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no other voter%s to hand leadership to", id ? " of that id" : "");
    return failed ? err_set(err, ERR_REFUSED, "%s", raft_strerror(failed)) : 0;
}

/* --- opening and closing --- */

static void release(struct consensus *consensus)
{
    if (consensus->lock_fd >= 0)
        (void)close(consensus->lock_fd);
    free(consensus->directory);
    free(consensus->address);
    free(consensus);
}

static void handle_closed(uv_handle_t *handle)
{
    struct consensus *consensus = handle->data;

    if (--consensus->handles > 0)
        return;
    void (*closed)(void *ctx) = consensus->closed;
    void *ctx = consensus->closed_ctx;
    tell_finished(consensus);
    members_close(consensus);
    release(consensus);
    if (closed)
        closed(ctx);
}

static void close_handles(struct consensus *consensus)
{
    uv_close((uv_handle_t *)&consensus->idle, handle_closed);
    uv_close((uv_handle_t *)&consensus->prepare, handle_closed);
    uv_close((uv_handle_t *)&consensus->check, handle_closed);
    uv_close((uv_handle_t *)&consensus->timer, handle_closed);
}

static void raft_closed(struct raft *raft)
{
    struct consensus *consensus = raft->data;

    raft_uv_close(&consensus->io);
    consensus->raft_phase = RAFT_CLOSED;
    if (consensus->closing)
        close_handles(consensus);
}

static void close_raft(struct consensus *consensus)
{
    consensus->raft_phase = RAFT_CLOSING;
    raft_close(&consensus->raft, raft_closed);
}

void consensus_close(struct consensus *consensus, void (*done)(void *ctx), void *ctx)
{
    assert(!consensus->closing);
    consensus->closing = true;
    consensus->closed = done;
    consensus->closed_ctx = ctx;
    if (consensus->raft_phase == RAFT_OPEN)
        close_raft(consensus);
    else if (consensus->raft_phase == RAFT_CLOSED)
        close_handles(consensus);
}

/* The deferred place: everything that the caller is told, but for apply, snapshot, restore and dial. */
static void deliver(uv_idle_t *idle)
{
    struct consensus *consensus = idle->data;

    (void)uv_idle_stop(idle);
    /* What libraft does after a failed write is not to be relied on: out of its hands at once. */
    if (consensus->down && consensus->raft_phase == RAFT_OPEN)
        close_raft(consensus);
    tell_finished(consensus);
    members_proceed(consensus);
    if (consensus->changed && !consensus->closing) {
        consensus->changed = false;
        consensus->callbacks.changed(consensus->callbacks.ctx);
    }
}

static int check_config(const struct consensus_config *config, struct err *err)
{
    unsigned election_ms = config->election_timeout_ms;
    unsigned heartbeat_ms = config->heartbeat_ms;

    if (config->id == 0)
        return err_set(err, ERR_CONFIG, "a raft member needs an id other than 0");
    if (election_ms < ELECTION_MS_MIN || election_ms > ELECTION_MS_MAX)
        return err_set(err, ERR_CONFIG, "a raft election timeout of %u ms is not between %d and %d", election_ms,
                       ELECTION_MS_MIN, ELECTION_MS_MAX);
    if (heartbeat_ms < HEARTBEAT_MS_MIN || heartbeat_ms > election_ms / 3)
        return err_set(err, ERR_CONFIG,
                       "a raft heartbeat of %u ms is not between %d and a third of the election "
                       "timeout (%u)",
                       heartbeat_ms, HEARTBEAT_MS_MIN, election_ms / 3);
    if (strlen(config->directory) > DIRECTORY_BYTES_MAX || strlen(config->address) >= CONSENSUS_ADDRESS_MAX)
        return err_set(err, ERR_CONFIG, "the raft directory or address is too long");
    return 0;
}

static void init_handles(struct consensus *consensus)
{
    (void)uv_prepare_init(consensus->loop, &consensus->prepare);
    (void)uv_check_init(consensus->loop, &consensus->check);
    (void)uv_idle_init(consensus->loop, &consensus->idle);
    consensus->prepare.data = consensus->check.data = consensus->idle.data = consensus;
    pace_init(consensus);
    consensus->handles = 4;
    (void)uv_prepare_start(&consensus->prepare, before_poll);
    (void)uv_check_start(&consensus->check, after_poll);
}

/* Opens libraft on the locked directory. On failure raft_phase says how far it came. */
static int start_raft(struct consensus *consensus, const struct consensus_config *config, struct err *err)
{
    struct raft *raft = &consensus->raft;
    struct raft_io *io = &consensus->io;

    fsm_init(consensus);
    transport_init(consensus);
    int status = raft_uv_init(io, consensus->loop, consensus->directory, &consensus->transport);
    if (status)
        return store_failure(consensus->directory, consensus->id, status, io->errmsg, err);
    raft_uv_set_auto_recovery(io, false);
    raft_uv_set_segment_size(io, SEGMENT_BYTES);
    raft_uv_set_connect_retry_delay(io, CONNECT_RETRY_MS);
    raft_uv_set_disk_retry(io, DISK_RETRY_MS);
    guard_io(consensus);
    pace_io(consensus);
    status = raft_init(raft, io, &consensus->fsm, consensus->id, consensus->address);
    if (status) {
        int failed = store_failure(consensus->directory, consensus->id, status, raft_errmsg(raft), err);
        raft_uv_close(io);
        return failed;
    }
    raft->data = consensus;
    raft->tracer = NULL; /* libraft's own formats a line for every heartbeat, to throw it away */
    consensus->raft_phase = RAFT_OPEN;
    raft_seed(raft, (unsigned)rand_identity()); /* members that start together must not draw alike */
    raft_set_election_timeout(raft, config->election_timeout_ms);
    raft_set_heartbeat_timeout(raft, config->heartbeat_ms);
    raft_set_install_snapshot_timeout(raft, INSTALL_SNAPSHOT_MS);
    raft_set_pre_vote(raft, true);
    raft_set_snapshot_threshold(raft, SNAPSHOT_THRESHOLD);
    raft_set_snapshot_trailing(raft, SNAPSHOT_TRAILING);
    raft_set_max_catch_up_rounds(raft, CATCH_UP_ROUNDS);
    raft_set_max_catch_up_round_duration(raft, CATCH_UP_ROUND_MS);
    /* Our segments hold less than libraft's default threshold; and with one, a leader elected on full disks aborts. */
    raft_set_capacity_threshold(raft, 0);
    status = raft_start(raft);
    if (!status && !consensus->down)
        return 0;
    if (consensus->down)
        return err_set(err, ERR_CORRUPT, "%s", consensus->problem);
    return store_failure(consensus->directory, consensus->id, status, raft_errmsg(raft), err);
}

void consensus_set_timing(struct consensus *consensus, unsigned election_timeout_ms, unsigned heartbeat_ms)
{
    struct raft *raft = &consensus->raft;

    if (consensus->down || consensus->closing || election_timeout_ms < ELECTION_MS_MIN ||
        election_timeout_ms > ELECTION_MS_MAX || heartbeat_ms < HEARTBEAT_MS_MIN ||
        heartbeat_ms > election_timeout_ms / 3)
        return;
    /* Each call of the first draws a new timeout, and so puts off an election. */
    if (raft->election_timeout != election_timeout_ms)
        raft_set_election_timeout(raft, election_timeout_ms);
    if (raft->heartbeat_timeout != heartbeat_ms)
        raft_set_heartbeat_timeout(raft, heartbeat_ms);
}

int consensus_open(struct consensus **ret_consensus, uv_loop_t *loop, const struct consensus_config *config,
                   const struct consensus_callbacks *callbacks, struct err *err)
{
    struct consensus *consensus;
    int lock_fd;
    int failed = check_config(config, err);

    if (!failed)
        failed = store_lock(config->directory, &lock_fd, err);
    if (failed)
        return failed;
    failed = store_check(config->directory, err);
    if (failed) {
        (void)close(lock_fd);
        return failed;
    }
    consensus = consensus_alloc(sizeof *consensus);
    consensus->loop = loop;
    consensus->callbacks = *callbacks;
    consensus->id = config->id;
    consensus->lock_fd = lock_fd;
    consensus->directory = strdup(config->directory);
    consensus->address = strdup(config->address);
    if (!consensus->directory || !consensus->address)
        abort();
    consensus->finished_end = &consensus->finished;
    consensus->seen_state = -1;
    consensus->since_us = clock_boot_us();
    consensus->applied_at = uv_now(loop);
    init_handles(consensus);
    failed = start_raft(consensus, config, err);
    if (failed) {
        consensus_close(consensus, NULL, NULL);
        return failed;
    }
    look(consensus);
    *ret_consensus = consensus;
    return 0;
}
