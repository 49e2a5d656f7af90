/*
 * rule.h - when the guard stops PostgreSQL, and how hard. Pure: orders and times in, what to do out.
 *
 * The rule of G1 (design.md 4; design-review.md R14): from the deadline on everything is stopped, again and again,
 * until a deadline that has not passed, a pause, or standby with standby.signal in place takes the deadline away.
 * Nothing else does: not the daemon's death, not a success at stopping, not an order that cannot be understood.
 */
#ifndef RAFTMGR_GUARD_RULE_H
#define RAFTMGR_GUARD_RULE_H

#include "guard/page.h"

#define RULE_NEVER INT64_MAX
#define RULE_STEP_US 5000 /* between two passes while processes are left */
/* Between two passes while none is left, or when they have not gone for so long that they must be in uninterruptible
 * sleep, against which more signals do not help: RULE_WATCH_US, and more, up to a bound, where many processes make a
 * pass costly, so that a guard with real-time priority takes little from the others. */
#define RULE_WATCH_US 25000
#define RULE_WATCH_MAX_US 50000
#define RULE_COST_SHARE 20
#define RULE_PATIENCE_US 1000000

struct rule {
    int64_t deadline_us;  /* RULE_NEVER = nothing to stop */
    int64_t kill_time_us; /* of the order that set the deadline */
    bool standby_wanted;  /* STANDBY was ordered and waits for standby.signal */
    bool stopping;        /* the deadline has passed and something was done about it */
};

enum rule_do {
    RULE_WAIT,
    RULE_QUIT, /* SIGQUIT to the postmaster or, with that gone, to its orphans */
    RULE_KILL, /* SIGKILL to all */
};

/* Nothing to stop. */
void rule_init(struct rule *rule);

/* Takes the order in force, new or the same as before. */
void rule_take(struct rule *rule, const struct guard_order *order, int64_t now_us);

/* True when the next step depends on standby.signal: STANDBY is ordered, a deadline stands, and looking cannot delay
 * a stop (the file's disk may be dead): the deadline has not passed, or nothing is left. */
bool rule_asks_for_signal(const struct rule *rule, int32_t left, int64_t now_us);

/* standby.signal is in place: the deadline ends. */
void rule_signal_seen(struct rule *rule);

/* What to do now; the stopping has begun when this is not RULE_WAIT. */
enum rule_do rule_now(struct rule *rule, int64_t now_us);

/* When to look again at the latest, with `left` processes at the pass just made (-1 = it failed), which took cost_us.
 * RULE_NEVER = when told. */
int64_t rule_wake_at(const struct rule *rule, int32_t left, int64_t cost_us, int64_t now_us);

#endif
