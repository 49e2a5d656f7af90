/*
 * main.c - raftmgr-guard: stops PostgreSQL before its lease ends, whatever becomes of the daemon that started it.
 *
 * Started by raftmgrd with the descriptors of fds.h and the data directory as its argument (for people: the page
 * names it too). Says "ready" or what is wrong through a pipe, and from then on speaks through the page and the
 * system's log only. Ends when the page says so, or some time after its daemon when there is nothing to guard.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard/fds.h"
#include "guard/other.h"
#include "guard/self.h"
#include "guard/watch.h"

static struct watch watch;

/* A guard that may not signal PostgreSQL would be none. */
static int check_rights(const char *data_directory, struct err *err)
{
    struct stat found;

    if (geteuid() == 0 || stat(data_directory, &found) < 0 || found.st_uid == geteuid())
        return 0;
    return err_set(err, ERR_REFUSED, "data directory '%s' belongs to user %u, and the guard runs as user %u",
                   data_directory, (unsigned)found.st_uid, (unsigned)geteuid());
}

/* Two would not know of each other's deadline. */
static int check_alone(const char *data_directory, struct err *err)
{
    pid_t other = other_guard(data_directory);

    if (!other)
        return 0;
    return err_set(err, ERR_REFUSED, "process %d guards '%s' already", (int)other, data_directory);
}

/* The lock came with the descriptor; its text tells a restarted daemon who has it. */
static int write_lock(const struct guard_state *state, struct err *err)
{
    char text[64];

    if (flock(GUARD_FD_LOCK, LOCK_EX | LOCK_NB) < 0)
        return err_set_errno(err, errno, "could not lock guard.lock");
    int length = snprintf(text, sizeof text, "%d %" PRIu64 "\n", (int)state->pid, state->started);
    if (ftruncate(GUARD_FD_LOCK, 0) < 0 || pwrite(GUARD_FD_LOCK, text, (size_t)length, 0) != length)
        return err_set_errno(err, errno, "could not write guard.lock");
    return 0;
}

static int begin(struct err *err)
{
    struct guard_page *page;
    struct guard_state state;

    int failed = page_map(GUARD_FD_PAGE, &page, err);
    if (failed)
        return failed;
    self_harden(&state);
    failed = check_rights(page_data_directory(page), err);
    if (!failed)
        failed = write_lock(&state, err);
    if (!failed)
        failed = check_alone(page_data_directory(page), err);
    if (!failed)
        failed = watch_open(&watch, page, &state, err);
    return failed;
}

int main(int argc, char **argv)
{
    struct err err = { 0 };
    struct stat found;

    if (argc != 2 || fstat(GUARD_FD_READY, &found) < 0 || !S_ISFIFO(found.st_mode)) {
        (void)fprintf(stderr, "%s is started by raftmgrd, and stops PostgreSQL when its lease ends\n", argv[0]);
        return err_exit_status(ERR_USAGE);
    }
    self_detach();
    int failed = begin(&err);
    /* The first turn comes before "ready": a daemon that reads it knows that its order is in force. */
    if (!failed && !watch_turn(&watch))
        return 0;
    const char *word = failed ? err.text : GUARD_READY;
    /* A daemon that is gone by now cannot read it, and need not. */
    (void)!write(GUARD_FD_READY, word, strlen(word));
    (void)close(GUARD_FD_READY);
    if (failed)
        return err_exit_status(err.code);
    do
        watch_sleep(&watch);
    while (watch_turn(&watch));
    return 0;
}
