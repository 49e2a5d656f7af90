/*
 * guard.c - the fake guard: from its deadline on, on its host's clock, it stops PostgreSQL within guard_kill_time, and
 * whatever appears there later, until a deadline that has not passed, a pause, or standby with standby.signal in place.
 */
#include "world.h"

#define WATCH_US (25 * MS)

static void alarm_at(struct host *host)
{
    struct guard_fake *guard = &host->guard;

    if (guard->deadline_us != INT64_MAX)
        world_put(host, AT_GUARD, clock_until(host, guard->deadline_us), guard->life, 0);
}

static void release(struct guard_fake *guard)
{
    guard->deadline_us = INT64_MAX;
    guard->stopping = guard->standby_wanted = false;
    guard->life++;
}

void guard_order(struct host *host, enum guard_wish mode, int64_t kill_at_us)
{
    struct guard_fake *guard = &host->guard;

    if (!guard->alive)
        return;
    guard->mode = mode;
    guard->kill_at_us = kill_at_us;
    if (mode == WISH_PAUSED) {
        release(guard);
    } else if (mode == WISH_STANDBY) {
        guard->standby_wanted = guard->deadline_us != INT64_MAX;
        if (guard->standby_wanted)
            world_put(host, AT_GUARD, 0, guard->life, 0);
    } else if (mode == WISH_PRIMARY) {
        guard->standby_wanted = false;
        if (guard->stopping && kill_at_us <= clock_of(host))
            return;
        guard->stopping = false;
        guard->deadline_us = kill_at_us;
        guard->life++;
        alarm_at(host);
    }
    check_guard(host);
}

/* A new guard finds a page that says standby; the old one's deadline is forgotten. */
void guard_die(struct host *host)
{
    struct guard_fake *guard = &host->guard;

    guard->alive = false;
    guard->mode = WISH_STANDBY;
    guard->kill_at_us = 0;
    release(guard);
}

static void stop_now(struct host *host)
{
    struct guard_fake *guard = &host->guard;
    int64_t kill_us = (int64_t)host->world->profile.policy.guard_kill_time_ms * MS;

    if (!server_runs(&host->server) && !host->server.orphans) {
        world_put(host, AT_GUARD, WATCH_US, guard->life, 0);
        return;
    }
    world_trace(host, "guard: stops PostgreSQL");
    int64_t takes_us = guard->deadline_us + kill_us - 5 * MS - clock_of(host);
    world_put(host, AT_GUARD_KILL, world_chance(host->world, MS, takes_us > 5 * MS ? takes_us : 5 * MS), guard->life,
              0);
}

void guard_moment(struct host *host, const struct moment *moment)
{
    struct guard_fake *guard = &host->guard;

    if (!guard->alive || moment->a != guard->life)
        return;
    if (moment->kind == AT_GUARD_KILL) {
        if (host->world->plant != PLANT_NO_GUARD)
            server_kill(host, false);
        world_put(host, AT_GUARD, WATCH_US, guard->life, 0);
        return;
    }
    bool left = server_runs(&host->server) || host->server.orphans;
    bool passed = clock_of(host) >= guard->deadline_us;
    if (guard->standby_wanted && host->server.signal && (!passed || (guard->stopping && !left))) {
        release(guard);
        return;
    }
    if (!passed) {
        alarm_at(host);
        return;
    }
    stop_now(host);
    guard->stopping = true;
}
