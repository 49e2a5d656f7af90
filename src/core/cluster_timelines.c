/*
 * cluster_timelines.c - which timelines are the cluster's own: given out by FOUND or ELECT, each once (R9, R36;
 * decision 0013).
 *
 * PostgreSQL takes the next number of which it finds no history file. An election's number is TIMELINE_STEP above all
 * that were given out or seen; its winner alone fills the row up to it with placeholders. Whoever is promoted by hand
 * gets a number that is skipped, or one that nobody has given out yet and that RESERVE then takes out of use.
 */
#include "core/cluster_rules.h"

#define TIMELINE_STEP 2
#define RESERVE_SPAN_MAX 1000
#define TIMELINE_LIMIT (UINT32_MAX - 100000) /* numbers must be left for those that the cluster gives out */

const struct given *cluster_given(const struct cluster *cluster, struct timeline timeline)
{
    for (uint32_t i = 0; i < cluster->given_count; i++)
        if (cluster->given[i].timeline.no == timeline.no)
            return &cluster->given[i];
    return NULL;
}

bool cluster_gave_out(const struct cluster *cluster, struct timeline timeline)
{
    return timeline.no != 0 && (timeline.no <= cluster->timeline_old.no || cluster_given(cluster, timeline));
}

/* The row at index, or the present timeline behind the last one, is what the log gave out under that number. */
static bool row_fits(const struct cluster *cluster, const struct history *history, uint32_t index,
                     struct timeline timeline)
{
    const struct given *given = cluster_given(cluster, timeline);

    if (!given)
        return cluster_gave_out(cluster, timeline);
    if (index == 0 || given->parent.no == 0)
        return true; /* its beginning is not known here, or not to the log */
    struct lsn begin = history->rows[index - 1].end;
    bool of_parent = false;
    for (uint32_t i = 0; i < index; i++)
        of_parent = of_parent ||
                    (history->rows[i].timeline.no == given->parent.no && lsn_cmp(history->rows[i].end, begin) == 0);
    return of_parent && (given->begin.at == 0 || lsn_cmp(given->begin, begin) == 0);
}

bool cluster_owns_wal(const struct cluster *cluster, const struct history *history, struct timeline timeline)
{
    if (timeline.no == 0)
        return true;
    for (uint32_t i = 0; i < history->count; i++) {
        /* A timeline that ends where it begins is a name without WAL. */
        if (i > 0 && lsn_cmp(history->rows[i].end, history->rows[i - 1].end) == 0)
            continue;
        if (!row_fits(cluster, history, i, history->rows[i].timeline))
            return false;
    }
    return row_fits(cluster, history, history->count, timeline);
}

struct timeline rules_give_timeline(struct cluster *cluster, int32_t node_id, struct timeline parent)
{
    if (cluster->given_count == GIVEN_MAX) {
        cluster->timeline_old = cluster->given[0].timeline;
        memmove(&cluster->given[0], &cluster->given[1], (GIVEN_MAX - 1) * sizeof cluster->given[0]);
        cluster->given_count--;
    }
    cluster->timeline_max.no += TIMELINE_STEP;
    cluster->given[cluster->given_count++] =
        (struct given){ .timeline = cluster->timeline_max, .node_id = node_id, .parent = parent };
    return cluster->timeline_max;
}

void rules_timeline_begins(struct cluster *cluster, struct timeline timeline, struct lsn begin)
{
    for (uint32_t i = 0; i < cluster->given_count; i++)
        if (cluster->given[i].timeline.no == timeline.no)
            cluster->given[i].begin = begin;
}

bool cluster_may_reserve(const struct cluster *cluster, struct timeline timeline)
{
    return timeline.no <= TIMELINE_LIMIT && timeline.no <= cluster->timeline_max.no + RESERVE_SPAN_MAX;
}

enum apply_result rules_reserve(struct cluster *cluster, const struct command *command, char *reason)
{
    if (command->timeline.no <= cluster->timeline_max.no)
        return APPLY_NOTHING;
    if (!cluster_may_reserve(cluster, command->timeline))
        return rules_refuse(reason, "timeline %" PRIu32 " is too far beyond timeline %" PRIu32, command->timeline.no,
                            cluster->timeline_max.no);
    cluster->timeline_max = command->timeline;
    rules_record(cluster, command, 0, "raftmgr_foreign_timeline",
                 "timeline %" PRIu32 " was made by hand: it counts nowhere", command->timeline.no);
    return APPLY_OK;
}
