/* watch.c - the guard's loop. See watch.h. */
#include "guard/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "guard/process.h"

#define LINE_BYTES_MAX 512

static const struct sockaddr_un journal_address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

/* Tells the system's log, if that takes it at once: nothing may hold the guard up. */
static void say(const struct watch *watch, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

static void say(const struct watch *watch, const char *name, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    va_list args;

    if (watch->journal < 0)
        return;
    int used = snprintf(line, sizeof line, "<%d>raftmgr-guard[%d]: %s data_directory=\"%s\" ", LOG_DAEMON | LOG_WARNING,
                        (int)watch->state.pid, name, page_data_directory(watch->page));
    if (used < 0 || used >= (int)sizeof line)
        return;
    va_start(args, format);
    (void)vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    (void)sendto(watch->journal, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL,
                 (const struct sockaddr *)&journal_address, sizeof journal_address);
}

static int open_signals(void)
{
    sigset_t mask;

    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGUSR1);
    return signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
}

int watch_open(struct watch *watch, struct guard_page *page, const struct guard_state *state, struct err *err)
{
    *watch = (struct watch){ .page = page, .state = *state, .daemon = -1, .daemon_pid = -1 };
    rule_init(&watch->rule);
    (void)snprintf(watch->signal_path, sizeof watch->signal_path, "%s/standby.signal", page_data_directory(page));
    int failed = instance_open(&watch->instance, page_data_directory(page), err);
    if (failed)
        return failed;
    watch->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    watch->signals = open_signals();
    if (watch->timer < 0 || watch->signals < 0)
        return err_set_errno(err, errno, "could not make a timer and a signal descriptor");
    watch->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return 0;
}

static void daemon_gone(struct watch *watch, int64_t now_us)
{
    if (watch->daemon >= 0)
        (void)close(watch->daemon);
    watch->daemon = -1;
    watch->idle_at_us = now_us + page_linger(watch->page);
}

/* Watches the daemon that the page names now. */
static void follow_daemon(struct watch *watch, int64_t now_us)
{
    pid_t pid;
    uint64_t started;

    page_daemon(watch->page, &pid, &started);
    if (pid != watch->daemon_pid || started != watch->daemon_started) {
        daemon_gone(watch, now_us);
        watch->daemon_pid = pid;
        watch->daemon_started = started;
        watch->daemon = process_open(pid, started);
    } else if (watch->daemon >= 0 && process_ended(watch->daemon)) {
        daemon_gone(watch, now_us);
    }
}

static void note(struct watch *watch, enum guard_act act, int64_t now_us)
{
    watch->state.act = act;
    watch->state.act_at_us = now_us;
}

/* One pass over the instance, hard or gentle. */
static void stop(struct watch *watch, bool hard)
{
    struct guard_state *state = &watch->state;
    int32_t before = state->left;
    int sent = 0;

    int left = hard ? instance_signal(&watch->instance, INSTANCE_ALL, SIGKILL, &sent, NULL)
                    : instance_signal(&watch->instance, INSTANCE_HEADS, SIGQUIT, &sent, NULL);
    int64_t now_us = clock_boot_us();
    state->left = left < 0 ? -1 : left;
    if (hard)
        state->kills += (uint64_t)sent;
    if (sent > 0)
        note(watch, hard ? GUARD_ACT_KILL : GUARD_ACT_QUIT, now_us);
    if (left > 0 && before <= 0) {
        state->stops++;
        say(watch, "guard.stop", "token=%" PRIu64 " processes=%d signal=%s late_us=%" PRId64, watch->token, left,
            hard ? "kill" : "quit", now_us - watch->rule.deadline_us);
    }
    if (left == 0 && before > 0) {
        note(watch, GUARD_ACT_STOPPED, now_us);
        say(watch, "guard.stopped", "token=%" PRIu64 " after_us=%" PRId64, watch->token,
            now_us - watch->rule.deadline_us);
    }
}

static void follow_rule(struct watch *watch, const struct guard_order *order, int64_t now_us)
{
    struct guard_state *state = &watch->state;

    rule_take(&watch->rule, order, now_us);
    if (rule_asks_for_signal(&watch->rule, state->left, now_us) && access(watch->signal_path, F_OK) == 0)
        rule_signal_seen(&watch->rule);
    enum rule_do what = rule_now(&watch->rule, now_us);
    if (what != RULE_WAIT && !state->stopping)
        state->left = -1;
    if (what == RULE_WAIT && state->stopping) {
        note(watch, GUARD_ACT_RELEASE, now_us);
        say(watch, "guard.release", "token=%" PRIu64 " mode=%s", order->token, guard_mode_name(order->mode));
    }
    if (what != RULE_WAIT)
        stop(watch, what == RULE_KILL);
    state->stopping = watch->rule.stopping;
    state->deadline_us = watch->rule.deadline_us;
    int64_t after_us = clock_boot_us();
    state->wake_at_us = rule_wake_at(&watch->rule, state->left, after_us - now_us, after_us);
}

/* A guard whose daemon is gone and that has nothing to guard does not stay for ever. */
static bool is_idle(struct watch *watch, int64_t now_us)
{
    if (watch->daemon >= 0 || watch->mode != GUARD_STANDBY || watch->rule.deadline_us != RULE_NEVER)
        return false;
    if (now_us >= watch->idle_at_us) {
        if (instance_count(&watch->instance, NULL) == 0)
            return true;
        watch->idle_at_us = now_us + page_linger(watch->page);
    }
    watch->state.wake_at_us = watch->idle_at_us;
    return false;
}

static void arm(struct watch *watch)
{
    int64_t at_us = watch->state.wake_at_us;
    struct itimerspec when = { 0 };

    if (at_us != RULE_NEVER) {
        when.it_value.tv_sec = at_us > 0 ? at_us / 1000000 : 0;
        /* One nanosecond more, for zero would mean never. */
        when.it_value.tv_nsec = at_us > 0 ? at_us % 1000000 * 1000 + 1 : 1;
    }
    (void)timerfd_settime(watch->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

bool watch_turn(struct watch *watch)
{
    struct guard_order order;
    int64_t now_us = clock_boot_us();

    uint64_t sequence = page_read_order(watch->page, &order);
    if (order.mode == GUARD_QUIT)
        return false;
    watch->state.wakes++;
    watch->mode = order.mode;
    watch->token = order.token;
    follow_daemon(watch, now_us);
    follow_rule(watch, &order, now_us);
    if (is_idle(watch, now_us))
        return false;
    arm(watch);
    watch->state.seen = sequence;
    page_write_state(watch->page, &watch->state);
    return true;
}

void watch_sleep(struct watch *watch)
{
    struct pollfd reasons[] = {
        { .fd = watch->timer, .events = POLLIN },
        { .fd = watch->signals, .events = POLLIN },
        { .fd = watch->daemon, .events = POLLIN },
    };
    uint64_t ticks;
    struct signalfd_siginfo info;

    (void)poll(reasons, ARRAY_LEN(reasons), -1);
    /* Both are non-blocking; that nothing is there to be read is fine. */
    while (read(watch->timer, &ticks, sizeof ticks) > 0)
        continue;
    while (read(watch->signals, &info, sizeof info) > 0)
        continue;
}
