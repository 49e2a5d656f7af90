/* look.c - one look at the fake PostgreSQL, filled in as the adapter fills it (core/instance.h). */
#include "world.h"

static enum pg_state state_of(const struct server *server)
{
    if (!server->present || server->incomplete)
        return PG_ABSENT;
    switch (server->state) {
    case SERVER_DOWN:
        return server->orphans ? PG_ORPHANS : PG_STOPPED;
    case SERVER_STARTING:
    case SERVER_STOPPING: /* does not accept connections any more */
        return PG_STARTING;
    case SERVER_STANDBY:
        return PG_STANDBY;
    case SERVER_PRIMARY:
        return PG_PRIMARY;
    }
    return PG_UNKNOWN;
}

static void look_at_senders(const struct host *host, struct pg_seen *seen)
{
    const struct server *server = &host->server;

    for (uint32_t i = 0; i < SENDERS_MAX && seen->walsender_count < MEMBERS_MAX; i++) {
        const struct sender *sender = &server->senders[i];
        if (!sender->used)
            continue;
        struct walsender_seen *row = &seen->walsenders[seen->walsender_count++];
        (void)text_copy(row->name, sizeof row->name, host->world->hosts[host->world->hosts[sender->to].member].name);
        row->pid = sender->pid;
        row->started_us = sender->started_us;
        row->streaming = sender->streaming;
        row->synchronous = stream_named(host->world, sender);
        row->flushed.at = sender->flushed;
        row->replayed.at = sender->flushed;
        row->replied_us = sender->replied_us;
        row->slot_node = -1;
        (void)sscanf(sender->slot, "repmgr_slot_%" SCNd32 "_%" SCNu64, &row->slot_node, &row->slot_no);
    }
}

static void look_at_standby(const struct host *host, struct pg_seen *seen)
{
    const struct server *server = &host->server;

    seen->replayed.at = server->replayed;
    seen->replay_paused = host->world->now_us < server->replay_stuck_until_us;
    seen->receiver = server->receiver.running;
    seen->receiver_streaming = server->receiver.running;
    /* What a receiver of this run has flushed is known; else only what is replayed. */
    seen->end.at = server->received && !server->replaying ? server->wal.end : server->replayed;
    seen->end_final =
        !server->receiver.running && !server->replaying && (server->received || server->replayed == server->wal.end);
    struct wal known = { server->wal.branch, seen->end.at };
    seen->timeline.no = wal_timeline(host->world, known);
    wal_history(host->world, known, &seen->history);
}

static void look_at_primary(const struct host *host, struct pg_seen *seen)
{
    const struct server *server = &host->server;

    seen->end.at = server->wal.end;
    seen->replayed.at = server->wal.end;
    seen->write_failed = host->world->now_us < server->read_only_until_us;
    if (seen->write_failed)
        (void)text_copy(seen->problem, sizeof seen->problem, "the simulated disk is read-only");
    look_at_senders(host, seen);
}

static void look_at_directory(const struct host *host, struct pg_seen *seen)
{
    const struct server *server = &host->server;
    struct wal known = server->wal;

    seen->clean = server->clean;
    seen->was_primary = server->was_primary;
    seen->end_final = server->clean && server->was_primary;
    if (!server->clean)
        known.end = server->checkpoint;
    seen->end.at = known.end;
    seen->timeline.no = wal_timeline(host->world, known);
    wal_history(host->world, known, &seen->history);
}

/* Nothing answers: what was seen last is all that is known, or that a postmaster is there. */
static void look_in_vain(struct host *host, struct pg_seen *seen)
{
    const struct server *server = &host->server;

    if (seen->state != state_of(server) || seen->postmaster_started_us != server->started_us) {
        memset(seen, 0, sizeof *seen);
        seen->state = PG_STARTING;
        seen->at_us = clock_of(host);
        seen->postmaster_started_us = server->started_us;
    }
    seen->conf_present = server->conf_present;
    seen->conf = server->conf;
    seen->conf.upstream_conninfo[0] = '\0';
    seen->conf_loaded = false;
    seen->answering = false;
    (void)text_copy(seen->problem, sizeof seen->problem, "no answer");
}

void server_look(struct host *host, struct pg_seen *ret_seen)
{
    struct server *server = &host->server;
    bool hung = host->world->now_us < server->hung_until_us;

    if (hung && server->hung_wholly && (server->state == SERVER_PRIMARY || server->state == SERVER_STANDBY)) {
        look_in_vain(host, ret_seen);
        return;
    }
    memset(ret_seen, 0, sizeof *ret_seen);
    ret_seen->state = state_of(server);
    ret_seen->at_us = clock_of(host);
    if (ret_seen->state == PG_ABSENT)
        return;
    ret_seen->system_identifier = server->system;
    ret_seen->version_number = 150018;
    ret_seen->conf_present = server->conf_present;
    ret_seen->conf = server->conf;
    ret_seen->conf.upstream_conninfo[0] = '\0';
    ret_seen->can_rewind = true;
    wal_history(host->world, server->wal, &ret_seen->history);
    ret_seen->timeline.no = wal_timeline(host->world, server->wal);
    if (ret_seen->state == PG_STOPPED || ret_seen->state == PG_ORPHANS) {
        look_at_directory(host, ret_seen);
        return;
    }
    ret_seen->postmaster_started_us = server->started_us;
    if (ret_seen->state == PG_STARTING)
        return;
    if (!hung)
        server->answered_us = clock_of(host);
    ret_seen->answering = !hung;
    ret_seen->answered_at_us = server->answered_us;
    ret_seen->conf_loaded = server->conf_present && server->loaded_no == server->conf_no;
    if (hung)
        (void)text_copy(ret_seen->problem, sizeof ret_seen->problem, "no new connection");
    if (ret_seen->state == PG_STANDBY)
        look_at_standby(host, ret_seen);
    else
        look_at_primary(host, ret_seen);
}
