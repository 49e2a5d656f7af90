/*
 * test_guard.c - the guard itself, as a process: it stops PostgreSQL at the deadline whatever becomes of the daemon.
 *
 * Runs build/bin/raftmgr-guard, which lies beside the program of the tests. Times are checked on one side only: nothing
 * may be stopped too early; how late is the machine's matter.
 */
#include "guard/guard.h"

#include <libgen.h>
#include <limits.h>

#include "fake_postgres.h"
#include "guard/instance.h"
#include "guard/launch.h"

#define MS INT64_C(1000)
#define KILL_TIME_US (400 * MS)
#define SOON_US (150 * MS)
#define LATER_US (60000 * MS)

static const char *guard_binary(void)
{
    static char path[PATH_MAX + 32];
    char self[PATH_MAX];

    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    CU_ASSERT_FATAL(length > 0);
    self[length] = '\0';
    (void)snprintf(path, sizeof path, "%s/raftmgr-guard", dirname(self));
    return path;
}

static void attach(struct guard *guard, const struct fake *fake, bool expect_taken_over)
{
    struct err err = { 0 };
    bool taken_over = !expect_taken_over;

    int failed = guard_attach(guard, guard_binary(), fake->runtime, fake->data, KILL_TIME_US, &taken_over, &err);
    if (failed)
        (void)printf("%s\n", err.text);
    CU_ASSERT_FATAL(failed == 0);
    CU_ASSERT_EQUAL(taken_over, expect_taken_over);
}

static int64_t set_primary(struct guard *guard, int64_t in_us)
{
    int64_t kill_at_us = clock_boot_us() + in_us;

    CU_ASSERT_EQUAL(guard_set(guard, GUARD_PRIMARY, kill_at_us, 42, NULL), 0);
    return kill_at_us;
}

static struct guard_state state_of(const struct guard *guard)
{
    struct guard_state state = { 0 };

    CU_ASSERT_TRUE(guard_state(guard, &state));
    return state;
}

static void put_signal_file(const struct fake *fake)
{
    char path[FAKE_PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/standby.signal", fake->data);
    CU_ASSERT_EQUAL(file_replace(path, "", 0, 0600, NULL), 0);
}

static void release(struct guard *guard)
{
    CU_ASSERT_TRUE(fake_end_guard(guard));
}

static void stops_at_the_deadline(void)
{
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-deadline");
    attach(&guard, &fake, false);
    pid_t server = fake_server(&fake);
    pid_t bystander = fake_run(fake.other, fake.data, NULL);
    int64_t kill_at_us = set_primary(&guard, SOON_US);
    FAKE_AWAIT(guard_armed(&guard));
    CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(server)), SIGQUIT);
    CU_ASSERT(clock_boot_us() >= kill_at_us);
    FAKE_AWAIT(state_of(&guard).act == GUARD_ACT_STOPPED);
    CU_ASSERT_TRUE(state_of(&guard).stopping);
    CU_ASSERT_EQUAL(state_of(&guard).stops, 1);
    CU_ASSERT_EQUAL(state_of(&guard).kills, 0);
    CU_ASSERT_TRUE(fake_lives(bystander));
    fake_end(bystander);
    release(&guard);
}

/* Children of a non-interactive shell ignore SIGQUIT, as a stubborn backend does. */
static void kills_what_does_not_go(void)
{
    struct fake fake;
    struct guard guard = { 0 };
    char script[FAKE_PATH_SIZE + 16];
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "guard-stubborn");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    attach(&guard, &fake, false);
    (void)snprintf(script, sizeof script, "%s " FAKE_LIFE " & wait", fake.server);
    pid_t head = fake_run(fake.parent, fake.data, script);
    FAKE_AWAIT(instance_count(&instance, NULL) == 2);
    int64_t kill_at_us = set_primary(&guard, SOON_US);
    CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(head)), SIGQUIT);
    FAKE_AWAIT(instance_count(&instance, NULL) == 0);
    CU_ASSERT(clock_boot_us() >= kill_at_us + KILL_TIME_US / 2);
    CU_ASSERT(state_of(&guard).kills >= 1);
    release(&guard);
}

/* A renewed deadline wakes nobody: the guard finds it when the old one has come. */
static void lets_a_renewed_lease_live(void)
{
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-renewed");
    attach(&guard, &fake, false);
    pid_t server = fake_server(&fake);
    int64_t first = set_primary(&guard, SOON_US);
    FAKE_AWAIT(guard_armed(&guard));
    CU_ASSERT_EQUAL(state_of(&guard).deadline_us, first);
    uint64_t wakes = state_of(&guard).wakes;
    int64_t second = set_primary(&guard, LATER_US);
    FAKE_AWAIT(state_of(&guard).deadline_us == second);
    CU_ASSERT(clock_boot_us() >= first);
    CU_ASSERT_EQUAL(state_of(&guard).wakes, wakes + 1);
    CU_ASSERT_TRUE(fake_lives(server));
    /* An earlier one does wake it. */
    int64_t third = set_primary(&guard, SOON_US);
    CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(server)), SIGQUIT);
    CU_ASSERT(clock_boot_us() >= third);
    release(&guard);
}

static void stops_what_appears_later(void)
{
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-later");
    attach(&guard, &fake, false);
    (void)set_primary(&guard, -KILL_TIME_US);
    FAKE_AWAIT(state_of(&guard).stopping);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(fake_server(&fake))), SIGKILL);
    /* A new lease: what is started under it stays. */
    (void)set_primary(&guard, LATER_US);
    FAKE_AWAIT(guard_armed(&guard));
    CU_ASSERT_FALSE(state_of(&guard).stopping);
    CU_ASSERT_EQUAL(state_of(&guard).act, GUARD_ACT_RELEASE);
    release(&guard);
}

static void standby_needs_its_signal(void)
{
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-standby");
    attach(&guard, &fake, false);
    (void)set_primary(&guard, -KILL_TIME_US);
    FAKE_AWAIT(state_of(&guard).stopping);
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_STANDBY, 0, 42, NULL), 0);
    FAKE_AWAIT(state_of(&guard).seen >= guard.kicked);
    CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(fake_server(&fake))), SIGKILL);
    put_signal_file(&fake);
    FAKE_AWAIT(!state_of(&guard).stopping);
    CU_ASSERT_EQUAL(state_of(&guard).deadline_us, INT64_MAX);
    release(&guard);
}

static void pause_stops_nothing(void)
{
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-paused");
    attach(&guard, &fake, false);
    pid_t server = fake_server(&fake);
    (void)set_primary(&guard, LATER_US);
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_PAUSED, 0, 42, NULL), 0);
    FAKE_AWAIT(guard_armed(&guard));
    CU_ASSERT_EQUAL(state_of(&guard).deadline_us, INT64_MAX);
    CU_ASSERT_TRUE(fake_lives(server));
    fake_end(server);
    release(&guard);
}

/* A daemon of its own: attaches, gives one order, says so, and is there until it is killed. */
static pid_t run_daemon(const struct fake *fake, int64_t kill_at_us, int64_t linger_us)
{
    int told[2];
    char word = 0;

    CU_ASSERT_FATAL(pipe2(told, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct guard guard = { 0 };
        enum guard_mode mode = kill_at_us > 0 ? GUARD_PRIMARY : GUARD_STANDBY;
        bool done = guard_attach(&guard, guard_binary(), fake->runtime, fake->data, KILL_TIME_US, NULL, NULL) == 0 &&
                    guard_set(&guard, mode, kill_at_us, 42, NULL) == 0;
        if (done)
            page_set_linger(guard.page, linger_us);
        while (done && !guard_armed(&guard))
            (void)usleep(1000);
        (void)!write(told[1], done ? "y" : "n", 1);
        for (;;)
            (void)pause();
    }
    (void)close(told[1]);
    CU_ASSERT_EQUAL(read(told[0], &word, 1), 1);
    CU_ASSERT_EQUAL(word, 'y');
    (void)close(told[0]);
    return pid;
}

static void outlives_its_daemon(void)
{
    struct fake fake;
    struct guard guard = { 0 };
    struct guard_order order;

    fake_init(&fake, "guard-outlives");
    pid_t server = fake_server(&fake);
    int64_t kill_at_us = clock_boot_us() + 500 * MS;
    fake_end(run_daemon(&fake, kill_at_us, GUARD_LINGER_US));
    CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(server)), SIGQUIT);
    CU_ASSERT(clock_boot_us() >= kill_at_us);
    /* The next daemon finds it, and what was ordered. */
    attach(&guard, &fake, true);
    CU_ASSERT_TRUE(guard_read(&guard, &order));
    CU_ASSERT_EQUAL(order.mode, GUARD_PRIMARY);
    CU_ASSERT_EQUAL(order.kill_at_us, kill_at_us);
    CU_ASSERT_EQUAL(order.token, 42);
    CU_ASSERT_TRUE(guard_alive(&guard));
    CU_ASSERT_FALSE(guard_armed(&guard)); /* it is stopping what appears */
    release(&guard);
}

/* The first daemon is only frozen; when it thaws, its orders must count no more. */
static void obeys_its_last_daemon_only(void)
{
    struct fake fake;
    struct guard old = { 0 };
    struct guard new = { 0 };
    struct guard_order order;

    fake_init(&fake, "guard-frozen");
    attach(&old, &fake, false);
    (void)set_primary(&old, LATER_US);
    attach(&new, &fake, true);
    CU_ASSERT_EQUAL(guard_set(&old, GUARD_PAUSED, 0, 41, NULL), -ERR_STALE);
    CU_ASSERT_TRUE(guard_read(&new, &order));
    CU_ASSERT_EQUAL(order.mode, GUARD_PRIMARY);
    CU_ASSERT_EQUAL(guard_set(&new, GUARD_PAUSED, 0, 43, NULL), 0);
    guard_forget(&old);
    CU_ASSERT_EQUAL(guard_pidfd(&old), -1);
    release(&new);
}

static void ends_when_nothing_is_to_guard(void)
{
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-lingers");
    pid_t daemon = run_daemon(&fake, 0, 50 * MS);
    pid_t server = fake_server(&fake);
    attach(&guard, &fake, true); /* to see it; the guard follows this process from here on */
    fake_end(daemon);
    int pidfd = fcntl(guard_pidfd(&guard), F_DUPFD_CLOEXEC, 0);
    page_set_daemon(guard.page, daemon, 1);
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_PAUSED, 0, 0, NULL), 0);
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_STANDBY, 0, 0, NULL), 0);
    /* Its daemon is gone for it now, but a server runs: it looks and stays. */
    uint64_t wakes = state_of(&guard).wakes;
    FAKE_AWAIT(state_of(&guard).wakes >= wakes + 3);
    CU_ASSERT_TRUE(guard_alive(&guard));
    fake_end(server);
    CU_ASSERT_TRUE(process_wait(pidfd, FAKE_PATIENCE_MS));
    (void)close(pidfd);
    guard_forget(&guard);
}

static void is_replaced_when_it_dies(void)
{
    struct fake fake;
    struct guard guard = { 0 };
    struct guard_order order;

    fake_init(&fake, "guard-dies");
    attach(&guard, &fake, false);
    int64_t kill_at_us = set_primary(&guard, LATER_US);
    pid_t first = state_of(&guard).pid;
    CU_ASSERT_EQUAL(pidfd_send_signal(guard_pidfd(&guard), SIGTERM, NULL, 0), 0);
    CU_ASSERT_EQUAL(pidfd_send_signal(guard_pidfd(&guard), SIGHUP, NULL, 0), 0);
    FAKE_AWAIT(guard_armed(&guard));
    CU_ASSERT_EQUAL(pidfd_send_signal(guard_pidfd(&guard), SIGKILL, NULL, 0), 0);
    CU_ASSERT_TRUE(process_wait(guard_pidfd(&guard), FAKE_PATIENCE_MS));
    CU_ASSERT_FALSE(guard_alive(&guard));
    CU_ASSERT_FALSE(guard_armed(&guard));
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_STANDBY, 0, 0, NULL), -ERR_NOT_FOUND);
    attach(&guard, &fake, false);
    CU_ASSERT_NOT_EQUAL(state_of(&guard).pid, first);
    CU_ASSERT_TRUE(guard_armed(&guard));
    /* What was ordered is in force from its first moment on. */
    CU_ASSERT_TRUE(guard_read(&guard, &order));
    CU_ASSERT_EQUAL(order.kill_at_us, kill_at_us);
    CU_ASSERT_EQUAL(state_of(&guard).deadline_us, kill_at_us);
    release(&guard);
}

static void there_is_one_only(void)
{
    struct fake fake;
    struct guard guard = { 0 };
    struct guard other = { 0 };
    struct err err = { 0 };

    fake_init(&fake, "guard-one");
    attach(&guard, &fake, false);
    CU_ASSERT_EQUAL(guard_attach(&other, guard_binary(), fake.runtime, "/tmp", KILL_TIME_US, NULL, &err), -ERR_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, fake.data));
    CU_ASSERT_PTR_NULL(other.page);
    CU_ASSERT_TRUE(guard_alive(&guard));
    release(&guard);
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_STANDBY, 0, 0, &err), -ERR_NOT_FOUND);
    CU_ASSERT_TRUE(fake_end_guard(&guard));
    attach(&guard, &fake, false);
    release(&guard);
}

/* Somebody empties the runtime directory under it. A second one would leave the first its old deadline. */
static void is_found_without_its_lock(void)
{
    struct fake fake;
    struct guard guard = { 0 };
    struct guard next = { 0 };
    struct guard_order order;
    char path[FAKE_PATH_SIZE + 16];

    fake_init(&fake, "guard-no-lock");
    attach(&guard, &fake, false);
    int64_t kill_at_us = set_primary(&guard, LATER_US);
    pid_t first = state_of(&guard).pid;
    (void)snprintf(path, sizeof path, "%s/guard.lock", fake.runtime);
    CU_ASSERT_EQUAL(unlink(path), 0);
    for (int i = 0; i < 2; i++) { /* the next daemon but one finds it as well */
        attach(&next, &fake, true);
        CU_ASSERT_EQUAL(state_of(&next).pid, first);
        CU_ASSERT_TRUE(guard_read(&next, &order));
        CU_ASSERT_EQUAL(order.kill_at_us, kill_at_us);
        guard_forget(&next);
    }
    CU_ASSERT_EQUAL(guard_set(&guard, GUARD_STANDBY, 0, 0, NULL), -ERR_STALE);
    /* Killed, it leaves nothing that would keep another away. */
    CU_ASSERT_EQUAL(pidfd_send_signal(guard_pidfd(&guard), SIGKILL, NULL, 0), 0);
    CU_ASSERT_TRUE(process_wait(guard_pidfd(&guard), FAKE_PATIENCE_MS));
    attach(&next, &fake, false);
    release(&next);
    guard_forget(&guard);
}

/* Whoever starts it, and whatever lock it brings. Of another data directory there may be as many as there are. */
static void refuses_to_be_the_second(void)
{
    struct fake fake;
    struct fake elsewhere;
    struct guard guard = { 0 };
    struct guard neighbour = { 0 };
    struct guard_page *page = NULL;
    struct err err = { 0 };
    char path[FAKE_PATH_SIZE + 16];
    int page_fd = -1;

    fake_init(&fake, "guard-second");
    fake_init(&elsewhere, "guard-neighbour");
    attach(&guard, &fake, false);
    attach(&neighbour, &elsewhere, false);
    (void)snprintf(path, sizeof path, "%s/second.lock", fake.runtime);
    int lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CU_ASSERT_EQUAL_FATAL(page_create(fake.data, KILL_TIME_US, &page_fd, &page, NULL), 0);
    CU_ASSERT_EQUAL(launch_guard(guard_binary(), fake.data, page_fd, lock_fd, FAKE_PATIENCE_MS, &err), -ERR_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "already"));
    page_unmap(page);
    (void)close(page_fd);
    (void)close(lock_fd);
    release(&neighbour);
    release(&guard);
}

/* So a daemon leaves one whose start it gave up: told to end, and asleep. */
static void does_not_sleep_on_its_end(void)
{
    const struct guard_order end = { .mode = GUARD_QUIT };
    struct fake fake;
    struct guard guard = { 0 };

    fake_init(&fake, "guard-asleep");
    attach(&guard, &fake, false);
    pid_t first = state_of(&guard).pid;
    CU_ASSERT(page_write_order(guard.page, guard.sequence, &end) != 0);
    guard_forget(&guard);
    attach(&guard, &fake, false);
    CU_ASSERT(state_of(&guard).pid != first);
    release(&guard);
}

static void write_script(const char *path, const char *in)
{
    char text[4 * FAKE_PATH_SIZE];

    (void)snprintf(text, sizeof text,
                   "#!/bin/sh\ncd '%s'\n: >started\nwhile [ ! -e go ]; do sleep 0.01; done\nprintf ready >&4\n"
                   "exec 4>&-\n: >said\n",
                   in);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, text, strlen(text), 0700, NULL), 0);
}

static bool is_there(const char *directory, const char *name)
{
    char path[FAKE_PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return file_exists(path);
}

/* The daemon alone stands still, from before its guard is ready until its patience is over. */
static void is_ready_though_its_daemon_stood_still(void)
{
    const int64_t patience_ms = 300;
    struct fake fake;
    char script[FAKE_PATH_SIZE + 16];

    fake_init(&fake, "guard-patience");
    (void)snprintf(script, sizeof script, "%s/guard", fake.runtime);
    write_script(script, fake.runtime);
    pid_t daemon = fork();
    CU_ASSERT_FATAL(daemon >= 0);
    if (daemon == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        _exit(launch_guard(script, fake.data, null, null, patience_ms, NULL) == 0 ? 0 : 1);
    }
    FAKE_AWAIT(is_there(fake.runtime, "started"));
    CU_ASSERT_EQUAL(kill(daemon, SIGSTOP), 0);
    int64_t over_us = clock_boot_us() + patience_ms * MS;
    FAKE_AWAIT(clock_boot_us() > over_us);
    int go = open(fake.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)close(openat(go, "go", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    (void)close(go);
    FAKE_AWAIT(is_there(fake.runtime, "said"));
    CU_ASSERT_EQUAL(kill(daemon, SIGCONT), 0);
    CU_ASSERT_EQUAL(fake_await_end(daemon), 0);
}

static void says_why_it_did_not_start(void)
{
    struct fake fake;
    struct guard guard = { 0 };
    struct err err = { 0 };

    fake_init(&fake, "guard-missing");
    CU_ASSERT_EQUAL(guard_attach(&guard, "/nowhere/guard", fake.runtime, fake.data, 0, NULL, &err), -ERR_COMMAND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nowhere/guard"));
    CU_ASSERT_EQUAL(guard_attach(&guard, "/bin/true", fake.runtime, fake.data, 0, NULL, &err), -ERR_COMMAND);
    CU_ASSERT_EQUAL(guard_attach(&guard, guard_binary(), "/nowhere", fake.data, 0, NULL, &err), -ERR_SYSTEM);
    CU_ASSERT_FALSE(guard_alive(&guard));
    CU_ASSERT_EQUAL(guard_pidfd(&guard), -1);
}

static const struct unit_test tests[] = {
    { "stops the instance at the deadline, and no bystander", stops_at_the_deadline },
    { "kills what does not go by half of the kill time", kills_what_does_not_go },
    { "leaves alone whose lease was renewed, without being woken", lets_a_renewed_lease_live },
    { "stops what appears after the deadline, until a later one", stops_what_appears_later },
    { "standby ends the stopping only with standby.signal", standby_needs_its_signal },
    { "stops nothing in a pause", pause_stops_nothing },
    { "stops at the deadline though its daemon was killed; the next daemon finds it", outlives_its_daemon },
    { "obeys the last daemon only", obeys_its_last_daemon_only },
    { "ends when its daemon is gone and nothing runs, not before", ends_when_nothing_is_to_guard },
    { "ignores SIGTERM; killed, it is replaced under the same order", is_replaced_when_it_dies },
    { "there is one for a runtime directory, for one data directory", there_is_one_only },
    { "is found and taken over though its lock was removed", is_found_without_its_lock },
    { "refuses to be the second of a data directory", refuses_to_be_the_second },
    { "told to end while nobody woke it, it makes room for the next", does_not_sleep_on_its_end },
    { "is taken for ready where its daemon stood still meanwhile", is_ready_though_its_daemon_stood_still },
    { "says why it did not start", says_why_it_did_not_start },
};
const struct unit_suite suite_guard = UNIT_SUITE("guard", tests);
