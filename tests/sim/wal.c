/* wal.c - WAL as a tree of branches: what a data directory holds, and what PostgreSQL can tell of it. See server.h. */
#include "world.h"

int32_t wal_branch(struct world *world, uint32_t timeline, int32_t parent, uint64_t fork)
{
    assert(world->branch_count < BRANCHES_MAX);
    world->branches[world->branch_count] = (struct branch){ .timeline = timeline, .parent = parent, .fork = fork };
    return (int32_t)world->branch_count++;
}

bool wal_holds(const struct world *world, struct wal holder, struct wal what)
{
    uint64_t limit = holder.end;

    for (int32_t at = holder.branch; at >= 0; at = world->branches[at].parent) {
        if (at == what.branch)
            return what.end <= limit;
        if (world->branches[at].fork < limit)
            limit = world->branches[at].fork;
    }
    return false;
}

uint64_t wal_common(const struct world *world, struct wal holder, struct wal what)
{
    uint64_t limit = what.end;

    for (int32_t at = what.branch; at >= 0; at = world->branches[at].parent) {
        uint64_t held = holder.end;
        for (int32_t own = holder.branch; own >= 0; own = world->branches[own].parent) {
            if (own == at)
                return held < limit ? held : limit;
            if (world->branches[own].fork < held)
                held = world->branches[own].fork;
        }
        if (world->branches[at].fork < limit)
            limit = world->branches[at].fork;
    }
    return 0;
}

/* The branch of the last record. */
static int32_t last_branch(const struct world *world, struct wal wal)
{
    int32_t at = wal.branch;

    while (at >= 0 && world->branches[at].parent >= 0 && world->branches[at].fork >= wal.end)
        at = world->branches[at].parent;
    return at;
}

uint32_t wal_timeline(const struct world *world, struct wal wal)
{
    int32_t at = last_branch(world, wal);

    return at < 0 ? 0 : world->branches[at].timeline;
}

void wal_history(const struct world *world, struct wal wal, struct history *ret_history)
{
    struct history_row rows[HISTORY_MAX];
    uint32_t count = 0;
    uint64_t limit = wal.end;

    for (int32_t at = last_branch(world, wal); at >= 0 && count < HISTORY_MAX; at = world->branches[at].parent) {
        const struct branch *branch = &world->branches[at];
        if (branch->fork < limit)
            limit = branch->fork;
        if (branch->parent < 0 || world->branches[branch->parent].timeline == branch->timeline)
            continue;
        /* A timeline that ends where it began left no row of its own. */
        rows[count].timeline.no = world->branches[branch->parent].timeline;
        rows[count++].end.at = limit;
    }
    memset(ret_history, 0, sizeof *ret_history); /* padding too: reports are compared as bytes */
    ret_history->count = count;
    for (uint32_t i = 0; i < count; i++) {
        ret_history->rows[i].timeline = rows[count - 1 - i].timeline;
        ret_history->rows[i].end = rows[count - 1 - i].end;
    }
}

uint64_t wal_visible_fork(const struct world *world, struct wal wal, struct wal other)
{
    struct history history;
    uint32_t timeline = wal_timeline(world, wal);

    if (wal_timeline(world, other) == timeline)
        return UINT64_MAX;
    wal_history(world, other, &history);
    for (uint32_t i = 0; i < history.count; i++)
        if (history.rows[i].timeline.no == timeline)
            return wal.end <= history.rows[i].end.at ? UINT64_MAX : history.rows[i].end.at;
    return 0;
}

bool wal_holds_all_acked(const struct world *world, struct wal holder, struct wal *ret_lost)
{
    for (uint32_t i = 0; i < world->branch_count; i++) {
        struct wal acked = { (int32_t)i, world->branches[i].acked };
        if (acked.end != 0 && !wal_holds(world, holder, acked)) {
            *ret_lost = acked;
            return false;
        }
    }
    return true;
}

void histories_add(struct server *server, uint32_t timeline)
{
    assert(timeline < TIMELINES_MAX);
    server->histories[timeline / 64] |= UINT64_C(1) << (timeline % 64);
}

bool histories_has(const struct server *server, uint32_t timeline)
{
    return timeline < TIMELINES_MAX && (server->histories[timeline / 64] >> (timeline % 64) & 1) != 0;
}
