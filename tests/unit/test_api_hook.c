/*
 * test_api_hook.c - event_notification_command: its words, and that each record of a leader's time is told once, in
 * order, whatever the command does.
 */
#include "daemon/hook.h"

#include <unistd.h>

#include "agreed_steps.h"
#include "base/clock.h"
#include "base/file.h"
#include "daemon/api.h"

#define WAIT_MS 5000

static struct cluster cluster;

static void expands(const char *command, const struct record *record, const char *expected)
{
    char text[256];

    CU_ASSERT(hook_expand(command, &cluster, record, text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, expected);
}

static void fills_placeholders_in(void)
{
    struct record record = { .wall_us = 1769862896789000,
                             .node_id = B,
                             .event = "standby_register",
                             .successful = true,
                             .text = "say \"hi\" $(x) `y` \\" };

    agreed_four(&cluster, 1);
    expands(
        "n=%n e=%e s=%s t='%t' d=\"%d\" 100%% %x %", &record,
        "n=2 e=standby_register s=1 t='2026-01-31 12:34:56.789+00' d=\"say \\\"hi\\\" \\$(x) \\`y\\` \\\\\" 100% %x %");
    expands("%p %c %a", &record, "1 host=10.0.0.1 node1");
    struct member *primary = &cluster.members[0];
    struct member was = *primary;
    (void)text_copy(primary->conninfo, sizeof primary->conninfo, "host=h application_name=$(id)");
    (void)text_copy(primary->name, sizeof primary->name, "n`id`");
    expands("\"%c\" \"%a\"", &record, "\"host=h application_name=\\$(id)\" \"n\\`id\\`\"");
    *primary = was;
    record.successful = false;
    (void)text_copy(record.event, sizeof record.event, "repmgrd_failover_promote");
    (void)text_copy(record.text, sizeof record.text,
                    "node \"node2\" (ID: 2) promoted to primary; old primary \"node7\" (ID: 7) marked as failed");
    expands("%s|%p|%c|%a", &record, "0|7||");
    (void)text_copy(record.event, sizeof record.event, "raftmgr_fence");
    expands("|%p%c%a|", &record, "||");
}

static void keeps_within_bounds(void)
{
    struct record record = { .node_id = B, .event = "e", .text = "0123456789" };
    char text[8];

    CU_ASSERT(!hook_expand("%d", &cluster, &record, text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "0123456");
    CU_ASSERT(hook_expand("1234567", &cluster, &record, text, sizeof text));
    CU_ASSERT(!hook_expand("12345678", &cluster, &record, text, sizeof text));
}

static void filters_events(void)
{
    CU_ASSERT(hook_wanted("", "standby_register"));
    CU_ASSERT(hook_wanted(" , ", "standby_register"));
    CU_ASSERT(hook_wanted("standby_register", "standby_register"));
    CU_ASSERT(hook_wanted("a, standby_register ,b", "standby_register"));
    CU_ASSERT(!hook_wanted("standby_registers,standby", "standby_register"));
}

/* -- running ------------------------------------------------------------------------------------------------------ */

static struct daemon leader;
static char told[1024];

static void record_event(const char *event, int64_t wall_us)
{
    struct record *record = &leader.manager.cluster.records[leader.manager.cluster.record_count++ % RECORDS_MAX];

    *record = (struct record){ .wall_us = wall_us, .node_id = 1, .successful = true };
    (void)text_copy(record->event, sizeof record->event, event);
}

/* Runs the loop until the file holds this. */
static void expect_told(const char *path, const char *expected)
{
    for (int waited_ms = 0; waited_ms < WAIT_MS; waited_ms++) {
        AUTO(buf) bytes;
        buf_init(&bytes, sizeof told - 1);
        if (file_read(path, &bytes, NULL) == 0 && bytes.length > 0)
            memcpy(told, bytes.bytes, bytes.length);
        told[bytes.length] = '\0';
        hook_turn(&leader);
        (void)uv_run(&leader.loop, UV_RUN_NOWAIT);
        if (strcmp(told, expected) == 0)
            break;
        (void)usleep(1000);
    }
    CU_ASSERT_STRING_EQUAL(told, expected);
}

static void tells_each_once_in_order(void)
{
    char path[256];
    struct err err;

    memset(&leader, 0, sizeof leader);
    settings_init(&leader.settings);
    log_set_level(LOG_ERROR);
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&leader.loop), 0);
    (void)unit_path(leader.settings.control_socket, sizeof leader.settings.control_socket, "hook.sock");
    CU_ASSERT_EQUAL_FATAL(api_open(&leader, &err), 0);
    (void)unit_path(path, sizeof path, "told");
    (void)snprintf(leader.settings.event_notification_command, sizeof leader.settings.event_notification_command,
                   "echo %%e >>%s; test %%e != b", path);
    (void)text_copy(leader.settings.event_notifications, sizeof leader.settings.event_notifications, "a,b,c,d");
    leader.consensus = (struct consensus *)&leader; /* never looked into */

    hook_turn(&leader);
    record_event("a", clock_wall_us() + 1000000); /* while another leads */
    hook_turn(&leader);
    record_event("c", 1000); /* read from the log of a former life */
    record_event("b", clock_wall_us() + 1000000);
    record_event("x", clock_wall_us() + 1000000); /* not asked for */
    record_event("c", clock_wall_us() + 1000000);
    leader.manager.lead.raft.leader = true;
    expect_told(path, "b\nc\n");
    record_event("d", clock_wall_us() + 1000000);
    expect_told(path, "b\nc\nd\n");
    leader.manager.lead.raft.leader = false;
    record_event("a", clock_wall_us() + 1000000);
    hook_turn(&leader);
    leader.manager.lead.raft.leader = true;
    record_event("b", clock_wall_us() + 1000000);
    expect_told(path, "b\nc\nd\nb\n");
    api_close(&leader);
    (void)uv_run(&leader.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&leader.loop), 0);
    log_set_level(LOG_INFO);
}

static const struct unit_test tests[] = {
    { "placeholders stand for what repmgr means by them", fills_placeholders_in },
    { "a command that does not fit is told as such", keeps_within_bounds },
    { "event_notifications names whole events", filters_events },
    { "a leader tells each record once, in order, whatever became of the last", tells_each_once_in_order },
};
const struct unit_suite suite_api_hook = UNIT_SUITE("api_hook", tests);
