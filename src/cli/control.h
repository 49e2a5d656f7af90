/*
 * control.h - asking the local daemon over its Unix socket; docs/reference/control.md is the protocol.
 *
 * Everything has a bound: the size of a line, the wait for the next one. What comes back is checked, not trusted.
 */
#ifndef RAFTMGR_CLI_CONTROL_H
#define RAFTMGR_CLI_CONTROL_H

#include <jansson.h>

#include "cli/command.h"

#define CONTROL_PROTOCOL 1
#define CONTROL_LINE_MAX (1024u << 10)
#define CONTROL_WAIT_MS 15000      /* for the next line of a daemon that works on it */
#define CONTROL_WAIT_EXTRA_MS 5000 /* beyond the daemon's own timeout */

/*
 * Sends {"command": name, ...arguments} to socket_path, prints the progress lines, and returns the result, which the
 * caller releases with json_decref. Takes over arguments (may be NULL). wait_ms bounds the wait for each line.
 * The daemon's refusal comes back as its code, ret_hint (size HINT_SIZE) says what to do, also where the daemon cannot
 * be reached (ERR_DAEMON) or does not answer (ERR_TIMEOUT).
 */
int control_ask(const char *socket_path, const char *name, json_t *arguments, int wait_ms, json_t **ret_result,
                char *ret_hint, struct err *err);

/* The same for a command: loads the settings, asks the socket they name; with --json prints the result too. */
int control_command(struct cli *cli, const char *name, json_t *arguments, int wait_ms, json_t **ret_result,
                    struct err *err);

/* Members of a result, whatever is there: a text or "" (borrowed), a number or fallback, a truth or false. */
const char *result_text(const json_t *object, const char *name);
int64_t result_number(const json_t *object, const char *name, int64_t fallback);
bool result_true(const json_t *object, const char *name);
/* There and not null. */
bool result_has(const json_t *object, const char *name);

#endif
