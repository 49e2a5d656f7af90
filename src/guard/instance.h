/*
 * instance.h - the processes of one PostgreSQL instance, found in /proc.
 *
 * A process belongs to the instance when its executable is a PostgreSQL server and its working directory is the data
 * directory (same device and inode, or that path since deleted). That finds orphans of a dead postmaster too, which
 * go on committing (measured: reference/postgres.md), and spares other programs that merely stand in that directory.
 * Zombies do not count. One that we may not look at is not absent for that: doubt.h. Nothing here allocates, and
 * finding and signalling touch no disk, so that a dead disk cannot hold up the guard; only instance_postmaster_pid
 * reads a file.
 *
 * A signal goes through a pidfd that was opened before the process was looked at again, so never to a later process
 * of the same number.
 */
#ifndef RAFTMGR_GUARD_INSTANCE_H
#define RAFTMGR_GUARD_INSTANCE_H

#include <sys/types.h>

#include "base/err.h"

struct instance {
    const char *data_directory; /* borrowed */
    int proc_fd;                /* /proc, opened once */
    bool open;
};

enum instance_whom {
    INSTANCE_ALL,
    INSTANCE_HEADS, /* those whose parent is not of the instance: the postmaster, or the orphans of a dead one */
};

/* Opens /proc for an instance that need not exist. data_directory must outlive it. */
int instance_open(struct instance *instance, const char *data_directory, struct err *err);
/* Accepts zeroed storage. */
void instance_release(struct instance *instance);

/* Processes of the instance now, or a negative error code (ERR_SYSTEM: /proc could not be read). */
int instance_count(struct instance *instance, struct err *err);

/* Sends a signal; returns how many processes of the instance were there when looked at, signalled or not (0 = none
 * left), or a negative error code. Counts signals that were sent in *ret_sent (may be NULL). New ones may appear
 * meanwhile: call until it says 0. */
int instance_signal(struct instance *instance, enum instance_whom whom, int signal, int *ret_sent, struct err *err);

/* The number in the first line of postmaster.pid if that process belongs to the instance and is no single-user
 * server; 0 when there is none. */
pid_t instance_postmaster_pid(struct instance *instance);

/* True when this process belongs to the instance. */
bool instance_has(struct instance *instance, pid_t pid);

#endif
