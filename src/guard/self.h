/*
 * self.h - what the guard does to itself so that it is the last process to be held up or killed.
 *
 * Each of these may be refused to a user without privileges; the guard works without, and says so in its state.
 */
#ifndef RAFTMGR_GUARD_SELF_H
#define RAFTMGR_GUARD_SELF_H

#include "guard/page.h"

/* Locks memory, asks for real-time priority, the least OOM score and a control group of its own; fills pid, started
 * and what was granted into *state. Then gives up its capabilities, unless it runs as root. */
void self_harden(struct guard_state *state);

/* Blocks all signals, leaves the working directory, the standard files and every other descriptor of the daemon. */
void self_detach(void);

#endif
