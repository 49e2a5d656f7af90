/* look.h - the one query of a look, and its row as a value. Works on PostgreSQL 13 to 18. */
#ifndef RAFTMGR_PG_LOOK_H
#define RAFTMGR_PG_LOOK_H

#include <libpq-fe.h>

#include "core/instance.h"

struct look {
    bool in_recovery;
    int64_t postmaster_started_us;
    struct lsn flushed;        /* primary: pg_current_wal_flush_lsn */
    struct timeline inserting; /* primary: the timeline it writes */
    struct lsn received;       /* standby: pg_last_wal_receive_lsn, 0 when no receiver has run in this life */
    struct lsn replayed;
    int32_t startup; /* standby: the startup process */
    bool waiting;    /* standby: startup has replayed all there is and waits for more WAL */
    bool replay_paused;
    int64_t replay_lag_us;
    bool receiver;
    bool receiver_streaming;
    struct timeline receiver_timeline;
    uint64_t segment_bytes;
    bool can_rewind;
    uint64_t conf_written;           /* raftmgr.written as this session has it */
    char sync_names[1024];           /* synchronous_standby_names as this session has it */
    char pending_restart[TEXT_SIZE]; /* only asked on a new connection */
    uint32_t walsender_count;
    struct walsender_seen walsenders[MEMBERS_MAX];
};

/* The statement. A full one also asks for the settings that wait for a restart, which costs a millisecond more. */
const char *look_sql(bool full);

/* False when the row is not as expected. */
bool look_parse(const PGresult *rows, struct look *ret);

/* Takes the text of the walsenders apart: tab-separated fields, one line each. For look_parse and its test. */
uint32_t look_walsenders(const char *text, struct walsender_seen *ret, uint32_t max);

#endif
