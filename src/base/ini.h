/*
 * ini.h - the syntax of repmgr.conf, which is postgresql.conf's.
 *
 * A line is `name = value`, `name value`, or a comment. A value is 'quoted' ('' and \' for a quote, backslash escapes
 * as in PostgreSQL), or one word. `include`, `include_if_exists` and `include_dir` name other files, relative to the
 * file they stand in. Which names there are and which of two lines wins is the business of whoever takes the entries.
 */
#ifndef RAFTMGR_INI_H
#define RAFTMGR_INI_H

#include "base/err.h"

#define INI_BYTES_MAX (1024u << 10) /* of one file */
#define INI_NAME_SIZE 128
#define INI_VALUE_SIZE 4096
#define INI_DEPTH_MAX 10 /* files that include each other */

/* One `name = value`; everything borrowed until the call returns. */
struct ini_entry {
    const char *name;
    const char *value;
    const char *file;
    uint32_t line;
};

/* Takes an entry. A negative code ends the reading and is returned. */
typedef int ini_accept(void *context, const struct ini_entry *entry, struct err *err);

/* Reads text; include lines are handed over like any other. Pure. ERR_CONFIG "file:line: what is wrong". */
int ini_parse(const char *text, size_t length, const char *file, ini_accept *accept, void *context, struct err *err);

/* Reads a file and those that it includes, in the order of the lines. ERR_CONFIG (as above, a loop of includes, an
 * unreadable include), ERR_NOT_FOUND where path is not there, ERR_SYSTEM where it cannot be read. */
int ini_load(const char *path, ini_accept *accept, void *context, struct err *err);

#endif
