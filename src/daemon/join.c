/*
 * join.c - how a cluster begins and how a node gets in.
 *
 * Founding is one explicit command (design 5.7): the identity is durable before the Raft log exists, and FOUND is
 * proposed until it is in the log. A node with an empty state directory and `join` asks the members, one after the
 * other, until one that leads admits it; JOIN gives out a raft id that was never used (R19).
 */
#include "daemon/run.h"

#include "base/clock.h"
#include "base/rand.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ASK_EVERY_MS 500
#define ASK_TIMEOUT_MS 6000
#define ADMIT_TIMEOUT_US 5000000
#define PENDING_MAX 8
#define FOUND_EVERY_US 500000

struct joiner {
    struct daemon *daemon;
    uv_timer_t timer;
    const char *next;          /* in settings.join */
    char leader[ADDRESS_SIZE]; /* asked next, when a member named it */
    bool asking;
    bool stopped;
    bool force;
};

struct pending {
    struct net_reply *reply;
    int32_t node_id;
    uint64_t after; /* raft ids above this one are the new one */
    int64_t deadline_us;
};

static struct pending pending[PENDING_MAX];

/* -- asking ------------------------------------------------------------------------------------------------------- */

static void refuse_self(struct daemon *daemon, const char *text)
{
    char quoted[sizeof daemon->join_problem * 2];

    if (strcmp(daemon->join_problem, text) == 0)
        return;
    (void)text_copy(daemon->join_problem, sizeof daemon->join_problem, text);
    daemon_event(daemon, EVENT_JOIN_REFUSED, "reason=%s", log_quoted(quoted, sizeof quoted, text));
    daemon_wake(daemon);
}

static json_t *describe(const struct daemon *daemon, bool force)
{
    struct member self;
    char system[24];

    daemon_self(daemon, &self);
    (void)snprintf(system, sizeof system, "%" PRIx64, daemon->seen.system_identifier);
    return json_pack("{s:s, s:i, s:s, s:i, s:s, s:s, s:s, s:i, s:b, s:s, s:s, s:s, s:b}", "request", "join", "node_id",
                     self.node_id, "name", self.name, "kind", (int)self.kind, "address", self.address, "conninfo",
                     self.conninfo, "location", self.location, "priority", self.priority, "manual", self.manual,
                     "replication_user", self.replication_user, "config_file", self.config_file, "system", system,
                     "force", force);
}

static uint64_t hex_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? strtoull(text, NULL, 16) : 0;
}

static void admitted(struct joiner *joiner, const json_t *answer)
{
    struct daemon *daemon = joiner->daemon;
    struct identity identity = daemon->identity;
    struct err err = { 0 };

    identity.cluster_id = hex_of(answer, "cluster_id");
    identity.raft_id = hex_of(answer, "raft_id");
    identity.epoch = (uint32_t)hex_of(answer, "epoch");
    identity.system_identifier = hex_of(answer, "system");
    if (identity.cluster_id == 0 || identity.raft_id == 0) {
        refuse_self(daemon, "a member sent an admission that cannot be read");
        return;
    }
    if (identity_save(daemon, &identity, &err) < 0 || daemon_become_member(daemon, &err) < 0) {
        daemon_fail(daemon, &err);
        return;
    }
    daemon->join_problem[0] = '\0';
    daemon_event(daemon, EVENT_JOIN, "node=%d raft_id=%" PRIu64, daemon->settings.node_id, identity.raft_id);
    join_stop(daemon);
}

static void answered(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err)
{
    struct joiner *joiner = ctx;
    struct daemon *daemon = joiner->daemon;

    joiner->asking = false;
    if (joiner->stopped)
        return;
    if (status != 0) {
        refuse_self(daemon, err->text);
        return;
    }
    json_t *answer = json_loadb((const char *)bytes, length, 0, NULL);
    const char *refusal = json_string_value(json_object_get(answer, "error"));
    const char *leader = json_string_value(json_object_get(answer, "leader"));
    if (refusal)
        refuse_self(daemon, refusal);
    else if (leader)
        (void)text_copy(joiner->leader, sizeof joiner->leader, leader);
    else if (json_object_get(answer, "raft_id"))
        admitted(joiner, answer);
    else
        refuse_self(daemon, "a member sent an answer that cannot be read");
    json_decref(answer);
}

/* What speaks against asking at all, in this node's own eyes. */
static const char *not_ready(const struct daemon *daemon)
{
    if (daemon->settings.node_kind == NODE_WITNESS)
        return NULL;
    switch (daemon->seen.state) {
    case PG_UNKNOWN:
        return "PostgreSQL has not been looked at yet";
    case PG_ABSENT:
        return "there is no complete PostgreSQL data directory: run 'rmctl standby clone' first";
    case PG_PRIMARY:
        return "the PostgreSQL of this node runs as a primary: a node joins with a standby's data directory; stop the "
               "server and clone it from the cluster with 'rmctl standby clone'";
    default:
        return daemon->seen.system_identifier == 0 ? "the system identifier is not known yet" : NULL;
    }
}

static void ask(uv_timer_t *timer)
{
    struct joiner *joiner = timer->data;
    struct daemon *daemon = joiner->daemon;
    char address[ADDRESS_SIZE];

    if (joiner->asking)
        return;
    const char *reason = not_ready(daemon);
    if (reason) {
        if (daemon->seen.state != PG_UNKNOWN)
            refuse_self(daemon, reason);
        return;
    }
    if (joiner->leader[0]) {
        (void)text_copy(address, sizeof address, joiner->leader);
        joiner->leader[0] = '\0';
    } else if (!settings_next_address(&joiner->next, address, sizeof address)) {
        joiner->next = daemon->settings.join;
        if (!settings_next_address(&joiner->next, address, sizeof address))
            return;
    }
    json_t *question = describe(daemon, joiner->force);
    char *text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    if (!text)
        return;
    joiner->asking = true;
    net_request(daemon->net, address, (const uint8_t *)text, strlen(text), ASK_TIMEOUT_MS, answered, joiner);
    free(text);
}

void join_start(struct daemon *daemon, bool force)
{
    if (!daemon->joiner) {
        daemon->joiner = calloc(1, sizeof *daemon->joiner);
        assert(daemon->joiner);
        daemon->joiner->daemon = daemon;
        daemon->joiner->next = daemon->settings.join;
        uv_timer_init(&daemon->loop, &daemon->joiner->timer);
        daemon->joiner->timer.data = daemon->joiner;
        uv_timer_start(&daemon->joiner->timer, ask, 0, ASK_EVERY_MS);
    }
    daemon->joiner->force = daemon->joiner->force || force;
    daemon->join_problem[0] = '\0';
}

void join_stop(struct daemon *daemon)
{
    if (!daemon->joiner || daemon->joiner->stopped)
        return;
    /* The storage stays: an answer may still be on its way, and there is one joiner in a daemon's life. */
    daemon->joiner->stopped = true;
    uv_close((uv_handle_t *)&daemon->joiner->timer, NULL);
}

void join_free(struct daemon *daemon)
{
    free(daemon->joiner);
    daemon->joiner = NULL;
}

/* -- admitting ---------------------------------------------------------------------------------------------------- */

static void reply_json(struct net_reply *reply, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);

    json_decref(answer);
    net_reply_send(reply, (const uint8_t *)(text ? text : "{}"), text ? strlen(text) : 2);
    free(text);
}

static bool take_text(const json_t *from, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(from, key));

    return text && text_copy(to, size, text);
}

static bool read_join(const json_t *question, struct command *command)
{
    struct member *member = &command->member;
    const char *what = json_string_value(json_object_get(question, "request"));

    *command = (struct command){ .kind = COMMAND_JOIN };
    if (!what || strcmp(what, "join") != 0)
        return false;
    member->node_id = (int32_t)json_integer_value(json_object_get(question, "node_id"));
    member->kind = json_integer_value(json_object_get(question, "kind")) == NODE_WITNESS ? NODE_WITNESS : NODE_DATA;
    member->priority = (int32_t)json_integer_value(json_object_get(question, "priority"));
    member->manual = json_is_true(json_object_get(question, "manual"));
    command->flag = json_is_true(json_object_get(question, "force"));
    command->system_identifier = hex_of(question, "system");
    return member->priority >= 0 && take_text(question, "name", member->name, sizeof member->name) &&
           take_text(question, "address", member->address, sizeof member->address) &&
           take_text(question, "conninfo", member->conninfo, sizeof member->conninfo) &&
           take_text(question, "location", member->location, sizeof member->location) &&
           take_text(question, "replication_user", member->replication_user, sizeof member->replication_user) &&
           take_text(question, "config_file", member->config_file, sizeof member->config_file);
}

/* Would it be accepted now? The reason goes to whoever asks. */
static bool acceptable(struct daemon *daemon, const struct command *command, char *reason)
{
    struct cluster *copy = malloc(sizeof *copy);
    struct command signed_command = *command;

    if (!copy)
        return false;
    *copy = daemon->manager.cluster;
    signed_command.raft_id = daemon->identity.raft_id;
    signed_command.start_no = daemon->identity.start_no;
    bool ok = cluster_apply(copy, &signed_command, reason) == APPLY_OK;
    free(copy);
    return ok;
}

static void admit_node(struct daemon *daemon, struct net_reply *reply, struct command *command)
{
    char reason[TEXT_SIZE] = "";
    struct pending *slot = NULL;
    int64_t now_us = clock_boot_us();

    for (int i = 0; i < PENDING_MAX && !slot; i++)
        if (!pending[i].reply)
            slot = &pending[i];
    command->expect = daemon->manager.cluster.config_version;
    if (!slot) {
        reply_json(reply, json_pack("{s:s}", "error", "too many nodes ask for admission at once: try again"));
    } else if (command->flag && !lead_voters_settled(&daemon->manager.cluster, &daemon->manager.lead)) {
        reply_json(reply,
                   json_pack("{s:s}", "error",
                             "the primary has not renewed its lease by the last change of the voters: try again"));
    } else if (!acceptable(daemon, command, reason)) {
        reply_json(reply, json_pack("{s:s}", "error", reason));
    } else if (manager_submit(&daemon->manager, command, now_us, NULL) < 0) {
        reply_json(reply, json_pack("{s:s}", "error", "no Raft leader is known: try again"));
    } else {
        *slot = (struct pending){
            .reply = reply,
            .node_id = command->member.node_id,
            .after = daemon->manager.cluster.raft_id_last,
            .deadline_us = now_us + ADMIT_TIMEOUT_US,
        };
    }
}

void join_request(struct daemon *daemon, struct net_reply *reply, const uint8_t *bytes, size_t length)
{
    const struct cluster *cluster = &daemon->manager.cluster;
    struct command *command = malloc(sizeof *command);
    json_t *question = json_loadb((const char *)bytes, length, 0, NULL);
    const struct member *leader = cluster_member_by_raft(cluster, daemon->manager.lead.raft.leader_id);

    if (!command || !question || !read_join(question, command))
        reply_json(reply, json_pack("{s:s}", "error", "the request cannot be read: do both run the same version?"));
    else if (cluster->cluster_id == 0)
        reply_json(reply,
                   json_pack("{s:s}", "error",
                             "this node is no member of a cluster itself: found one with 'rmctl primary register'"));
    else if (daemon->manager.lead.raft.leader)
        admit_node(daemon, reply, command);
    else if (leader)
        reply_json(reply, json_pack("{s:s}", "leader", leader->address));
    else
        reply_json(reply, json_pack("{s:s}", "error", "the Raft group has no leader at the moment: try again"));
    json_decref(question);
    free(command);
}

static void answer_pending(struct daemon *daemon, int64_t now_us)
{
    const struct cluster *cluster = &daemon->manager.cluster;

    for (int i = 0; i < PENDING_MAX; i++) {
        struct pending *one = &pending[i];
        const struct member *member = one->reply ? cluster_member(cluster, one->node_id) : NULL;
        if (member && member->raft_id > one->after && member->start_no == 0) {
            char numbers[4][24];
            (void)snprintf(numbers[0], sizeof numbers[0], "%" PRIx64, cluster->cluster_id);
            (void)snprintf(numbers[1], sizeof numbers[1], "%" PRIx64, member->raft_id);
            (void)snprintf(numbers[2], sizeof numbers[2], "%" PRIx32, cluster->epoch);
            (void)snprintf(numbers[3], sizeof numbers[3], "%" PRIx64, cluster->system_identifier);
            reply_json(one->reply, json_pack("{s:s, s:s, s:s, s:s}", "cluster_id", numbers[0], "raft_id", numbers[1],
                                             "epoch", numbers[2], "system", numbers[3]));
            one->reply = NULL;
        } else if (one->reply && now_us >= one->deadline_us) {
            reply_json(one->reply, json_pack("{s:s}", "error", "the admission was not committed in time: try again"));
            one->reply = NULL;
        }
    }
}

/* -- founding ----------------------------------------------------------------------------------------------------- */

int join_found(struct daemon *daemon, struct err *err)
{
    struct identity identity = daemon->identity;

    if (identity.cluster_id == 0) {
        identity.cluster_id = rand_identity();
        identity.raft_id = 1;
        identity.epoch = 0;
        identity.system_identifier = daemon->seen.system_identifier;
        identity.founder = true;
        int failed = identity_save(daemon, &identity, err);
        if (failed)
            return err_wrap(err, "could not found the cluster");
    }
    struct directory_id directory = { rand_identity() };
    int failed = identity_save_directory(daemon, directory, err);
    if (failed)
        return err_wrap(err, "could not found the cluster");
    return daemon_become_member(daemon, err);
}

static void propose_found(struct daemon *daemon, int64_t now_us)
{
    struct command found = { .kind = COMMAND_FOUND };
    uint64_t cluster_id;

    if (!daemon->identity.founder || daemon->manager.cluster.cluster_id != 0 || !daemon->manager.lead.raft.leader ||
        daemon->seen.timeline.no == 0 || now_us - daemon->found_at_us < FOUND_EVERY_US)
        return;
    daemon->found_at_us = now_us;
    found.cluster_id = daemon->identity.cluster_id;
    found.system_identifier = daemon->identity.system_identifier;
    found.policy = daemon->settings.policy;
    found.timeline = daemon->seen.timeline;
    daemon_self(daemon, &found.member);
    if (identity_read_directory(daemon, &cluster_id, &found.member.directory, NULL) < 0)
        return;
    (void)manager_submit(&daemon->manager, &found, now_us, NULL);
}

/* The log holds the state now: from here on an empty log means that it was lost, and founding is over for good. */
static void note_begun(struct daemon *daemon)
{
    struct identity identity = daemon->identity;
    struct err err = { 0 };

    if (identity.begun || daemon->manager.cluster.cluster_id == 0)
        return;
    identity.begun = true;
    identity.founder = false;
    if (identity_save(daemon, &identity, &err) < 0)
        daemon_event(daemon, EVENT_CONFIG_NOTICE, "text=\"%s\"", err.text);
}

void join_turn(struct daemon *daemon, int64_t now_us)
{
    if (!daemon->consensus)
        return;
    note_begun(daemon);
    propose_found(daemon, now_us);
    answer_pending(daemon, now_us);
}
