/*
 * log.h - one logfmt line an event on stderr: time, level, event name, key=value pairs.
 *
 * Event names and levels come from core/event.def; this file only writes lines. Values with blanks go through
 * log_quoted(). Lines are written with one write(2), so that lines of several processes do not mix. Nothing waits for a
 * pipe or socket that is full: its lines are lost, and log.lost says how many as soon as it takes some again.
 */
#ifndef RAFTMGR_LOG_H
#define RAFTMGR_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped. Default LOG_INFO. */
void log_set_level(enum log_level level);

/* Sends lines to a file, appended, instead of stderr; NULL goes back. Returns 0 or -errno with the old target kept. */
int log_set_file(const char *path);

/* Writes "2026-01-31 12:34:56.789+00 info name " and the formatted pairs. */
void log_line(enum log_level level, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

/* Writes value as a quoted logfmt value ("a b", quotes and control characters escaped) into text; returns text. */
const char *log_quoted(char *text, size_t size, const char *value);

#endif
