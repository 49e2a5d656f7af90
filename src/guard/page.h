/*
 * page.h - the one page of memory that daemon and guard share: the daemon's orders, the guard's answers.
 *
 * The page is an anonymous file in memory (memfd), sealed against shrinking, so that neither side can be hit by
 * SIGBUS. It exists as long as one of the two holds it: never on a disk, never across a boot (design-review.md R15).
 * It names the boot and the data directory it is for, and is refused for any other.
 *
 * An order is written into the slot that is not in force, and then put in force by one atomic exchange of the
 * sequence number: a daemon that is killed in the middle of writing leaves the old order in force, and the guard
 * never waits for a writer. Each side writes its own half only.
 */
#ifndef RAFTMGR_GUARD_PAGE_H
#define RAFTMGR_GUARD_PAGE_H

#include <sys/types.h>

#include "base/err.h"

#define GUARD_PATH_SIZE 1024
#define GUARD_PAGE_BYTES 4096

enum guard_mode {
    GUARD_STANDBY, /* nothing to stop. In force only once standby.signal is in the data directory: until then the last
                      deadline stays. Say it only when no process of the primary is left */
    GUARD_PRIMARY, /* PostgreSQL is stopped from kill_at_us on, until a later deadline is ordered */
    GUARD_PAUSED,  /* maintenance: nothing is stopped */
    GUARD_QUIT,    /* the guard ends itself */
};

/* What the daemon wants. */
struct guard_order {
    enum guard_mode mode;
    int64_t kill_at_us;   /* PRIMARY: CLOCK_BOOTTIME at which the stopping begins = lease end - guard_kill_time */
    int64_t kill_time_us; /* what the stopping may take: SIGQUIT at kill_at_us, SIGKILL from half of it on */
    uint64_t token;       /* the lease's; the guard shows it and does not judge by it */
};

enum guard_act {
    GUARD_ACT_NONE,
    GUARD_ACT_QUIT,    /* asked PostgreSQL to end at once: SIGQUIT */
    GUARD_ACT_KILL,    /* killed PostgreSQL processes: SIGKILL */
    GUARD_ACT_STOPPED, /* found none left after it had stopped some */
    GUARD_ACT_RELEASE, /* a later deadline, standby or pause ended the stopping */
};

/* What the guard says of itself. */
struct guard_state {
    pid_t pid;             /* 0 = not started yet */
    uint64_t started;      /* its start time, field 22 of /proc/PID/stat: tells it from a later one of that number */
    uint64_t seen;         /* sequence number of the last order it acted on */
    int64_t deadline_us;   /* when it begins to stop PostgreSQL as things stand; INT64_MAX = never */
    int64_t wake_at_us;    /* it will look at the page by then on its own; INT64_MAX = only when told */
    uint64_t wakes;        /* how often it woke */
    uint64_t stops;        /* deadlines that passed with PostgreSQL processes there */
    uint64_t kills;        /* SIGKILLs sent to PostgreSQL processes */
    enum guard_act act;    /* what it did last */
    int64_t act_at_us;     /* and when, CLOCK_BOOTTIME */
    int32_t left;          /* PostgreSQL processes at its last look while stopping; -1 = it could not look */
    bool stopping;         /* a deadline has passed and was not replaced */
    bool memory_locked;    /* mlockall worked */
    bool real_time;        /* SCHED_FIFO was granted */
    bool own_group;        /* it has a control group of its own */
    int32_t oom_score_adj; /* -1000 = never chosen by the OOM killer */
};

/* The mapped page; the layout is private to page.c. */
struct guard_page;

/* Makes a page for this boot and data directory, with the order {STANDBY, kill_time_us}. The descriptor,
 * close-on-exec, is the caller's; unmap with page_unmap. ERR_CONFIG when the path is not absolute or too long. */
int page_create(const char *data_directory, int64_t kill_time_us, int *ret_fd, struct guard_page **ret_page,
                struct err *err);

/* Maps and checks one that exists: size, seal, magic, version, boot. ERR_CORRUPT when it is no page of ours,
 * ERR_STALE when it is of another boot or version. The descriptor stays the caller's. */
int page_map(int fd, struct guard_page **ret_page, struct err *err);

/* Accepts NULL. */
void page_unmap(struct guard_page *page);

/* The data directory it is for. */
const char *page_data_directory(const struct guard_page *page);

/* True when the page is for this data directory: the same path or the same directory on disk. */
bool page_is_for(const struct guard_page *page, const char *data_directory);

/* The order in force, never a torn one; returns its sequence number. */
uint64_t page_read_order(const struct guard_page *page, struct guard_order *ret_order);

/* Puts an order in force if the one in force still is number `expected`; returns its own number, or 0 where another
 * writer came first. */
uint64_t page_write_order(struct guard_page *page, uint64_t expected, const struct guard_order *order);

/* Which daemon the guard belongs to: its process and that one's start time (the guard ends some time after it when
 * there is nothing to guard). */
void page_set_daemon(struct guard_page *page, pid_t pid, uint64_t started);
void page_daemon(const struct guard_page *page, pid_t *ret_pid, uint64_t *ret_started);

/* How long a guard with nothing to guard outlives its daemon. A new page says GUARD_LINGER_US. */
#define GUARD_LINGER_US (60 * INT64_C(1000000))
void page_set_linger(struct guard_page *page, int64_t linger_us);
int64_t page_linger(const struct guard_page *page);

/* The guard's half. Fields are written and read one by one: a reader may see a mix of two moments. */
void page_write_state(struct guard_page *page, const struct guard_state *state);
void page_read_state(const struct guard_page *page, struct guard_state *ret_state);

/* Name of a mode, for logs ("primary"). */
const char *guard_mode_name(enum guard_mode mode);

#endif
