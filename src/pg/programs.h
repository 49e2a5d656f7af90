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

#endif
