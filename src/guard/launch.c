/* launch.c - fork, fork, exec, and waiting for the guard's word. See launch.h. */
#include "guard/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/clock.h"
#include "guard/fds.h"

#define WORD_BYTES_MAX ERR_TEXT_MAX
#define EXEC_FAILED '\1' /* first byte of a word that says errno of execve, which follows as text */
#define FIRST_FREE_FD 16 /* above the guard's own */

struct launch {
    const char *binary;
    char *const *argv;
    int page_fd;
    int lock_fd;
    int ready_fd;
};

/* Between fork and exec: calls that are safe there only (signal-safety(7)). */
static void place_fd(int from, int to)
{
    (void)dup2(from, to); /* leaves the copy open across exec */
}

void launch_keep_privileges(void)
{
    /* Can only fail on a kernel that has no such set to inherit. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

void launch_pass_privileges(void)
{
    /* Refused for what this process does not have. */
    for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

/* Never returns. */
static void run_binary(const struct launch *launch)
{
    char *const environment[] = { NULL };
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;

    /* First out of the way of the numbers that are to be taken. */
    int page = fcntl(launch->page_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    int lock = fcntl(launch->lock_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    int ready = fcntl(launch->ready_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);

    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    place_fd(page, GUARD_FD_PAGE);
    place_fd(lock, GUARD_FD_LOCK);
    place_fd(ready, GUARD_FD_READY);
    launch_pass_privileges();
    (void)execve(launch->binary, launch->argv, environment);
    const char word[] = { EXEC_FAILED, (char)errno };
    (void)!write(ready, word, sizeof word);
    _exit(127);
}

/* The child in the middle ends at once, so that the guard is adopted by init; it is waited for by its own number,
 * which takes nothing away from others that wait for their children. */
static int fork_twice(const struct launch *launch, struct err *err)
{
    pid_t middle = fork();

    if (middle < 0)
        return err_set_errno(err, errno, "could not fork");
    if (middle == 0) {
        (void)setsid();
        pid_t guard = fork();
        if (guard == 0)
            run_binary(launch);
        _exit(guard < 0 ? 1 : 0);
    }
    int status = 0;
    pid_t ended;
    do
        ended = waitpid(middle, &status, 0);
    while (ended < 0 && errno == EINTR);
    /* ECHILD: the caller ignores SIGCHLD; then only the guard's word tells. */
    if (ended == middle && status != 0)
        return err_set(err, ERR_SYSTEM, "could not fork a second time");
    return 0;
}

/* Reads until the other end is closed, which the guard does after its word. Returns the length, or -1 at timeout. */
static ssize_t read_word(int fd, char *word, size_t size, int64_t timeout_ms)
{
    int64_t end_us = clock_boot_us() + timeout_ms * 1000;
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    size_t length = 0;

    while (length < size) {
        int64_t left_us = end_us - clock_boot_us();
        /* Asked at least once: where this host stood still, the word may have been there before the deadline. */
        int ready = poll(&wait, 1, left_us > 0 ? (int)(left_us / 1000 + 1) : 0);
        if (ready == 0 || (ready < 0 && left_us <= 0))
            return -1;
        if (ready < 0)
            continue; /* EINTR: the deadline bounds the loop */
        ssize_t got = read(fd, word + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

static int judge_word(const char *binary, char *word, ssize_t length, struct err *err)
{
    if (length < 0)
        return err_set(err, ERR_TIMEOUT, "'%s' did not say in time that it watches", binary);
    word[length] = '\0';
    if (strcmp(word, GUARD_READY) == 0)
        return 0;
    if (length == 2 && word[0] == EXEC_FAILED) {
        struct err reason;
        (void)err_set_errno(&reason, word[1], "could not run '%s'", binary);
        return err_set(err, ERR_COMMAND, "%s", reason.text);
    }
    if (length == 0)
        return err_set(err, ERR_COMMAND, "'%s' ended at its start", binary);
    return err_set(err, ERR_REFUSED, "'%s' does not watch: %s", binary, word);
}

int launch_guard(const char *binary, const char *data_directory, int page_fd, int lock_fd, int64_t timeout_ms,
                 struct err *err)
{
    char word[WORD_BYTES_MAX];
    char *const argv[] = { (char *)"raftmgr-guard", (char *)data_directory, NULL };
    struct launch launch = { .binary = binary, .argv = argv, .page_fd = page_fd, .lock_fd = lock_fd };
    int ready[2];

    if (pipe2(ready, O_CLOEXEC) < 0)
        return err_set_errno(err, errno, "could not make a pipe");
    launch.ready_fd = ready[1];
    int failed = fork_twice(&launch, err);
    (void)close(ready[1]);
    if (!failed)
        failed = judge_word(binary, word, read_word(ready[0], word, sizeof word - 1, timeout_ms), err);
    (void)close(ready[0]);
    return failed;
}
