/*
 * launch.h - starting the guard's process, so that it is nobody's child and outlives the daemon.
 */
#ifndef RAFTMGR_GUARD_LAUNCH_H
#define RAFTMGR_GUARD_LAUNCH_H

#include "base/err.h"

/*
 * Runs the binary with the page and the lock, in a session of its own, and waits up to timeout_ms until it says that
 * it watches. The descriptors stay the caller's. Errors: ERR_COMMAND (it did not start, or ended), ERR_REFUSED (it
 * said why not), ERR_TIMEOUT, ERR_SYSTEM.
 */
int launch_guard(const char *binary, const char *data_directory, int page_fd, int lock_fd, int64_t timeout_ms,
                 struct err *err);

#endif
