/*
 * watch.h - the guard's loop: wait for the deadline or a word of the daemon, follow the rule, tell the page.
 *
 * While nothing happens it sleeps: it wakes for a signal of the daemon (SIGUSR1: look at the page), the end of the
 * daemon, and the deadline it knows, which a later one has usually replaced by then. It allocates nothing.
 */
#ifndef RAFTMGR_GUARD_WATCH_H
#define RAFTMGR_GUARD_WATCH_H

#include "guard/instance.h"
#include "guard/page.h"
#include "guard/rule.h"

struct watch {
    struct guard_page *page;
    struct instance instance;
    struct rule rule;
    struct guard_state state;
    enum guard_mode mode;
    uint64_t token;
    int timer;
    int signals;
    int journal;      /* datagrams to the system's log; -1 = none */
    int daemon;       /* pidfd; -1 = gone */
    pid_t daemon_pid; /* as the page said last */
    uint64_t daemon_started;
    int64_t idle_at_us;                     /* daemon gone: when to see whether there still is something to guard */
    char signal_path[GUARD_PATH_SIZE + 16]; /* of standby.signal */
};

/* Opens what the loop needs. All signals must be blocked. state is what is known of this process so far. */
int watch_open(struct watch *watch, struct guard_page *page, const struct guard_state *state, struct err *err);

/* One look and what follows from it; false when the guard is to end. */
bool watch_turn(struct watch *watch);

/* Sleeps until there is a reason for the next turn. */
void watch_sleep(struct watch *watch);

#endif
