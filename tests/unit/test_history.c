/*
 * test_history.c - who is on whose history and where two servers part, held against WAL written out byte by byte.
 *
 * PostgreSQL compares bare positions (R6): if this arithmetic errs, a diverged standby is attached and acknowledges
 * what it does not have, or a good one is cloned for nothing.
 */
#include "base/rand.h"
#include "core/history.h"
#include "unit.h"

static int parse(const char *text, uint32_t timeline, struct history *history)
{
    struct err err = { 0 };
    int result = history_parse(text, strlen(text), (struct timeline){ timeline }, history, &err);

    CU_ASSERT(result == 0 || (result == -(int)ERR_CORRUPT && err.text[0] != '\0'));
    return result;
}

static void reads_what_postgres_writes(void)
{
    struct history history;

    CU_ASSERT(parse("", 1, &history) == 0 && history.count == 0);
    CU_ASSERT(parse("1\t0/30000D8\tno recovery target specified\n", 2, &history) == 0);
    CU_ASSERT(history.count == 1 && history.rows[0].timeline.no == 1 && history.rows[0].end.at == 0x30000D8);
    CU_ASSERT(
        parse("1\t0/28\tno recovery target specified\n\n# by hand\n2\t1A/FFFFFFFF\tbefore 2024-01-01 \n4\t1b/0\tx", 7,
              &history) == 0);
    CU_ASSERT(history.count == 3 && history.rows[1].timeline.no == 2 && history.rows[2].timeline.no == 4);
    CU_ASSERT(history.rows[1].end.at == 0x1AFFFFFFFF && history.rows[2].end.at == 0x1B00000000);
    CU_ASSERT(parse(" 3 \t 0/5 \r\n", 4, &history) == 0 && history.count == 1 && history.rows[0].end.at == 5);
}

static void refuses_what_is_no_history(void)
{
    static const char *const wrong[] = {
        "x\t0/1\n",
        "1\n",
        "1\t\n",
        "1\t01\n",
        "1\t0/\n",
        "1\t/1\n",
        "1\t0/G\n",
        "0\t0/1\n",
        "-1\t0/1\n",
        "1\t0/1FFFFFFFF",
        "4294967296\t0/1\n",
        "1\t0/1/1\n",
        "5\t0/1\n",
        "9\t0/1\n",
        "1\t0/9\n1\t0/A\n",
        "2\t0/1\n1\t0/2",
        "1\t0/9\n2\t0/8\n",
        "1x\t0/1\n",
        "1\t0/ 1\n",
        "00000000000000000000001\t0/1",
    };
    struct history history = { .count = 77 };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CU_ASSERT(parse(wrong[i], 5, &history) != 0);
        CU_ASSERT(history.count == 77);
    }
    CU_ASSERT(history_parse("1\t0/1\0\n", 7, (struct timeline){ 5 }, &history, NULL) != 0);
}

static void keeps_the_newest_rows(void)
{
    char text[4096];
    size_t length = 0;
    struct history history;

    for (unsigned i = 1; i <= HISTORY_MAX + 9; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%u\t0/%X\tx\n", i, i * 16);
    CU_ASSERT(parse(text, 1000, &history) == 0);
    CU_ASSERT(history.count == HISTORY_MAX && history.rows[0].timeline.no == 10);
    CU_ASSERT(history.rows[HISTORY_MAX - 1].timeline.no == HISTORY_MAX + 9);
}

/* Chance must not crash it; what it accepts is in order. */
static void survives_chance(void)
{
    static const char letters[] = "0123456789/\t\n AF#x";
    struct rand chance;

    rand_seed(&chance, 1);
    for (int i = 0; i < 100000; i++) {
        char text[40];
        struct history history;
        size_t length = (size_t)rand_below(&chance, sizeof text);
        for (size_t j = 0; j < length; j++)
            text[j] = letters[rand_below(&chance, sizeof letters - 1)];
        if (history_parse(text, length, (struct timeline){ 90 }, &history, NULL) != 0)
            continue;
        for (uint32_t j = 0; j + 1 < history.count; j++)
            CU_ASSERT(history.rows[j].timeline.no < history.rows[j + 1].timeline.no);
    }
}

/* --- a world of branches, WAL written out ------------------------------------------------------------------------- */

#define BRANCHES 6
#define WAL_MAX 12

/* Branch 0 is the founder's; each other left its parent at a position. Bytes are numbered from 1. */
struct branch {
    uint32_t number; /* its timeline */
    int parent;
    uint32_t left_at;
};

static struct branch branches[BRANCHES];

/* Which branch wrote this byte of a server that is on `branch`. */
static int writer_of(int branch, uint32_t at)
{
    while (branch > 0 && at <= branches[branch].left_at)
        branch = branches[branch].parent;
    return branch;
}

static struct history history_of(int branch)
{
    struct history reversed = { 0 }, history = { 0 };

    for (; branch > 0; branch = branches[branch].parent)
        reversed.rows[reversed.count++] =
            (struct history_row){ { branches[branches[branch].parent].number }, { branches[branch].left_at } };
    while (history.count < reversed.count) {
        history.rows[history.count] = reversed.rows[reversed.count - 1 - history.count];
        history.count++;
    }
    return history;
}

/* Numbers grow along every line. With `twins`, unrelated branches may share one (promoted by hand, R36). */
static void grow_branches(struct rand *chance, bool twins)
{
    branches[0] = (struct branch){ .number = 1 };
    for (int i = 1; i < BRANCHES; i++) {
        int parent = (int)rand_below(chance, (uint64_t)i);
        uint32_t above = branches[parent].left_at + 1;
        branches[i].parent = parent;
        branches[i].left_at = above + (uint32_t)rand_below(chance, 2);
        branches[i].number = (uint32_t)i + 1;
        if (twins && rand_below(chance, 2) == 0)
            branches[i].number = branches[parent].number + 1;
    }
}

static uint32_t common_bytes(int left, uint32_t left_end, int right, uint32_t right_end)
{
    uint32_t at = 0;

    while (at < left_end && at < right_end && writer_of(left, at + 1) == writer_of(right, at + 1))
        at++;
    return at;
}

static void check_pair(int server, uint32_t server_end, int target, uint32_t target_end, bool twins)
{
    struct history histories[2] = { history_of(server), history_of(target) };
    struct timeline numbers[2] = { { branches[server].number }, { branches[target].number } };
    uint32_t common = common_bytes(server, server_end, target, target_end);
    struct fork fork = history_fork((struct lineage){ &histories[0], numbers[0], { server_end } },
                                    (struct lineage){ &histories[1], numbers[1], { target_end } });

    /* Twins that left one parent at one position look the same in every history: nobody can tell (R9 is why). */
    if (twins && (fork.at.at != common || fork.diverged != (common < server_end))) {
        CU_ASSERT_FATAL(fork.at.at > common);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(fork.at.at, common);
    CU_ASSERT_EQUAL_FATAL(fork.diverged, common < server_end);
    if (twins)
        return;
    CU_ASSERT_EQUAL_FATAL(fork.timeline.no, branches[writer_of(server, common)].number);
    bool follows = common_bytes(server, server_end, target, UINT32_MAX) == server_end;
    CU_ASSERT_EQUAL_FATAL(history_contains(&histories[1], numbers[1], numbers[0], (struct lsn){ server_end }), follows);
}

static void agrees_with_wal_written_out(void)
{
    struct rand chance;

    rand_seed(&chance, 2);
    for (int world = 0; world < 300; world++) {
        grow_branches(&chance, false);
        for (int server = 0; server < BRANCHES; server++)
            for (int target = 0; target < BRANCHES; target++)
                for (uint32_t i = branches[server].left_at + 1; i <= WAL_MAX; i++)
                    for (uint32_t j = branches[target].left_at + 1; j <= WAL_MAX; j++)
                        check_pair(server, i, target, j, false);
    }
}

static void tells_twins_apart_by_where_they_began(void)
{
    struct history left = { 2, { { { 1 }, { 100 } }, { { 2 }, { 200 } } } };
    struct history right = { 2, { { { 1 }, { 150 } }, { { 2 }, { 200 } } } };
    struct fork fork =
        history_fork((struct lineage){ &left, { 3 }, { 300 } }, (struct lineage){ &right, { 3 }, { 300 } });
    struct rand chance;

    CU_ASSERT(fork.timeline.no == 1 && fork.at.at == 100 && fork.diverged);
    rand_seed(&chance, 3);
    for (int world = 0; world < 300; world++) {
        grow_branches(&chance, true);
        for (int server = 0; server < BRANCHES; server++)
            for (int target = 0; target < BRANCHES; target++)
                check_pair(server, branches[server].left_at + 2, target, branches[target].left_at + 3, true);
    }
}

static void an_unlimited_end_is_beyond_all(void)
{
    struct history none = { 0 }, one = { 1, { { { 1 }, { 100 } } } };
    struct lineage open = { &none, { 1 }, { 0 } }, closed = { &none, { 1 }, { 70 } }, later = { &one, { 3 }, { 0 } };
    struct fork fork = history_fork(closed, open);

    CU_ASSERT(fork.at.at == 70 && !fork.diverged);
    fork = history_fork(open, closed);
    CU_ASSERT(fork.at.at == 70 && fork.diverged);
    fork = history_fork(open, open);
    CU_ASSERT(fork.timeline.no == 1 && fork.at.at == 0 && !fork.diverged);
    fork = history_fork(open, later);
    CU_ASSERT(fork.at.at == 100 && fork.diverged);
}

static void unknown_timelines_are_on_no_history(void)
{
    struct history none = { 0 }, one = { 1, { { { 1 }, { 100 } } } };
    struct fork fork;

    CU_ASSERT(!history_contains(&none, (struct timeline){ 0 }, (struct timeline){ 0 }, (struct lsn){ 5 }));
    CU_ASSERT(!history_contains(&one, (struct timeline){ 3 }, (struct timeline){ 2 }, (struct lsn){ 5 }));
    CU_ASSERT(history_contains(&one, (struct timeline){ 3 }, (struct timeline){ 1 }, (struct lsn){ 100 }));
    CU_ASSERT(!history_contains(&one, (struct timeline){ 3 }, (struct timeline){ 1 }, (struct lsn){ 101 }));
    fork = history_fork((struct lineage){ &none, { 2 }, { 50 } }, (struct lineage){ &none, { 1 }, { 70 } });
    CU_ASSERT(fork.timeline.no == 0 && fork.at.at == 0 && fork.diverged);
    fork = history_fork((struct lineage){ &none, { 0 }, { 0 } }, (struct lineage){ &one, { 3 }, { 170 } });
    CU_ASSERT(fork.timeline.no == 0 && fork.at.at == 0);
}

/* A cut history begins in the middle of the other's: what was cut off is common. */
static void cut_histories_are_aligned(void)
{
    struct history cut = { .count = HISTORY_MAX }, longer = { .count = HISTORY_MAX };

    for (uint32_t i = 0; i < HISTORY_MAX; i++) {
        cut.rows[i] = (struct history_row){ { i + 8 }, { (i + 8) * 10 } };
        longer.rows[i] = (struct history_row){ { i + 5 }, { (i + 5) * 10 } };
    }
    /* The longer one is a server that stayed on timeline 37, where the cut one went on to 40. */
    struct lineage old = { &longer, { HISTORY_MAX + 5 }, { 369 } }, now = { &cut, { HISTORY_MAX + 8 }, { 999 } };
    struct fork fork = history_fork(old, now);
    CU_ASSERT(fork.timeline.no == HISTORY_MAX + 5 && fork.at.at == 369 && !fork.diverged);
    old.end.at = 371;
    fork = history_fork(old, now);
    CU_ASSERT(fork.at.at == 370 && fork.diverged);
    fork = history_fork(now, old);
    CU_ASSERT(fork.at.at == 370 && fork.diverged);
}

static const struct unit_test tests[] = {
    { "reads what PostgreSQL writes", reads_what_postgres_writes },
    { "refuses what is no history", refuses_what_is_no_history },
    { "keeps the newest rows of a long history", keeps_the_newest_rows },
    { "survives chance", survives_chance },
    { "agrees with WAL written out byte by byte", agrees_with_wal_written_out },
    { "timelines of one number are told apart by where they began", tells_twins_apart_by_where_they_began },
    { "an unlimited end is beyond all others", an_unlimited_end_is_beyond_all },
    { "unknown timelines are on no history", unknown_timelines_are_on_no_history },
    { "cut histories are aligned", cut_histories_are_aligned },
};
const struct unit_suite suite_history = UNIT_SUITE("history", tests);
