/*
 * child.h - runs a program beside the loop, with a deadline and the ends of its output.
 *
 * The program gets a session of its own and no standard input. It is killed at the deadline and by child_kill, with its
 * process group where asked.
 */
#ifndef RAFTMGR_PG_CHILD_H
#define RAFTMGR_PG_CHILD_H

#include "pg/pool.h"

#define CHILD_OUTPUT_MAX 16384 /* bytes of standard output kept (the first), and of standard error (the last) */
#define CHILD_ENV_MAX 4

struct child;

struct child_spec {
    const char *const *argv;        /* NULL-terminated; argv[0] is the program's path, or a name for PATH */
    const char *env[CHILD_ENV_MAX]; /* "NAME=value", added to ours; unused ones NULL */
    int64_t timeout_ms;
    bool while_silent; /* timeout_ms counts from its last output */
    bool group;        /* kill its process group and not only the process */
};

struct child_end {
    int status; /* exit status, or -1 */
    int signal; /* that killed it, or 0 */
    bool timed_out;
    const char *output; /* borrowed until return */
    const char *errors;
    char problem[512]; /* empty when it exited with 0: "pg_rewind: exited with status 1: <its telling line>" */
};

typedef void (*child_done_fn)(void *ctx, const struct child_end *end);

/* Starts it; done() comes exactly once, never from within, also where it could not be started. */
struct child *child_run(struct pool *pool, const struct child_spec *spec, child_done_fn done, void *ctx);

/* True for a line in which a program of PostgreSQL names an error; others may follow it, of what it cleans up. */
bool child_names_error(const char *line, size_t length);

/* How long it has said nothing. */
int64_t child_silent_us(const struct child *child);

/* Kills it and forgets done(). Accepts NULL. */
void child_kill(struct child *child);

#endif
