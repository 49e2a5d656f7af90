/* check.c - the checkers of leases, tokens and writers. See check.h; what commits need is in check_data.c. */
#include "core/codec.h"
#include "world.h"

#include <stdarg.h>

#define SLACK_US 2000 /* two events of one moment may come in either order */

void check_fail(struct world *world, const char *name, const char *format, ...)
{
    struct check *check = &world->check;
    va_list args;

    if (check->failed)
        return;
    check->failed = true;
    check->at_us = world->now_us;
    (void)text_copy(check->name, sizeof check->name, name);
    va_start(args, format);
    (void)vsnprintf(check->text, sizeof check->text, format, args);
    va_end(args);
    if (world->trace)
        printf("%3" PRId64 ".%06" PRId64 " *** %s: %s\n", world->now_us / SEC, world->now_us % SEC, name, check->text);
}

void check_begin(struct world *world)
{
    memset(&world->check, 0, sizeof world->check);
    world->check.present = -1;
    world->check.async = world->profile.policy.durability == DURABILITY_ASYNC;
}

void check_leader(const struct host *host)
{
    struct check *check = &host->world->check;
    uint64_t term = host->raft.term;

    if (term >= TERMS_MAX) {
        check_fail(host->world, "RAFT", "term %" PRIu64 ": elections without end", term);
        return;
    }
    if (check->leader_of[term] != 0)
        check_fail(host->world, "RAFT", "two leaders in term %" PRIu64, term);
    check->leader_of[term] = host->raft.raft_id;
}

/* -- the log ------------------------------------------------------------------------------------------------------ */

static uint64_t state_hash(const struct cluster *cluster)
{
    static struct buf buf; /* kept between calls */
    uint64_t hash = 14695981039346656037u;

    if (buf.max == 0)
        buf_init(&buf, SNAPSHOT_BYTES_MAX);
    buf.length = 0;
    cluster_encode(cluster, &buf);
    for (size_t i = 0; i < buf.length; i++)
        hash = (hash ^ buf.bytes[i]) * 1099511628211u;
    return hash;
}

static void token_given(struct world *world, const struct cluster *cluster)
{
    struct check *check = &world->check;
    uint64_t token = cluster->primary.token.no;

    if (token >= TOKENS_MAX) {
        check_fail(world, "G2", "token %" PRIu64 ": elections without end", token);
        return;
    }
    if (check->token_owner[token] != 0)
        check_fail(world, "G2", "token %" PRIu64 " was given to n%d before", token, check->token_owner[token]);
    check->token_owner[token] = cluster->primary.node_id;
    check->token_timeline[token] = cluster->primary.timeline.no;
}

static void on_commit(struct host *host, const struct command *command)
{
    struct world *world = host->world;
    struct check *check = &world->check;
    uint64_t token = check->reference.token.no;
    enum apply_result result = cluster_apply(&check->reference, command, NULL);

    if (check->reference.token.no < token)
        check_fail(world, "G2", "the token went back from %" PRIu64 " to %" PRIu64, token, check->reference.token.no);
    if (result != APPLY_OK)
        return;
    check->commands[command->kind]++;
    words_committed(world, command);
    if (command->kind == COMMAND_ELECT || command->kind == COMMAND_FOUND)
        token_given(world, &check->reference);
    if (check->reference.policy.durability == DURABILITY_ASYNC)
        check->async = true;
    if (command->kind == COMMAND_SWITCHOVER)
        check->switchover_until_us = world->now_us + ((int64_t)command->number + 15000) * MS;
    else if (check->reference.operation.kind == OPERATION_NONE)
        check->switchover_until_us = 0;
    if (command->kind != COMMAND_JOIN && command->kind != COMMAND_REGISTER && command->kind != COMMAND_VOTER)
        fault_strike(host);
}

/* The first who applies an entry says what is committed; everybody else has to agree. */
void check_before_apply(struct host *host, uint64_t index, uint32_t entry)
{
    struct world *world = host->world;
    struct check *check = &world->check;
    struct command command;
    struct err err = { 0 };

    if (index >= INDEXES_MAX) {
        check_fail(world, "CIRCLE", "proposals without end");
        return;
    }
    if (check->committed[index] != 0) {
        if (check->committed[index] != entry + 1)
            check_fail(world, "RAFT", "n%u applies another entry %" PRIu64, host->index + 1, index);
        return;
    }
    check->committed[index] = entry + 1;
    check->reference_index = index;
    const struct entry *bytes = &world->entries[entry];
    if (command_decode(world->store + bytes->at, bytes->length, &command, &err) < 0)
        check_fail(world, "STATE", "entry %" PRIu64 " cannot be read: %s", index, err.text);
    else
        on_commit(host, &command);
    if (index % 8 == 0)
        check->hashes[index] = state_hash(&check->reference);
}

static void note_token(struct host *host)
{
    uint64_t *seen = &host->world->check.token_seen[host->index];

    if (host->manager.cluster.token.no > *seen)
        *seen = host->manager.cluster.token.no;
}

void check_applied(struct host *host, uint64_t index)
{
    struct check *check = &host->world->check;

    if (index < INDEXES_MAX && check->hashes[index] != 0 && check->hashes[index] != state_hash(&host->manager.cluster))
        check_fail(host->world, "STATE", "n%u differs after entry %" PRIu64, host->index + 1, index);
    note_token(host);
}

void check_restored(struct host *host, uint64_t index)
{
    check_applied(host, index);
}

void check_daemon_started(struct host *host)
{
    struct check *check = &host->world->check;

    check->last_node_why[host->index] = WHY_COUNT;
    check->last_lead_why[host->index] = WHY_COUNT;
}

/* -- leases ------------------------------------------------------------------------------------------------------- */

static bool waived(const struct world *world)
{
    return world->profile.policy.fence_wait == FENCE_WAIT_NONE;
}

void check_asked(struct host *host, const struct lease_ask *ask)
{
    int64_t end_us = host->manager.node.lease.sent_us + ask->length_us - ask->length_us / LEASE_DRIFT;
    struct told_round *round = &host->rounds[host->round_count % ROUNDS_KEPT];

    if (host->round_count > 0 && host->rounds[(host->round_count - 1) % ROUNDS_KEPT].end_us == end_us)
        return;
    host->round_count++;
    *round = (struct told_round){ end_us, ask->lsn.at };
    /* It says that it does not know: then all that is there counts. */
    if (ask->lsn.at == LAG_BLIND)
        round->lsn = host->server.wal.end;
}

/* The lease has just been renewed: by which round, and what had that told? */
static void note_told(struct host *host)
{
    for (uint32_t i = 0; i < ROUNDS_KEPT; i++)
        if (host->rounds[i].end_us == host->manager.node.lease.end_us && host->rounds[i].lsn != 0)
            host->world->check.told_lsn[host->index] = host->rounds[i].lsn;
}

static void check_lease(struct host *host)
{
    struct world *world = host->world;
    struct check *check = &world->check;
    const struct manager *manager = &host->manager;
    int64_t *until_us = &check->lease_until_us[host->index];

    if (!lease_valid(&manager->node.lease, &manager->cluster, clock_of(host))) {
        *until_us = 0;
        return;
    }
    *until_us = world->now_us + clock_until(host, manager->node.lease.end_us);
    /* A renewal, and not the same end computed anew. */
    if (*until_us > check->lease_end_us[host->index] + SLACK_US || check->lease_end_us[host->index] == UNMANAGED_US) {
        check->lease_end_us[host->index] = *until_us;
        note_told(host);
    }
    if (manager->cluster.token.no < check->token_seen[host->index])
        check_fail(world, "G2", "n%u holds a lease on token %" PRIu64 " and had applied %" PRIu64, host->index + 1,
                   manager->cluster.token.no, check->token_seen[host->index]);
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        if (i != host->index && check->lease_until_us[i] > world->now_us + SLACK_US && !waived(world))
            check_fail(world, "G1",
                       "n%u holds a lease on token %" PRIu64 ", and n%u's is valid for %" PRId64 " us more",
                       host->index + 1, manager->cluster.token.no, i + 1, check->lease_until_us[i] - world->now_us);
}

void check_cranked(struct host *host)
{
    struct check *check = &host->world->check;
    enum why node = host->manager.node_plan.why;
    enum why lead = host->manager.lead_plan.why;

    if (check->last_node_why[host->index] != node)
        check->node_why[node]++;
    if (check->last_lead_why[host->index] != lead)
        check->lead_why[lead]++;
    check->last_node_why[host->index] = node;
    check->last_lead_why[host->index] = lead;
    check_lease(host);
}

/* The guard begins guard_kill_time before the lease's end, or now. */
void check_guard(const struct host *host)
{
    const struct check *check = &host->world->check;
    int64_t kill_us = (int64_t)host->world->profile.policy.guard_kill_time_ms * MS;
    int64_t left_us = clock_until(host, host->guard.kill_at_us);
    int64_t lease_us = clock_until(host, host->manager.node.lease.end_us);
    int64_t end_us = check->lease_end_us[host->index];

    /* The manager may have renewed within this turn. */
    if (host->world->now_us + lease_us > end_us)
        end_us = host->world->now_us + lease_us;
    if (host->guard.mode == WISH_PRIMARY && left_us > 0 && host->world->now_us + left_us > end_us - kill_us + SLACK_US)
        check_fail(host->world, "G1", "n%u's guard would stop PostgreSQL too late for its lease", host->index + 1);
}

/* A thawed host may write until its guard is scheduled (design 2); fence_wait = none waives more. */
static bool excused(const struct host *host)
{
    int64_t grace_us = (int64_t)host->world->profile.policy.guard_kill_time_ms * MS + 100 * MS;

    return host->frozen_until_us != 0 && host->world->now_us < host->frozen_until_us + grace_us;
}

/* -- starts and promotions ---------------------------------------------------------------------------------------- */

static void check_permitted(struct host *host, struct token token, const char *what)
{
    struct world *world = host->world;
    const struct check *check = &world->check;

    if (token.no >= TOKENS_MAX || check->token_owner[token.no] != host->node_id)
        check_fail(world, "G2", "n%u %s under token %" PRIu64 ", which is not its own", host->index + 1, what,
                   token.no);
    else if (token.no < check->token_seen[host->index])
        check_fail(world, "G2", "n%u %s under token %" PRIu64 " and had applied %" PRIu64, host->index + 1, what,
                   token.no, check->token_seen[host->index]);
}

void check_promote(struct host *host, const struct pg_action *action)
{
    check_permitted(host, action->token, "promotes");
    if (!host->world->check.failed && host->world->check.token_timeline[action->token.no] != action->timeline.no)
        check_fail(host->world, "G2", "n%u promotes to timeline %u, which was not reserved for it", host->index + 1,
                   action->timeline.no);
}

void check_start(struct host *host, bool as_primary)
{
    const struct cluster *cluster = &host->manager.cluster;

    if (!as_primary)
        return;
    check_permitted(host, host->server.conf.token, "starts as primary");
    if (cluster->primary.permitted_at <= host->world->check.stopped_at[host->index])
        check_fail(host->world, "G2", "n%u starts as primary on a permission of before its stop", host->index + 1);
    host->world->check.restarts++;
}

void check_promoted(struct host *host, uint32_t timeline)
{
    struct check *check = &host->world->check;

    check->promotions++;
    if (check->timeline_used[timeline])
        check_fail(host->world, "G2", "n%u promotes to timeline %u, which exists already", host->index + 1, timeline);
    check->timeline_used[timeline] = true;
    fault_strike(host);
}

void check_stopped(struct host *host)
{
    struct check *check = &host->world->check;

    check->stopped_at[host->index] = host->daemon_up ? host->manager.cluster.version : check->stopped_at[host->index];
}

static void check_alone(struct host *host)
{
    struct world *world = host->world;

    for (uint32_t i = 0; i < world->profile.data && !waived(world); i++) {
        const struct host *other = &world->hosts[i];
        if (other != host && other->up && server_writable(other) && !host_frozen(other) && !excused(other) &&
            !excused(host))
            check_fail(world, "G1", "n%u and n%u are writable at once", host->index + 1, i + 1);
    }
}

void check_writable(struct host *host)
{
    struct world *world = host->world;
    struct check *check = &world->check;

    /* A thawed host may open for a moment, under an older token; with fence_wait = none any. */
    if (host->server.conf.token.no < check->present_token && (excused(host) || waived(world)))
        return;
    check->present = (int32_t)host->index;
    check->present_token = host->server.conf.token.no;
    check_alone(host);
    /* A pause is a lease without end. */
    if (check->lease_end_us[host->index] < world->now_us && !excused(host) && check->reference.pause == PAUSE_OFF)
        check_fail(world, "G1", "n%u becomes writable without a lease", host->index + 1);
    check_loss(host);
}

void check_wrote(struct host *host)
{
    struct world *world = host->world;
    struct check *check = &world->check;
    bool paused = check->reference.pause != PAUSE_OFF || host->guard.mode == WISH_PAUSED;

    check->writes++;
    check_alone(host);
    if (check->lease_end_us[host->index] == 0 || paused || excused(host))
        return;
    if (check->lease_end_us[host->index] + SLACK_US < world->now_us)
        check_fail(world, "G1", "n%u writes %" PRId64 " us after its lease's end", host->index + 1,
                   world->now_us - check->lease_end_us[host->index]);
}
