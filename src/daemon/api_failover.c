/*
 * api_failover.c - an operator looks at a failover that waits, and says what only a person can know: that a member is
 * gone for good, that a loss is accepted, that a host is off (design 5.2, 5.3 step 6; core/words.h).
 *
 * A request without `word` changes nothing: it says what is missing, what would be lost, and the word by which the same
 * request is meant. The word is a digest of that very situation, and the command names the situation too: where it has
 * changed by then, in this node's view or in the log, the word is refused.
 */
#include "daemon/api.h"

#include <stdlib.h>

#include "base/clock.h"
#include "core/lag.h"
#include "daemon/status.h"

#define WORD_SIZE 16
#define LOSS_SIZE (2 * TEXT_SIZE)

enum step { STEP_LOOK, STEP_PROPOSE };

struct situation {
    struct api_client *client;
    const struct manager *manager;
    const struct cluster *cluster;
    struct status_facts facts;
    struct lead_plan plan;
    const struct member *from;   /* the primary that is replaced */
    const struct member *target; /* whom the word is about; NULL: nobody in particular */
    const struct member *best;   /* holds most of those that have reported; NULL: nobody has */
    struct timeline timeline;    /* its end of WAL: what is kept */
    struct lsn lsn;
    char word[WORD_SIZE];
};

static const char *lsn_text(struct lsn lsn, char text[32])
{
    (void)snprintf(text, 32, "%" PRIX64 "/%" PRIX64, lsn.at >> 32, lsn.at & UINT32_MAX);
    return text;
}

/* The demands ask for this member, or it is the primary, which would meet them all. */
static bool asked_for(const struct situation *situation, const struct member *member)
{
    const struct cluster *cluster = situation->cluster;
    bool asked = member == situation->from;

    for (uint32_t i = 0; i < cluster->demand_count; i++)
        asked = asked || (member->directory.no != 0 && demand_names(&cluster->demands[i], member->directory));
    return asked;
}

static bool missing(const struct situation *situation, const struct member *member)
{
    enum verdict verdict = situation->plan.ranking.verdicts[member - situation->cluster->members];

    return member->kind == NODE_DATA && situation->plan.ranked && asked_for(situation, member) &&
           verdict != VERDICT_READY && verdict != VERDICT_REPLACED && verdict != VERDICT_WINNER &&
           verdict != VERDICT_BEHIND;
}

/* -- the word ----------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t sum, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        sum = (sum ^ (number >> (8 * i) & 0xff)) * 1099511628211u;
    return sum;
}

static void make_word(struct situation *situation, enum api_kind kind)
{
    const struct cluster *cluster = situation->cluster;
    const struct member *target = situation->target;
    uint64_t sum = mix(mix(14695981039346656037u, cluster->cluster_id), (uint64_t)kind);

    sum = mix(mix(sum, cluster->token.no), cluster->demand_version);
    sum = mix(mix(sum, target ? (uint64_t)target->node_id : 0), target ? target->directory.no : 0);
    if (kind == API_HOST_OFF)
        sum = mix(sum, target ? target->start_no : 0);
    else
        sum = mix(mix(mix(sum, situation->timeline.no), situation->lsn.at),
                  situation->best ? situation->best->directory.no : 0);
    (void)snprintf(situation->word, sizeof situation->word, "%08" PRIx32, (uint32_t)(sum ^ sum >> 32));
}

/* -- telling ------------------------------------------------------------------------------------------------------ */

/* The furthest that anybody knows of on the replaced primary's timeline: what it told, what the missing ones told. */
static struct lsn last_known(const struct situation *situation)
{
    const struct cluster *cluster = situation->cluster;
    struct lsn known = { 0 };
    int64_t age_us;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = status_report(&situation->facts, &cluster->members[i], &age_us);
        if (report && token_is(report->told.token, cluster->primary.token) && report->told.lsn.at != LAG_BLIND)
            known = lsn_max(known, report->told.lsn);
        if (report && missing(situation, &cluster->members[i]) && report->timeline.no == cluster->primary.timeline.no)
            known = lsn_max(known, report->end);
    }
    return known;
}

/* One sentence: what is lost if nobody of the missing comes back. */
static void loss_text(const struct situation *situation, char *text, size_t size)
{
    const struct cluster *cluster = situation->cluster;
    const char *name = situation->from ? situation->from->name : "the old primary";
    struct lsn known = last_known(situation);
    char from[32];
    char to[32];
    char ago[48];
    int64_t age_us = 0;
    bool heard = situation->from && status_report(&situation->facts, situation->from, &age_us);

    status_duration(age_us, ago, sizeof ago);
    lsn_text(situation->lsn, from);
    if (situation->timeline.no != cluster->primary.timeline.no)
        (void)snprintf(text, size, "all that %s wrote on timeline %" PRIu32 ", and on timeline %" PRIu32 " after %s",
                       name, cluster->primary.timeline.no, situation->timeline.no, from);
    else if (lsn_cmp(known, situation->lsn) > 0)
        (void)snprintf(text, size,
                       "%" PRIu64 " bytes of WAL that are known of, %s to %s, and what %s wrote after it was last "
                       "heard%s%s%s",
                       known.at - situation->lsn.at, from, lsn_text(known, to), name, heard ? ", " : "",
                       heard ? ago : "", heard ? " ago" : "");
    else
        (void)snprintf(text, size, "what %s wrote after %s and nobody else knows of%s%s%s", name, from,
                       heard ? "; it was last heard " : "", heard ? ago : "", heard ? " ago" : "");
}

static void tell_missing(const struct situation *situation, const struct member *member)
{
    const struct cluster *cluster = situation->cluster;
    const char *role = member == situation->from ? "the primary that is replaced" : "may hold acknowledged commits";
    bool fresh = status_fresh(&situation->facts, member) != NULL;
    int64_t age_us = 0;
    const struct report *report = status_report(&situation->facts, member, &age_us);
    char ago[48];
    char end[32];
    char last[TEXT_SIZE] = "nothing is known of its WAL";

    if (report && report->end.at != 0)
        (void)snprintf(last, sizeof last, "last known at %s of timeline %" PRIu32, lsn_text(report->end, end),
                       report->timeline.no);
    if (fresh)
        api_progress(situation->client, "WARNING", "missing: node \"%s\" (ID: %d), %s: it is heard, and %s; %s",
                     member->name, member->node_id, role,
                     verdict_text(situation->plan.ranking.verdicts[member - cluster->members]), last);
    else
        api_progress(situation->client, "WARNING", "missing: node \"%s\" (ID: %d), %s: not heard for %s; %s",
                     member->name, member->node_id, role,
                     report ? status_duration(age_us, ago, sizeof ago) : "as long as this daemon runs", last);
}

static void tell(const struct situation *situation)
{
    const struct cluster *cluster = situation->cluster;
    const struct operation *operation = &cluster->operation;
    int64_t open_us =
        situation->facts.wall_us > operation->since_us ? situation->facts.wall_us - operation->since_us : 0;
    char open[48];
    char end[32];
    char loss[LOSS_SIZE];

    api_progress(situation->client, "INFO", "the failover under token %" PRIu64 " is open for %s: %s%s%s%s",
                 cluster->token.no, status_duration(open_us, open, sizeof open), why_text(situation->plan.why),
                 situation->plan.waiting[0] ? " (" : "", situation->plan.waiting,
                 situation->plan.waiting[0] ? ")" : "");
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (missing(situation, &cluster->members[i]))
            tell_missing(situation, &cluster->members[i]);
    if (!situation->best) {
        api_progress(situation->client, "INFO", "nobody has reported its end of WAL yet");
        return;
    }
    api_progress(situation->client, "INFO",
                 "node \"%s\" (ID: %d) holds most of those who report: %s of timeline %" PRIu32, situation->best->name,
                 situation->best->node_id, lsn_text(situation->lsn, end), situation->timeline.no);
    if (!situation->plan.ranking.covered) {
        loss_text(situation, loss, sizeof loss);
        api_progress(situation->client, "WARNING", "lost without the missing: %s", loss);
    }
}

/* -- whether it may be said --------------------------------------------------------------------------------------- */

static bool writer_over(const struct situation *situation)
{
    if (situation->plan.why != WHY_WRITER_LIVE)
        return true;
    api_refuse(situation->client, ERR_REFUSED,
               situation->cluster->pause != PAUSE_OFF
                   ? "if its host is off for sure, say so: \"rmctl failover host-off\""
                   : "wait until its lease has ended",
               "the old primary may still be writing: what would be lost is not known yet");
    return false;
}

static bool may_give_up(const struct situation *situation, enum api_kind kind)
{
    struct api_client *client = situation->client;
    const struct member *target = situation->target;

    if (!writer_over(situation))
        return false;
    if (situation->plan.ranking.covered) {
        api_refuse(client, ERR_REFUSED, "look at \"rmctl status\"",
                   "nothing is missing: all that was acknowledged is on those who report");
        return false;
    }
    if (!situation->best) {
        api_refuse(client, ERR_REFUSED, "start raftmgrd on a node that has data",
                   "nobody has reported its end of WAL under token %" PRIu64 ": there is nothing to go on with",
                   situation->cluster->token.no);
        return false;
    }
    if (kind == API_WRITE_OFF && !missing(situation, target) && asked_for(situation, target)) {
        api_refuse(client, ERR_REFUSED, NULL, "node \"%s\" has reported: it is not missing", target->name);
        return false;
    }
    if (kind == API_WRITE_OFF && status_fresh(&situation->facts, target))
        api_progress(client, "WARNING", "the daemon of node \"%s\" answers: it may yet report", target->name);
    return true;
}

static bool may_be_off(const struct situation *situation)
{
    struct api_client *client = situation->client;

    if (situation->target != situation->from) {
        api_refuse(client, ERR_REFUSED, NULL, "node \"%s\" is not the primary that is replaced, \"%s\" is",
                   situation->target->name, situation->from ? situation->from->name : "");
        return false;
    }
    if (status_fresh(&situation->facts, situation->target)) {
        api_refuse(client, ERR_REFUSED, "it stops its PostgreSQL by itself; switch its host off if it does not",
                   "the daemon of node \"%s\" answers: its host is not off", situation->target->name);
        return false;
    }
    if (situation->plan.why != WHY_WRITER_LIVE) {
        api_refuse(client, ERR_REFUSED, "look at \"rmctl status\"", "nothing waits for the end of node \"%s\"",
                   situation->target->name);
        return false;
    }
    api_progress(client, "WARNING",
                 "if PostgreSQL runs on the host of node \"%s\" after all, there will be two primaries, and what it "
                 "acknowledges is lost",
                 situation->target->name);
    return true;
}

/* -- the request -------------------------------------------------------------------------------------------------- */

static json_t *answer_of(const struct situation *situation, enum api_kind kind)
{
    const struct cluster *cluster = situation->cluster;
    char end[32] = "";
    char loss[LOSS_SIZE] = "";

    if (situation->best) {
        lsn_text(situation->lsn, end);
        if (!situation->plan.ranking.covered)
            loss_text(situation, loss, sizeof loss);
    }
    json_t *result = json_pack("{s:b, s:I, s:s, s:s, s:i, s:s, s:s}", "open", 1, "token", (json_int_t)cluster->token.no,
                               "waiting_for", why_text(situation->plan.why), "kept_lsn", end, "kept_timeline",
                               (int)situation->timeline.no, "loss", loss, "word",
                               kind == API_FAILOVER_STATUS ? "" : situation->word);
    if (result && situation->best)
        (void)json_object_set_new(result, "kept_by", api_node(cluster, situation->best->node_id));
    if (result && situation->target)
        (void)json_object_set_new(result, "node", api_node(cluster, situation->target->node_id));
    return result;
}

/* False: it has been answered. */
static bool look(struct api_client *client, int64_t now_us, struct situation *situation)
{
    const struct api_request *request = &client->task.request;
    const struct cluster *cluster = &client->daemon->manager.cluster;
    const struct manager *manager = &client->daemon->manager;

    *situation = (struct situation){ .client = client, .manager = manager, .cluster = cluster };
    situation->from = cluster_member(cluster, cluster->primary.node_id);
    if (cluster->operation.kind != OPERATION_FAILOVER || !cluster_fenced(cluster)) {
        bool paused = cluster->pause == PAUSE_ON && request->kind == API_HOST_OFF;
        if (request->kind == API_FAILOVER_STATUS)
            api_answer(client, json_pack("{s:b}", "open", 0));
        else
            api_refuse(client, ERR_REFUSED,
                       paused ? "run \"rmctl unpause\" first: the failover then begins, and waits for this word"
                              : "look at \"rmctl status\"",
                       paused ? "failover is paused, so nothing waits" : "no failover waits for anything");
        return false;
    }
    if (request->node_name[0]) {
        situation->target = api_member(cluster, request->node_name);
        if (!situation->target) {
            api_refuse(client, ERR_NOT_FOUND, "\"rmctl cluster show\" lists the nodes", "there is no node '%s'",
                       request->node_name);
            return false;
        }
    }
    situation->facts = (struct status_facts){
        .settings = &client->daemon->settings,
        .identity = &client->daemon->identity,
        .manager = manager,
        .member = true,
        .now_us = now_us,
        .wall_us = clock_wall_us(),
    };
    status_plan(&situation->facts, &situation->plan);
    situation->best =
        cluster_member(cluster, candidate_most(cluster, manager->lead.heard, &situation->timeline, &situation->lsn));
    make_word(situation, request->kind);
    return true;
}

static void fill_command(const struct situation *situation, enum api_kind kind, struct command *command)
{
    const struct cluster *cluster = situation->cluster;
    const struct member *about = kind == API_ACCEPT_LOSS ? situation->best : situation->target;
    char end[32];
    char loss[LOSS_SIZE];

    *command = (struct command){
        .kind = kind == API_WRITE_OFF     ? COMMAND_WRITE_OFF
                : kind == API_ACCEPT_LOSS ? COMMAND_ACCEPT_LOSS
                                          : COMMAND_HOST_OFF,
        .node_id = about->node_id,
        .token = cluster->token,
        .expect = cluster->demand_version,
        .directory = about->directory,
    };
    if (kind == API_HOST_OFF) {
        command->stopped_start_no = about->start_no;
        return;
    }
    command->timeline = situation->timeline;
    command->lsn = situation->lsn;
    loss_text(situation, loss, sizeof loss);
    (void)snprintf(command->text, sizeof command->text, "kept to %s by %.40s; lost: %.160s",
                   lsn_text(situation->lsn, end), situation->best->name, loss);
}

/* The record that this word left, once it is applied. */
static bool applied(const struct api_task *task, const struct cluster *cluster)
{
    static const char *const events[API_KIND_COUNT] = {
        [API_WRITE_OFF] = "raftmgr_write_off",
        [API_ACCEPT_LOSS] = "raftmgr_accept_loss",
        [API_HOST_OFF] = "raftmgr_host_off",
    };

    for (uint64_t i = cluster->record_count; i > task->expect && i + RECORDS_MAX > cluster->record_count; i--) {
        const struct record *record = &cluster->records[(i - 1) % RECORDS_MAX];
        if (strcmp(record->event, events[task->request.kind]) == 0 && token_is(record->token, task->token) &&
            record->node_id == task->to)
            return true;
    }
    return false;
}

static void consider(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    enum api_kind kind = task->request.kind;
    struct situation situation;

    if (!look(client, now_us, &situation))
        return;
    tell(&situation);
    if (kind == API_FAILOVER_STATUS) {
        api_answer(client, answer_of(&situation, kind));
        return;
    }
    if (kind == API_HOST_OFF ? !may_be_off(&situation) : !may_give_up(&situation, kind))
        return;
    fill_command(&situation, kind, &task->command);
    if (!api_try(client, &task->command))
        return;
    if (!task->request.word[0] || task->request.dry_run) {
        api_answer(client, answer_of(&situation, kind));
        return;
    }
    if (strcmp(task->request.word, situation.word) != 0) {
        api_refuse(client, ERR_STALE, "run it without the word, and read what it says now",
                   "\"%s\" was said of another situation", task->request.word);
        return;
    }
    task->to = task->command.node_id;
    task->token = situation.cluster->token;
    task->expect = situation.cluster->record_count;
    task->step = STEP_PROPOSE;
}

void api_turn_failover(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    const struct cluster *cluster = &client->daemon->manager.cluster;

    if (!api_ready(client))
        return;
    if (task->step == STEP_LOOK)
        consider(client, now_us);
    if (!task->open || task->step == STEP_LOOK)
        return;
    if (applied(task, cluster)) {
        api_answer(client, json_pack("{s:b, s:I, s:o}", "committed", 1, "token", (json_int_t)task->token.no, "node",
                                     api_node(cluster, task->to)));
        return;
    }
    api_waits(client, "the word to be committed");
    (void)api_propose(client, &task->command, now_us);
}
