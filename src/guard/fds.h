/* fds.h - the descriptors that the daemon leaves to the guard it starts. */
#ifndef RAFTMGR_GUARD_FDS_H
#define RAFTMGR_GUARD_FDS_H

enum {
    GUARD_FD_PAGE = 3,  /* the shared page; a restarted daemon opens it through /proc/PID/fd */
    GUARD_FD_READY = 4, /* pipe: GUARD_READY once the guard watches, else why it does not */
    GUARD_FD_LOCK = 5,  /* guard.lock, locked; the lock goes with the guard */
    GUARD_FD_END,
};

#define GUARD_READY "ready"

#endif
