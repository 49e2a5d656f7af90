/*
 * hook.c - runs event_notification_command, one at a time, in the order of the records, each with a deadline.
 *
 * Each record is told once, by the Raft leader that saw it applied; what was applied while another led is that one's.
 * A leader that dies may leave some untold: nothing depends on the command, and it is never told twice on purpose.
 */
#include "daemon/hook.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/api.h"

#define HOOK_DEADLINE_MS 30000

struct hook {
    uv_process_t process;
    uv_timer_t deadline;
    struct daemon *daemon; /* NULL: closing */
    uint32_t handles;
    bool led;
    bool running;
    bool late;
    bool mute;             /* it has been said that this node has no command */
    int64_t since_wall_us; /* records before this daemon's start are nobody's news */
    char event[NAME_SIZE];
};

static void closed(uv_handle_t *handle)
{
    struct hook *hook = handle->data;

    if (--hook->handles == 0)
        free(hook);
}

static void process_closed(uv_handle_t *handle)
{
    struct hook *hook = handle->data;

    hook->running = false;
    if (hook->daemon)
        daemon_wake(hook->daemon);
    closed(handle);
}

static void failed(const struct hook *hook, const char *format, ...) PRINTF_LIKE(2, 3);

static void failed(const struct hook *hook, const char *format, ...)
{
    char text[TEXT_SIZE];
    char quoted[2 * TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (hook->daemon)
        daemon_event(hook->daemon, EVENT_HOOK_FAILED, "event=%s error=%s", hook->event,
                     log_quoted(quoted, sizeof quoted, text));
}

static void ended(uv_process_t *process, int64_t status, int signal_no)
{
    struct hook *hook = process->data;

    if (hook->late)
        failed(hook, "killed after %d s", HOOK_DEADLINE_MS / 1000);
    else if (signal_no)
        failed(hook, "ended by signal %d", signal_no);
    else if (status)
        failed(hook, "ended with status %" PRId64, status);
    if (!uv_is_closing((uv_handle_t *)&hook->deadline))
        (void)uv_timer_stop(&hook->deadline);
    if (!uv_is_closing((uv_handle_t *)process))
        uv_close((uv_handle_t *)process, process_closed);
}

/* Its whole group: it leads one. It is not reaped before ended(), so the number is still its own. */
static void too_late(uv_timer_t *timer)
{
    struct hook *hook = timer->data;

    hook->late = true;
    if (hook->running && hook->process.pid > 0)
        (void)kill(-hook->process.pid, SIGKILL);
}

static void spawn(struct hook *hook, char *command)
{
    char *arguments[] = { "/bin/sh", "-c", command, NULL };
    uv_stdio_container_t streams[] = { { .flags = UV_IGNORE }, { .flags = UV_IGNORE }, { .flags = UV_IGNORE } };
    uv_process_options_t options = {
        .exit_cb = ended,
        .file = arguments[0],
        .args = arguments,
        .flags = UV_PROCESS_DETACHED, /* a group of its own */
        .stdio_count = ARRAY_LEN(streams),
        .stdio = streams,
    };

    hook->late = false;
    hook->running = true;
    hook->handles++;
    int status = uv_spawn(&hook->daemon->loop, &hook->process, &options);
    hook->process.data = hook;
    if (status < 0) {
        failed(hook, "could not run it: %s", uv_strerror(status));
        uv_close((uv_handle_t *)&hook->process, process_closed);
        return;
    }
    (void)uv_timer_start(&hook->deadline, too_late, HOOK_DEADLINE_MS, 0);
}

static void tell(struct hook *hook, const struct record *record)
{
    const struct settings *settings = &hook->daemon->settings;
    char command[HOOK_COMMAND_SIZE];

    if (!hook_wanted(settings->event_notifications, record->event))
        return;
    (void)text_copy(hook->event, sizeof hook->event, record->event);
    if (!hook_expand(settings->event_notification_command, &hook->daemon->manager.cluster, record, command,
                     sizeof command))
        failed(hook, "the command is longer than %d bytes", HOOK_COMMAND_SIZE);
    else
        spawn(hook, command);
}

static struct hook *hook_new(struct daemon *daemon)
{
    struct hook *hook = calloc(1, sizeof *hook);

    if (!hook)
        return NULL;
    hook->daemon = daemon;
    hook->since_wall_us = clock_wall_us();
    hook->handles = 1;
    (void)uv_timer_init(&daemon->loop, &hook->deadline); /* cannot fail */
    hook->deadline.data = hook;
    return hook;
}

void hook_close(struct hook *hook)
{
    if (!hook)
        return;
    hook->daemon = NULL;
    uv_close((uv_handle_t *)&hook->deadline, closed);
    /* A command that runs may end by itself; nobody waits for it. */
    if (hook->running && !uv_is_closing((uv_handle_t *)&hook->process))
        uv_close((uv_handle_t *)&hook->process, process_closed);
}

/* Another node may have one, and its operator wait for it in vain. */
static void tell_mute(struct hook *hook)
{
    if (!hook->mute)
        daemon_event(
            hook->daemon, EVENT_CONFIG_NOTICE,
            "text=\"event_notification_command is not set on this node, which leads: events of this time run no "
            "command (set it on every node that may lead, or on none)\"");
    hook->mute = true;
}

void hook_turn(struct daemon *daemon)
{
    const struct cluster *cluster = &daemon->manager.cluster;

    if (!daemon->api)
        return;
    if (!daemon->api->hook)
        daemon->api->hook = hook_new(daemon);
    struct hook *hook = daemon->api->hook;
    bool leads = hook && daemon->consensus && daemon->manager.lead.raft.leader;
    if (!leads || daemon->settings.event_notification_command[0] == '\0') {
        if (leads && daemon->hooked < cluster->record_count)
            tell_mute(hook);
        daemon->hooked = cluster->record_count;
        if (hook)
            hook->led = leads;
        return;
    }
    if (cluster->record_count > RECORDS_MAX && daemon->hooked < cluster->record_count - RECORDS_MAX)
        daemon->hooked = cluster->record_count - RECORDS_MAX;
    while (!hook->led && daemon->hooked < cluster->record_count &&
           cluster->records[daemon->hooked % RECORDS_MAX].wall_us < hook->since_wall_us)
        daemon->hooked++;
    hook->led = true;
    while (!hook->running && daemon->hooked < cluster->record_count)
        tell(hook, &cluster->records[daemon->hooked++ % RECORDS_MAX]);
}
