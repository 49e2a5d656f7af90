/*
 * other.h - a guard that runs already, found without its lock.
 *
 * guard.lock lies in the runtime directory, which somebody may remove under a running guard: by hand, or with a boot
 * script that cleans /run. A second guard on a page of its own would then be started beside the first, whose deadline
 * nobody renews any more, and which stops a PostgreSQL that holds a lease. So nobody starts one before a look through
 * /proc has found none.
 */
#ifndef RAFTMGR_GUARD_OTHER_H
#define RAFTMGR_GUARD_OTHER_H

#include <sys/types.h>

/*
 * The process of a guard of this data directory, other than the caller; 0 where none is seen. It is known by its name,
 * its owner (root, or whom the caller runs as) and the data directory that it shows as its argument, which is compared
 * by device and inode where both can be looked at, else as text. Guards in another PID namespace are not seen: they see
 * no PostgreSQL of this one either.
 */
pid_t other_guard(const char *data_directory);

#endif
