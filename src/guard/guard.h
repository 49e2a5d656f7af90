/*
 * guard.h - the daemon's side of the guard: start it or take it over, give it its orders, see that it lives.
 *
 * The guard (main.c) stops PostgreSQL before its lease ends, whatever becomes of the daemon (design.md 4). Without a
 * guard that is alive and armed a node may not hold a lease. There is one for a runtime directory: it holds a lock on
 * <runtime directory>/guard.lock, whose text tells a restarted daemon where to find it. And there is one for a data
 * directory, also where that lock was removed: other.h. Calls block for a moment at most where the contract does not
 * say longer.
 */
#ifndef RAFTMGR_GUARD_GUARD_H
#define RAFTMGR_GUARD_GUARD_H

#include "guard/page.h"

#define GUARD_START_MS 2000 /* how long a guard may take to start or to be taken over */

/* One for a data directory; zeroed storage is a detached guard. */
struct guard {
    struct guard_page *page; /* NULL = detached */
    int page_fd;
    int pidfd;
    int64_t kill_time_us;
    uint64_t sequence;       /* of the order that we put in force last */
    uint64_t kicked;         /* of the last order that the guard must have seen to be armed */
    struct guard_order last; /* the order in force */
};

/*
 * Takes the running guard over, or starts a new one (blocks up to GUARD_START_MS, usually some milliseconds). One that
 * is attached and lives is left as it is; one that was attached and has died is replaced, with its last order in force.
 * *ret_taken_over (may be NULL) says whether it ran already: then guard_read tells its order, which stays in force. A
 * new guard begins with STANDBY. Taking over also ends what an earlier daemon, should it only be frozen, may order.
 *
 * Forks twice and reaps its own child by its number; the guard is nobody's child. binary is a path, not looked for in
 * PATH. The runtime directory must exist. kill_time_us applies from the next guard_set on. Errors: ERR_REFUSED (it runs
 * for another data directory, one that runs for this one cannot be taken over, or it may not signal PostgreSQL),
 * ERR_STALE (another boot's or version's page), ERR_COMMAND (it did not start), ERR_NOT_FOUND (the lock is held and
 * nobody answers), ERR_TIMEOUT, ERR_SYSTEM. Then *guard is detached, but for ERR_REFUSED because it is attached for
 * another data directory.
 */
int guard_attach(struct guard *guard, const char *binary, const char *runtime_directory, const char *data_directory,
                 int64_t kill_time_us, bool *ret_taken_over, struct err *err);

/* Another guard_kill_time, from the next guard_set on. */
void guard_set_kill_time(struct guard *guard, int64_t kill_time_us);

/*
 * Puts an order in force, atomically, and wakes the guard where it would otherwise learn of it too late (another
 * mode, an earlier deadline, another kill time). kill_at_us counts for GUARD_PRIMARY only: lease end -
 * guard_kill_time, on CLOCK_BOOTTIME. Errors: ERR_NOT_FOUND (detached, or the guard is dead), ERR_STALE (another
 * daemon took it over; the order was not given).
 */
int guard_set(struct guard *guard, enum guard_mode mode, int64_t kill_at_us, uint64_t token, struct err *err);

/* The order in force: what a restarted daemon finds. False when detached. */
bool guard_read(const struct guard *guard, struct guard_order *ret_order);

/* What the guard says of itself, for status and events. False when detached. */
bool guard_state(const struct guard *guard, struct guard_state *ret_state);

/* Readable (POLLIN) once the guard is dead; -1 when detached. Owned by *guard: stop polling before the next attach
 * or forget. */
int guard_pidfd(const struct guard *guard);

/* True while the guard's process exists. */
bool guard_alive(const struct guard *guard);

/* True when it is alive, has seen the last order that it had to be woken for, is not stopping PostgreSQL now, and is
 * not late for its own alarm: it will stop PostgreSQL at the deadline, and not before. After a change of mode, or a new
 * deadline when the old one has passed, this takes some milliseconds to become true: start no primary before. */
bool guard_armed(const struct guard *guard);

/* Detaches; the guard goes on by its page. */
void guard_forget(struct guard *guard);

#endif
