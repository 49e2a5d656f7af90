/*
 * members.c - one member change at a time, each libraft request after the last from a deferred place.
 *
 * libraft's change requests have no deadline, so the caller is told after CHANGE_MS what we do not know, and the next
 * change is refused until libraft has let go of this one.
 */
#include "consensus/private.h"

#define CHANGE_MS 20000
#define LIBRAFT_SETTLED(raft) ((raft)->legacy.change == NULL && (raft)->configuration_uncommitted_index == 0)

static const struct raft_server *find(const struct raft *raft, uint64_t id)
{
    for (unsigned i = 0; i < raft->configuration.n; i++)
        if (raft->configuration.servers[i].id == id)
            return &raft->configuration.servers[i];
    return NULL;
}

static int role_of(enum consensus_member_role role)
{
    return role == CONSENSUS_VOTER ? RAFT_VOTER : role == CONSENSUS_LEARNER ? RAFT_STANDBY : RAFT_SPARE;
}

static void finish(struct consensus *consensus, enum err_code code, const char *text)
{
    struct change *change = &consensus->change;

    change->step = CHANGE_NONE;
    change->next = CHANGE_NONE;
    change->finished = true;
    change->result.code = code;
    (void)text_copy(change->result.text, sizeof change->result.text, text);
    consensus_defer(consensus);
}

/* What to ask libraft for to bring the member where it is wanted, or nothing. */
static enum change_step next_step(const struct consensus *consensus)
{
    const struct change *change = &consensus->change;
    const struct raft_server *server = find(&consensus->raft, change->id);

    if (!server)
        return CHANGE_ADD;
    return server->role == role_of(change->role) ? CHANGE_NONE : CHANGE_ASSIGN;
}

/* libraft has done a step, or not. It may be in the middle of other things: no call into it from here. */
static void changed(struct raft_change *request, int status)
{
    struct consensus *consensus = request->data;
    struct change *change = &consensus->change;
    enum change_step done = change->step;

    change->step = CHANGE_NONE;
    if (status == RAFT_NOCONNECTION)
        finish(consensus, ERR_TIMEOUT, "the member cannot be reached, or does not catch up with the log");
    else if (status == RAFT_LEADERSHIPLOST || status == RAFT_CANCELED || status == RAFT_SHUTDOWN)
        finish(consensus, ERR_UNKNOWN, "leadership was lost meanwhile; the change may come about or not");
    else if (status)
        finish(consensus, ERR_INTERNAL, raft_strerror(status));
    else if (done == CHANGE_REMOVE || change->told)
        finish(consensus, ERR_OK, "");
    else if ((change->next = next_step(consensus)) == CHANGE_NONE)
        finish(consensus, ERR_OK, "");
    consensus_defer(consensus);
}

static void ask(struct consensus *consensus, enum change_step step)
{
    struct change *change = &consensus->change;
    struct raft *raft = &consensus->raft;
    int status = RAFT_NOTLEADER;

    change->step = step;
    change->next = CHANGE_NONE;
    change->request = (struct raft_change){ .data = consensus };
    if (raft_state(raft) == RAFT_LEADER && raft_transferee(raft) == 0) {
        if (step == CHANGE_ADD)
            status = raft_add(raft, &change->request, change->id, change->address, changed);
        else if (step == CHANGE_ASSIGN)
            status = raft_assign(raft, &change->request, change->id, role_of(change->role), changed);
        else
            status = raft_remove(raft, &change->request, change->id, changed);
    }
    if (!status)
        return;
    /* libraft 0.22.1 keeps a request that it has just refused (legacy.c, raft_assign). */
    if (raft->legacy.change == &change->request)
        raft->legacy.change = NULL;
    finish(consensus, status == RAFT_NOTLEADER ? ERR_NOT_LEADER : ERR_REFUSED, raft_strerror(status));
}

void members_proceed(struct consensus *consensus)
{
    struct change *change = &consensus->change;

    if (change->active && !change->told && !change->finished && uv_now(consensus->loop) >= change->deadline_at) {
        change->told = true;
        (void)err_set(&change->result, ERR_TIMEOUT, "not done after %d s; it may still come about", CHANGE_MS / 1000);
        if (change->done)
            change->done(change->ctx, -(int)ERR_TIMEOUT, &change->result);
    }
    if (change->next != CHANGE_NONE && !consensus->closing && !consensus->down)
        ask(consensus, change->next);
    if (!change->active || !change->finished)
        return;
    change->active = false;
    if (!change->told && change->done)
        change->done(change->ctx, -(int)change->result.code, &change->result);
}

void members_close(struct consensus *consensus)
{
    struct change *change = &consensus->change;

    if (!change->active)
        return;
    change->active = false;
    (void)err_set(&change->result, ERR_CANCELED, "raft is being closed; the change may come about or not");
    if (!change->told && change->done)
        change->done(change->ctx, -(int)ERR_CANCELED, &change->result);
}

/* What speaks against any change now. */
static int check_now(struct consensus *consensus, struct err *err)
{
    struct consensus_status status;

    consensus_status(consensus, &status);
    if (status.role != CONSENSUS_LEADER)
        return err_set(err, ERR_NOT_LEADER, "this node does not lead the Raft group");
    if (status.changing || !LIBRAFT_SETTLED(&consensus->raft))
        return err_set(err, ERR_REFUSED, "another change of raft members, or of the leader, is under way");
    return 0;
}

static int begin(struct consensus *consensus, uint64_t id, const char *address, enum consensus_member_role role,
                 void (*done)(void *ctx, int status, const struct err *err), void *ctx, enum change_step step)
{
    consensus->change = (struct change){
        .active = true,
        .next = step,
        .id = id,
        .role = role,
        .deadline_at = uv_now(consensus->loop) + CHANGE_MS,
        .done = done,
        .ctx = ctx,
    };
    (void)text_copy(consensus->change.address, sizeof consensus->change.address, address);
    if (step == CHANGE_NONE)
        finish(consensus, ERR_OK, "");
    consensus_defer(consensus);
    return 0;
}

int consensus_member(struct consensus *consensus, uint64_t id, const char *address, enum consensus_member_role role,
                     void (*done)(void *ctx, int status, const struct err *err), void *ctx, struct err *err)
{
    const struct raft_configuration *members = &consensus->raft.configuration;
    int failed = check_now(consensus, err);

    if (failed)
        return failed;
    if (id == 0 || strlen(address) >= CONSENSUS_ADDRESS_MAX)
        return err_set(err, ERR_CONFIG, "raft member %" PRIu64 " at '%s': wrong id or address", id, address);
    /* A known id keeps the address of its admission, wherever it is dialed now. */
    for (unsigned i = 0; i < members->n && !find(&consensus->raft, id); i++)
        if (strcmp(members->servers[i].address, address) == 0)
            return err_set(err, ERR_REFUSED,
                           "raft member %llu was admitted at '%s': another cannot be while it is a member",
                           members->servers[i].id, members->servers[i].address);
    if (!find(&consensus->raft, id) && members->n >= CONSENSUS_MEMBERS_MAX)
        return err_set(err, ERR_REFUSED, "the raft group has %d members already", CONSENSUS_MEMBERS_MAX);
    consensus->change.id = id;
    consensus->change.role = role;
    return begin(consensus, id, address, role, done, ctx, next_step(consensus));
}

int consensus_remove(struct consensus *consensus, uint64_t id,
                     void (*done)(void *ctx, int status, const struct err *err), void *ctx, struct err *err)
{
    int failed = check_now(consensus, err);

    if (failed)
        return failed;
    if (!find(&consensus->raft, id))
        return err_set(err, ERR_NOT_FOUND, "there is no raft member %" PRIu64, id);
    return begin(consensus, id, "", CONSENSUS_SPARE, done, ctx, CHANGE_REMOVE);
}
