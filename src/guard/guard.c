/* guard.c - the daemon's side of the guard. See guard.h. */
#include "guard/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "guard/fds.h"
#include "guard/launch.h"
#include "guard/other.h"
#include "guard/process.h"

#define LOCK_NAME "guard.lock"
#define LATE_US 250000 /* a guard that has not woken this long after its alarm is not relied on */
#define NEAR_US 10000
#define NAP_MS 1

static void detach(struct guard *guard)
{
    if (guard->page) {
        page_unmap(guard->page);
        (void)close(guard->page_fd);
        if (guard->pidfd >= 0)
            (void)close(guard->pidfd);
    }
    *guard = (struct guard){ .page_fd = -1, .pidfd = -1 };
}

static void kick(const struct guard *guard)
{
    /* Can only fail when it is dead, which guard_alive tells. */
    (void)pidfd_send_signal(guard->pidfd, SIGUSR1, NULL, 0);
}

/* Puts *order in force; false when another daemon has given one since. */
static bool publish(struct guard *guard, const struct guard_order *order)
{
    uint64_t number = page_write_order(guard->page, guard->sequence, order);

    if (number == 0)
        return false;
    guard->sequence = number;
    guard->last = *order;
    return true;
}

/* Makes this process the guard's daemon, and the order in force its own. */
static int own(struct guard *guard, struct err *err)
{
    struct process self;

    if (!process_look(getpid(), &self))
        return err_set(err, ERR_SYSTEM, "could not read this process's own start time");
    page_set_daemon(guard->page, self.pid, self.started);
    guard->sequence = page_read_order(guard->page, &guard->last);
    struct guard_order same = guard->last;
    /* A new number for the same order: what another daemon may still want to give counts no more. */
    if (!publish(guard, &same))
        return err_set(err, ERR_STALE, "another daemon gives orders to the guard");
    guard->kicked = guard->sequence;
    return 0;
}

/* Opens and locks guard.lock. Returns the descriptor and whether the lock is ours: else a guard has it. */
static int open_lock(const char *runtime_directory, bool *ret_ours, struct err *err)
{
    char path[GUARD_PATH_SIZE + sizeof LOCK_NAME + 1];

    if (snprintf(path, sizeof path, "%s/%s", runtime_directory, LOCK_NAME) >= (int)sizeof path)
        return err_set(err, ERR_CONFIG, "path '%s' is too long", runtime_directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "could not open file '%s'", path);
    *ret_ours = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (*ret_ours || errno == EWOULDBLOCK)
        return fd;
    int failed = err_set_errno(err, errno, "could not lock file '%s'", path);
    (void)close(fd);
    return failed;
}

/* Who holds the lock, by its text: a pidfd, or -1 while there is no sensible text yet or its process is gone. */
static int open_holder(int lock_fd, pid_t *ret_pid)
{
    char text[64];
    char *next;

    ssize_t got = pread(lock_fd, text, sizeof text - 1, 0);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    long pid = strtol(text, &next, 10);
    uint64_t started = *next == ' ' ? strtoull(next + 1, &next, 10) : 0;
    if (pid <= 0 || pid > INT32_MAX || *next != '\n')
        return -1;
    *ret_pid = (pid_t)pid;
    return process_open((pid_t)pid, started);
}

static int map_page_of(pid_t pid, int *ret_fd, struct guard_page **ret_page, struct err *err)
{
    char path[48];

    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, GUARD_FD_PAGE);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "could not open the page of the guard, process %d", (int)pid);
    int failed = page_map(fd, ret_page, err);
    if (failed) {
        (void)close(fd);
        return err_wrap(err, "could not take over the guard, process %d", (int)pid);
    }
    *ret_fd = fd;
    return 0;
}

/* Waits until it has acted on our order. */
static int await_armed(const struct guard *guard, int64_t end_us, struct err *err)
{
    struct guard_state state;

    for (;;) {
        page_read_state(guard->page, &state);
        if (state.seen >= guard->kicked)
            return 0;
        if (process_wait(guard->pidfd, NAP_MS))
            return err_set(err, ERR_NOT_FOUND, "the guard, process %d, has ended", (int)state.pid);
        if (clock_boot_us() >= end_us)
            return err_set(err, ERR_TIMEOUT, "the guard, process %d, does not answer", (int)state.pid);
    }
}

/* Takes over this guard; found.pidfd is consumed. ERR_NOT_FOUND: it has ended or is ending; try again. */
static int take_over(struct guard *guard, int pidfd, pid_t pid, const char *data_directory, int64_t end_us,
                     struct err *err)
{
    struct guard found = { .pidfd = pidfd };

    int failed = map_page_of(pid, &found.page_fd, &found.page, err);
    if (failed) {
        bool gone = process_ended(found.pidfd);
        (void)close(found.pidfd);
        return gone ? err_set(err, ERR_NOT_FOUND, "the guard has ended") : failed;
    }
    if (!page_is_for(found.page, data_directory))
        failed = err_set(err, ERR_REFUSED, "the guard here, process %d, is for data directory '%s', not '%s'", (int)pid,
                         page_data_directory(found.page), data_directory);
    if (!failed && (page_read_order(found.page, &found.last), found.last.mode == GUARD_QUIT)) {
        kick(&found); /* start() gives that order to one that it cannot wake: it may sleep on it */
        failed = err_set(err, ERR_NOT_FOUND, "the guard, process %d, is ending", (int)pid);
    }
    if (!failed)
        failed = own(&found, err);
    if (!failed) {
        kick(&found);
        failed = await_armed(&found, end_us, err);
    }
    if (failed) {
        detach(&found);
        return failed;
    }
    found.kill_time_us = guard->kill_time_us;
    detach(guard); /* the page of one that has died */
    *guard = found;
    return 0;
}

static int take_over_holder(struct guard *guard, int lock_fd, const char *data_directory, int64_t end_us,
                            struct err *err)
{
    pid_t pid = 0;

    int pidfd = open_holder(lock_fd, &pid);
    if (pidfd < 0)
        return err_set(err, ERR_NOT_FOUND, "the lock of the guard is held, and no guard is known");
    return take_over(guard, pidfd, pid, data_directory, end_us, err);
}

/* One that lost its lock with the runtime directory. */
static int take_over_other(struct guard *guard, pid_t pid, const char *data_directory, int64_t end_us, struct err *err)
{
    struct process process;

    int pidfd = process_look(pid, &process) ? process_open(pid, process.started) : -1;
    if (pidfd < 0)
        return err_set(err, ERR_NOT_FOUND, "the guard, process %d, has ended", (int)pid);
    int failed = take_over(guard, pidfd, pid, data_directory, end_us, err);
    if (!failed || failed == -ERR_NOT_FOUND)
        return failed;
    return err_wrap(err,
                    "process %d guards '%s' already and was not started from this runtime directory (stop PostgreSQL, "
                    "end that process, and start raftmgrd again)",
                    (int)pid, data_directory);
}

/* Starts a guard on the page that we have (then its order stays in force) or on a new one. */
static int start(struct guard *guard, const char *binary, int lock_fd, const char *data_directory, int64_t end_us,
                 struct err *err)
{
    struct guard_state state;
    int failed = 0;

    if (!guard->page)
        failed = page_create(data_directory, guard->kill_time_us, &guard->page_fd, &guard->page, err);
    if (!failed)
        failed = own(guard, err);
    if (!failed)
        failed = launch_guard(binary, data_directory, guard->page_fd, lock_fd, (end_us - clock_boot_us()) / 1000, err);
    if (failed) {
        /* Should it come up late after all. */
        if (guard->page)
            (void)publish(guard, &(struct guard_order){ .mode = GUARD_QUIT });
        return failed;
    }
    page_read_state(guard->page, &state);
    guard->pidfd = process_open(state.pid, state.started);
    return guard->pidfd < 0 ? err_set(err, ERR_COMMAND, "the guard ended right after its start") : 0;
}

/* One try at the lock: take over who has it, or who runs without it, or start a new guard with it. */
static int attach_once(struct guard *guard, const char *binary, const char *runtime_directory,
                       const char *data_directory, int64_t end_us, bool *ret_taken_over, struct err *err)
{
    bool ours = false;
    int failed;

    int lock_fd = open_lock(runtime_directory, &ours, err);
    if (lock_fd < 0)
        return lock_fd;
    pid_t other = ours ? other_guard(data_directory) : 0;
    if (!ours)
        failed = take_over_holder(guard, lock_fd, data_directory, end_us, err);
    else if (other)
        failed = take_over_other(guard, other, data_directory, end_us, err);
    else
        failed = start(guard, binary, lock_fd, data_directory, end_us, err);
    (void)close(lock_fd); /* the guard has its own descriptor of the same lock */
    if (!failed)
        *ret_taken_over = !ours || other;
    return failed;
}

int guard_attach(struct guard *guard, const char *binary, const char *runtime_directory, const char *data_directory,
                 int64_t kill_time_us, bool *ret_taken_over, struct err *err)
{
    int64_t end_us = clock_boot_us() + GUARD_START_MS * 1000;
    bool taken_over = true;
    int failed = 0;

    if (guard->page && !page_is_for(guard->page, data_directory))
        return err_set(err, ERR_REFUSED, "this guard is for data directory '%s', not '%s'",
                       page_data_directory(guard->page), data_directory);
    guard->kill_time_us = kill_time_us;
    if (!guard_alive(guard)) {
        if (guard->page && guard->pidfd >= 0)
            (void)close(guard->pidfd);
        guard->pidfd = -1;
        do {
            failed = attach_once(guard, binary, runtime_directory, data_directory, end_us, &taken_over, err);
        } while (failed == -ERR_NOT_FOUND && clock_boot_us() < end_us && poll(NULL, 0, NAP_MS) <= 0);
    }
    if (failed) {
        detach(guard);
        return err_wrap(err, "could not attach a guard");
    }
    if (ret_taken_over)
        *ret_taken_over = taken_over;
    return 0;
}

void guard_set_kill_time(struct guard *guard, int64_t kill_time_us)
{
    guard->kill_time_us = kill_time_us;
}

/* True when the guard must be woken for it: it wakes by itself only at the deadline that it knows. Where that is about
 * to pass or has passed, it may have begun to stop PostgreSQL, and must learn at once that it is to end that. */
static bool needs_kick(const struct guard_order *old, const struct guard_order *new)
{
    if (old->mode != new->mode || old->kill_time_us != new->kill_time_us)
        return true;
    return new->mode == GUARD_PRIMARY &&
           (new->kill_at_us < old->kill_at_us || old->kill_at_us < clock_boot_us() + NEAR_US);
}

int guard_set(struct guard *guard, enum guard_mode mode, int64_t kill_at_us, uint64_t token, struct err *err)
{
    struct guard_order order = {
        .mode = mode,
        .kill_at_us = mode == GUARD_PRIMARY ? kill_at_us : 0,
        .kill_time_us = guard->kill_time_us,
        .token = token,
    };

    if (!guard_alive(guard))
        return err_set(err, ERR_NOT_FOUND, "there is no guard");
    bool wake = needs_kick(&guard->last, &order);
    if (!publish(guard, &order))
        return err_set(err, ERR_STALE, "another daemon gives orders to the guard");
    if (wake) {
        guard->kicked = guard->sequence;
        kick(guard);
    }
    return 0;
}

bool guard_read(const struct guard *guard, struct guard_order *ret_order)
{
    if (!guard->page)
        return false;
    (void)page_read_order(guard->page, ret_order);
    return true;
}

bool guard_state(const struct guard *guard, struct guard_state *ret_state)
{
    if (!guard->page)
        return false;
    page_read_state(guard->page, ret_state);
    return true;
}

int guard_pidfd(const struct guard *guard)
{
    return guard->page ? guard->pidfd : -1;
}

bool guard_alive(const struct guard *guard)
{
    return guard->page && !process_ended(guard->pidfd);
}

bool guard_armed(const struct guard *guard)
{
    struct guard_state state;

    if (!guard_alive(guard))
        return false;
    page_read_state(guard->page, &state);
    bool late = state.wake_at_us != INT64_MAX && clock_boot_us() > state.wake_at_us + LATE_US;
    return state.seen >= guard->kicked && !state.stopping && !late;
}

void guard_forget(struct guard *guard)
{
    detach(guard);
}
