/*
 * publish.c - keeps the repmgr schema equal to the agreed state while this node is the primary. See publish.h.
 *
 * Whether there is something to write is asked a few times a second, not on every turn of the crank. A failure is told
 * once as an event, as long as its reason stays the same, and tried again later; the cluster does not depend on it.
 */
#include "daemon/publish.h"

#include "base/clock.h"
#include "daemon/api.h"

#define CHECK_EVERY_US 200000
#define RETRY_US 5000000

/* Only a primary that may write writes: by the state, by its server, and by its lease. */
static bool may_publish(const struct daemon *daemon, int64_t now_us)
{
    const struct manager *manager = &daemon->manager;
    const struct cluster *cluster = &manager->cluster;

    return daemon->pg && cluster->cluster_id != 0 && manager->node.hello &&
           cluster_is_primary(cluster, manager->node.node_id) && cluster->primary.phase == PRIMARY_ACTIVE &&
           manager->node.pg.state == PG_PRIMARY && manager->node.pg.conf_present &&
           (cluster->pause != PAUSE_OFF || lease_valid(&manager->node.lease, cluster, now_us));
}

void publish_turn(struct daemon *daemon, int64_t now_us)
{
    struct pg_schema wanted;

    if (daemon->publishing)
        return;
    if (!may_publish(daemon, now_us)) {
        publish_again(daemon);
        return;
    }
    if (now_us < daemon->published_at_us)
        return;
    daemon->published_at_us = now_us + CHECK_EVERY_US;
    publish_rows(&daemon->manager, &daemon->published, now_us, &wanted);
    if (publish_same(&wanted, &daemon->published))
        return;
    daemon->published = wanted;
    daemon->publishing = true;
    pg_schema(daemon->pg, &daemon->published);
}

void publish_done(struct daemon *daemon, int code, const char *text)
{
    char quoted[TEXT_SIZE * 2];

    daemon->publishing = false;
    if (api_published(daemon, code, text))
        daemon_event(daemon, EVENT_SCHEMA_FAILED, "node=%d error=%s", daemon->manager.node.node_id,
                     log_quoted(quoted, sizeof quoted, text));
    if (code != 0) {
        publish_again(daemon);
        daemon->published_at_us = clock_boot_us() + RETRY_US;
    }
    daemon_wake(daemon);
}

bool publish_is_current(const struct daemon *daemon)
{
    return daemon->published.node_count > 0 && !daemon->publishing;
}

void publish_again(struct daemon *daemon)
{
    if (daemon->published.node_count > 0 || daemon->published.event_count > 0)
        memset(&daemon->published, 0, sizeof daemon->published);
    daemon->published_at_us = 0;
}
