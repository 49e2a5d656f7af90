/*
 * probe.h - what the probe knows of the instance from look to look (probe.c, seen.c, held.c, resolve.c).
 */
#ifndef RAFTMGR_PG_PROBE_H
#define RAFTMGR_PG_PROBE_H

#include "pg/child.h"
#include "pg/conn.h"
#include "pg/look.h"
#include "pg/pg.h"
#include "pg/wal.h"

/* The postmaster as a process. */
struct life {
    pid_t pid;        /* 0: there is none */
    int pidfd;        /* -1: there is none */
    uv_poll_t *death; /* fires at its end */
    bool known;       /* a connection has told its state in this life */
};

struct probe {
    uv_timer_t timer;
    uv_timer_t nudge; /* wakes startup for a while after it was pointed at an upstream */
    int64_t nudge_until_us;
    unsigned look_ms;
    unsigned knock_ms;
    unsigned patience_ms; /* for the answer to a knock; twice as long for what takes work */
    bool again;           /* asked to look while a look was under way */
    bool soon;            /* asked to look: do not wait for the pace */
    struct conn *kept;
    struct conn *fresh;       /* being tried; becomes the kept one, or only knocks */
    int64_t tried_at_us;      /* when the last new connection or knock was begun */
    int64_t renewed_at_us;    /* when the kept connection was a new one */
    int64_t no_knock_till_us; /* knocks are not understood (hostssl only, say) */
    bool write_owed;          /* a knock was taken, the kept connection was busy */
    unsigned refused;         /* new connections in a row that failed */
    int64_t kept_at_us;       /* when the kept connection answered last */
    int64_t kept_asked_us;    /* when the newest query of a look began, over the kept connection */
    int64_t fresh_asked_us;   /* and over a new one */
    int64_t looked_us;        /* when what `seen` tells was asked for: an action that ended later is not in it */
    struct life life;
    struct pg_seen seen;
    struct look raw;
    uint64_t written;     /* of the settings file */
    uint64_t loaded;      /* raftmgr.written as a new connection saw it last */
    bool sync_as_written; /* and synchronous_standby_names was as in the file */
    struct timespec conf_changed;
    struct timespec control_changed;
    int64_t room_at_us;         /* when room on the disk was looked for */
    int64_t dry_at_us;          /* when to look why no WAL comes; 0: some does */
    struct timeline newest;     /* standby: the timeline its WAL goes up to, as known in this life */
    struct timeline history_of; /* the timeline whose history is cached */
    struct history history;
    struct child *controldata;
    struct child *waldump;
    struct lsn dumped_from; /* what pg_waldump was asked, and what it found */
    struct lsn dumped_end;
    struct timeline dumping; /* the run under way */
    struct lsn dumping_from;
};

#endif
