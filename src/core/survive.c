/* survive.c - see survive.h. */
#include "core/survive.h"

#include <stdarg.h>

#define FRESH_US_MIN 1000000

struct view {
    const struct cluster *cluster;
    const struct heard *heard;
    char *why;
};

static void say(struct view *view, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct view *view, const char *format, ...)
{
    size_t used = strlen(view->why);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(view->why + used, SURVIVE_WHY_SIZE - used, format, args);
    va_end(args);
}

/* The report of a member that takes part; NULL otherwise. */
static const struct report *present(const struct view *view, uint32_t i)
{
    const struct member *member = &view->cluster->members[i];
    const struct heard *heard = &view->heard[i];
    int64_t fresh_us = (int64_t)view->cluster->policy.failure_timeout_ms * 1000;

    if (fresh_us < FRESH_US_MIN)
        fresh_us = FRESH_US_MIN;
    if (!heard->report || heard->age_us > fresh_us || heard->report->raft_id != member->raft_id ||
        heard->report->start_no != member->start_no)
        return NULL;
    return heard->report;
}

static bool is_primary(const struct view *view, uint32_t i)
{
    return view->cluster->members[i].node_id == view->cluster->primary.node_id;
}

/* Its data would count after a fence. */
static bool holds(const struct view *view, uint32_t i)
{
    const struct member *member = &view->cluster->members[i];
    const struct report *report = present(view, i);

    if (member->kind != NODE_DATA || member->written_off || !report || report->lagging ||
        !directory_is(report->directory, member->directory))
        return false;
    if (is_primary(view, i))
        return cluster_fenced(view->cluster);
    return report->pg_state == PG_STANDBY && (report->following || view->cluster->operation.kind != OPERATION_NONE);
}

static bool async(const struct cluster *cluster)
{
    return cluster->policy.durability == DURABILITY_ASYNC && cluster->demand_count == 1 && cluster->demands[0].k == 0;
}

static bool majority_without(const struct view *view, uint32_t lost)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < view->cluster->member_count; i++)
        left += i != lost && view->cluster->members[i].voter && present(view, i);
    return left >= cluster_majority(view->cluster);
}

/* A new primary could be elected from who is left; otherwise the reason. */
static const char *no_successor(const struct view *view, uint32_t lost)
{
    const struct cluster *cluster = view->cluster;
    struct directory_id holders[MEMBERS_MAX];
    uint32_t count = 0;
    bool electable = false;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (i == lost || !holds(view, i))
            continue;
        holders[count++] = cluster->members[i].directory;
        electable = electable || is_primary(view, i) ||
                    (cluster->members[i].registered && cluster->members[i].priority > 0 && !cluster->members[i].manual);
    }
    if (!electable)
        return "nobody could become primary";
    return async(cluster) || demands_met(cluster, holders, count) ? NULL : "nobody has all that was acknowledged";
}

/* Strict: commits wait when too few of S are left. */
static bool commits_without(const struct view *view, uint32_t lost)
{
    const struct demand *demand = cluster_demand(view->cluster);
    uint32_t left = 0;

    if (!demand || view->cluster->policy.durability != DURABILITY_STRICT)
        return true;
    for (uint32_t i = 0; i < view->cluster->member_count; i++)
        left += i != lost && holds(view, i) && demand_names(demand, view->cluster->members[i].directory);
    return left >= demand->k;
}

/* Whether the primary goes on when this member is lost. */
static bool primary_stays(const struct view *view, uint32_t lost)
{
    const struct cluster *cluster = view->cluster;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = is_primary(view, i) && i != lost ? present(view, i) : NULL;
        if (report && !cluster_fenced(cluster) && cluster->primary.phase == PRIMARY_ACTIVE)
            return report->pg_state == PG_PRIMARY;
    }
    return false;
}

static const char *fatal(const struct view *view, uint32_t lost)
{
    if (!majority_without(view, lost))
        return "there is no majority";
    if (!primary_stays(view, lost))
        return no_successor(view, lost);
    return commits_without(view, lost) ? NULL : "commits wait, because durability is strict";
}

bool survive_one_more(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], char *ret_why)
{
    struct view view = { .cluster = cluster, .heard = heard, .why = ret_why };
    uint32_t away = 0;
    uint32_t bad = 0;

    ret_why[0] = '\0';
    if (cluster->pause != PAUSE_OFF) {
        say(&view, "%s", cluster->pause == PAUSE_ON ? "failover is paused" : "the pause has not ended yet");
        return false;
    }
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (!present(&view, i))
            say(&view, "%s%s", away++ ? ", " : "", cluster->members[i].name);
    if (away)
        say(&view, " %s away: ", away > 1 ? "are" : "is");
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const char *reason = present(&view, i) ? fatal(&view, i) : NULL;
        if (reason)
            say(&view, "%swithout %s %s", bad++ ? ", " : "", cluster->members[i].name, reason);
    }
    if (bad == 0)
        ret_why[0] = '\0';
    return bad == 0;
}
