/*
 * history.h - timeline arithmetic: who is on whose history, and where two servers part.
 *
 * A server's history lists the timelines before its present one with the position where each ended for it; what is
 * known of its present one reaches to the server's own end of WAL. Timeline numbers are given out once by the log (R9),
 * but servers promoted by hand may share one (R36): two histories are therefore held against each other row by row from
 * the oldest, and part at the first difference, as pg_rewind does it.
 */
#ifndef RAFTMGR_HISTORY_H
#define RAFTMGR_HISTORY_H

#include "base/err.h"
#include "core/types.h"

#define HISTORY_BYTES_MAX (64 * 1024) /* of a .history file */

/*
 * Reads the text of `timeline`'s .history file (PostgreSQL manual, "Timelines"): rows of a timeline number, a position
 * and a reason, divided by blanks; "#" begins a comment. Timeline 1 has no file: empty text. Of more than HISTORY_MAX
 * rows the newest are kept. Returns 0, or -ERR_CORRUPT with *ret_history untouched where a row cannot be read, numbers
 * or positions do not grow, or a row's number is not below the timeline's.
 */
int history_parse(const char *text, size_t length, struct timeline timeline, struct history *ret_history,
                  struct err *err);

/*
 * A server whose last record is of `timeline` and ends at `end` is on the history of a server that is on
 * target_timeline now: what it holds is a beginning of the target's WAL, and it can follow. On the same timeline this
 * is true whatever the positions are.
 */
bool history_contains(const struct history *target, struct timeline target_timeline, struct timeline timeline,
                      struct lsn end);

/* A server's WAL as a line. `history` is borrowed; an end of 0 means that it goes on without limit. */
struct lineage {
    const struct history *history;
    struct timeline timeline; /* of the last record */
    struct lsn end;
};

struct fork {
    struct timeline timeline; /* newest that both have in common; 0: none, the servers are strangers */
    struct lsn at;            /* up to here, on that timeline, both have the same WAL; 0: none, or without limit */
    bool diverged; /* the server holds WAL beyond the fork: it must lose it before it can follow the target */
};

/* Where the server's WAL and the target's part. */
struct fork history_fork(struct lineage server, struct lineage target);

#endif
