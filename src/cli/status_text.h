/*
 * status_text.h - the status object (docs/reference/status.md) as text for people, and as an exit status.
 *
 * Pure: reads the object alone. Whatever is missing in it is left out or shown as "-", so that an older or newer daemon
 * can be asked too.
 */
#ifndef RAFTMGR_CLI_STATUS_TEXT_H
#define RAFTMGR_CLI_STATUS_TEXT_H

#include <jansson.h>

#include "base/base.h"

/* Who is primary, who leads, each member, what is in progress and why, what comes next. Verbose adds the history. */
void status_text(const json_t *status, bool verbose, FILE *out);

/* 0: writable, nothing in progress, no problem at any member; otherwise ERR_NODE_STATUS's 25. */
int status_exit(const json_t *status);

/* "250 ms", "3.4 s", "2 min 5 s", "1 h 2 min", "3 d 4 h". */
void duration_text(int64_t ms, char *text, size_t size);
/* "0 B", "12 kB", "1.4 MB". */
void bytes_text(int64_t bytes, char *text, size_t size);
/* A token: its count, behind its epoch where that is not 0 ("2:17"). */
void token_text(int64_t token, char *text, size_t size);

#endif
