/*
 * process.h - which process is meant: a number and the moment it started, for numbers are used again.
 *
 * Nothing here allocates.
 */
#ifndef RAFTMGR_GUARD_PROCESS_H
#define RAFTMGR_GUARD_PROCESS_H

#include <sys/types.h>

#include "base/base.h"

struct process {
    pid_t pid;
    pid_t parent;
    uint64_t started; /* clock ticks since boot: field 22 of /proc/PID/stat (proc(5)) */
};

/* Looks a living process up; false when there is none, it is a zombie, or /proc cannot be read. */
bool process_look(pid_t pid, struct process *ret_process);

/* A pidfd, close-on-exec, of exactly this process; -1 when it is gone. The descriptor is the caller's. */
int process_open(pid_t pid, uint64_t started);

/* True when the process of this pidfd has ended, or the descriptor is -1. */
bool process_ended(int pidfd);

/* Waits until it has ended, at most that long. False when it lives on. */
bool process_wait(int pidfd, int64_t timeout_ms);

#endif
