/* test_guard_rule.c - when the guard stops PostgreSQL: every order against every moment. */
#include "guard/rule.h"

#include "unit.h"

#define DEADLINE 1000000
#define KILL_TIME 400000
#define HALF (DEADLINE + KILL_TIME / 2)

static struct guard_order order_of(enum guard_mode mode, int64_t kill_at_us)
{
    return (struct guard_order){ .mode = mode, .kill_at_us = kill_at_us, .kill_time_us = KILL_TIME, .token = 7 };
}

static struct rule rule_with_deadline(void)
{
    struct rule rule;
    struct guard_order order = order_of(GUARD_PRIMARY, DEADLINE);

    rule_init(&rule);
    rule_take(&rule, &order, 0);
    return rule;
}

static void stops_from_the_deadline_on(void)
{
    struct rule rule = rule_with_deadline();

    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE - 1), RULE_WAIT);
    CU_ASSERT_FALSE(rule.stopping);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 0, 0, 5), DEADLINE);
    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE), RULE_QUIT);
    CU_ASSERT_TRUE(rule.stopping);
    CU_ASSERT_EQUAL(rule_now(&rule, HALF - 1), RULE_QUIT);
    CU_ASSERT_EQUAL(rule_now(&rule, HALF), RULE_KILL);
    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE * INT64_C(1000000)), RULE_KILL);
}

/* Quick while something is left, easy on the machine otherwise, and never for long. */
static void looks_as_often_as_it_must(void)
{
    struct rule rule = rule_with_deadline();

    (void)rule_now(&rule, DEADLINE);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 3, 0, DEADLINE), DEADLINE + RULE_STEP_US);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, -1, 0, DEADLINE), DEADLINE + RULE_STEP_US);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 0, 500, DEADLINE), DEADLINE + RULE_WATCH_US);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 0, 2000, DEADLINE), DEADLINE + 40000);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 0, 900000, DEADLINE), DEADLINE + RULE_WATCH_MAX_US);
    int64_t stuck = HALF + RULE_PATIENCE_US;
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 1, 0, stuck), stuck + RULE_STEP_US);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 1, 0, stuck + 1), stuck + 1 + RULE_WATCH_US);
}

static void a_later_deadline_ends_the_stopping(void)
{
    struct rule rule = rule_with_deadline();
    struct guard_order later = order_of(GUARD_PRIMARY, 2 * DEADLINE);
    struct guard_order passed = order_of(GUARD_PRIMARY, HALF - 1);

    (void)rule_now(&rule, HALF);
    /* Later than the old one and passed all the same: it must not start again with SIGQUIT. */
    rule_take(&rule, &passed, HALF);
    CU_ASSERT_EQUAL(rule_now(&rule, HALF), RULE_KILL);
    rule_take(&rule, &later, HALF);
    CU_ASSERT_EQUAL(rule_now(&rule, HALF), RULE_WAIT);
    CU_ASSERT_EQUAL(rule_now(&rule, 2 * DEADLINE), RULE_QUIT);
}

static void standby_needs_its_signal(void)
{
    struct rule rule = rule_with_deadline();
    struct guard_order standby = order_of(GUARD_STANDBY, 0);

    rule_take(&rule, &standby, 10);
    CU_ASSERT_TRUE(rule_asks_for_signal(&rule, -1, 10));
    CU_ASSERT_FALSE(rule_asks_for_signal(&rule, 0, DEADLINE)); /* nobody was counted since the deadline */
    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE), RULE_QUIT);
    /* The file's disk may be dead: no look at it before the work is done. */
    CU_ASSERT_FALSE(rule_asks_for_signal(&rule, 2, DEADLINE));
    CU_ASSERT_FALSE(rule_asks_for_signal(&rule, -1, DEADLINE));
    CU_ASSERT_EQUAL(rule_now(&rule, 50 * DEADLINE), RULE_KILL);
    CU_ASSERT_TRUE(rule_asks_for_signal(&rule, 0, 50 * DEADLINE));
    rule_signal_seen(&rule);
    CU_ASSERT_EQUAL(rule_now(&rule, 50 * DEADLINE), RULE_WAIT);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 0, 0, 50 * DEADLINE), RULE_NEVER);
}

/* PRIMARY takes a STANDBY back that waited for its signal. */
static void primary_takes_standby_back(void)
{
    struct rule rule = rule_with_deadline();
    struct guard_order standby = order_of(GUARD_STANDBY, 0);
    struct guard_order primary = order_of(GUARD_PRIMARY, DEADLINE);

    rule_take(&rule, &standby, 10);
    rule_take(&rule, &primary, 20);
    CU_ASSERT_FALSE(rule_asks_for_signal(&rule, 0, 20));
    rule_signal_seen(&rule);
    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE), RULE_QUIT);
}

static void nothing_but_an_order_ends_a_deadline(void)
{
    struct rule rule = rule_with_deadline();
    struct guard_order unknown = order_of((enum guard_mode)99, 0);
    struct guard_order paused = order_of(GUARD_PAUSED, 0);

    rule_take(&rule, &unknown, 10);
    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE), RULE_QUIT);
    rule_take(&rule, &paused, DEADLINE);
    CU_ASSERT_EQUAL(rule_now(&rule, DEADLINE), RULE_WAIT);
}

static void nothing_to_stop_at_first(void)
{
    struct rule rule;
    struct guard_order standby = order_of(GUARD_STANDBY, 0);

    rule_init(&rule);
    rule_take(&rule, &standby, 0);
    CU_ASSERT_FALSE(rule_asks_for_signal(&rule, 0, 0));
    CU_ASSERT_EQUAL(rule_now(&rule, INT64_MAX - 1), RULE_WAIT);
    CU_ASSERT_EQUAL(rule_wake_at(&rule, 0, 0, 0), RULE_NEVER);
}

/* Every order at every moment, twice in a row: a deadline that was ever taken is only ever ended by what may end it. */
static void holds_for_every_pair_of_orders(void)
{
    static const int64_t moments[] = { 0, DEADLINE - 1, DEADLINE, HALF - 1, HALF, 3 * DEADLINE };
    static const enum guard_mode modes[] = { GUARD_STANDBY, GUARD_PRIMARY, GUARD_PAUSED, GUARD_QUIT };

    for (size_t m = 0; m < ARRAY_LEN(moments); m++)
        for (size_t mode = 0; mode < ARRAY_LEN(modes); mode++)
            for (size_t at = 0; at < ARRAY_LEN(moments); at++) {
                struct rule rule = rule_with_deadline();
                struct guard_order order = order_of(modes[mode], moments[at]);
                int64_t now = moments[m];

                bool passed = rule_now(&rule, now) != RULE_WAIT;
                rule_take(&rule, &order, now);
                enum rule_do what = rule_now(&rule, now);
                bool ends = order.mode == GUARD_PAUSED || (order.mode == GUARD_PRIMARY && order.kill_at_us > now);
                if (ends)
                    CU_ASSERT_EQUAL(what, RULE_WAIT);
                if (passed && !ends)
                    CU_ASSERT_NOT_EQUAL(what, RULE_WAIT);
                if (what != RULE_WAIT)
                    CU_ASSERT(rule_wake_at(&rule, 1, 0, now) <= now + RULE_WATCH_US);
            }
}

static const struct unit_test tests[] = {
    { "stops from the deadline on, gently and then hard, for ever", stops_from_the_deadline_on },
    { "looks again soon while something is left, never very late", looks_as_often_as_it_must },
    { "a later deadline ends the stopping, one that has passed does not", a_later_deadline_ends_the_stopping },
    { "standby ends a deadline only with standby.signal", standby_needs_its_signal },
    { "primary takes back a standby that waited", primary_takes_standby_back },
    { "an order that is not understood ends nothing", nothing_but_an_order_ends_a_deadline },
    { "has nothing to stop at first", nothing_to_stop_at_first },
    { "holds for every order at every moment", holds_for_every_pair_of_orders },
};
const struct unit_suite suite_guard_rule = UNIT_SUITE("guard_rule", tests);
