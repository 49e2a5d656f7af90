/*
 * again.h - a daemon whose Raft log could not be written starts itself anew, in its own process.
 *
 * consensus/ ends in order where libraft cannot be relied on any more (a snapshot without room for it, a failed write);
 * a start is what libraft does survive. So raftmgrd then executes itself: the same number, other memory, and whatever a
 * start does: a new start number, HELLO, the running guard taken over. PostgreSQL and guard notice nothing if it is
 * back within the lease. What makes even the start fail for want of room is tried again, later each time.
 */
#ifndef RAFTMGR_AGAIN_H
#define RAFTMGR_AGAIN_H

#include "base/err.h"

#define AGAIN_MOST 10             /* starts in a row that came to nothing, though there was room; then it ends */
#define AGAIN_SOUND_US 60000000LL /* a life that lasted longer was sound */
#define AGAIN_PAUSE_MS 100        /* before the first; doubles */
#define AGAIN_PAUSE_MAX_MS 30000

/* How many starts have come to nothing before this one; 0 for one by an operator or a service manager. To be called
 * once, first of all: children are not told. Collects children of the former life that have ended, and takes the
 * program's name back. */
unsigned again_count(void);

/* After so many, a start that failed with this error is worth another. A first one is not: whoever made it is told. */
bool again_after_start(unsigned count, enum err_code code);

/* The same of a life that lasted so long and ended because the Raft log could not be written. */
bool again_after_life(unsigned count, int64_t lasted_us);

/* How many starts have come to nothing, now that this life has ended. */
unsigned again_counted(unsigned count, int64_t lasted_us);

/* How long to wait before the next. */
unsigned again_pause_ms(unsigned count);

/* Waits, and executes the program anew with these arguments. Returns only where that failed. A signal that is neither
 * ignored nor caught ends the wait and the process: daemon_close() ignores SIGHUP alone. */
void again_execute(char *const *argv, unsigned count);

#endif
