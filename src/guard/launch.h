/*
 * launch.h - starting the guard's process, so that it is nobody's child and outlives the daemon.
 */
#ifndef RAFTMGR_GUARD_LAUNCH_H
#define RAFTMGR_GUARD_LAUNCH_H

#include "base/err.h"

/* Called once, before any thread or process is started: from now on no program that is run inherits the privileges
 * that this process was given (the ambient capabilities of a unit), but the guard. A server that had them could not
 * be looked at by a guard or a daemon that has none. */
void launch_keep_privileges(void);

/* Undoes that for the program that this process executes next. Safe between fork and exec. */
void launch_pass_privileges(void);

/*
 * Runs the binary with the page and the lock, in a session of its own, and waits up to timeout_ms until it says that
 * it watches. The descriptors stay the caller's. Errors: ERR_COMMAND (it did not start, or ended), ERR_REFUSED (it
 * said why not), ERR_TIMEOUT, ERR_SYSTEM.
 */
int launch_guard(const char *binary, const char *data_directory, int page_fd, int lock_fd, int64_t timeout_ms,
                 struct err *err);

#endif
