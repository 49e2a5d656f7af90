/*
 * conf.h - the text of the settings file that raftmgr owns in the data directory, and of the files that name it.
 *
 * Pure: text in, text out. The file is included last from postgresql.conf, and the names in it are kept out of
 * postgresql.auto.conf, so what it says holds, command line options aside.
 */
#ifndef RAFTMGR_PG_CONF_H
#define RAFTMGR_PG_CONF_H

#include "base/buf.h"
#include "core/instance.h"

#define CONF_FILE "raftmgr.postgresql.conf"
#define CONF_BYTES_MAX (4u << 20) /* of any settings file that is read or edited; pg_hba.conf may be long */
#define CONF_VALUE_MAX (MEMBERS_MAX * (2 * NAME_SIZE + 3) + 32)
#define CONF_CONNINFO_MAX (2 * CONNINFO_SIZE + 2 * PATH_SIZE)

struct conf_extra {
    const char *latch;            /* path of the latch file; NULL: no latch */
    const char *primary_conninfo; /* complete; used when conf->upstream is not 0 */
    bool keep_restore;            /* leaves the operator's restore_command in force even with upstream 0 */
    unsigned major;               /* of the data directory's PostgreSQL; 0: unknown, taken for a new one */
    uint64_t written;             /* names this writing; a session shows it as raftmgr.written */
};

/* Appends the whole file. With upstream 0 primary_conninfo, primary_slot_name and restore_command are empty; else the
 * operator's restore_command stays in force, but for servers before 14: those take a change of it at a restart only,
 * and so could not be fenced from an archive. */
void conf_render(const struct pg_conf *conf, const struct conf_extra *extra, struct buf *text);

/* Reads back what conf_render wrote, but for upstream_conninfo and name. False when the text is not such a file. */
bool conf_parse(const char *text, struct pg_conf *ret_conf, uint64_t *ret_written);

/* The value of synchronous_standby_names: ANY 1 ("a","b"), or empty for sync_count 0. Size CONF_VALUE_MAX. */
void conf_sync_value(const struct pg_conf *conf, char *text, size_t size);

/* True for a setting that raftmgr's file sets (case does not matter). */
bool conf_owns(const char *name);

/* Appends text without the lines that set a name of ours; returns how many were left out. For postgresql.auto.conf. */
unsigned conf_strip(const char *text, struct buf *ret);

/* Calls visit for each name of ours that the text sets. */
void conf_clashes(const char *text, void (*visit)(void *ctx, const char *name), void *ctx);

/* Appends text with one include of our file (path as PostgreSQL shall see it) as its last setting; false when the text
 * had it like that already. Includes of a file of that name elsewhere are left out: they came with a copy. */
bool conf_include(const char *text, const char *path, struct buf *ret);

/* Puts a value into single quotes as postgresql.conf wants it. */
void conf_put_quoted(struct buf *text, const char *value);

#endif
