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
#include "core/codec.h"

#include <jansson.h>
#include <stdlib.h>

#define ASK_EVERY_MS 500
#define ASK_TIMEOUT_MS 6000
#define ADMIT_TIMEOUT_US 5000000
#define HOLD_US 10000000 /* how long a raft id that was given out keeps its node id from another daemon */
#define FOUND_EVERY_US 500000
#define NOTE_AGAIN_US 10000000

struct joiner {
    struct daemon *daemon;
    uv_timer_t timer;
    uint64_t asker;            /* drawn anew by each daemon */
    const char *next;          /* in settings.join */
    char leader[ADDRESS_SIZE]; /* asked next, when a member named it */
    char asked[ADDRESS_SIZE];  /* asked last */
    char heard[TEXT_SIZE * 2]; /* what speaks against it, of all that was heard in this round through `join` */
    bool refused;              /* and that a member said so, where others were not even reached */
    bool asking;
    bool stopped;
    bool force;
};

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

/* One of several members is enough: what is told is the verdict of a whole round, and a member's before a network's. */
static void note_answer(struct joiner *joiner, const char *text, bool refused)
{
    if (!joiner->heard[0] || (refused && !joiner->refused)) {
        (void)text_copy(joiner->heard, sizeof joiner->heard, text);
        joiner->refused = refused;
    }
    if (!joiner->daemon->join_problem[0])
        refuse_self(joiner->daemon, text);
}

static void end_round(struct joiner *joiner)
{
    if (joiner->heard[0])
        refuse_self(joiner->daemon, joiner->heard);
    joiner->heard[0] = '\0';
    joiner->refused = false;
    joiner->next = joiner->daemon->settings.join;
}

static json_t *describe(const struct joiner *joiner)
{
    const struct daemon *daemon = joiner->daemon;
    struct member self;
    char system[24];
    char asker[24];

    daemon_self(daemon, &self);
    (void)snprintf(system, sizeof system, "%" PRIx64, daemon->seen.system_identifier);
    (void)snprintf(asker, sizeof asker, "%" PRIx64, joiner->asker);
    return json_pack("{s:s, s:s, s:i, s:s, s:i, s:s, s:s, s:s, s:i, s:b, s:s, s:s, s:s, s:b}", "request", "join",
                     "asker", asker, "node_id", self.node_id, "name", self.name, "kind", (int)self.kind, "address",
                     self.address, "conninfo", self.conninfo, "location", self.location, "priority", self.priority,
                     "manual", self.manual, "replication_user", self.replication_user, "config_file", self.config_file,
                     "system", system, "force", joiner->force);
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
        note_answer(joiner, "a member sent an admission that cannot be read", true);
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

    joiner->asking = false;
    if (joiner->stopped)
        return;
    if (status != 0) {
        char text[TEXT_SIZE * 2];
        (void)snprintf(text, sizeof text, "could not ask '%s': %.300s", joiner->asked, err->text);
        note_answer(joiner, text, false);
        return;
    }
    json_t *answer = json_loadb((const char *)bytes, length, 0, NULL);
    const char *refusal = json_string_value(json_object_get(answer, "error"));
    const char *leader = json_string_value(json_object_get(answer, "leader"));
    if (refusal)
        note_answer(joiner, refusal, true);
    else if (leader)
        (void)text_copy(joiner->leader, sizeof joiner->leader, leader);
    else if (json_object_get(answer, "raft_id"))
        admitted(joiner, answer);
    else
        note_answer(joiner, "a member sent an answer that cannot be read", true);
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
        end_round(joiner);
        if (!settings_next_address(&joiner->next, address, sizeof address))
            return;
    }
    json_t *question = describe(joiner);
    char *text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    if (!text) {
        refuse_self(daemon, "a setting of this node that the members must know is no valid UTF-8");
        return;
    }
    joiner->asking = true;
    (void)text_copy(joiner->asked, sizeof joiner->asked, address);
    net_request(daemon->net, address, (const uint8_t *)text, strlen(text), ASK_TIMEOUT_MS, answered, joiner);
    free(text);
}

void join_start(struct daemon *daemon, bool force)
{
    if (!daemon->joiner) {
        daemon->joiner = calloc(1, sizeof *daemon->joiner);
        assert(daemon->joiner);
        daemon->joiner->daemon = daemon;
        daemon->joiner->asker = rand_identity();
        daemon->joiner->next = daemon->settings.join;
        uv_timer_init(&daemon->loop, &daemon->joiner->timer);
        daemon->joiner->timer.data = daemon->joiner;
        uv_timer_start(&daemon->joiner->timer, ask, 0, ASK_EVERY_MS);
    }
    daemon->joiner->force = daemon->joiner->force || force;
    daemon->join_problem[0] = '\0';
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

static void reply_error(struct net_reply *reply, const char *text)
{
    reply_json(reply, json_pack("{s:s}", "error", text));
}

static bool take_text(const json_t *from, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(from, key));

    return text && text_copy(to, size, text);
}

static bool take_number(const json_t *from, const char *key, int32_t *ret_number)
{
    json_int_t number = json_integer_value(json_object_get(from, key));

    *ret_number = (int32_t)number;
    return number >= 0 && number <= INT32_MAX;
}

static bool read_join(const json_t *question, struct command *command)
{
    struct member *member = &command->member;
    const char *what = json_string_value(json_object_get(question, "request"));

    *command = (struct command){ .kind = COMMAND_JOIN };
    if (!what || strcmp(what, "join") != 0)
        return false;
    member->kind = json_integer_value(json_object_get(question, "kind")) == NODE_WITNESS ? NODE_WITNESS : NODE_DATA;
    member->manual = json_is_true(json_object_get(question, "manual"));
    command->flag = json_is_true(json_object_get(question, "force"));
    command->system_identifier = hex_of(question, "system");
    return take_number(question, "node_id", &member->node_id) && take_number(question, "priority", &member->priority) &&
           take_text(question, "name", member->name, sizeof member->name) &&
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

/* Raft knows each member by the address of its admission: nobody else can be admitted there while it is one. */
static bool address_free(const struct daemon *daemon, const struct member *wanted, char *reason)
{
    const struct cluster *cluster = &daemon->manager.cluster;
    struct consensus_status status = { 0 };

    if (daemon->consensus)
        consensus_status(daemon->consensus, &status);
    for (unsigned i = 0; i < status.member_count; i++) {
        const struct member *other = cluster_member_by_raft(cluster, status.members[i].id);
        if (!other || other->node_id == wanted->node_id || strcmp(status.members[i].address, wanted->address) != 0)
            continue;
        (void)snprintf(
            reason, TEXT_SIZE,
            "node %d was admitted at '%s', and is known by that in the Raft group: set another peer_advertise",
            other->node_id, wanted->address);
        return false;
    }
    return true;
}

/* Where to note that this node id is being admitted; NULL and the reason when it cannot be now. */
static struct admission *admission_of(struct daemon *daemon, int32_t node_id, uint64_t asker, int64_t now_us,
                                      char *reason)
{
    struct admission *free_one = NULL;

    reason[0] = '\0';
    for (struct admission *one = daemon->admissions; one < daemon->admissions + ADMISSIONS_MAX; one++) {
        bool held = one->reply || (one->node_id != 0 && now_us < one->until_us);
        if (held && one->node_id == node_id && one->reply)
            (void)snprintf(reason, TEXT_SIZE, "node %d is being admitted already: try again", node_id);
        else if (held && one->node_id == node_id && one->asker != asker)
            (void)snprintf(reason, TEXT_SIZE,
                           "node id %d was given to another daemon a moment ago: if this one was not restarted since, "
                           "two hosts have the same node_id in their files; else try again",
                           node_id);
        else if (held && one->node_id == node_id)
            return one;
        else if (!held && !free_one)
            free_one = one;
    }
    if (!reason[0] && !free_one)
        (void)snprintf(reason, TEXT_SIZE, "too many nodes ask for admission at once: try again");
    return reason[0] ? NULL : free_one;
}

static void admit_node(struct daemon *daemon, struct net_reply *reply, struct command *command, uint64_t asker)
{
    char reason[TEXT_SIZE] = "";
    int64_t now_us = clock_boot_us();
    struct admission *admission = admission_of(daemon, command->member.node_id, asker, now_us, reason);

    command->expect = daemon->manager.cluster.config_version;
    if (!admission) {
        reply_error(reply, reason);
    } else if (command->flag && !lead_voters_settled(&daemon->manager.cluster, &daemon->manager.lead)) {
        reply_error(reply, "the primary has not renewed its lease by the last change of the voters: try again");
    } else if (!address_free(daemon, &command->member, reason) || !acceptable(daemon, command, reason)) {
        reply_error(reply, reason);
    } else {
        /* Noted first: nothing forbids that it is applied at once. */
        *admission = (struct admission){
            .node_id = command->member.node_id, .asker = asker, .reply = reply, .until_us = now_us + ADMIT_TIMEOUT_US
        };
        if (manager_submit(&daemon->manager, command, now_us, NULL) == 0) {
            admission->wall_us = command->wall_us;
        } else {
            *admission = (struct admission){ 0 };
            reply_error(reply, "no Raft leader is known: try again");
        }
    }
}

void join_request(struct daemon *daemon, struct net_reply *reply, const uint8_t *bytes, size_t length)
{
    const struct cluster *cluster = &daemon->manager.cluster;
    struct command *command = malloc(sizeof *command);
    json_t *question = json_loadb((const char *)bytes, length, 0, NULL);
    const struct member *leader = cluster_member_by_raft(cluster, daemon->manager.lead.raft.leader_id);

    if (!command || !question || !read_join(question, command))
        reply_error(reply, "the request cannot be read: do both run the same version?");
    else if (daemon->stopping || daemon->closing)
        reply_error(reply, "this daemon is ending: try again");
    else if (cluster->cluster_id == 0)
        reply_error(reply, "this node is no member of a cluster itself: found one with 'rmctl primary register'");
    else if (daemon->manager.lead.raft.leader && !daemon->identity.begun)
        /* Were this node's log lost now, it would found another cluster under the same name. */
        reply_error(reply, "the leader cannot write its state directory: try again");
    else if (daemon->manager.lead.raft.leader)
        admit_node(daemon, reply, command, hex_of(question, "asker"));
    else if (leader)
        reply_json(reply, json_pack("{s:s}", "leader", leader->address));
    else
        reply_error(reply, "the Raft group has no leader at the moment: try again");
    json_decref(question);
    free(command);
}

static void reply_admitted(const struct daemon *daemon, struct admission *admission)
{
    const struct cluster *cluster = &daemon->manager.cluster;
    char numbers[4][24];

    (void)snprintf(numbers[0], sizeof numbers[0], "%" PRIx64, cluster->cluster_id);
    (void)snprintf(numbers[1], sizeof numbers[1], "%" PRIx64, cluster->raft_id_last);
    (void)snprintf(numbers[2], sizeof numbers[2], "%" PRIx32, cluster->epoch);
    (void)snprintf(numbers[3], sizeof numbers[3], "%" PRIx64, cluster->system_identifier);
    reply_json(admission->reply, json_pack("{s:s, s:s, s:s, s:s}", "cluster_id", numbers[0], "raft_id", numbers[1],
                                           "epoch", numbers[2], "system", numbers[3]));
    admission->reply = NULL;
    admission->until_us = clock_boot_us() + HOLD_US;
}

/*
 * A raft id goes to whom the very command that gave it out was proposed for, and to nobody else: two daemons under one
 * raft id would be one voter with two votes (R19). A member with the right number in the state may be somebody else's
 * doing: an earlier question of the same node, or another host with the same node id, by way of another leader.
 */
void join_applied(struct daemon *daemon, const uint8_t *bytes, size_t length, bool admitted_one)
{
    struct command *command = NULL;

    for (struct admission *one = daemon->admissions; one < daemon->admissions + ADMISSIONS_MAX; one++) {
        if (!one->reply)
            continue;
        if (!command) {
            command = malloc(sizeof *command);
            if (!command || command_decode(bytes, length, command, NULL) < 0 || command->kind != COMMAND_JOIN)
                break;
        }
        if (command->raft_id != daemon->identity.raft_id || command->start_no != daemon->identity.start_no ||
            command->wall_us != one->wall_us || command->member.node_id != one->node_id)
            continue;
        if (admitted_one) {
            reply_admitted(daemon, one);
        } else {
            reply_error(one->reply, "the cluster changed while this node was being admitted: try again");
            *one = (struct admission){ 0 };
        }
    }
    free(command);
}

/* Those that were not answered in time; at the end of the daemon, all. */
static void answer_late(struct daemon *daemon, int64_t now_us)
{
    for (struct admission *one = daemon->admissions; one < daemon->admissions + ADMISSIONS_MAX; one++) {
        if (one->reply && (daemon->closing || now_us >= one->until_us)) {
            reply_error(one->reply, daemon->closing ? "this daemon is ending: try again"
                                                    : "the admission was not committed in time: try again");
            *one = (struct admission){ 0 };
        }
    }
}

void join_stop(struct daemon *daemon)
{
    answer_late(daemon, clock_boot_us());
    if (!daemon->joiner || daemon->joiner->stopped)
        return;
    /* The storage stays: an answer may still be on its way, and there is one joiner in a daemon's life. */
    daemon->joiner->stopped = true;
    uv_close((uv_handle_t *)&daemon->joiner->timer, NULL);
}

/* -- founding ----------------------------------------------------------------------------------------------------- */

int join_found(struct daemon *daemon, struct err *err)
{
    struct identity identity = daemon->identity;
    int failed = 0;

    if (identity.cluster_id == 0) {
        if (daemon->seen.system_identifier == 0)
            return err_set(err, ERR_REFUSED, "could not found the cluster: the system identifier is not known yet");
        identity.cluster_id = rand_identity();
        identity.raft_id = 1;
        identity.epoch = 0;
        identity.system_identifier = daemon->seen.system_identifier;
        identity.founder = true;
        failed = identity_save(daemon, &identity, err);
    }
    if (!failed)
        failed = daemon_become_member(daemon, err);
    return failed ? err_wrap(err, "could not found the cluster") : 0;
}

static void propose_found(struct daemon *daemon, int64_t now_us)
{
    struct command found = { .kind = COMMAND_FOUND };
    uint64_t cluster_id;

    if (!daemon->identity.founder || daemon->manager.cluster.cluster_id != 0 || !daemon->manager.lead.raft.leader ||
        daemon->seen.state != PG_PRIMARY || daemon->seen.timeline.no == 0 ||
        daemon->seen.system_identifier != daemon->identity.system_identifier ||
        now_us - daemon->found_at_us < FOUND_EVERY_US)
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

/*
 * The log holds the state now: from here on an empty log means that it was lost, and founding is over for good. The
 * agreed raft timings are kept beside it, since the log is opened with them before it can be read.
 */
static void note_agreed(struct daemon *daemon, int64_t now_us)
{
    const struct policy *policy = &daemon->manager.cluster.policy;
    struct identity identity = daemon->identity;
    struct err err = { 0 };
    char text[ERR_TEXT_MAX * 2];

    if (daemon->manager.cluster.cluster_id == 0)
        return;
    consensus_set_timing(daemon->consensus, policy->raft_election_timeout_ms, policy->raft_heartbeat_ms);
    daemon_pace(daemon, policy->failure_timeout_ms);
    bool known = identity.begun && identity.raft_election_timeout_ms == policy->raft_election_timeout_ms &&
                 identity.raft_heartbeat_ms == policy->raft_heartbeat_ms;
    if (known || (daemon->noted_at_us != 0 && now_us - daemon->noted_at_us < NOTE_AGAIN_US))
        return;
    identity.begun = true;
    identity.founder = false;
    identity.raft_election_timeout_ms = policy->raft_election_timeout_ms;
    identity.raft_heartbeat_ms = policy->raft_heartbeat_ms;
    bool failed = identity_save(daemon, &identity, &err) < 0;
    daemon->noted_at_us = failed ? now_us : 0;
    if (failed)
        daemon_event(daemon, EVENT_CONFIG_NOTICE, "text=%s", log_quoted(text, sizeof text, err.text));
}

void join_turn(struct daemon *daemon, int64_t now_us)
{
    answer_late(daemon, now_us);
    if (!daemon->consensus)
        return;
    note_agreed(daemon, now_us);
    propose_found(daemon, now_us);
}
