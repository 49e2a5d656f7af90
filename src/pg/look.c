/*
 * look.c - everything a look wants to know, in one statement. See look.h.
 *
 * The order matters in one place: that startup waits for WAL is read before the positions. What it had replayed when it
 * began to wait can only be less than or equal to what is read later, never more.
 *
 * Walsenders come in the order in which they matter, so that strangers, however many, cannot crowd out a member's.
 */
#include "pg/look.h"

#include <stdlib.h>

#include "core/cluster.h"

#define US "* 1000000)::bigint"
#define SLOT_PATTERN "^repmgr_slot_[0-9]+(_[0-9]+)?$"

#define LOOK_SQL                                                                                                       \
    "SELECT CASE WHEN r THEN (SELECT concat_ws(' ', pid, wait_event) FROM pg_stat_get_activity(NULL)"                  \
    " WHERE backend_type = 'startup') END"                                                                             \
    ", r, (extract(epoch FROM pg_postmaster_start_time()) " US                                                         \
    ", CASE WHEN r THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'"                         \
    ", CASE WHEN r THEN pg_last_wal_replay_lsn() - '0/0' END"                                                          \
    ", CASE WHEN NOT r THEN pg_walfile_name(pg_current_wal_insert_lsn()) END"                                          \
    ", r AND pg_is_wal_replay_paused()"                                                                                \
    ", CASE WHEN r AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"                                           \
    "  THEN (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) " US " END"                       \
    ", (SELECT concat_ws(' ', pid, received_tli, status) FROM pg_stat_wal_receiver)"                                   \
    ", pg_size_bytes(current_setting('wal_segment_size'))"                                                             \
    ", current_setting('data_checksums') = 'on' OR current_setting('wal_log_hints') = 'on'"                            \
    ", current_setting('raftmgr.written', true), current_setting('synchronous_standby_names')"                         \
    ", (SELECT string_agg(concat_ws(E'\\t', application_name, pid, coalesce((extract(epoch FROM backend_start) " US    \
    ", 0), (state = 'streaming')::int, coalesce(sync_priority, 0), coalesce(flush_lsn - '0/0', 0)"                     \
    ", coalesce(replay_lsn - '0/0', 0), coalesce((extract(epoch FROM reply_time) " US ", 0)"                           \
    ", coalesce((extract(epoch FROM replay_lag) " US ", 0), coalesce(slot_name, '-')), E'\\n'"                         \
    " ORDER BY coalesce(sync_priority, 0) = 0, coalesce(slot_name, '') !~ '" SLOT_PATTERN "', application_name, pid)"  \
    " FROM pg_stat_replication LEFT JOIN pg_replication_slots ON active_pid = pid WHERE state IS NOT NULL)"
#define LOOK_PENDING "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings WHERE pending_restart"
#define LOOK_FROM " FROM pg_is_in_recovery() AS r"

enum {
    COLUMN_STARTUP,
    COLUMN_RECOVERY,
    COLUMN_STARTED,
    COLUMN_POSITION,
    COLUMN_REPLAYED,
    COLUMN_WALFILE,
    COLUMN_PAUSED,
    COLUMN_LAG,
    COLUMN_RECEIVER,
    COLUMN_SEGMENT,
    COLUMN_REWIND,
    COLUMN_WRITTEN,
    COLUMN_SYNC,
    COLUMN_WALSENDERS,
    COLUMN_PENDING,
};

const char *look_sql(bool full)
{
    return full ? LOOK_SQL ", (" LOOK_PENDING ")" LOOK_FROM : LOOK_SQL ", NULL" LOOK_FROM;
}

static const char *text_of(const PGresult *rows, int column)
{
    return PQgetvalue(rows, 0, column); /* empty for NULL */
}

static uint64_t number_of(const PGresult *rows, int column)
{
    return strtoull(text_of(rows, column), NULL, 10);
}

static bool truth_of(const PGresult *rows, int column)
{
    return text_of(rows, column)[0] == 't';
}

/* The next tab-separated field of a line, terminated; false at the line's end. */
static bool field(const char **at, char *text, size_t size)
{
    size_t length = strcspn(*at, "\t\n");

    (void)snprintf(text, size, "%.*s", (int)length, *at);
    *at += length;
    if (**at == '\t')
        (*at)++;
    return length > 0;
}

static uint64_t number(const char **at)
{
    char text[32];

    (void)field(at, text, sizeof text);
    return strtoull(text, NULL, 10);
}

/* "repmgr_slot_<node id>", or with another number behind it, is a node's; "-" stands for none. */
static int32_t slot_node(const char **at, uint64_t *ret_no)
{
    char slot[NAME_SIZE];
    int32_t node_id;
    int length = 0;

    *ret_no = 0;
    if (!field(at, slot, sizeof slot))
        return 0;
    if (sscanf(slot, "repmgr_slot_%" SCNd32 "%n", &node_id, &length) != 1)
        return -1;
    if (slot[length] && (sscanf(slot + length, "_%" SCNu64 "%n", ret_no, &length) != 1 || *ret_no == 0))
        return -1;
    char whole[NAME_SIZE];
    member_slot(&(struct member){ .node_id = node_id, .slot_no = *ret_no }, whole);
    return strcmp(slot, whole) == 0 ? node_id : -1;
}

uint32_t look_walsenders(const char *text, struct walsender_seen *ret, uint32_t max)
{
    uint32_t count = 0;

    while (*text && count < max) {
        struct walsender_seen *seen = &ret[count++];
        *seen = (struct walsender_seen){ 0 };
        (void)field(&text, seen->name, sizeof seen->name);
        seen->pid = (int32_t)number(&text);
        seen->started_us = (int64_t)number(&text);
        seen->streaming = number(&text) != 0;
        seen->synchronous = number(&text) > 0;
        seen->flushed.at = number(&text);
        seen->replayed.at = number(&text);
        seen->replied_us = (int64_t)number(&text);
        seen->lag_us = (int64_t)number(&text);
        seen->slot_node = slot_node(&text, &seen->slot_no);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return count;
}

/* "pid wait_event" of the startup process; without the right to see it the second is missing. */
static void parse_startup(const char *text, struct look *look)
{
    char wait_event[64] = "";

    if (sscanf(text, "%" SCNd32 " %63s", &look->startup, wait_event) < 1)
        return;
    look->waiting =
        strcmp(wait_event, "RecoveryWalStream") == 0 || strcmp(wait_event, "RecoveryRetrieveRetryInterval") == 0;
}

static void parse_receiver(const char *text, struct look *look)
{
    char status[32] = "";
    int pid = 0;

    if (sscanf(text, "%d %" SCNu32 " %31s", &pid, &look->receiver_timeline.no, status) < 1)
        return;
    look->receiver = pid > 0;
    look->receiver_streaming = strcmp(status, "streaming") == 0;
}

bool look_parse(const PGresult *rows, struct look *ret)
{
    struct look look = { 0 };

    if (PQntuples(rows) != 1 || PQnfields(rows) <= COLUMN_PENDING)
        return false;
    look.in_recovery = truth_of(rows, COLUMN_RECOVERY);
    look.postmaster_started_us = (int64_t)number_of(rows, COLUMN_STARTED);
    if (look.in_recovery) {
        parse_startup(text_of(rows, COLUMN_STARTUP), &look);
        look.received.at = number_of(rows, COLUMN_POSITION);
        look.replayed.at = number_of(rows, COLUMN_REPLAYED);
        look.replay_paused = truth_of(rows, COLUMN_PAUSED);
        look.replay_lag_us = (int64_t)number_of(rows, COLUMN_LAG);
        parse_receiver(text_of(rows, COLUMN_RECEIVER), &look);
    } else {
        look.flushed.at = number_of(rows, COLUMN_POSITION);
        if (sscanf(text_of(rows, COLUMN_WALFILE), "%8" SCNx32, &look.inserting.no) != 1)
            return false;
    }
    look.segment_bytes = number_of(rows, COLUMN_SEGMENT);
    look.can_rewind = truth_of(rows, COLUMN_REWIND);
    look.conf_written = number_of(rows, COLUMN_WRITTEN);
    (void)text_copy(look.sync_names, sizeof look.sync_names, text_of(rows, COLUMN_SYNC));
    (void)text_copy(look.pending_restart, sizeof look.pending_restart, text_of(rows, COLUMN_PENDING));
    look.walsender_count = look_walsenders(text_of(rows, COLUMN_WALSENDERS), look.walsenders, MEMBERS_MAX);
    *ret = look;
    return true;
}
