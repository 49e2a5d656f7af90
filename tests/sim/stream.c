/*
 * stream.c - replication connections: attaching, WAL one way, replies the other, and who releases a waiting commit.
 *
 * A walsender releases waiters by its own copy of the synchronous settings (5.6). A diverged standby is noticed only
 * after it has told its position (R6). A receiver outlives its settings while replay is held up (R4). Connections over
 * a cut link live on until a timeout; what was under way arrives when the link comes back.
 */
#include "world.h"

#define RETRY_US (100 * MS)   /* wal_retrieve_retry_interval */
#define SILENCE_US (10 * SEC) /* wal_sender_timeout, wal_receiver_timeout */
#define TRANSMIT_US (60 * MS) /* TCP tries again */
#define STREAMING_BYTES 4096  /* no further behind: "streaming" instead of "catchup" */

static struct sender *sender_of(struct server *server, uint64_t connection)
{
    for (uint32_t i = 0; i < SENDERS_MAX; i++)
        if (server->senders[i].used && server->senders[i].connection == connection)
            return &server->senders[i];
    return NULL;
}

static bool replay_held(const struct host *host)
{
    return host->world->now_us < host->server.replay_stuck_until_us;
}

static bool path_open(const struct world *world, uint32_t one, uint32_t other)
{
    return net_open(world, one, other, TRAFFIC_WAL) && net_open(world, other, one, TRAFFIC_WAL);
}

static void hang_up(struct host *host, uint32_t peer, uint64_t connection)
{
    struct world *world = host->world;

    if (net_open(world, host->index, peer, TRAFFIC_WAL))
        world_put(&world->hosts[peer], AT_HANGUP, net_delay(world), connection, 0);
}

void stream_end_receiver(struct host *host)
{
    struct receiver *receiver = &host->server.receiver;

    if (!receiver->running)
        return;
    receiver->running = false;
    hang_up(host, receiver->from, receiver->connection);
}

void stream_end_all(struct host *host)
{
    struct server *server = &host->server;

    stream_end_receiver(host);
    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        if (!server->senders[i].used)
            continue;
        server->senders[i].used = false;
        hang_up(host, server->senders[i].to, server->senders[i].connection);
    }
}

void stream_end_sender(struct host *host, struct sender *sender)
{
    if (!sender->used)
        return;
    sender->used = false;
    hang_up(host, sender->to, sender->connection);
}

void stream_want(struct host *host)
{
    struct server *server = &host->server;

    if (server->state != SERVER_STANDBY || server->replaying || replay_held(host) || server->upstream == 0 ||
        server->receiver.running || server->attaching || server->promoting)
        return;
    server->attaching = true;
    world_put(host, AT_ATTACH, world_chance(host->world, MS, 8 * MS), server->run, 0);
}

static void retry(struct host *host)
{
    host->server.attaching = true;
    world_put(host, AT_ATTACH, RETRY_US, host->server.run, 0);
}

static void send_wal(struct host *host, struct sender *sender)
{
    struct server *server = &host->server;
    struct host *to = &host->world->hosts[sender->to];

    sender->in_flight = true;
    world_put(to, AT_WAL, net_delay(host->world) + world_chance(host->world, 20, 100),
              sender->connection << 16 | (uint64_t)server->wal.branch, server->wal.end);
}

void stream_pump(struct host *host)
{
    struct server *server = &host->server;

    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        struct sender *sender = &server->senders[i];
        if (sender->used && !sender->diverged && !sender->in_flight && sender->flushed < server->wal.end)
            send_wal(host, sender);
    }
}

static bool slot_free(const struct server *server, const char *slot)
{
    bool there = false;

    for (uint32_t i = 0; i < server->slot_count; i++)
        there = there || strcmp(server->slots[i], slot) == 0;
    for (uint32_t i = 0; i < SENDERS_MAX; i++)
        if (server->senders[i].used && strcmp(server->senders[i].slot, slot) == 0)
            return false;
    return there;
}

/* The receiver fetches the history files that it lacks, one after the other; one that the upstream lacks too ends it,
 * and the connection may end between any two. */
static bool fetch_histories(struct host *host, const struct server *upstream, uint32_t from, uint32_t to)
{
    struct server *server = &host->server;

    for (uint32_t timeline = from + 1; timeline <= to; timeline++) {
        if (histories_has(server, timeline))
            continue;
        if (!histories_has(upstream, timeline) || world_permille(host->world, 20))
            return false;
        histories_add(server, timeline);
    }
    return true;
}

static struct sender *new_sender(struct host *upstream, struct host *host)
{
    struct world *world = host->world;
    struct server *server = &upstream->server;
    uint32_t at = 0;

    while (at < SENDERS_MAX && server->senders[at].used)
        at++;
    if (at == SENDERS_MAX)
        return NULL;
    struct sender *sender = &server->senders[at];
    *sender = (struct sender){
        .used = true,
        .connection = ++world->connections,
        .to = host->index,
        .pid = (int32_t)world->connections + 1000,
        .started_us = world->now_us + upstream->wall_offset_us,
        .heard_us = world->now_us,
        .view = server->sync,
    };
    (void)text_copy(sender->slot, sizeof sender->slot, host->server.slot);
    return sender;
}

static bool may_connect(struct host *host, const struct host *upstream)
{
    const struct server *server = &upstream->server;

    return upstream->data && upstream != host && upstream->up && !host_frozen(upstream) &&
           path_open(host->world, host->index, upstream->index) &&
           (server->state == SERVER_PRIMARY || server->state == SERVER_STANDBY) &&
           host->world->now_us >= server->hung_until_us && slot_free(server, host->server.slot);
}

static void connect_to(struct host *host, struct host *upstream)
{
    struct world *world = host->world;
    struct server *server = &host->server;
    uint32_t own = wal_timeline(world, server->wal);
    uint32_t theirs = wal_timeline(world, upstream->server.wal);
    uint64_t fork = wal_visible_fork(world, server->wal, upstream->server.wal);

    if (server->system != upstream->server.system || fork == 0 ||
        !fetch_histories(host, &upstream->server, own, theirs)) {
        retry(host);
        return;
    }
    struct sender *sender = new_sender(upstream, host);
    if (!sender) {
        retry(host);
        return;
    }
    server->receiver = (struct receiver){
        .running = true,
        .connection = sender->connection,
        .from = upstream->index,
        .heard_us = world->now_us,
    };
    server->received = true;
    if (fork != UINT64_MAX) {
        /* Tells a position that this history does not have; only then does it hear so. */
        world_trace(host, "pg: diverged standby at n%u, tells %" PRIu64 " beyond %" PRIu64, upstream->index + 1,
                    server->wal.end, fork);
        sender->streaming = sender->diverged = true;
        sender->flushed = server->wal.end;
        world_put(upstream, AT_HANGUP, 30 * MS, sender->connection, 0);
        world_put(host, AT_HANGUP, 30 * MS, sender->connection, 0);
        stream_release(upstream, sender);
        return;
    }
    world_trace(host, "pg: streams from n%u at %" PRIu64, upstream->index + 1, server->wal.end);
    if (host != world->former) /* nobody compares that one with anything */
        check_attached(host, upstream);
    send_wal(upstream, sender);
}

void stream_attach(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;
    struct host *upstream = world_host(host->world, server->upstream);

    if (moment->a != server->run)
        return;
    server->attaching = false;
    if (server->state != SERVER_STANDBY || server->replaying || replay_held(host) || !upstream ||
        server->receiver.running || server->promoting)
        return;
    if (!may_connect(host, upstream)) {
        retry(host);
        return;
    }
    connect_to(host, upstream);
}

void stream_wal(struct host *host, const struct moment *moment)
{
    struct world *world = host->world;
    struct server *server = &host->server;
    struct receiver *receiver = &server->receiver;
    uint64_t connection = moment->a >> 16;

    if (!receiver->running || receiver->connection != connection || server->state == SERVER_DOWN)
        return;
    if (!net_open(world, receiver->from, host->index, TRAFFIC_WAL)) {
        world_put(host, AT_WAL, TRANSMIT_US, moment->a, moment->b);
        return;
    }
    receiver->heard_us = world->now_us;
    if (moment->b > server->wal.end) {
        server->wal.branch = (int32_t)(moment->a & 0xffff);
        server->wal.end = moment->b;
        if (!server->replaying && !replay_held(host))
            server->replayed = server->wal.end;
        stream_pump(host);
    }
    bool slow = world->now_us < server->slow_until_us;
    int64_t flush_us = slow ? world_chance(world, 30 * MS, 700 * MS) : world_chance(world, 100, 800);
    world_put(&world->hosts[receiver->from], AT_ACK, flush_us + net_delay(world), connection, server->wal.end);
}

static void read_settings(const struct server *server, struct sender *sender)
{
    sender->view = server->sync;
    sender->reload_pending = false;
}

void stream_ack(struct host *host, const struct moment *moment)
{
    struct world *world = host->world;
    struct server *server = &host->server;
    struct sender *sender = sender_of(server, moment->a);

    if (!sender)
        return;
    if (!net_open(world, sender->to, host->index, TRAFFIC_WAL)) {
        world_put(host, AT_ACK, TRANSMIT_US, moment->a, moment->b);
        return;
    }
    sender->in_flight = false;
    sender->heard_us = world->now_us;
    sender->replied_us = world->now_us + world->hosts[sender->to].wall_offset_us;
    if (moment->b > sender->flushed)
        sender->flushed = moment->b;
    if (sender->flushed + STREAMING_BYTES >= server->wal.end)
        sender->streaming = true;
    /* It looks for a signal between replies: the first one after it may still be judged by the old settings. */
    if (sender->reload_pending && sender->replies++ > 0)
        read_settings(server, sender);
    stream_release(host, sender);
    stream_pump(host);
}

void stream_senders(struct host *host, const struct moment *moment)
{
    struct world *world = host->world;
    struct server *server = &host->server;

    if (moment->a != server->run || server->state == SERVER_DOWN)
        return;
    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        struct sender *sender = &server->senders[i];
        if (!sender->used)
            continue;
        const struct host *peer = &world->hosts[sender->to];
        bool reset = path_open(world, host->index, sender->to) && peer->up && !host_frozen(peer) &&
                     (!peer->server.receiver.running || peer->server.receiver.connection != sender->connection);
        if (reset || world->now_us - sender->heard_us > SILENCE_US) {
            sender->used = false;
            hang_up(host, sender->to, sender->connection);
        } else if (!sender->in_flight && !sender->diverged) {
            send_wal(host, sender);
        }
    }
    world_put(host, AT_SENDERS, 300 * MS, server->run, 0);
}

void stream_receiver(struct host *host, const struct moment *moment)
{
    struct world *world = host->world;
    struct server *server = &host->server;
    struct receiver *receiver = &server->receiver;

    if (moment->a != server->run || server->state != SERVER_STANDBY)
        return;
    if (receiver->running) {
        struct host *from = &world->hosts[receiver->from];
        bool reset = path_open(world, host->index, receiver->from) && from->up && !host_frozen(from) &&
                     !sender_of(&from->server, receiver->connection);
        bool elsewhere = !replay_held(host) && server->upstream != from->node_id;
        if (reset || elsewhere || world->now_us - receiver->heard_us > SILENCE_US)
            stream_end_receiver(host);
    }
    if (!server->replaying && !replay_held(host))
        server->replayed = server->wal.end;
    stream_want(host);
    world_put(host, AT_RECEIVER, 500 * MS, server->run, 0);
}

void stream_hangup(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;
    struct sender *sender = sender_of(server, moment->a);

    if (sender)
        sender->used = false;
    if (!server->receiver.running || server->receiver.connection != moment->a)
        return;
    server->receiver.running = false;
    if (server->state == SERVER_STANDBY && !server->attaching)
        retry(host);
}

void stream_reconnect(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;

    if (!server->receiver.running || server->receiver.connection != moment->a || replay_held(host))
        return;
    stream_end_receiver(host);
    stream_want(host);
}

void stream_view(struct host *host, const struct moment *moment)
{
    struct sender *sender = sender_of(&host->server, moment->a);

    if (sender)
        read_settings(&host->server, sender);
}

bool stream_named(const struct world *world, const struct sender *sender)
{
    return sender->view.k > 0 && (sender->view.names >> world->hosts[sender->to].member & 1);
}

static bool counts(const struct world *world, const struct sender *sender)
{
    return sender->used && sender->streaming && stream_named(world, sender);
}

/* How far k of those who count have flushed, as the walsender `by` sees it: PostgreSQL goes by names. */
static uint64_t synchronous_up_to(const struct host *host, const struct sender *by)
{
    const struct server *server = &host->server;
    uint64_t flushed[SENDERS_MAX];
    uint32_t count = 0;

    if (!counts(host->world, by))
        return 0;
    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        if (!counts(host->world, &server->senders[i]))
            continue;
        uint32_t at = count++;
        while (at > 0 && flushed[at - 1] < server->senders[i].flushed) {
            flushed[at] = flushed[at - 1];
            at--;
        }
        flushed[at] = server->senders[i].flushed;
    }
    return count < by->view.k ? 0 : flushed[by->view.k - 1];
}

void stream_release(struct host *host, const struct sender *by)
{
    struct server *server = &host->server;
    uint64_t up_to = by ? synchronous_up_to(host, by) : UINT64_MAX;

    if (!server_writable(host))
        return;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &server->clients[i];
        if (client->waits_for == 0 || client->waits_for > up_to)
            continue;
        struct wal commit = { client->branch, client->waits_for };
        client->waits_for = 0;
        check_acked(host, commit);
    }
}
