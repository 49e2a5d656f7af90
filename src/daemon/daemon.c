/* daemon.c - opens and closes the parts of raftmgrd, and turns the crank before the loop sleeps. See daemon.h. */
#include "daemon/daemon.h"

#include "base/clock.h"
#include "base/rand.h"
#include "daemon/again.h"
#include "daemon/run.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#define FAREWELL_MS 1000 /* how long handing leadership over may take before the daemon ends */
#define FLUSH_MS 50      /* and how long the last messages may */
#define CLOSE_MS 5000    /* and closing everything: a name lookup, for one, cannot be ended */

void daemon_wake(struct daemon *daemon)
{
    daemon->woken = true;
}

void daemon_event(struct daemon *daemon, enum event event, const char *format, ...)
{
    char text[2048];
    va_list args;

    (void)daemon;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_line(event_level(event), event_name(event), "%s", text);
}

void daemon_fail(struct daemon *daemon, const struct err *err)
{
    char text[ERR_TEXT_MAX * 2];

    if (daemon->closing)
        return;
    daemon_event(daemon, EVENT_DAEMON_FAILED, "error=%s", log_quoted(text, sizeof text, err->text));
    daemon->exit_status = err_exit_status(err->code);
    daemon_close(daemon);
}

void daemon_fail_log(struct daemon *daemon, const char *problem)
{
    struct err err;

    if (daemon->closing)
        return;
    daemon->again = again_after_life(daemon->again_count, clock_boot_us() - daemon->begun_us);
    (void)err_set(&err, ERR_CORRUPT, "%s", problem);
    daemon_fail(daemon, &err);
}

void daemon_self(const struct daemon *daemon, struct member *ret_member)
{
    const struct settings *settings = &daemon->settings;

    memset(ret_member, 0, sizeof *ret_member);
    ret_member->node_id = settings->node_id;
    ret_member->raft_id = daemon->identity.raft_id;
    ret_member->start_no = daemon->identity.start_no;
    ret_member->kind = settings->node_kind == NODE_WITNESS ? NODE_WITNESS : NODE_DATA;
    ret_member->priority = ret_member->kind == NODE_WITNESS ? 0 : settings->priority;
    ret_member->manual = settings->failover == FAILOVER_MANUAL;
    (void)text_copy(ret_member->name, sizeof ret_member->name, settings->node_name);
    (void)text_copy(ret_member->address, sizeof ret_member->address, settings->peer_advertise);
    (void)text_copy(ret_member->conninfo, sizeof ret_member->conninfo, settings->conninfo);
    (void)text_copy(ret_member->location, sizeof ret_member->location, settings->location);
    (void)text_copy(ret_member->replication_user, sizeof ret_member->replication_user, settings->replication_user);
    (void)text_copy(ret_member->config_file, sizeof ret_member->config_file, daemon->config_path);
}

/* -- the crank ---------------------------------------------------------------------------------------------------- */

static void timer_fired(uv_timer_t *timer)
{
    daemon_wake(timer->data);
}

static void sleep_until(struct daemon *daemon, int64_t wake_at_us)
{
    int64_t wait_us = daemon->woken ? 0 : wake_at_us - clock_boot_us();

    uv_update_time(&daemon->loop);
    uv_timer_start(&daemon->timer, timer_fired, wait_us > 0 ? (uint64_t)(wait_us + 999) / 1000 : 0, 0);
}

static void note_policy(struct daemon *daemon)
{
    const struct cluster *cluster = &daemon->manager.cluster;
    char text[sizeof daemon->policy_notice];

    if (cluster->cluster_id == 0 || cluster->policy_version == daemon->policy_compared)
        return;
    daemon->policy_compared = cluster->policy_version;
    if (!settings_policy_diff(&cluster->policy, &daemon->settings.policy, text, sizeof text) ||
        strcmp(text, daemon->policy_notice) == 0)
        return;
    (void)text_copy(daemon->policy_notice, sizeof daemon->policy_notice, text);
    daemon_event(daemon, EVENT_CONFIG_NOTICE,
                 "text=\"the cluster's settings count, not this file's: %s; change them with rmctl config set\"", text);
}

static void turn(uv_prepare_t *prepare)
{
    struct daemon *daemon = prepare->data;
    int64_t now_us = clock_boot_us();
    int64_t wake_at_us = now_us + 1000000;

    if (!daemon->woken || daemon->closing)
        return;
    daemon->woken = false;
    if (daemon->consensus) {
        live_note_raft(daemon);
        int64_t guard_at_us = guardian_turn(daemon, now_us);
        if (daemon->closing)
            return;
        wake_at_us = manager_crank(&daemon->manager, now_us);
        wake_at_us = guard_at_us < wake_at_us ? guard_at_us : wake_at_us;
        if (daemon->flush_wanted)
            consensus_flush(daemon->consensus);
        daemon->flush_wanted = false;
        live_keep_peers(daemon);
        note_policy(daemon);
        publish_turn(daemon, now_us);
        hook_turn(daemon);
    }
    join_turn(daemon, now_us);
    api_turn(daemon, now_us);
    if (daemon->closing)
        return;
    sleep_until(daemon, wake_at_us);
}

/* -- opening ------------------------------------------------------------------------------------------------------ */

static int open_consensus(struct daemon *daemon, struct err *err)
{
    char directory[PATH_SIZE + 8];
    /* The file's timings serve a new member only, until it knows the agreed ones. */
    const struct identity *identity = &daemon->identity;
    bool agreed = identity->raft_election_timeout_ms != 0 && identity->raft_heartbeat_ms != 0;
    const struct policy *policy = &daemon->settings.policy;
    const struct consensus_callbacks callbacks = live_consensus_callbacks(daemon);
    const struct consensus_config config = {
        .directory = directory,
        .id = daemon->identity.raft_id,
        .address = daemon->settings.peer_advertise,
        .election_timeout_ms = agreed ? identity->raft_election_timeout_ms : policy->raft_election_timeout_ms,
        .heartbeat_ms = agreed ? identity->raft_heartbeat_ms : policy->raft_heartbeat_ms,
    };

    (void)snprintf(directory, sizeof directory, "%s/raft", daemon->settings.state_directory);
    int failed = identity_make_directory(directory, "the Raft log's directory", err);
    if (!failed && daemon->identity.begun && !consensus_holds(directory))
        failed =
            err_set(err, ERR_CORRUPT,
                    "the Raft log in '%s' is gone, and with it what this member voted for: it must be admitted anew; "
                    "move '%s' away and run 'rmctl standby register --force' (a witness: 'rmctl witness register "
                    "--force')",
                    directory, daemon->settings.state_directory);
    if (!failed && daemon->identity.founder && !consensus_exists(directory))
        failed = consensus_bootstrap(directory, daemon->identity.raft_id, daemon->settings.peer_advertise, err);
    if (!failed)
        failed = consensus_open(&daemon->consensus, &daemon->loop, &config, &callbacks, err);
    return failed;
}

int daemon_become_member(struct daemon *daemon, struct err *err)
{
    struct manager_config config = { .rejoin = daemon->settings.rejoin, .now_us = clock_boot_us() };
    const struct ports ports = live_ports(daemon);
    uint64_t cluster_id = 0;

    if (daemon->consensus)
        return 0;
    daemon_self(daemon, &config.self);
    bool data = config.self.kind == NODE_DATA;
    if (data) {
        int failed = identity_read_directory(daemon, &cluster_id, &config.directory, err);
        if (failed)
            return failed;
        if (cluster_id != 0 && cluster_id != daemon->identity.cluster_id)
            config.directory = (struct directory_id){ 0 };
        if (config.directory.no == 0 && daemon->identity.founder && !daemon->identity.begun) {
            /* Before the Raft log is; also where a founding ended between the two files. */
            config.directory.no = rand_identity();
            failed = identity_save_directory(daemon, config.directory, err);
            if (failed)
                return failed;
        }
    }
    manager_init(&daemon->manager, &config, &ports);
    net_identify(daemon->net, daemon->identity.cluster_id, daemon->identity.epoch, daemon->identity.raft_id,
                 daemon->identity.start_no, daemon->settings.peer_advertise);
    int failed = data ? guardian_start(daemon, err) : 0;
    if (!failed)
        failed = open_consensus(daemon, err);
    if (failed)
        return failed;
    if (daemon->seen.state != PG_UNKNOWN)
        manager_seen(&daemon->manager, &daemon->seen, clock_boot_us());
    daemon_wake(daemon);
    return 0;
}

static int open_pg(struct daemon *daemon, struct err *err)
{
    const struct settings *settings = &daemon->settings;
    const struct pg_callbacks callbacks = live_pg_callbacks(daemon);
    struct pg_config *config = calloc(1, sizeof *config);

    if (!config)
        return err_set(err, ERR_MEMORY, "out of memory");
    config->node_id = settings->node_id;
    config->start_latch = settings->start_latch;
    (void)text_copy(config->node_name, sizeof config->node_name, settings->node_name);
    (void)text_copy(config->data_directory, sizeof config->data_directory, settings->data_directory);
    (void)text_copy(config->config_directory, sizeof config->config_directory, settings->config_directory);
    (void)text_copy(config->bindir, sizeof config->bindir, settings->pg_bindir);
    (void)text_copy(config->conninfo, sizeof config->conninfo, settings->conninfo);
    (void)text_copy(config->passfile, sizeof config->passfile, settings->passfile);
    (void)text_copy(config->log_file, sizeof config->log_file, settings->server_log_file);
    (void)text_copy(config->replication_user, sizeof config->replication_user, settings->replication_user);
    (void)text_copy(config->runtime_directory, sizeof config->runtime_directory, settings->runtime_directory);
    (void)text_copy(config->state_directory, sizeof config->state_directory, settings->state_directory);
    int failed = pg_open(&daemon->pg, &daemon->loop, config, &callbacks, err);
    free(config);
    if (!failed)
        daemon_pace(daemon, settings->policy.failure_timeout_ms);
    return failed;
}

void daemon_pace(struct daemon *daemon, unsigned failure_timeout_ms)
{
    unsigned look_ms = failure_timeout_ms / 2 < PG_LOOK_MS ? failure_timeout_ms / 2 : PG_LOOK_MS;
    unsigned knock_ms = failure_timeout_ms < PG_KNOCK_MS ? failure_timeout_ms : PG_KNOCK_MS;
    unsigned patience_ms = failure_timeout_ms < PG_PATIENCE_MS ? failure_timeout_ms : PG_PATIENCE_MS;

    if (!daemon->pg || daemon->paced_by_ms == failure_timeout_ms)
        return;
    daemon->paced_by_ms = failure_timeout_ms;
    pg_pace(daemon->pg, look_ms, knock_ms, patience_ms);
}

int daemon_open(struct daemon *daemon, struct err *err)
{
    const struct settings *settings = &daemon->settings;
    const struct net_callbacks callbacks = live_net_callbacks(daemon);
    const struct net_config net = {
        .listen = settings->peer_listen,
        .secret_file = settings->secret_file[0] ? settings->secret_file : NULL,
        .cert_file = settings->tls_cert_file[0] ? settings->tls_cert_file : NULL,
        .key_file = settings->tls_key_file[0] ? settings->tls_key_file : NULL,
        .ca_file = settings->tls_ca_file[0] ? settings->tls_ca_file : NULL,
    };

    uv_prepare_init(&daemon->loop, &daemon->prepare);
    uv_timer_init(&daemon->loop, &daemon->timer);
    daemon->prepare.data = daemon->timer.data = daemon;
    int failed = identity_make_directory(settings->runtime_directory, "runtime_directory", err);
    if (!failed)
        failed = identity_open(daemon, err);
    if (!failed)
        failed = net_open(&daemon->net, &daemon->loop, &net, &callbacks, err);
    if (!failed && settings->node_kind == NODE_DATA)
        failed = open_pg(daemon, err);
    if (!failed && daemon->identity.raft_id != 0)
        failed = daemon_become_member(daemon, err);
    if (!failed)
        failed = api_open(daemon, err);
    if (failed)
        return failed;
    if (daemon->identity.raft_id == 0 && settings->join[0])
        join_start(daemon, false);
    daemon_wake(daemon);
    uv_prepare_start(&daemon->prepare, turn);
    uv_timer_start(&daemon->timer, timer_fired, 0, 0);
    return 0;
}

/* -- closing ------------------------------------------------------------------------------------------------------ */

static void close_overdue(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void signals_close(struct daemon *daemon)
{
    uv_signal_t *signals[] = { &daemon->sigterm, &daemon->sigint, &daemon->sighup };

    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (!uv_is_closing((uv_handle_t *)signals[i]))
            uv_close((uv_handle_t *)signals[i], NULL);
    /* A reload asks nothing of a daemon that ends, and must not end one that starts anew (again.h). */
    (void)signal(SIGHUP, SIG_IGN);
}

static void net_closed(void *ctx)
{
    struct daemon *daemon = ctx;

    daemon->net = NULL;
}

static void consensus_closed(void *ctx)
{
    struct daemon *daemon = ctx;

    daemon->consensus = NULL;
    if (daemon->net)
        net_close(daemon->net, net_closed, daemon);
}

void daemon_close(struct daemon *daemon)
{
    if (daemon->closing)
        return;
    daemon->closing = true;
    join_stop(daemon);
    api_close(daemon);
    guardian_stop(daemon);
    uv_close((uv_handle_t *)&daemon->prepare, NULL);
    /* Does not keep the loop running. Whoever waits for this process to end waits for the operator's sake. */
    uv_timer_start(&daemon->timer, close_overdue, CLOSE_MS, 0);
    uv_unref((uv_handle_t *)&daemon->timer);
    signals_close(daemon);
    if (daemon->pg)
        pg_close(daemon->pg, NULL, NULL);
    daemon->pg = NULL;
    if (daemon->consensus)
        consensus_close(daemon->consensus, consensus_closed, daemon);
    else
        consensus_closed(daemon);
}

static void farewell_over(uv_timer_t *timer)
{
    daemon_close(timer->data);
}

static void farewell_check(uv_prepare_t *prepare)
{
    struct daemon *daemon = prepare->data;
    struct consensus_status status;

    consensus_status(daemon->consensus, &status);
    if (status.role != CONSENSUS_LEADER && status.leader_id != 0 && status.leader_id != daemon->identity.raft_id)
        daemon_close(daemon);
}

void daemon_stop(struct daemon *daemon)
{
    if (daemon->closing || daemon->stopping)
        return;
    daemon->stopping = true;
    daemon_event(daemon, EVENT_DAEMON_STOP, "node=%d", daemon->settings.node_id);
    if (!daemon->consensus) {
        daemon_close(daemon);
        return;
    }
    manager_farewell(&daemon->manager, clock_boot_us());
    bool leads = daemon->manager.lead.raft.leader && daemon->manager.lead.raft.server_count > 1;
    uv_prepare_stop(&daemon->prepare);
    if (leads && consensus_transfer(daemon->consensus, 0, NULL) == 0) {
        uv_prepare_start(&daemon->prepare, farewell_check);
        uv_timer_start(&daemon->timer, farewell_over, FAREWELL_MS, 0);
    } else {
        uv_timer_start(&daemon->timer, farewell_over, FLUSH_MS, 0);
    }
}
