/*
 * test_cluster_timelines.c - a promotion by hand never passes for one that the log decided (R9, R36; decision 0013).
 *
 * A small world of three servers with PostgreSQL's rule for the next number is walked through every sequence of
 * elections (also such as die half-way), promotions by hand, copies and reservations. Positions are as alike as can be:
 * all forks are identical but for their numbers.
 */
#include "agreed_steps.h"
#include "core/cluster_rules.h"
#include "core/history.h"

#include <stdarg.h>

#define NODES 3
#define DEPTH 5
#define FIRST 1
#define FILES_MAX 64

/* WAL that this test can tell apart: each promotion has a number of its own. */
struct server {
    uint64_t files; /* history files, by number */
    struct history history;
    struct timeline timeline;
    struct lsn end;
    uint32_t origin[FILES_MAX]; /* by timeline: the promotion it came from; 0: not in its line */
};

struct scene {
    struct server servers[NODES];
    uint32_t promotions;
    int primary;
    bool active; /* the primary has reported its promotion */
};

static struct cluster agreed; /* of it only the timelines are used */
static uint64_t walked;
static bool partly;

static bool owned(const struct server *server)
{
    return server->timeline.no <= agreed.timeline_max.no &&
           cluster_owns_wal(&agreed, &server->history, server->timeline);
}

static struct timeline next_number(const struct server *server)
{
    struct timeline next = { server->timeline.no + 1 };

    while (server->files >> next.no & 1)
        next.no++;
    return next;
}

static void promote(struct scene *scene, int node)
{
    struct server *server = &scene->servers[node];
    struct timeline next = next_number(server);

    server->history.rows[server->history.count++] = (struct history_row){ server->timeline, server->end };
    server->timeline = next;
    server->files |= UINT64_C(1) << next.no;
    server->origin[next.no] = ++scene->promotions;
    server->end.at++;
}

enum fate { DIES_BEFORE, DIES_AFTER, REPORTS, FATES };

static bool elect(struct scene *scene, int node, enum fate fate)
{
    struct server *server = &scene->servers[node];

    if (!owned(server))
        return false;
    struct timeline number = rules_give_timeline(&agreed, node + 1, server->timeline);
    for (uint32_t no = server->timeline.no + 1; no < number.no; no++)
        server->files |= UINT64_C(1) << no;
    scene->primary = node;
    scene->active = fate == REPORTS;
    if (fate == DIES_BEFORE)
        return true;
    struct lsn begin = server->end;
    promote(scene, node);
    CU_ASSERT_FATAL(server->timeline.no == number.no && owned(server));
    if (fate == REPORTS)
        rules_timeline_begins(&agreed, number, begin);
    return true;
}

/* The history files that a standby fetches before it streams: those above its own timeline. */
static uint64_t fetched(const struct server *server, uint32_t below)
{
    uint64_t files = server->files;

    for (uint32_t no = server->timeline.no + 1; no < below; no++)
        files |= UINT64_C(1) << no;
    return files;
}

/* By streaming, where it may; or by rewind or clone, which wait for an active primary. */
static bool copy(struct scene *scene, int node, bool rework)
{
    struct server *server = &scene->servers[node];
    const struct server *primary = &scene->servers[scene->primary];
    struct fork fork = history_fork((struct lineage){ &server->history, server->timeline, server->end },
                                    (struct lineage){ &primary->history, primary->timeline, primary->end });

    if (node == scene->primary || !owned(primary) || (rework ? !scene->active : !owned(server) || fork.diverged))
        return false;
    uint64_t files = fetched(server, primary->timeline.no + 1);
    *server = *primary;
    if (!rework)
        server->files = files;
    return true;
}

/* Only the history files below the primary's came through before the connection was lost. */
static bool fetch_partly(struct scene *scene, int node)
{
    struct server *server = &scene->servers[node];
    const struct server *primary = &scene->servers[scene->primary];

    if (!partly || node == scene->primary || !owned(primary) || !owned(server))
        return false;
    server->files = fetched(server, primary->timeline.no);
    return true;
}

static bool reserve(const struct scene *scene, int node)
{
    if (scene->servers[node].timeline.no <= agreed.timeline_max.no)
        return false;
    agreed.timeline_max = scene->servers[node].timeline;
    return true;
}

static bool step(struct scene *scene, uint32_t choice)
{
    int node = (int)(choice % NODES);

    switch (choice / NODES) {
    case 0:
        promote(scene, node);
        return true;
    case 1:
    case 2:
    case 3:
        return elect(scene, node, (enum fate)(choice / NODES - 1));
    case 4:
    case 5:
        return copy(scene, node, choice / NODES == 5);
    case 6:
        return reserve(scene, node);
    default:
        return fetch_partly(scene, node);
    }
}

#define CHOICES (8 * NODES)

/* Whose WAL counts, and goes by the same number, is the same WAL. */
static bool told_apart(const struct scene *scene)
{
    for (int i = 0; i < NODES; i++)
        for (int j = 0; j < i; j++) {
            const struct server *one = &scene->servers[i], *other = &scene->servers[j];
            if (!owned(one) || !owned(other))
                continue;
            for (uint32_t no = FIRST; no < FILES_MAX; no++)
                if (one->origin[no] != 0 && other->origin[no] != 0 && one->origin[no] != other->origin[no])
                    return false;
        }
    return true;
}

/* How many sequences end with two that cannot be told apart. */
static uint64_t walk(const struct scene *scene, int depth)
{
    uint64_t wrong = 0;

    for (uint32_t choice = 0; choice < CHOICES; choice++) {
        struct scene next = *scene;
        struct timeline max = agreed.timeline_max;
        struct given last = agreed.given[agreed.given_count - 1];
        uint32_t count = agreed.given_count;
        if (step(&next, choice)) {
            walked++;
            if (!told_apart(&next))
                wrong++;
            else if (depth > 1)
                wrong += walk(&next, depth - 1);
        }
        agreed.timeline_max = max;
        agreed.given_count = count;
        agreed.given[count - 1] = last;
    }
    return wrong;
}

static uint64_t walk_all(void)
{
    struct scene scene = { .active = true };

    agreed =
        (struct cluster){ .timeline_max = { FIRST }, .given_count = 1, .given = { { { FIRST }, 1, { 0 }, { 0 } } } };
    for (int i = 0; i < NODES; i++) {
        scene.servers[i] = (struct server){ .timeline = { FIRST }, .end = { 1000 } };
        scene.servers[i].origin[FIRST] = 1;
    }
    scene.promotions = 1;
    walked = 0;
    return walk(&scene, DEPTH);
}

static void no_promotion_by_hand_passes_for_an_election(void)
{
    partly = false;
    CU_ASSERT_EQUAL(walk_all(), 0);
    CU_ASSERT(walked > 100000);
}

/* What is left for the data directory's identity to tell: design 5.1, decision 0013. */
static void only_a_broken_fetch_leaves_that_number_free(void)
{
    partly = true;
    CU_ASSERT(walk_all() > 0);
}

static bool owns(const struct cluster *cluster, uint32_t timeline, uint32_t rows, ...)
{
    struct history history = { .count = rows };
    va_list args;

    va_start(args, rows);
    for (uint32_t i = 0; i < rows; i++) {
        history.rows[i].timeline.no = va_arg(args, uint32_t);
        history.rows[i].end.at = va_arg(args, uint64_t);
    }
    va_end(args);
    return cluster_owns_wal(cluster, &history, (struct timeline){ timeline });
}

#define AT(number) UINT64_C(number)
#define T0 ((uint32_t)AGREED_TIMELINE)

static void wal_is_held_against_what_was_given_out(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    uint32_t first = cluster.primary.timeline.no;
    CU_ASSERT(cluster_given(&cluster, cluster.primary.timeline)->node_id == B);
    CU_ASSERT(owns(&cluster, first, 1, T0, AT(900)) && owns(&cluster, first, 1, T0, AT(1000)));
    ACCEPTED(&cluster, agreed_promoted(&cluster)); /* begins at 1000 */
    CU_ASSERT(owns(&cluster, first, 1, T0, AT(1000)) && owns(&cluster, T0, 0));
    CU_ASSERT(!owns(&cluster, first, 1, T0, AT(999)) && !owns(&cluster, first, 1, T0, AT(1001)));
    CU_ASSERT(!owns(&cluster, first - 1, 1, T0, AT(1000)));                  /* the number between */
    CU_ASSERT(!owns(&cluster, first, 2, T0, AT(990), first - 1, AT(1000)));  /* by way of it */
    CU_ASSERT(!owns(&cluster, first, 1, T0 - 1, AT(1000)));                  /* of another parent */
    CU_ASSERT(owns(&cluster, first, 2, T0, AT(1000), first - 1, AT(1000)));  /* a name without WAL */
    CU_ASSERT(owns(&cluster, first, 2, T0 - 1, AT(500), T0, AT(1000)));      /* the founder's older ones */
    CU_ASSERT(owns(&cluster, first, 0));                                     /* its history cannot be read */
    CU_ASSERT(!owns(&cluster, first + 1, 2, T0, AT(1000), first, AT(2000))); /* by hand on the winner's */
    CU_ASSERT(owns(&cluster, 0, 0));
    struct command reserve = agreed_by(&cluster, C, COMMAND_RESERVE);
    reserve.timeline.no = first + 1;
    ACCEPTED(&cluster, reserve);
    CU_ASSERT(!owns(&cluster, first + 1, 2, T0, AT(1000), first, AT(2000)));
    CU_ASSERT(!cluster_gave_out(&cluster, reserve.timeline));
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, C, DEMAND(1, A, B)));
    uint32_t second = cluster.primary.timeline.no;
    CU_ASSERT(owns(&cluster, second, 2, T0, AT(1000), first, AT(2000)));
    CU_ASSERT(!owns(&cluster, second, 2, T0, AT(999), first, AT(2000))); /* the older one begins elsewhere */
}

static void a_promotion_says_where_it_begins(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    struct command promoted = agreed_promoted(&cluster);
    promoted.lsn.at = 0;
    REFUSED(&cluster, promoted);
}

/* Those that are forgotten count as they did before this was told apart: all numbers up to the newest of them. */
static void old_timelines_are_forgotten_in_order(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    for (int i = 0; i < 2 * GIVEN_MAX; i++) {
        agreed_do_fence(&cluster);
        ACCEPTED(&cluster, agreed_elect(&cluster, i % 2 ? C : B, i % 2 ? DEMAND(1, A, B) : DEMAND(1, A, C)));
        CU_ASSERT(cluster.given[cluster.given_count - 1].timeline.no == cluster.timeline_max.no);
        CU_ASSERT(cluster_gave_out(&cluster, cluster.timeline_max));
        CU_ASSERT(!cluster_gave_out(&cluster, (struct timeline){ cluster.timeline_max.no - 1 }));
    }
    CU_ASSERT(cluster.given_count == GIVEN_MAX && cluster.timeline_old.no + 2 == cluster.given[0].timeline.no);
    CU_ASSERT(cluster_gave_out(&cluster, cluster.timeline_old));
    CU_ASSERT(!cluster_gave_out(&cluster, (struct timeline){ cluster.timeline_old.no + 1 }));
}

static const struct unit_test tests[] = {
    { "no promotion by hand passes for an election", no_promotion_by_hand_passes_for_an_election },
    { "only a broken fetch leaves that number free", only_a_broken_fetch_leaves_that_number_free },
    { "WAL is held against what was given out", wal_is_held_against_what_was_given_out },
    { "a promotion says where it begins", a_promotion_says_where_it_begins },
    { "old timelines are forgotten in order", old_timelines_are_forgotten_in_order },
};

const struct unit_suite suite_cluster_timelines = UNIT_SUITE("cluster_timelines", tests);
