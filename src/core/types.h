/*
 * types.h - the nouns of the cluster. Numbers of different kinds are different structs, so that the compiler refuses
 * to take one for another.
 */
#ifndef RAFTMGR_TYPES_H
#define RAFTMGR_TYPES_H

#include "base/base.h"

#define MEMBERS_MAX 16
#define NAME_SIZE 64
#define ADDRESS_SIZE 128
#define CONNINFO_SIZE 1024
#define PATH_SIZE 1024
#define TEXT_SIZE 256
#define HISTORY_MAX 32 /* timelines of a server's history that are compared; older ones are common by construction */

/* A position in the write-ahead log (PostgreSQL: pg_lsn). 0 means unknown. */
struct lsn {
    uint64_t at;
};

/* A PostgreSQL timeline. 0 means unknown. */
struct timeline {
    uint32_t no;
};

/* A fencing token: the epoch (force-quorum) in the high 16 bits, a count in the rest. Only grows. 0 means none. */
struct token {
    uint64_t no;
};

/* The identity of a data directory; clone, rewind and restore give it a new one. 0 means none. */
struct directory_id {
    uint64_t no;
};

enum node_kind { NODE_DATA, NODE_WITNESS };

static inline int lsn_cmp(struct lsn left, struct lsn right)
{
    return left.at < right.at ? -1 : left.at > right.at;
}

static inline struct lsn lsn_max(struct lsn left, struct lsn right)
{
    return left.at > right.at ? left : right;
}

static inline bool token_is(struct token left, struct token right)
{
    return left.no == right.no;
}

static inline bool token_is_newer(struct token left, struct token right)
{
    return left.no > right.no;
}

/* In the place of an identity: this server was a primary without the right. No member is ever known by it. */
#define DIRECTORY_SPOILED UINT64_MAX

static inline bool directory_is(struct directory_id left, struct directory_id right)
{
    return left.no == right.no;
}

static inline bool directory_spoiled(struct directory_id directory)
{
    return directory.no == DIRECTORY_SPOILED;
}

/* One row of a timeline history: up to this position the server's WAL is of this timeline. */
struct history_row {
    struct timeline timeline;
    struct lsn end;
};

/* The timelines of a server before its present one, oldest first (a .history file's rows). */
struct history {
    uint32_t count;
    struct history_row rows[HISTORY_MAX];
};

#endif
