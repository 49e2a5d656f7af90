/* log.c - the log of one Raft node: appended, replicated, committed, applied, cut by snapshots. See group.h. */
#include "log.h"

#include "core/codec.h"
#include "world.h"

#define KEPT_BEHIND_SNAPSHOT 8
#define CHANGE_US (20 * SEC)

static uint32_t entry_at(const struct host *host, uint64_t index)
{
    assert(index >= host->raft.first && index <= host->raft.last);
    return host->raft.log[index - host->raft.first];
}

uint64_t log_term(const struct host *host, uint64_t index)
{
    if (index == host->raft.snapshot.index)
        return host->raft.snapshot.term;
    if (index < host->raft.first)
        return 0;
    return host->world->entries[entry_at(host, index)].term;
}

enum raft_role log_role(const struct host *host, uint64_t raft_id)
{
    const struct servers *servers = &host->world->servers[host->raft.servers];

    for (uint32_t i = 0; i < servers->count; i++)
        if (servers->of[i].raft_id == raft_id)
            return servers->of[i].role;
    return RAFT_ROLE_NONE;
}

/* The newest configuration in the log is in force, committed or not. */
static void find_servers(struct host *host)
{
    struct raft_node *raft = &host->raft;

    raft->servers = raft->snapshot.servers;
    raft->servers_at = 0;
    for (uint64_t index = raft->last; index >= raft->first && index > raft->snapshot.index; index--) {
        const struct entry *entry = &host->world->entries[entry_at(host, index)];
        if (entry->kind == ENTRY_SERVERS) {
            raft->servers = entry->at;
            raft->servers_at = index;
            return;
        }
    }
}

static uint32_t make_entry(struct world *world, uint64_t term, enum entry_kind kind, const void *bytes, size_t length)
{
    struct entry *entry = &world->entries[world->entry_count];

    assert(world->entry_count < ENTRIES_MAX && world->store_used + length <= STORE_BYTES);
    *entry = (struct entry){ .term = term, .kind = kind };
    if (kind == ENTRY_SERVERS) {
        assert(world->servers_count < SERVERS_MAX);
        entry->at = world->servers_count;
        memcpy(&world->servers[world->servers_count++], bytes, sizeof(struct servers));
    } else if (length > 0) {
        entry->at = world->store_used;
        entry->length = (uint32_t)length;
        memcpy(world->store + world->store_used, bytes, length);
        world->store_used += (uint32_t)length;
    }
    return world->entry_count++;
}

static bool append(struct host *host, uint32_t entry)
{
    struct raft_node *raft = &host->raft;

    if (raft->last + 1 - raft->first >= LOG_MAX)
        return false;
    raft->last++;
    raft->log[raft->last - raft->first] = entry;
    if (host->world->entries[entry].kind == ENTRY_SERVERS) {
        raft->servers = host->world->entries[entry].at;
        raft->servers_at = raft->last;
    }
    return true;
}

static void truncate(struct host *host, uint64_t last)
{
    struct raft_node *raft = &host->raft;

    if (last < raft->commit)
        check_fail(host->world, "RAFT", "n%u would cut committed entry %" PRIu64, host->index + 1, last + 1);
    raft->last = last;
    if (raft->durable > last)
        raft->durable = last;
    if (raft->servers_at > last)
        find_servers(host);
}

static void join_log(struct host *host, uint64_t raft_id)
{
    host->raft = (struct raft_node){ .exists = true, .raft_id = raft_id, .first = 1 };
    /* Configuration number 0 of a world is empty. */
    if (host->world->servers_count == 0)
        host->world->servers[host->world->servers_count++] = (struct servers){ 0 };
}

void group_join(struct host *host, uint64_t raft_id)
{
    struct world *world = host->world;

    join_log(host, raft_id);
    /* The host may have had another server before, with another log. */
    for (uint32_t i = 0; i < world->profile.hosts; i++) {
        world->hosts[i].raft.match[host->index] = 0;
        world->hosts[i].raft.next[host->index] = world->hosts[i].raft.last + 1;
    }
}

void group_bootstrap(struct host *host, uint64_t raft_id)
{
    struct servers alone = { .count = 1, .of = { { raft_id, RAFT_ROLE_VOTER } } };

    join_log(host, raft_id);
    host->raft.term = 1;
    (void)append(host, make_entry(host->world, 1, ENTRY_SERVERS, &alone, sizeof alone));
    host->raft.durable = 1;
}

void group_close(struct host *host)
{
    if (host->raft.exists) {
        host->raft.commit = 0;
        truncate(host, host->raft.durable > host->raft.snapshot.index ? host->raft.durable : host->raft.snapshot.index);
    }
}

static void restore(struct host *host)
{
    static struct cluster cluster; /* large */
    const struct raft_snapshot *snapshot = &host->raft.snapshot;
    struct err err = { 0 };

    if (cluster_decode(host->world->store + snapshot->at, snapshot->length, &cluster, &err) < 0) {
        check_fail(host->world, "STATE", "n%u cannot read a snapshot: %s", host->index + 1, err.text);
        return;
    }
    manager_restore(&host->manager, &cluster, clock_of(host));
    check_restored(host, snapshot->index);
}

void log_open(struct host *host)
{
    find_servers(host);
    if (host->raft.snapshot.index > 0)
        restore(host);
}

static void take_snapshot(struct host *host)
{
    struct raft_node *raft = &host->raft;
    struct world *world = host->world;
    uint64_t keep_from = raft->applied - KEPT_BEHIND_SNAPSHOT + 1;
    static struct buf buf; /* kept between snapshots */

    if (raft->applied - raft->snapshot.index < world->profile.snapshot_every || raft->applied < KEPT_BEHIND_SNAPSHOT)
        return;
    if (buf.max == 0)
        buf_init(&buf, SNAPSHOT_BYTES_MAX);
    buf.length = 0;
    cluster_encode(&host->manager.cluster, &buf);
    assert(!buf.failed && world->store_used + buf.length <= STORE_BYTES);
    uint32_t servers = raft->snapshot.servers;
    for (uint64_t index = raft->snapshot.index + 1; index <= raft->applied; index++)
        if (index >= raft->first && world->entries[entry_at(host, index)].kind == ENTRY_SERVERS)
            servers = world->entries[entry_at(host, index)].at;
    raft->snapshot = (struct raft_snapshot){
        .index = raft->applied,
        .term = log_term(host, raft->applied),
        .at = world->store_used,
        .length = (uint32_t)buf.length,
        .servers = servers,
    };
    memcpy(world->store + world->store_used, buf.bytes, buf.length);
    world->store_used += (uint32_t)buf.length;
    if (keep_from > raft->first) {
        memmove(raft->log, raft->log + (keep_from - raft->first), (raft->last + 1 - keep_from) * sizeof raft->log[0]);
        raft->first = keep_from;
    }
}

static void settle_pending(struct host *host, uint64_t index, uint32_t entry)
{
    struct raft_node *raft = &host->raft;

    for (uint32_t i = 0; i < raft->pending_count; i++) {
        if (raft->pending[i].index != index)
            continue;
        uint64_t ticket = raft->pending[i].ticket;
        bool committed = raft->pending[i].entry == entry;
        raft->pending[i] = raft->pending[--raft->pending_count];
        manager_proposed(&host->manager, ticket, committed, clock_of(host));
        return;
    }
}

static void apply(struct host *host)
{
    struct raft_node *raft = &host->raft;
    struct world *world = host->world;
    bool news = false;

    while (raft->applied < raft->commit && !world->check.failed) {
        uint64_t index = ++raft->applied;
        uint32_t number = entry_at(host, index);
        const struct entry *entry = &world->entries[number];
        if (entry->kind == ENTRY_COMMAND) {
            check_before_apply(host, index, number);
            manager_apply(&host->manager, world->store + entry->at, entry->length, clock_of(host));
            check_applied(host, index);
            news = true;
        }
        settle_pending(host, index, number);
    }
    take_snapshot(host);
    group_tell(host);
    if (news)
        host_crank(host);
}

void log_forget_pending(struct host *host)
{
    struct raft_node *raft = &host->raft;

    for (uint32_t i = 0; i < raft->pending_count; i++)
        world_put(host, AT_PROPOSED, 10, raft->pending[i].ticket, 0);
    raft->pending_count = 0;
}

static void send_append(struct host *host, struct host *to, uint64_t raft_id)
{
    struct raft_node *raft = &host->raft;
    uint64_t next = raft->next[to->index];
    struct raft_message message = {
        .kind = RAFT_APPEND, .from = raft->raft_id, .to = raft_id, .term = raft->term, .commit = raft->commit
    };

    if (next < raft->first || (next == raft->first && next > 1 && next - 1 != raft->snapshot.index)) {
        message.kind = RAFT_INSTALL;
        message.snapshot = raft->snapshot;
        net_send_raft(host, &message);
        return;
    }
    message.index = next - 1;
    message.index_term = log_term(host, next - 1);
    for (uint64_t index = next; index <= raft->last && message.count < BATCH_MAX; index++)
        message.entries[message.count++] = entry_at(host, index);
    net_send_raft(host, &message);
}

void log_send_all(struct host *host, bool heartbeat)
{
    struct raft_node *raft = &host->raft;
    const struct servers *servers = &host->world->servers[raft->servers];

    for (uint32_t i = 0; i < servers->count; i++) {
        struct host *to = world_host_by_raft(host->world, servers->of[i].raft_id);
        if (!to || to == host || servers->of[i].role == RAFT_ROLE_SPARE)
            continue;
        if (raft->transfer_id == to->raft.raft_id && raft->match[to->index] == raft->last) {
            struct raft_message now = {
                .kind = RAFT_TIMEOUT_NOW, .from = raft->raft_id, .to = to->raft.raft_id, .term = raft->term
            };
            net_send_raft(host, &now);
        }
        if (heartbeat || raft->next[to->index] <= raft->last)
            send_append(host, to, servers->of[i].raft_id);
    }
}

static void advance_commit(struct host *host)
{
    struct raft_node *raft = &host->raft;
    const struct servers *servers = &host->world->servers[raft->servers];

    for (uint64_t index = raft->last; index > raft->commit && log_term(host, index) == raft->term; index--) {
        uint32_t all = 0, have = 0;
        for (uint32_t i = 0; i < servers->count; i++) {
            if (servers->of[i].role != RAFT_ROLE_VOTER)
                continue;
            const struct host *one = world_host_by_raft(host->world, servers->of[i].raft_id);
            all++;
            if (one)
                have += (one == host ? raft->durable : raft->match[one->index]) >= index;
        }
        if (have >= all / 2 + 1) {
            raft->commit = index;
            apply(host);
            return;
        }
    }
}

void group_durable(struct host *host, uint64_t index, uint32_t entry)
{
    struct raft_node *raft = &host->raft;

    if (index < raft->first || index > raft->last || entry_at(host, index) != entry)
        return;
    if (index > raft->durable)
        raft->durable = index;
    if (raft->state == RAFT_LEADER)
        advance_commit(host);
}

void group_propose(struct host *host, enum entry_kind kind, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    struct raft_node *raft = &host->raft;
    struct world *world = host->world;
    bool slow = world->now_us < host->slow_disk_until_us;

    if (raft->state != RAFT_LEADER || raft->transfer_id != 0 || raft->pending_count >= PENDING_MAX ||
        raft->last + 1 - raft->first >= LOG_MAX) {
        if (ticket != 0)
            world_put(host, AT_PROPOSED, 10, ticket, 0);
        return;
    }
    uint32_t entry = make_entry(world, raft->term, kind, bytes, length);
    (void)append(host, entry);
    if (ticket != 0) {
        raft->pending[raft->pending_count].index = raft->last;
        raft->pending[raft->pending_count].ticket = ticket;
        raft->pending[raft->pending_count++].entry = entry;
    }
    int64_t disk_us = slow ? world_chance(world, 20 * MS, 600 * MS) : world_chance(world, 200, 2500);
    world_put(host, AT_DURABLE, disk_us, raft->last, entry);
    log_send_all(host, false);
}

static void install(struct host *host, const struct raft_message *message)
{
    struct raft_node *raft = &host->raft;

    if (message->snapshot.index <= raft->commit)
        return;
    raft->snapshot = message->snapshot;
    raft->first = raft->snapshot.index + 1;
    raft->last = raft->durable = raft->commit = raft->applied = raft->snapshot.index;
    find_servers(host);
    restore(host);
    host_crank(host);
}

void log_receive(struct host *host, const struct raft_message *message)
{
    struct raft_node *raft = &host->raft;
    struct raft_message reply = {
        .kind = RAFT_APPEND_REPLY,
        .from = raft->raft_id,
        .to = message->from,
        .term = raft->term,
        .asked = message->index,
    };

    if (message->term < raft->term) {
        net_send_raft(host, &reply);
        return;
    }
    if (message->kind == RAFT_INSTALL) {
        install(host, message);
        reply.ok = true;
        reply.index = message->snapshot.index;
        net_send_raft(host, &reply);
        return;
    }
    if (message->index > raft->last ||
        (message->index >= raft->first && log_term(host, message->index) != message->index_term)) {
        reply.index = message->index > raft->last ? raft->last : message->index - 1;
        net_send_raft(host, &reply);
        return;
    }
    for (uint32_t i = 0; i < message->count; i++) {
        uint64_t index = message->index + 1 + i;
        if (index < raft->first || index <= raft->snapshot.index ||
            (index <= raft->last && entry_at(host, index) == message->entries[i]))
            continue;
        if (index <= raft->last)
            truncate(host, index - 1);
        if (!append(host, message->entries[i]))
            return;
        raft->durable = raft->last;
    }
    reply.ok = true;
    reply.index = message->index + message->count;
    net_send_raft(host, &reply);
    uint64_t known = message->commit < reply.index ? message->commit : reply.index;
    if (known > raft->commit) {
        raft->commit = known;
        apply(host);
    }
}

void log_reply(struct host *host, const struct raft_message *message, uint32_t from)
{
    struct raft_node *raft = &host->raft;
    struct host *to = &host->world->hosts[from];

    if (message->ok) {
        if (message->index > raft->match[from])
            raft->match[from] = message->index;
        if (raft->match[from] >= raft->next[from])
            raft->next[from] = raft->match[from] + 1;
        advance_commit(host);
        if (raft->state == RAFT_LEADER && (raft->next[from] <= raft->last || raft->transfer_id == message->from))
            log_send_all(host, false);
        log_watch_change(host);
        return;
    }
    if (message->asked + 1 != raft->next[from])
        return;
    uint64_t next = message->index + 1 < raft->next[from] ? message->index + 1 : raft->next[from] - 1;
    raft->next[from] = next > raft->match[from] ? next : raft->match[from] + 1;
    send_append(host, to, message->from);
}

static void propose_role(struct host *host, uint64_t raft_id, enum raft_role role)
{
    struct servers servers = host->world->servers[host->raft.servers];
    uint32_t at = 0;

    while (at < servers.count && servers.of[at].raft_id != raft_id)
        at++;
    if (role == RAFT_ROLE_NONE) {
        if (at < servers.count)
            servers.of[at] = servers.of[--servers.count];
    } else {
        if (at == servers.count)
            servers.count++;
        servers.of[at].raft_id = raft_id;
        servers.of[at].role = role;
    }
    group_propose(host, ENTRY_SERVERS, (const uint8_t *)&servers, sizeof servers, 0);
    host->raft.change_index = host->raft.last;
}

void log_watch_change(struct host *host)
{
    struct raft_node *raft = &host->raft;
    struct world *world = host->world;

    if (!raft->changing || raft->state != RAFT_LEADER)
        return;
    if (world->now_us >= raft->change_until_us) {
        raft->changing = false;
        return;
    }
    if (raft->commit < raft->change_index)
        return;
    if (log_role(host, raft->change_id) == raft->change_role) {
        raft->changing = false;
        /* A leader that removed itself steps down by falling silent; the others elect. */
        return;
    }
    const struct host *one = world_host_by_raft(world, raft->change_id);
    if (one && raft->match[one->index] + 2 >= raft->last)
        propose_role(host, raft->change_id, raft->change_role);
}

void group_change(struct host *host, uint64_t raft_id, enum raft_role role)
{
    struct raft_node *raft = &host->raft;

    /* A change of a leader that has not committed an entry of its term yet could be lost with one of before. */
    if (raft->state != RAFT_LEADER || raft->changing || raft->transfer_id != 0 || raft->applied < raft->barrier ||
        raft->servers_at > raft->commit || log_role(host, raft_id) == role)
        return;
    raft->changing = true;
    raft->change_id = raft_id;
    raft->change_role = role;
    raft->change_until_us = host->world->now_us + CHANGE_US;
    bool learner_first = role == RAFT_ROLE_VOTER && log_role(host, raft_id) == RAFT_ROLE_NONE;
    propose_role(host, raft_id, learner_first ? RAFT_ROLE_LEARNER : role);
}
