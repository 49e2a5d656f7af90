/*
 * api_register.c - primary register (founding included), standby register, witness register.
 *
 * Founding happens at once; everything after it, and all of the other two, is waiting for the agreed state: admitted,
 * replicating, registered, a voter. A request that ends early leaves nothing half done: the same one may come again.
 */
#include "daemon/api.h"

#include "daemon/publish.h"

#define PATIENCE_US 5000000 /* how long a refused admission must stay refused before the operator is told */

enum primary_step { PRIMARY_LOOK, PRIMARY_FOUND_WAIT, PRIMARY_PUBLISH };
enum member_step { MEMBER_ADMIT, MEMBER_HELLO, MEMBER_STREAM, MEMBER_VOTE };

static const struct member *own_member(const struct daemon *daemon)
{
    return cluster_member_by_raft(&daemon->manager.cluster, daemon->manager.node.raft_id);
}

/* -- primary register --------------------------------------------------------------------------------------------- */

/* The server that the cluster is founded on must be a running primary. True when it is; otherwise waits or refuses. */
static bool server_fits(struct api_client *client, int64_t now_us)
{
    const struct pg_seen *seen = &client->daemon->seen;
    bool young = now_us - client->task.begun_us < PATIENCE_US;

    if (seen->state == PG_PRIMARY && seen->answering)
        return true;
    if (seen->state == PG_STANDBY) {
        api_refuse(client, ERR_REFUSED,
                   "register it with \"rmctl standby register\", or found the cluster on its primary",
                   "the server is in recovery: it is a standby, and a cluster is founded on a primary");
    } else if (seen->state == PG_UNKNOWN || seen->state == PG_STARTING || (seen->state == PG_PRIMARY && young)) {
        api_waits(client, "the PostgreSQL server of this host to answer");
    } else if (seen->state == PG_PRIMARY) {
        api_refuse(client, ERR_DB_CONN, "check conninfo, pg_hba.conf and passfile",
                   "could not connect to the server of this host: %s", seen->problem);
    } else {
        api_refuse(client, ERR_REFUSED, "start PostgreSQL once by hand (pg_ctl start); from then on raftmgrd does it",
                   "the server in '%s' is not running (%s)", client->daemon->settings.data_directory,
                   pg_state_name(seen->state));
    }
    return false;
}

/* Another cluster's data directory is never taken over. */
static bool directory_free(struct api_client *client)
{
    uint64_t cluster_id = 0;
    struct directory_id directory;
    struct err err = { 0 };

    if (identity_read_directory(client->daemon, &cluster_id, &directory, &err) < 0) {
        api_fail(client, &err, "look at raftmgr.id in the data directory");
        return false;
    }
    /* This node's own: an earlier founding did not come further than the files. */
    if (cluster_id == 0 || cluster_id == client->daemon->identity.cluster_id)
        return true;
    api_refuse(client, ERR_REFUSED,
               "set join to its members and run \"rmctl standby register --force\"; or, if that cluster is gone for "
               "good, remove raftmgr.id from the data directory",
               "the data directory belongs to cluster %016" PRIx64 " already", cluster_id);
    return false;
}

static void found(struct api_client *client, int64_t now_us)
{
    struct daemon *daemon = client->daemon;
    struct err err = { 0 };

    if (daemon->settings.join[0]) {
        api_refuse(client, ERR_REFUSED,
                   "register it with \"rmctl standby register\"; or take join out of the file and restart raftmgrd",
                   "this node's file names members to join ('%s'): it founds no cluster", daemon->settings.join);
        return;
    }
    if (!server_fits(client, now_us) || !directory_free(client))
        return;
    if (join_found(daemon, &err) < 0) {
        api_fail(client, &err, NULL);
        return;
    }
    client->task.step = PRIMARY_FOUND_WAIT;
    api_waits(client, "the founding to be committed");
    daemon_wake(daemon);
}

/* A member already: only the primary may be registered again, and only when asked for. */
static void again(struct api_client *client)
{
    struct daemon *daemon = client->daemon;
    const struct cluster *cluster = &daemon->manager.cluster;
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);

    if (!api_ready(client))
        return;
    if (!cluster_is_primary(cluster, daemon->manager.node.node_id)) {
        api_refuse(client, ERR_REFUSED, "\"rmctl standby register\" registers this node",
                   "this node is a member of cluster %016" PRIx64 " already, whose primary is node \"%s\"",
                   cluster->cluster_id, primary ? primary->name : "");
    } else if (!client->task.request.force) {
        api_refuse(client, ERR_REFUSED, "use --force to write node record and schema again",
                   "node \"%s\" (ID: %d) is registered as primary already", daemon->settings.node_name,
                   daemon->settings.node_id);
    } else {
        client->task.updated = true;
        client->task.step = PRIMARY_FOUND_WAIT;
    }
}

static void wait_founded(struct api_client *client)
{
    struct daemon *daemon = client->daemon;

    if (!api_ready(client))
        return;
    if (!daemon->manager.node.pg.conf_present) {
        api_waits(client, "the server to be taken under management%s%s", daemon->manager.problem[0] ? ": " : "",
                  daemon->manager.problem);
        return;
    }
    if (client->task.updated)
        publish_again(daemon);
    client->task.step = PRIMARY_PUBLISH;
    api_waits(client, "the repmgr schema to be written");
}

static void wait_published(struct api_client *client)
{
    struct daemon *daemon = client->daemon;
    struct api *api = daemon->api;

    if (strcmp(api->schema_problem, client->task.problem) != 0) {
        (void)text_copy(client->task.problem, sizeof client->task.problem, api->schema_problem);
        if (api->schema_problem[0])
            api_progress(client, "WARNING", "could not write the repmgr schema: %s", api->schema_problem);
        api_waits(client, "the repmgr schema to be written (%.180s)", api->schema_problem);
    }
    if (!publish_is_current(daemon))
        return;
    api_answer(client, json_pack("{s:i, s:s, s:b, s:s}", "node_id", (int)daemon->settings.node_id, "node_name",
                                 daemon->settings.node_name, "updated", client->task.updated, "schema",
                                 client->task.updated ? "present" : "created"));
}

void api_turn_primary_register(struct api_client *client, int64_t now_us)
{
    struct daemon *daemon = client->daemon;

    if (daemon->settings.node_kind == NODE_WITNESS) {
        api_refuse(client, ERR_REFUSED, "use \"rmctl witness register\"", "a witness cannot be a primary");
        return;
    }
    if (client->task.step == PRIMARY_LOOK && !daemon->consensus)
        found(client, now_us);
    else if (client->task.step == PRIMARY_LOOK)
        again(client);
    if (client->task.open && client->task.step == PRIMARY_FOUND_WAIT)
        wait_founded(client);
    if (client->task.open && client->task.step == PRIMARY_PUBLISH)
        wait_published(client);
}

/* -- standby register, witness register ---------------------------------------------------------------------------- */

/* Not admitted: tells why as it changes, and gives up once the reason stands. */
static void wait_admitted(struct api_client *client, int64_t now_us)
{
    struct daemon *daemon = client->daemon;
    struct api_task *task = &client->task;
    const char *problem = daemon->join_problem;

    api_waits(client, "one of '%.150s' to admit this node", daemon->settings.join);
    if (strcmp(problem, task->problem) != 0) {
        (void)text_copy(task->problem, sizeof task->problem, problem);
        task->problem_since_us = now_us;
        return;
    }
    if (problem[0] && now_us - task->problem_since_us >= PATIENCE_US)
        api_refuse(client, ERR_REFUSED, NULL, "this node is not admitted: %s", problem);
}

static void admit(struct api_client *client, int64_t now_us)
{
    struct daemon *daemon = client->daemon;
    struct api_task *task = &client->task;

    if (daemon->consensus) {
        task->step = MEMBER_HELLO;
        return;
    }
    if (daemon->settings.join[0] == '\0') {
        api_refuse(client, ERR_REFUSED, "set join to host:port of a member and restart raftmgrd",
                   "this daemon does not know any member of the cluster: '%s' has no join", daemon->config_path);
        return;
    }
    if (task->request.force && !task->changed) {
        task->changed = true;
        daemon->join_problem[0] = '\0';
        join_start(daemon, true);
    }
    wait_admitted(client, now_us);
}

static void wait_hello(struct api_client *client)
{
    const struct daemon *daemon = client->daemon;
    const struct member *self = own_member(daemon);
    struct api_task *task = &client->task;

    if (!api_ready(client))
        return;
    if (!self) {
        api_refuse(client, ERR_REFUSED,
                   "empty its state directory, start it again and use --force: it is then admitted under a new raft id",
                   "this node was removed from the cluster");
        return;
    }
    if (cluster_is_primary(&daemon->manager.cluster, self->node_id)) {
        api_refuse(client, ERR_REFUSED, NULL, "node \"%s\" (ID: %d) is the primary", self->name, self->node_id);
        return;
    }
    task->updated = self->registered;
    if (self->registered && self->voter && !task->request.force && !task->changed) {
        api_refuse(client, ERR_REFUSED, "use --force to register it again",
                   "node \"%s\" (ID: %d) is registered already", self->name, self->node_id);
        return;
    }
    task->step = MEMBER_STREAM;
}

/* A standby is registered once it replicates. */
static void wait_streaming(struct api_client *client)
{
    const struct manager *manager = &client->daemon->manager;
    const struct pg_seen *pg = &manager->node.pg;
    const char *problem = manager->problem[0] ? manager->problem : pg->problem;

    if (client->task.request.kind == API_WITNESS_REGISTER ||
        (pg->state == PG_STANDBY && pg->receiver && pg->receiver_streaming && manager->report.following)) {
        client->task.step = MEMBER_VOTE;
        return;
    }
    if (pg->state == PG_ABSENT) {
        api_refuse(client, ERR_REFUSED, "make it with \"rmctl standby clone\"", "there is no data directory at '%s'",
                   client->daemon->settings.data_directory);
        return;
    }
    api_waits(client, "the server to stream from the primary; it is %s%s%.150s", pg_state_name(pg->state),
              problem[0] ? ", " : "", problem);
}

static void vote(struct api_client *client, int64_t now_us)
{
    const struct daemon *daemon = client->daemon;
    const struct cluster *cluster = &daemon->manager.cluster;
    const struct member *self = own_member(daemon);
    bool witness = client->task.request.kind == API_WITNESS_REGISTER;

    if (!self)
        return;
    if (self->registered && self->voter) {
        api_answer(client, json_pack("{s:i, s:s, s:o, s:b}", "node_id", (int)self->node_id, "node_name", self->name,
                                     witness ? "primary" : "upstream", api_node(cluster, cluster->primary.node_id),
                                     "updated", client->task.updated));
        return;
    }
    struct command command = { .kind = COMMAND_REGISTER, .node_id = self->node_id };
    if (!self->registered && !api_propose(client, &command, now_us))
        return;
    api_waits(client, self->registered ? "the leader to make this node a voter" : "the registration to be committed");
}

void api_turn_member_register(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    bool witness = task->request.kind == API_WITNESS_REGISTER;

    if (witness != (client->daemon->settings.node_kind == NODE_WITNESS)) {
        api_refuse(client, ERR_REFUSED, witness ? "use \"rmctl standby register\"" : "use \"rmctl witness register\"",
                   "this node is %s", witness ? "no witness: it has data" : "a witness");
        return;
    }
    if (task->step == MEMBER_ADMIT)
        admit(client, now_us);
    if (task->open && task->step == MEMBER_HELLO)
        wait_hello(client);
    if (task->open && task->step == MEMBER_STREAM)
        wait_streaming(client);
    if (task->open && task->step == MEMBER_VOTE)
        vote(client, now_us);
}
