/*
 * manager.c - the crank: observe, decide, perform. What happens is noted by the functions at the end of the file;
 * manager_crank() alone decides and acts. Reports and messages: manager_report.c; the leader's plan:
 * manager_lead.c; who streams: manager_walsenders.c.
 */
#include "daemon/manager_parts.h"

#include "core/codec.h"

#include <stdarg.h>

#define SUBMIT_EVERY_US 300000
#define SUBMIT_AGAIN_US 20000 /* where the state has moved since: what was refused then may fit now */
#define SUBMIT_DOUBLED_MAX 5
#define LOOK_EVERY_US 10000

void manager_event(struct manager *manager, enum event event, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    manager->ports.event(manager->ports.ctx, event, text);
}

void manager_init(struct manager *manager, const struct manager_config *config, const struct ports *ports)
{
    memset(manager, 0, sizeof *manager);
    manager->ports = *ports;
    manager->config = *config;
    manager->started_us = config->now_us;
    manager->node.node_id = config->self.node_id;
    manager->node.raft_id = config->self.raft_id;
    manager->node.start_no = config->self.start_no;
    manager->node.kind = config->self.kind;
    manager->node.rejoin = config->rejoin;
    manager->node.directory = config->directory;
    manager->node.guard_mode = WISH_LEAVE;
    manager->lead.node_id = config->self.node_id;
    manager->lead.raft_id = config->self.raft_id;
    manager->lead.start_no = config->self.start_no;
    lease_voter_init(&manager->voter, config->now_us);
}

/* -- proposals ---------------------------------------------------------------------------------------------------- */

void manager_sign(struct manager *manager, struct command *command)
{
    command->raft_id = manager->node.raft_id;
    command->start_no = manager->node.start_no;
    command->wall_us = manager->ports.wall_us(manager->ports.ctx);
}

int manager_submit(struct manager *manager, struct command *command, int64_t now_us, struct err *err)
{
    AUTO(buf) bytes;
    struct message message = { .kind = MESSAGE_FORWARD };

    (void)now_us;
    buf_init(&bytes, COMMAND_BYTES_MAX);
    manager_sign(manager, command);
    command_encode(command, &bytes);
    if (bytes.failed)
        return err_set(err, ERR_TOO_BIG, "a command of kind %s does not fit", command_name(command->kind));
    if (manager->lead.raft.leader) {
        manager->ports.propose(manager->ports.ctx, bytes.bytes, bytes.length, 0);
        return 0;
    }
    uint64_t leader = manager->lead.raft.leader_id;
    if (leader == 0 || leader == manager->node.raft_id)
        return err_set(err, ERR_NOT_LEADER, "no Raft leader is known");
    message.forward.length = (uint32_t)bytes.length;
    memcpy(message.forward.bytes, bytes.bytes, bytes.length);
    manager->ports.send(manager->ports.ctx, leader, &message);
    return 0;
}

/* HELLO: until this life's own is applied, nothing is granted, taken, started or changed (R10). */
static void say_hello(struct manager *manager, int64_t now_us)
{
    const struct member *self = cluster_member_by_raft(&manager->cluster, manager->node.raft_id);

    if (manager->node.hello || !self || (manager->hello_at_us != 0 && now_us - manager->hello_at_us < SUBMIT_EVERY_US))
        return;
    struct command hello = { .kind = COMMAND_HELLO, .member = manager->config.self };
    hello.member.raft_id = manager->node.raft_id;
    hello.member.directory = manager->node.directory;
    if (manager_submit(manager, &hello, now_us, NULL) == 0)
        manager->hello_at_us = now_us;
}

/* How long a member's own proposal is waited for; longer and longer when it is refused again and again. */
static int64_t submit_every_us(const struct manager *manager)
{
    uint32_t refused = manager->command_refused;

    if (manager->command_kind != manager->node_plan.commands[0].kind)
        return SUBMIT_AGAIN_US;
    if (refused > 1)
        return (int64_t)SUBMIT_EVERY_US << (refused - 2 < SUBMIT_DOUBLED_MAX ? refused - 2 : SUBMIT_DOUBLED_MAX);
    return manager->command_version != manager->cluster.version ? SUBMIT_AGAIN_US : SUBMIT_EVERY_US;
}

/* A member's own proposals; repeated when the state has not moved for a while. */
static void submit_plan(struct manager *manager, int64_t now_us)
{
    struct node_plan *plan = &manager->node_plan;

    if (plan->command_count == 0)
        return;
    int64_t every_us = submit_every_us(manager);
    if (manager->command_at_us != 0 && now_us - manager->command_at_us < every_us) {
        if (manager->command_at_us + every_us < plan->wake_at_us)
            plan->wake_at_us = manager->command_at_us + every_us;
        return;
    }
    for (uint32_t i = 0; i < plan->command_count; i++)
        (void)manager_submit(manager, &plan->commands[i], now_us, NULL);
    if (manager->command_kind != plan->commands[0].kind)
        manager->command_refused = 0;
    manager->command_kind = plan->commands[0].kind;
    manager->command_at_us = now_us;
    manager->command_version = manager->cluster.version;
}

/* -- lease -------------------------------------------------------------------------------------------------------- */

static void note_lease(struct manager *manager, int64_t now_us)
{
    bool valid = lease_valid(&manager->node.lease, &manager->cluster, now_us);

    if (valid == manager->lease_logged)
        return;
    manager->lease_logged = valid;
    manager_event(manager, valid ? EVENT_LEASE_GAINED : EVENT_LEASE_LOST, "node=%d token=%" PRIu64,
                  manager->node.node_id, manager->cluster.token.no);
}

static void ask_lease(struct manager *manager, int64_t now_us)
{
    struct cluster *cluster = &manager->cluster;
    struct node_view *node = &manager->node;
    struct message message = { .kind = MESSAGE_LEASE_ASK };
    enum trouble trouble = manager->node_plan.trouble;
    /* Who has no room is there, and goes on as long as nobody can take over. */
    bool healthy = node->pg.state == PG_PRIMARY && (trouble == TROUBLE_NONE || trouble == TROUBLE_NO_SPACE);

    lease_begin(&node->lease, cluster, node->node_id, node->start_no, healthy, now_us, &message.ask);
    message.ask.lsn = lag_tell(&manager->lag, cluster, &node->pg, now_us);
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (!cluster->members[i].voter)
            continue;
        if (cluster->members[i].raft_id == node->raft_id)
            manager_answer_lease(manager, node->raft_id, &message.ask, now_us);
        else
            manager->ports.send(manager->ports.ctx, cluster->members[i].raft_id, &message);
    }
}

static void keep_lease(struct manager *manager, int64_t now_us)
{
    struct node_view *node = &manager->node;

    if (!manager->node_plan.lease) {
        if (node->lease.token.no != 0)
            lease_drop(&node->lease);
    } else if (node->guard_alive && now_us >= lease_due_us(&node->lease, &manager->cluster)) {
        ask_lease(manager, now_us);
    }
    /* A lone voter has granted by now: no lease without an armed guard, not even until the next turn. */
    if (manager->node_plan.guard == WISH_LEAVE && lease_valid(&node->lease, &manager->cluster, now_us)) {
        manager->node_plan.guard = WISH_PRIMARY;
        manager->node_plan.guard_kill_at_us = lease_kill_at_us(&node->lease);
    }
    note_lease(manager, now_us);
}

/* -- performing the node's plan ----------------------------------------------------------------------------------- */

static void set_guard(struct manager *manager, int64_t now_us)
{
    struct node_view *node = &manager->node;
    const struct node_plan *plan = &manager->node_plan;
    int64_t kill_at_us = plan->guard == WISH_PRIMARY ? plan->guard_kill_at_us : 0;

    if (plan->guard == WISH_LEAVE || !node->guard_alive)
        return;
    bool later = plan->guard == WISH_PRIMARY && node->guard_mode == WISH_PRIMARY;
    if (plan->guard == node->guard_mode && (!later || kill_at_us == node->guard_kill_at_us))
        return;
    /* A deadline that has passed is passed: it is not moved about while PostgreSQL is being stopped. */
    if (later && node->guard_kill_at_us <= now_us && kill_at_us <= now_us)
        return;
    if (plan->guard != node->guard_mode)
        manager_event(manager, EVENT_GUARD_MODE, "node=%d mode=%s", node->node_id,
                      plan->guard == WISH_PRIMARY  ? "primary"
                      : plan->guard == WISH_PAUSED ? "paused"
                                                   : "standby");
    node->guard_mode = plan->guard;
    node->guard_kill_at_us = kill_at_us;
    manager->ports.guard(manager->ports.ctx, plan->guard, kill_at_us, manager->cluster.token);
}

static void set_identity(struct manager *manager, struct directory_id directory)
{
    if (manager->ports.save_directory(manager->ports.ctx, directory) == 0)
        manager->node.directory = directory;
    else if (directory.no == 0)
        manager->node_plan.action.kind = ACT_NONE;
}

/* Holds at once; and durably, as soon as the disk lets it. Until then it is tried again each turn. */
static void spoil_directory(struct manager *manager)
{
    struct node_view *node = &manager->node;

    if (!directory_spoiled(node->directory))
        manager->spoil_owed = true;
    if (manager->node_plan.spoil_directory)
        node->foreign_shown = false;
    node->directory.no = DIRECTORY_SPOILED;
    if (!manager->spoil_owed || manager->ports.save_directory(manager->ports.ctx, node->directory) != 0)
        return;
    manager->spoil_owed = false;
    manager_event(manager, EVENT_PG_SPOILED, "node=%d timeline=%" PRIu32, node->node_id, node->pg.timeline.no);
}

static void start_action(struct manager *manager, int64_t now_us)
{
    struct node_view *node = &manager->node;
    struct pg_action *action = &manager->node_plan.action;

    bool forget = manager->node_plan.forget_directory && !directory_spoiled(node->directory);
    if (forget && action->kind != ACT_NONE)
        set_identity(manager, (struct directory_id){ 0 });
    if (action->kind == ACT_NONE)
        return;
    action->id = ++manager->action_id;
    node->acting = action->kind;
    node->acting_conf = action->conf;
    node->acting_cancelled = false;
    node->acting_since_us = now_us;
    manager->acting_token = action->token;
    manager->acting_slots = node_slots(&manager->cluster, node->node_id);
    manager_event(manager, EVENT_PG_ACTION, "node=%d action=\"%s\" why=%s token=%" PRIu64, node->node_id,
                  act_name(action->kind), why_name(manager->node_plan.why), manager->cluster.token.no);
    manager->ports.act(manager->ports.ctx, action);
}

static void perform_node(struct manager *manager, int64_t now_us)
{
    struct node_view *node = &manager->node;
    struct node_plan *plan = &manager->node_plan;

    /* While it is being reworked the newest look is of what it was. */
    if (plan->diverged_under.no != 0 && node->acting != ACT_REWIND && node->acting != ACT_CLONE)
        node->diverged_under = plan->diverged_under;
    node->foreign_shown = node->foreign_shown || plan->foreign_shown;
    keep_lease(manager, now_us);
    set_guard(manager, now_us);
    if (plan->spoil_directory || manager->spoil_owed)
        spoil_directory(manager);
    if (plan->new_identity)
        set_identity(manager, (struct directory_id){ manager->ports.identity(manager->ports.ctx) });
    if (plan->cancel) {
        node->acting_cancelled = true;
        manager->ports.act_cancel(manager->ports.ctx);
    }
    start_action(manager, now_us);
    submit_plan(manager, now_us);
    if (plan->look) {
        if (now_us - node->pg.at_us >= LOOK_EVERY_US)
            manager->ports.look(manager->ports.ctx);
        plan->wake_at_us = now_us + LOOK_EVERY_US;
    }
}

static void decide_node(struct manager *manager, int64_t now_us)
{
    struct node_view *node = &manager->node;
    enum why before = manager->node_plan.why;

    manager_link_reports(manager, now_us);
    node_decide(&manager->cluster, node, now_us, &manager->node_plan);
    node->fence = manager->node_plan.fence;
    if (cluster_fenced(&manager->cluster) && node->hello) {
        node->fence.token = manager->cluster.token;
        node->fence.grants_over = lease_voter_over(&manager->voter, &manager->cluster, now_us);
        int64_t over_at_us = lease_voter_over_at(&manager->voter, &manager->cluster);
        if (!node->fence.grants_over && over_at_us < manager->node_plan.wake_at_us)
            manager->node_plan.wake_at_us = over_at_us;
    }
    if (manager->node_plan.why != before)
        manager_event(manager, EVENT_NODE_WHY, "node=%d why=%s token=%" PRIu64, node->node_id,
                      why_name(manager->node_plan.why), manager->cluster.token.no);
    perform_node(manager, now_us);
}

int64_t manager_crank(struct manager *manager, int64_t now_us)
{
    int64_t wake_at_us;

    say_hello(manager, now_us);
    decide_node(manager, now_us);
    manager_decide_lead(manager, now_us);
    wake_at_us = manager_send_report(manager, now_us);
    if (manager->node_plan.wake_at_us < wake_at_us)
        wake_at_us = manager->node_plan.wake_at_us;
    if (manager->lead.raft.leader && manager->lead_plan.wake_at_us < wake_at_us)
        wake_at_us = manager->lead_plan.wake_at_us;
    if (manager->node_plan.lease && manager->node.guard_alive) {
        int64_t due_us = lease_due_us(&manager->node.lease, &manager->cluster);
        wake_at_us = due_us < wake_at_us ? due_us : wake_at_us;
    }
    if (!manager->node.hello && now_us + SUBMIT_EVERY_US < wake_at_us)
        wake_at_us = now_us + SUBMIT_EVERY_US;
    return wake_at_us > now_us ? wake_at_us : now_us + 1000;
}

/* -- what happened ------------------------------------------------------------------------------------------------ */

static void state_moved(struct manager *manager, enum command_kind kind, int64_t now_us)
{
    struct cluster *cluster = &manager->cluster;
    const struct member *self = cluster_member_by_raft(cluster, manager->node.raft_id);
    bool hello = self && self->start_no == manager->node.start_no && manager->node.start_no != 0;

    bool known = self && self->directory.no != 0 && directory_is(self->directory, manager->node.directory);
    if (known && !manager->node.directory_known && manager->node.hello)
        manager->node.directory_at = cluster->version;
    manager->node.directory_known = known;
    lag_moved(&manager->told, cluster, manager->node.hello);
    if (hello && !manager->node.hello)
        manager->node.stopped_at = cluster->version;
    manager->node.hello = hello;
    manager->lead.hello = hello;
    if (manager->node.lease.token.no != 0 && !token_is(manager->node.lease.token, cluster->token))
        lease_drop(&manager->node.lease);
    if (cluster->policy_version != manager->lead.policy_version) {
        manager->lead.policy_version = cluster->policy_version;
        manager->lead.policy_since_us = now_us;
        manager->lead.shorter_since_us = 0;
    }
    /* A permission to start is a sign: the primary gets its time before it is suspected again. */
    if (kind == COMMAND_PROMOTED || kind == COMMAND_FOUND)
        manager->seen_lease_us = now_us;
    if (kind == COMMAND_RESTART)
        manager->seen_lease_us = now_us + (int64_t)cluster->policy.primary_start_timeout_ms * 1000;
}

/* What came of a proposal of this life. */
static void note_result(struct manager *manager, const struct command *command, enum apply_result result)
{
    if (command->raft_id != manager->node.raft_id || command->start_no != manager->node.start_no)
        return;
    if (command->kind == manager->command_kind)
        manager->command_refused = result == APPLY_OK ? 0 : manager->command_refused + 1;
    if (command->kind == manager->lead.proposed_kind)
        manager->lead.refused = result == APPLY_OK ? 0 : manager->lead.refused + 1;
}

void manager_apply(struct manager *manager, const uint8_t *bytes, size_t length, int64_t now_us)
{
    struct command command;
    char reason[TEXT_SIZE] = "";
    struct err err = { 0 };

    if (command_decode(bytes, length, &command, &err) < 0) {
        manager->cluster.version++;
        manager_event(manager, EVENT_COMMAND_REFUSED, "command=unreadable");
        return;
    }
    enum apply_result result = cluster_apply(&manager->cluster, &command, reason);
    note_result(manager, &command, result);
    if (result == APPLY_OK) {
        manager_event(manager, EVENT_COMMAND_APPLIED,
                      "command=%s by=%" PRIu64 " about=%d token=%" PRIu64 " version=%" PRIu64,
                      command_name(command.kind), command.raft_id, command.node_id, manager->cluster.token.no,
                      manager->cluster.version);
        state_moved(manager, command.kind, now_us);
    } else {
        manager_event(manager, EVENT_COMMAND_REFUSED, "command=%s by=%" PRIu64 " reason=\"%s\"",
                      command_name(command.kind), command.raft_id, reason);
    }
    if (manager->lead.raft.leader && (command.kind == COMMAND_FENCE || command.kind == COMMAND_ELECT ||
                                      command.kind == COMMAND_SWITCHOVER || command.kind == COMMAND_PROMOTED))
        manager->ports.flush(manager->ports.ctx);
}

void manager_restore(struct manager *manager, const struct cluster *cluster, int64_t now_us)
{
    manager->cluster = *cluster;
    state_moved(manager, COMMAND_COUNT, now_us);
}

void manager_raft(struct manager *manager, const struct raft_seen *seen, int64_t now_us)
{
    struct raft_seen *raft = &manager->lead.raft;

    if (seen->leader != raft->leader || seen->leader_id != raft->leader_id)
        manager_event(manager, EVENT_RAFT_ROLE, "node=%d leads=%s leader=%" PRIu64 " term=%" PRIu64,
                      manager->node.node_id, seen->leader ? "yes" : "no", seen->leader_id, seen->term);
    if (seen->leader && !raft->leader) {
        manager->lead.leader_since_us = now_us;
        manager->lead.proposed_at_us = 0;
        manager->lead.failures = (struct failures){ 0 };
        manager->lead.operation_since_us = 0;
    }
    *raft = *seen;
}

void manager_proposed(struct manager *manager, uint64_t ticket, bool committed, int64_t now_us)
{
    (void)now_us;
    if (ticket == 1 && !committed)
        manager->lead.proposed_at_us = 0;
}

static void note_state(struct manager *manager, const struct pg_seen *seen)
{
    if (seen->state == manager->pg_state)
        return;
    manager_event(manager, EVENT_PG_STATE, "node=%d from=%s to=%s timeline=%" PRIu32 " end=%" PRIX64,
                  manager->node.node_id, pg_state_name(manager->pg_state), pg_state_name(seen->state),
                  seen->timeline.no, seen->end.at);
    manager->pg_state = seen->state;
}

static bool is_running(enum pg_state state)
{
    return state == PG_STARTING || state == PG_STANDBY || state == PG_PRIMARY;
}

void manager_seen(struct manager *manager, const struct pg_seen *seen, int64_t now_us)
{
    struct node_view *node = &manager->node;
    bool ran = is_running(node->pg.state);
    bool runs = is_running(seen->state);
    bool anew = runs && node->pg.postmaster_started_us != seen->postmaster_started_us;

    /* An action is over when its effect is seen: a look from before its end would have it done again, or undone. */
    if (manager->acted_at_us != 0 && seen->at_us >= manager->acted_at_us) {
        manager->acted_at_us = 0;
        /* It may have run and died unseen: what permitted this start permits no other. */
        ran = ran || node->acting == ACT_START_PRIMARY;
        node->acting = ACT_NONE;
        node->acting_cancelled = false;
    } else if (manager->acted_at_us != 0) {
        manager->ports.look(manager->ports.ctx);
    }
    note_state(manager, seen);
    if (ran && (!runs || anew)) {
        node->stopped_at = manager->cluster.version;
        node->stop_watched = true;
    }
    if (runs && (!ran || anew))
        node->open_anyway = false;
    if (!runs || anew || seen->state != PG_PRIMARY)
        node->sync = (struct sync_progress){ 0 };
    manager_note_walsenders(manager, seen, now_us);
    if (seen->state == PG_STANDBY)
        node->pg_started_standby = true;
    else if (!runs || anew)
        node->pg_started_standby = false;
    node->pg = *seen;
    bool primary = seen->state == PG_PRIMARY && cluster_is_primary(&manager->cluster, node->node_id) &&
                   !node_other_system(&manager->cluster, seen);
    if (!primary)
        node->primary_since_us = 0;
    else if (node->primary_since_us == 0)
        node->primary_since_us = now_us;
    if (primary) {
        sync_observe(&node->sync, &manager->cluster, seen);
        /* A restarted daemon finds a server that it had closed to everybody else: it is still to be opened. */
        if (seen->conf_present && seen->conf.agent_only && node->sync.settled == 0 && !node->open_anyway)
            node->in_place = true;
        if (node->sync.settled == manager->cluster.demand_version)
            node->in_place = false;
    }
}

static void action_done(struct manager *manager, const struct pg_result *result, int64_t now_us)
{
    struct node_view *node = &manager->node;

    mend_note(&node->mend, result, manager->acting_token);
    switch (result->kind) {
    case ACT_SLOTS:
        node->slots_for = manager->acting_slots;
        node->slots_at_us = now_us;
        break;
    case ACT_CHECKPOINT:
        node->checkpointed_for = manager->cluster.operation.at;
        /* One that was begun before the settings were in force proves nothing about them. */
        if (node->acting_conf.demand_version == node->sync.version)
            node->sync.checkpoint_done = result->code == 0;
        if (result->code == 0)
            node->checkpointed_under = manager->acting_token;
        break;
    case ACT_START_PRIMARY:
        node->in_place = result->code == 0;
        break;
    case ACT_CONFIGURE:
        /* A server that somebody else started cannot be closed to everybody but the agent. */
        if (result->code != 0 && result->code != -(int)ERR_CANCELED && node->acting_conf.agent_only) {
            node->open_anyway = true;
            node->in_place = false;
        }
        break;
    case ACT_PROMOTE:
        if (result->code != 0)
            node->promote_failed = manager->acting_token;
        break;
    case ACT_REWIND:
    case ACT_CLONE:
        if (result->code == 0) {
            manager->spoil_owed = false;
            node->foreign_shown = false;
            set_identity(manager, (struct directory_id){ manager->ports.identity(manager->ports.ctx) });
            node->rewound_under = manager->acting_token;
            node->diverged_under = (struct token){ 0 };
            node->slots_at_us = 0; /* neither way brings slots along */
        }
        break;
    default:
        break;
    }
}

void manager_acted(struct manager *manager, const struct pg_result *result, int64_t now_us)
{
    struct node_view *node = &manager->node;
    char text[TEXT_SIZE * 2];

    if (result->id != manager->action_id || manager->acted_at_us != 0)
        return;
    action_done(manager, result, now_us);
    if (result->code == 0) {
        manager_event(manager, EVENT_PG_DONE, "node=%d action=\"%s\" ms=%" PRId64, node->node_id,
                      act_name(result->kind), (now_us - node->acting_since_us) / 1000);
        node->failed_at_us = 0;
        node->failed_count = 0;
        manager->problem[0] = '\0';
    } else if (!node->acting_cancelled) {
        manager_event(manager, EVENT_PG_FAILED, "node=%d action=\"%s\" ms=%" PRId64 " error=%s", node->node_id,
                      act_name(result->kind), (now_us - node->acting_since_us) / 1000,
                      log_quoted(text, sizeof text, result->text));
        node->failed_count = node->failed_kind == result->kind ? node->failed_count + 1 : 1;
        node->failed_kind = result->kind;
        node->failed_at_us = now_us;
        (void)snprintf(manager->problem, sizeof manager->problem, "%s: %.200s", act_name(result->kind), result->text);
    }
    manager->acted_at_us = now_us;
    manager->ports.look(manager->ports.ctx);
}

void manager_farewell(struct manager *manager, int64_t now_us)
{
    manager->leaving = true;
    manager->reported_at_us = 0;
    (void)manager_send_report(manager, now_us);
}

void manager_guard(struct manager *manager, bool alive, enum guard_wish mode, int64_t kill_at_us, int64_t now_us)
{
    struct node_view *node = &manager->node;

    (void)now_us;
    if (alive != node->guard_alive)
        manager_event(manager, alive ? EVENT_GUARD_UP : EVENT_GUARD_DOWN, "node=%d", node->node_id);
    node->guard_alive = alive;
    node->guard_mode = mode;
    node->guard_kill_at_us = kill_at_us;
}
