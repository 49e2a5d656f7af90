/*
 * doubt.h - processes whose executable or working directory we may not look at.
 *
 * ptrace(2) refuses a look at a process that holds capabilities which we lack, also to its own user; a security module
 * may do the same. Such a process is not absent: it is judged here by what everybody may read (name, user, command
 * line, parent), and where that does not decide, it is taken to be of the instance. Nothing here allocates.
 */
#ifndef RAFTMGR_GUARD_DOUBT_H
#define RAFTMGR_GUARD_DOUBT_H

#include <sys/types.h>

#include "base/base.h"

enum doubt {
    DOUBT_NO,     /* of another instance, or of none */
    DOUBT_YES,    /* its command line names our data directory, or nothing says that it is another's */
    DOUBT_PARENT, /* as its parent, a server: a postmaster's child does not say whose it is */
};

/* True when errno of a failed look says that there is something, but not for us. */
bool doubt_denied(int error);

/* Judges a process that could not be looked at. owner: the user of the data directory, whom its server must run as
 * (PostgreSQL refuses another). is_ours is asked about a directory that the process was started with. */
enum doubt doubt_judge(pid_t pid, uid_t owner, bool (*is_ours)(const void *context, const char *directory),
                       const void *context, pid_t *ret_parent);

#endif
