/*
 * guardian.c - the daemon's care for the guard: start it or take it over, give it its orders, see that it lives.
 *
 * A guard that is dead, or does not take an order in time, is no guard: the manager is told so at once, holds no lease
 * by it, and a new one is started with the order that was in force.
 */
#include "daemon/daemon.h"

#include "base/clock.h"
#include "guard/instance.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define ARM_TRIES 100
#define ARM_PAUSE_NS 200000
#define RETRY_US 2000000 /* a guard that cannot be started, or dies at once, is tried again this much later */
#define STUCK_US 250000  /* a guard that has not taken an order, or not woken, for so long is none */
#define STUCK_LOOK_US 50000

static enum guard_wish wish_of(enum guard_mode mode)
{
    switch (mode) {
    case GUARD_PRIMARY:
        return WISH_PRIMARY;
    case GUARD_PAUSED:
        return WISH_PAUSED;
    case GUARD_STANDBY:
    case GUARD_QUIT:
        break;
    }
    return WISH_STANDBY;
}

static enum guard_mode mode_of(enum guard_wish wish)
{
    switch (wish) {
    case WISH_PRIMARY:
        return GUARD_PRIMARY;
    case WISH_PAUSED:
        return GUARD_PAUSED;
    case WISH_STANDBY:
    case WISH_LEAVE:
        break;
    }
    return GUARD_STANDBY;
}

static void tell_manager(struct daemon *daemon)
{
    struct guard_order order = { .mode = GUARD_STANDBY };
    bool alive = guard_alive(&daemon->guard);

    (void)guard_read(&daemon->guard, &order);
    manager_guard(&daemon->manager, alive, wish_of(order.mode), order.kill_at_us, clock_boot_us());
    daemon_wake(daemon);
}

static int attach(struct daemon *daemon, struct err *err);

/*
 * Starts another guard. The daemon goes on where that fails, without a lease: it is then the only one left who can stop
 * PostgreSQL.
 */
static void replace(struct daemon *daemon)
{
    struct err err = { 0 };
    char text[ERR_TEXT_MAX * 2];

    if (attach(daemon, &err) < 0)
        daemon_event(daemon, EVENT_GUARD_DOWN, "node=%d error=%s", daemon->settings.node_id,
                     log_quoted(text, sizeof text, err.text));
    /* From the end of this try, which may have held the loop up as long. */
    daemon->guard_retry_at_us = clock_boot_us() + RETRY_US;
    daemon_wake(daemon);
}

static void poll_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Before the descriptor is closed: libuv would take another of the same number for it. */
static void unwatch(struct daemon *daemon)
{
    if (daemon->guard_poll)
        uv_close((uv_handle_t *)daemon->guard_poll, poll_closed);
    daemon->guard_poll = NULL;
}

/* The guard is dead, and the manager is told before anything is tried. */
static void mourn(struct daemon *daemon)
{
    const struct node_view *node = &daemon->manager.node;
    struct err err = { 0 };
    AUTO(instance) instance = { 0 };

    unwatch(daemon);
    /* It died while it was stopping PostgreSQL: that does not wait until another has started. */
    if (node->guard_mode == WISH_PRIMARY && node->guard_kill_at_us <= clock_boot_us() &&
        instance_open(&instance, daemon->settings.data_directory, &err) == 0)
        (void)instance_signal(&instance, INSTANCE_ALL, SIGKILL, NULL, &err);
    manager_guard(&daemon->manager, false, node->guard_mode, node->guard_kill_at_us, clock_boot_us());
}

static void guard_gone(uv_poll_t *poll, int status, int events)
{
    struct daemon *daemon = poll->data;

    (void)status;
    (void)events;
    mourn(daemon);
    if (clock_boot_us() >= daemon->guard_retry_at_us)
        replace(daemon);
    daemon_wake(daemon);
}

static int watch(struct daemon *daemon, struct err *err)
{
    unwatch(daemon);
    daemon->guard_poll = calloc(1, sizeof *daemon->guard_poll);
    if (!daemon->guard_poll)
        return err_set(err, ERR_MEMORY, "out of memory");
    int failed = uv_poll_init(&daemon->loop, daemon->guard_poll, guard_pidfd(&daemon->guard));
    if (failed) {
        free(daemon->guard_poll);
        daemon->guard_poll = NULL;
        return err_set(err, ERR_SYSTEM, "could not watch the guard: %s", uv_strerror(failed));
    }
    daemon->guard_poll->data = daemon;
    uv_poll_start(daemon->guard_poll, UV_READABLE, guard_gone);
    return 0;
}

static int attach(struct daemon *daemon, struct err *err)
{
    char binary[PATH_SIZE];
    size_t size = sizeof binary;
    bool taken_over = false;

    /* The guard is installed beside the daemon. */
    if (uv_exepath(binary, &size) != 0)
        return err_set(err, ERR_SYSTEM, "could not find the path of this program");
    char *slash = strrchr(binary, '/');
    if (!slash || (size_t)(slash - binary) + sizeof "/raftmgr-guard" > sizeof binary)
        return err_set(err, ERR_CONFIG, "path '%s' is too long", binary);
    memcpy(slash, "/raftmgr-guard", sizeof "/raftmgr-guard");
    /* A guard that is replaced later on goes by the cluster's settings, as each order does. */
    const struct cluster *cluster = &daemon->manager.cluster;
    const struct policy *policy = cluster->cluster_id != 0 ? &cluster->policy : &daemon->settings.policy;
    int failed =
        guard_attach(&daemon->guard, binary, daemon->settings.runtime_directory, daemon->settings.data_directory,
                     (int64_t)policy->guard_kill_time_ms * 1000, &taken_over, err);
    if (failed)
        return err_wrap(err, "could not start the guard");
    /* A new guard takes over what the dead one had been told; until it is in force nothing else holds the server. */
    const struct node_view *node = &daemon->manager.node;
    if (!taken_over && node->guard_mode == WISH_PRIMARY)
        failed =
            guard_set(&daemon->guard, GUARD_PRIMARY, node->guard_kill_at_us, daemon->manager.cluster.token.no, err);
    if (!failed)
        failed = watch(daemon, err);
    if (!failed)
        tell_manager(daemon);
    return failed;
}

int guardian_start(struct daemon *daemon, struct err *err)
{
    return attach(daemon, err);
}

/* After a change of mode the guard needs a moment; an order counts only once it is seen to be in force. */
static bool wait_armed(const struct daemon *daemon)
{
    struct timespec pause = { .tv_nsec = ARM_PAUSE_NS };

    for (int i = 0; i < ARM_TRIES; i++) {
        if (guard_armed(&daemon->guard))
            return true;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

void guardian_order(struct daemon *daemon, enum guard_wish wish, int64_t kill_at_us, struct token token)
{
    struct err err = { 0 };
    struct guard_order before = { .mode = GUARD_STANDBY };

    if (wish == WISH_LEAVE)
        return;
    (void)guard_read(&daemon->guard, &before);
    guard_set_kill_time(&daemon->guard, (int64_t)daemon->manager.cluster.policy.guard_kill_time_ms * 1000);
    int failed = guard_set(&daemon->guard, mode_of(wish), kill_at_us, token.no, &err);
    bool passed = wish == WISH_PRIMARY && kill_at_us <= clock_boot_us();
    if (failed || (before.mode != mode_of(wish) && wish == WISH_PRIMARY && !passed && !wait_armed(daemon))) {
        char text[ERR_TEXT_MAX * 2];
        daemon_event(daemon, EVENT_GUARD_DOWN, "node=%d error=%s", daemon->settings.node_id,
                     log_quoted(text, sizeof text, failed ? err.text : "it does not take orders"));
        daemon->guard_taken = failed == -ERR_STALE;
        manager_guard(&daemon->manager, false, wish, kill_at_us, clock_boot_us());
        daemon_wake(daemon);
    }
}

/* While it is stopping PostgreSQL it takes orders too, and says that it is not armed. */
static bool takes_orders(const struct guard *guard)
{
    struct guard_state state = { 0 };

    return guard_armed(guard) || (guard_state(guard, &state) && state.stopping);
}

int64_t guardian_turn(struct daemon *daemon, int64_t now_us)
{
    const struct node_view *node = &daemon->manager.node;
    struct err err;

    if (!daemon->pg)
        return INT64_MAX;
    if (daemon->guard_taken) {
        (void)err_set(&err, ERR_STALE, "another raftmgrd has taken over the guard of '%s'",
                      daemon->settings.data_directory);
        daemon_fail(daemon, &err);
        return INT64_MAX;
    }
    if (!guard_alive(&daemon->guard)) {
        /* The loop has not seen it yet. */
        if (node->guard_alive || daemon->guard_poll)
            mourn(daemon);
        if (now_us >= daemon->guard_retry_at_us)
            replace(daemon);
        return daemon->guard_retry_at_us;
    }
    if (takes_orders(&daemon->guard)) {
        daemon->guard_stuck_at_us = 0;
        if (!node->guard_alive)
            tell_manager(daemon);
        return INT64_MAX;
    }
    if (daemon->guard_stuck_at_us == 0)
        daemon->guard_stuck_at_us = now_us;
    if (node->guard_alive && now_us - daemon->guard_stuck_at_us >= STUCK_US)
        manager_guard(&daemon->manager, false, node->guard_mode, node->guard_kill_at_us, now_us);
    return now_us + STUCK_LOOK_US;
}

void guardian_stop(struct daemon *daemon)
{
    unwatch(daemon);
    guard_forget(&daemon->guard);
}
