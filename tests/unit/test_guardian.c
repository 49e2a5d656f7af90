/*
 * test_guardian.c - the daemon's care for its guard, with real guards: what the manager is told of one that died, and
 * how often another is tried.
 */
#include "daemon/daemon.h"

#include "base/log.h"
#include "daemon/status.h"
#include "fake_postgres.h"

#include <sys/file.h>

static struct daemon host;

static void no_event(void *ctx, enum event event, const char *text)
{
    (void)ctx;
    (void)event;
    (void)text;
}

/* A data node's daemon that has nothing but its loop, its manager and, once started, its guard. */
static void open_host(const struct fake *fake)
{
    memset(&host, 0, sizeof host);
    settings_init(&host.settings);
    (void)text_copy(host.settings.data_directory, sizeof host.settings.data_directory, fake->data);
    (void)text_copy(host.settings.runtime_directory, sizeof host.settings.runtime_directory, fake->runtime);
    host.manager.ports = (struct ports){ .event = no_event };
    host.pg = (struct pg *)&host; /* never looked into */
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&host.loop), 0);
    (void)log_set_file("/dev/null");
}

static void close_host(void)
{
    (void)fake_end_guard(&host.guard);
    guardian_stop(&host);
    (void)uv_run(&host.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&host.loop), 0);
    (void)log_set_file(NULL);
}

static void kill_guard(void)
{
    struct guard_state state = { 0 };

    CU_ASSERT_TRUE_FATAL(guard_state(&host.guard, &state));
    CU_ASSERT_EQUAL(kill(state.pid, SIGKILL), 0);
    CU_ASSERT_TRUE_FATAL(process_wait(guard_pidfd(&host.guard), FAKE_PATIENCE_MS));
}

static void ignored(uv_handle_t *handle)
{
    (void)handle;
}

/* The crank may be turned before the loop looks at the guard's descriptor. */
static void a_dead_guard_is_told_at_once(void)
{
    struct fake fake;
    struct err err = { 0 };
    struct status_facts facts;
    uv_poll_t poll;

    fake_init(&fake, "guardian-dead");
    open_host(&fake);
    CU_ASSERT_EQUAL_FATAL(guardian_start(&host, &err), 0);
    CU_ASSERT_TRUE(host.manager.node.guard_alive);
    status_look(&host, clock_boot_us(), &facts);
    CU_ASSERT(facts.guard_attached && facts.guard_pid != 0);
    pid_t server = fake_server(&fake);
    int watched = guard_pidfd(&host.guard);
    host.manager.node.guard_mode = WISH_PRIMARY;
    host.manager.node.guard_kill_at_us = clock_boot_us();
    kill_guard();
    /* Another cannot be started: nothing else stops the server, and no lease may be asked for. */
    (void)text_copy(host.settings.runtime_directory, sizeof host.settings.runtime_directory, "/nowhere");
    (void)guardian_turn(&host, clock_boot_us());
    CU_ASSERT_FALSE(host.manager.node.guard_alive);
    status_look(&host, clock_boot_us(), &facts);
    CU_ASSERT_FALSE(facts.guard_attached);
    CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(server)), SIGKILL);
    /* Its descriptor is closed; whoever gets the number next can be watched. */
    int next = pidfd_open(getpid(), 0);
    CU_ASSERT_FATAL(next == watched || dup3(next, watched, O_CLOEXEC) == watched);
    int failed = uv_poll_init(&host.loop, &poll, watched);
    CU_ASSERT_EQUAL(failed, 0);
    if (!failed)
        uv_close((uv_handle_t *)&poll, ignored);
    close_host();
    (void)close(watched);
    if (next != watched)
        (void)close(next);
}

/* Each try may hold the loop up for seconds. */
static void tries_leave_the_loop_time(void)
{
    struct fake fake;
    char path[FAKE_PATH_SIZE + 16];

    fake_init(&fake, "guardian-tries");
    open_host(&fake);
    (void)snprintf(path, sizeof path, "%s/guard.lock", fake.runtime);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CU_ASSERT_EQUAL_FATAL(flock(lock, LOCK_EX), 0); /* and no guard is there */
    int64_t began_us = clock_boot_us();
    int64_t again_us = guardian_turn(&host, began_us);
    int64_t ended_us = clock_boot_us();
    CU_ASSERT(ended_us - began_us >= GUARD_START_MS * 1000);
    CU_ASSERT(again_us - ended_us >= (ended_us - began_us) / 2);
    (void)close(lock);
    close_host();
}

static const struct unit_test tests[] = {
    { "a guard that died is told at once, its server killed, its descriptor free", a_dead_guard_is_told_at_once },
    { "a guard that cannot be started leaves the loop time between the tries", tries_leave_the_loop_time },
};
const struct unit_suite suite_guardian = UNIT_SUITE("guardian", tests);
