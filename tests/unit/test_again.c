/*
 * test_again.c - a daemon starts itself anew where that can help, ever later, and not for ever; and not where an
 * operator is waiting for the answer.
 */
#include "daemon/again.h"

#include "daemon/run.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static void a_first_start_tells_whoever_made_it(void)
{
    CU_ASSERT_FALSE(again_after_start(0, ERR_NO_SPACE));
    CU_ASSERT_FALSE(again_after_start(0, ERR_SYSTEM));
    CU_ASSERT_TRUE(again_after_start(1, ERR_NO_SPACE));
    CU_ASSERT_TRUE(again_after_start(1, ERR_SYSTEM));
    CU_ASSERT_FALSE(again_after_start(1, ERR_CONFIG));
    CU_ASSERT_FALSE(again_after_start(1, ERR_CORRUPT));
}

static void only_want_of_room_is_waited_for(void)
{
    CU_ASSERT_TRUE(again_after_start(100 * AGAIN_MOST, ERR_NO_SPACE));
    CU_ASSERT_FALSE(again_after_start(AGAIN_MOST, ERR_SYSTEM));
    CU_ASSERT_TRUE(again_after_life(0, 0));
    CU_ASSERT_TRUE(again_after_life(AGAIN_MOST - 1, AGAIN_SOUND_US - 1));
    CU_ASSERT_FALSE(again_after_life(AGAIN_MOST, AGAIN_SOUND_US - 1));
    /* A life that was sound begins the count anew. */
    CU_ASSERT_TRUE(again_after_life(AGAIN_MOST, AGAIN_SOUND_US));
    CU_ASSERT_EQUAL(again_counted(AGAIN_MOST, AGAIN_SOUND_US), 0);
    CU_ASSERT_EQUAL(again_counted(3, AGAIN_SOUND_US - 1), 3);
}

static void each_comes_later(void)
{
    for (unsigned count = 0; count < 20; count++) {
        CU_ASSERT(again_pause_ms(count) <= again_pause_ms(count + 1));
        CU_ASSERT(again_pause_ms(count) >= AGAIN_PAUSE_MS && again_pause_ms(count) <= AGAIN_PAUSE_MAX_MS);
    }
    CU_ASSERT_EQUAL(again_pause_ms(0), AGAIN_PAUSE_MS);
    CU_ASSERT_EQUAL(again_pause_ms(UINT32_MAX), AGAIN_PAUSE_MAX_MS);
}

/* What is counted is told to the next life, and to nobody that it starts. */
static void the_count_is_told_once(void)
{
    pid_t child = fork();

    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        (void)setenv("RAFTMGRD_AGAIN", "7", 1);
        _exit(again_count() == 7 && again_count() == 0 && !getenv("RAFTMGRD_AGAIN") ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
}

/* Executed by another name than its own, it is still found by that. */
static void it_keeps_its_name(void)
{
    char name[16] = "";
    pid_t child = fork();

    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_NAME, "exe");
        (void)setenv("RAFTMGRD_AGAIN", "1", 1);
        (void)again_count();
        (void)prctl(PR_GET_NAME, name);
        _exit(strcmp(name, "raftmgrd") == 0 ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
}

static void open_nothing(struct daemon *daemon)
{
    uv_signal_t *signals[] = { &daemon->sigterm, &daemon->sigint, &daemon->sighup };

    (void)uv_loop_init(&daemon->loop);
    (void)uv_prepare_init(&daemon->loop, &daemon->prepare);
    (void)uv_timer_init(&daemon->loop, &daemon->timer);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        (void)uv_signal_init(&daemon->loop, signals[i]);
    (void)uv_signal_start(&daemon->sighup, NULL, SIGHUP);
}

/* From the moment in which it closes its handles until the next life has its own. */
static void a_reload_meanwhile_ends_nothing(void)
{
    static struct daemon daemon;
    pid_t child = fork();

    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        open_nothing(&daemon);
        daemon_close(&daemon);
        (void)uv_run(&daemon.loop, UV_RUN_DEFAULT);
        (void)raise(SIGHUP);
        _exit(0);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
}

static const struct unit_test tests[] = {
    { "a first start tells whoever made it", a_first_start_tells_whoever_made_it },
    { "only want of room is waited for for ever", only_want_of_room_is_waited_for },
    { "each comes later than the one before", each_comes_later },
    { "the count is told to the next life alone", the_count_is_told_once },
    { "it keeps its name", it_keeps_its_name },
    { "a reload meanwhile ends nothing", a_reload_meanwhile_ends_nothing },
};
const struct unit_suite suite_again = UNIT_SUITE("again", tests);
