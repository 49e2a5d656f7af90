/* programs.h - where PostgreSQL's programs are. */
#ifndef RAFTMGR_PG_PROGRAMS_H
#define RAFTMGR_PG_PROGRAMS_H

#include "base/err.h"
#include "core/types.h"

/* The directory of PostgreSQL's programs: the one given; or /usr/lib/postgresql/NN/bin of the data directory's
 * PG_VERSION, where there is none the newest; or the directory in PATH that has pg_ctl. ERR_CONFIG when there is none.
 * Size PATH_SIZE. */
int programs_find(const char *given, const char *data_directory, char *ret_bindir, struct err *err);

/* The major version in PG_VERSION; 0 when there is no data directory. */
unsigned programs_major(const char *data_directory);

/* The major version in what a program of PostgreSQL answers to --version ("pg_ctl (PostgreSQL) 17.1 (Debian ...)"); 0
 * when it is something else. */
unsigned programs_parse_version(const char *text);

/* The major version of the programs in a directory. Asks pg_ctl and waits for it, some milliseconds. ERR_COMMAND when
 * it does not say. */
int programs_version(const char *bindir, unsigned *ret_major, struct err *err);

/* ERR_CONFIG when the data directory is another major version's than these programs': no server starts with it. */
int programs_match(const char *data_directory, const char *bindir, unsigned major, struct err *err);

#endif
