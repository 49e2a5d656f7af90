/*
 * wal.h - what a data directory says of its write-ahead log while nobody is asked: control file, timeline histories,
 * segment files. Small reads that do not block for long.
 */
#ifndef RAFTMGR_PG_WAL_H
#define RAFTMGR_PG_WAL_H

#include "base/err.h"
#include "core/types.h"

#define WAL_NAME_SIZE 25

/* DBState of pg_control; the numbers are PostgreSQL's since 9.x. */
enum control_state {
    CONTROL_STARTUP,
    CONTROL_SHUT_DOWN,
    CONTROL_SHUT_DOWN_IN_RECOVERY,
    CONTROL_SHUTTING_DOWN,
    CONTROL_CRASH_RECOVERY,
    CONTROL_ARCHIVE_RECOVERY,
    CONTROL_IN_PRODUCTION,
};

struct control {
    uint64_t system_identifier;
    uint32_t state; /* enum control_state */
    struct lsn checkpoint;
    struct lsn redo;
    struct timeline timeline; /* of that checkpoint */
};

/* Takes the fields out of the first bytes of a control file of PostgreSQL 13 to 18. ERR_CORRUPT for anything else. */
int control_parse(const void *bytes, size_t length, struct control *ret, struct err *err);

/* Reads global/pg_control. ERR_NOT_FOUND when there is none. */
int control_read(const char *data_directory, struct control *ret, struct err *err);

/* Where the record of the latest checkpoint ends, that is where WAL goes on: read from the segment file itself. */
int control_end(const char *data_directory, const struct control *control, struct lsn *ret_end, struct err *err);

/* Reads pg_wal/XXXXXXXX.history; timeline 1 has none and an empty history. ERR_NOT_FOUND, ERR_CORRUPT. */
int history_read(const char *data_directory, struct timeline timeline, struct history *ret, struct err *err);

/* The timeline of the record that ends at `end` in a log that goes along `history` up to `timeline`. */
struct timeline history_timeline_at(const struct history *history, struct timeline timeline, struct lsn end);

/* Makes "1<tab>0/28<tab>reserved" histories, durably, for the numbers between own and reserved that have none: the
 * server then promotes to `reserved` (design-review.md R9). ERR_REFUSED when that number cannot be next. */
int history_reserve(const char *data_directory, struct timeline own, struct timeline reserved, struct err *err);

/* Takes placeholders away that no real history follows. A standby that finds one as its newest history does not start:
 * "requested timeline is not a child of this server's history". Only while no server runs. */
int history_clean(const char *data_directory, struct timeline own, struct err *err);

/* True when pg_wal has a history file for it. */
bool history_exists(const char *data_directory, struct timeline timeline);

/* The name of the segment that holds the byte at `at`. Size WAL_NAME_SIZE. */
void wal_name(struct timeline timeline, struct lsn at, uint64_t segment_bytes, char *name);

/* Takes a segment file's name apart; false for other names. */
bool wal_name_parse(const char *name, struct timeline *ret_timeline, uint64_t *ret_high, uint64_t *ret_low);

/* Bytes of a segment file, from the first that is found in pg_wal. */
int wal_segment_bytes(const char *data_directory, uint64_t *ret, struct err *err);

/* True when there is a segment file of this timeline for the byte at `at`. */
bool wal_exists(const char *data_directory, struct timeline timeline, struct lsn at, uint64_t segment_bytes);

/* The timeline up to which a standby's WAL that ends at `end` goes, where it is known to have gone along `known`: a
 * newer one counts when its history is there, all numbers between have one (PostgreSQL looks for newer ones in that
 * way), it descends from the known one, forked before `end`, and has a segment file at `end`. Segment files of
 * timelines that a rewind took back are left in pg_wal by pg_rewind, so a file alone says nothing. */
struct timeline history_follow(const char *data_directory, struct timeline known, struct lsn end,
                               uint64_t segment_bytes);

#endif
