/*
 * clock.h - the only reader of time.
 *
 * Every interval of the protocol is measured on CLOCK_BOOTTIME, which goes on while the host is suspended
 * (clock_gettime(2)); the wall clock is for showing moments to people, and decides nothing.
 */
#ifndef RAFTMGR_CLOCK_H
#define RAFTMGR_CLOCK_H

#include "base/base.h"

/* Microseconds since boot, suspend included. Never goes back within one boot. */
int64_t clock_boot_us(void);

/* Microseconds since 1970 on the wall clock: for log lines, history and events only. */
int64_t clock_wall_us(void);

/* Writes "2026-01-31 12:34:56.789+00" (UTC) for a wall moment. Size at least 32. */
void clock_wall_text(int64_t wall_us, char *text, size_t size);

#endif
