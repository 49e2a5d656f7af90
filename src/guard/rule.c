/* rule.c - the guard's rule. See rule.h. */
#include "guard/rule.h"

void rule_init(struct rule *rule)
{
    *rule = (struct rule){ .deadline_us = RULE_NEVER };
}

static void end_deadline(struct rule *rule)
{
    rule->deadline_us = RULE_NEVER;
    rule->standby_wanted = false;
    rule->stopping = false;
}

static void take_deadline(struct rule *rule, const struct guard_order *order, int64_t now_us)
{
    rule->standby_wanted = false;
    /* While stopping, another deadline that has passed already must not begin it anew with the gentle half. */
    if (rule->stopping && order->kill_at_us <= now_us)
        return;
    rule->deadline_us = order->kill_at_us;
    rule->kill_time_us = order->kill_time_us > 0 ? order->kill_time_us : 0;
    rule->stopping = false;
}

void rule_take(struct rule *rule, const struct guard_order *order, int64_t now_us)
{
    switch (order->mode) {
    case GUARD_PRIMARY:
        take_deadline(rule, order, now_us);
        break;
    case GUARD_PAUSED:
        end_deadline(rule);
        break;
    case GUARD_STANDBY:
        rule->standby_wanted = rule->deadline_us != RULE_NEVER;
        break;
    case GUARD_QUIT:
        break;
    }
}

bool rule_asks_for_signal(const struct rule *rule, int32_t left, int64_t now_us)
{
    if (!rule->standby_wanted)
        return false;
    return now_us < rule->deadline_us || (rule->stopping && left == 0);
}

void rule_signal_seen(struct rule *rule)
{
    if (rule->standby_wanted)
        end_deadline(rule);
}

static int64_t hard_from(const struct rule *rule)
{
    return rule->deadline_us + rule->kill_time_us / 2;
}

enum rule_do rule_now(struct rule *rule, int64_t now_us)
{
    if (now_us < rule->deadline_us)
        return RULE_WAIT;
    rule->stopping = true;
    return now_us < hard_from(rule) ? RULE_QUIT : RULE_KILL;
}

static int64_t watch_pause(int64_t cost_us)
{
    int64_t pause_us = cost_us * RULE_COST_SHARE;

    if (pause_us < RULE_WATCH_US)
        return RULE_WATCH_US;
    return pause_us < RULE_WATCH_MAX_US ? pause_us : RULE_WATCH_MAX_US;
}

int64_t rule_wake_at(const struct rule *rule, int32_t left, int64_t cost_us, int64_t now_us)
{
    if (now_us < rule->deadline_us)
        return rule->deadline_us;
    if (left == 0 || now_us > hard_from(rule) + RULE_PATIENCE_US)
        return now_us + watch_pause(cost_us);
    return now_us + RULE_STEP_US;
}
