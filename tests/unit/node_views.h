/*
 * node_views.h - what one member may see of its PostgreSQL, lease and guard, for the tests of
 * node_decide().
 */
#ifndef RAFTMGR_NODE_VIEWS_H
#define RAFTMGR_NODE_VIEWS_H

#include "core/node.h"
#include "node_states.h"
#define SECOND 1000000LL
#define NOW (1000 * SECOND)

/* --- what a member may see ---------------------------------------------------------------------------------------- */

/* Takes the next choice out of a number that counts through all of them. */
static inline uint32_t choose(uint64_t *choices, uint32_t count)
{
    uint32_t choice = (uint32_t)(*choices % count);

    *choices /= count;
    return choice;
}

static inline void choose_lease(uint64_t *choices, const struct cluster *cluster, struct node_view *view)
{
    struct lease_holder *lease = &view->lease;
    uint32_t choice = choose(choices, 5);

    if (choice == 0)
        return;
    lease->token = cluster->token;
    lease->end_us = choice == 2 ? NOW : NOW + 4 * SECOND;
    lease->held_kill_time_us = cluster->policy.guard_kill_time_ms * 1000LL;
    lease->refused = choice == 3;
    lease->token.no -= choice == 4; /* of the former token */
}

static inline void choose_guard(uint64_t *choices, struct node_view *view)
{
    static const enum guard_wish modes[] = { WISH_PRIMARY, WISH_STANDBY, WISH_PRIMARY, WISH_PRIMARY, WISH_PAUSED };
    uint32_t choice = choose(choices, 5);

    view->guard_alive = choice != 0;
    view->guard_mode = modes[choice];
    view->guard_kill_at_us = choice == 2 ? NOW : NOW + 3 * SECOND;
}

/* As the log describes both ends. */
static inline void point_at(const struct cluster *cluster, int32_t node_id, int32_t upstream, struct pg_conf *conf)
{
    struct node_turn turn = { .cluster = cluster, .self = cluster_member(cluster, node_id) };

    node_conf_from(&turn, cluster_member(cluster, upstream), conf);
}

static inline void choose_conf(uint64_t *choices, const struct cluster *cluster, struct node_view *view)
{
    struct pg_conf *conf = &view->pg.conf;
    uint32_t choice = choose(choices, 6);

    view->pg.conf_present = choice != 0;
    view->pg.conf_loaded = choice != 1;
    conf->token = cluster->token;
    sync_conf(cluster, view->node_id, conf);
    view->pg.receiver = choice == 2;
    if (choice == 2 || choice == 3)
        point_at(cluster, view->node_id, cluster->primary.node_id == view->node_id ? C : cluster->primary.node_id,
                 conf);
    if (choice == 3)
        conf->token.no--;
    if (choice == 4)
        conf->demand_version--;
}

static inline void choose_wal(uint64_t *choices, const struct cluster *cluster, struct node_view *view)
{
    const uint32_t timelines[] = { cluster->primary.from_timeline.no, cluster->primary.timeline.no,
                                   cluster->timeline_max.no + 1 };
    uint32_t choice = choose(choices, 3);

    view->pg.timeline.no = timelines[choose(choices, 3)];
    view->pg.end_final = choice != 0;
    view->pg.end.at = choice == 1 ? 999 : 1000;
    view->directory = choose(choices, 2) ? agreed_directory(E) : agreed_directory(view->node_id);
}

#define VIEWS (7ull * 5 * 5 * 6 * 3 * 3 * 2 * 3 * 4 * 2)

static inline void choose_view(uint64_t choices, const struct cluster *cluster, int32_t node_id, struct node_view *view)
{
    static const enum act_kind acts[] = { ACT_NONE, ACT_START_PRIMARY, ACT_PROMOTE };
    const struct member *self = cluster_member(cluster, node_id);

    *view = (struct node_view){
        .node_id = node_id,
        .raft_id = self->raft_id,
        .start_no = self->start_no,
        .hello = true,
        .rejoin = REJOIN_CLONE,
        .pg = { .state = (enum pg_state)choose(&choices, 7),
                .at_us = NOW,
                .answering = true,
                .answered_at_us = NOW,
                .system_identifier = AGREED_SYSTEM },
        .primary_since_us = NOW - 100 * SECOND,
        .checkpointed_under = cluster->token,
        .slots_at_us = NOW,
        .slots_for = node_slots(cluster, node_id),
    };
    choose_lease(&choices, cluster, view);
    choose_guard(&choices, view);
    choose_conf(&choices, cluster, view);
    choose_wal(&choices, cluster, view);
    view->acting = acts[choose(&choices, 3)];
    uint32_t choice = choose(&choices, 4);
    view->stopped_at = choice & 1 ? cluster->version : 0;
    view->promote_failed.no = choice == 3 ? cluster->token.no : 0;
    view->want_primary_data = choice == 2;
    view->mend.ended = choice & 1 ? MEND_TRIES : 0;
    view->fetch_from = choose(&choices, 2) ? 0 : C;
    assert(choices == 0);
}

static inline void look_at(const struct cluster *cluster, struct node_view *view, struct node_plan *plan)
{
    choose_view(0, cluster, view->node_id, view);
    view->pg.state = PG_PRIMARY;
    node_decide(cluster, view, NOW, plan);
}

#endif
