/*
 * fake_postgres.h - processes that look like a PostgreSQL server's to whoever reads /proc: a program called "postgres"
 * whose working directory is the data directory. Used by the suites of the guard.
 */
#ifndef RAFTMGR_FAKE_POSTGRES_H
#define RAFTMGR_FAKE_POSTGRES_H

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "guard/guard.h"
#include "guard/process.h"
#include "unit.h"

#define FAKE_PATH_SIZE 256
#define FAKE_LIFE "60" /* seconds after which one ends by itself, should a test leave it */
#define FAKE_PATIENCE_MS 10000
#define FAKE_PROGRAM_BYTES_MAX (16 << 20)

/* Directories of one test, made below the run's own. */
struct fake {
    char data[FAKE_PATH_SIZE];    /* the data directory */
    char runtime[FAKE_PATH_SIZE]; /* the guard's lock */
    char server[FAKE_PATH_SIZE];  /* a program called postgres that sleeps */
    char parent[FAKE_PATH_SIZE];  /* a program called postgres that is a shell */
    char other[FAKE_PATH_SIZE];   /* a program of another name that sleeps */
};

static inline void fake_copy(const char *from, const char *to)
{
    AUTO(buf) program;

    buf_init(&program, FAKE_PROGRAM_BYTES_MAX);
    CU_ASSERT_FATAL(file_read(from, &program, NULL) == 0);
    CU_ASSERT_FATAL(file_replace(to, program.bytes, program.length, 0755, NULL) == 0);
}

static inline void fake_path(char *path, const char *name, const char *tail)
{
    char both[FAKE_PATH_SIZE];

    int length = snprintf(both, sizeof both, "%s%s", name, tail);
    CU_ASSERT_FATAL(length > 0 && length < FAKE_PATH_SIZE);
    (void)unit_path(path, FAKE_PATH_SIZE, both);
}

/* A new set of directories for the test of that name. */
static inline void fake_init(struct fake *fake, const char *name)
{
    char top[FAKE_PATH_SIZE];
    char shell[FAKE_PATH_SIZE];

    fake_path(top, name, "");
    fake_path(shell, name, "/shell");
    fake_path(fake->data, name, "/data");
    fake_path(fake->runtime, name, "/run");
    CU_ASSERT_FATAL(mkdir(top, 0700) == 0 && mkdir(shell, 0700) == 0);
    CU_ASSERT_FATAL(mkdir(fake->data, 0700) == 0 && mkdir(fake->runtime, 0700) == 0);
    fake_path(fake->server, name, "/postgres");
    fake_path(fake->parent, name, "/shell/postgres");
    fake_path(fake->other, name, "/other");
    fake_copy("/bin/sleep", fake->server);
    fake_copy("/bin/sleep", fake->other);
    fake_copy("/bin/sh", fake->parent);
}

/* Runs a program in a directory; comes back when it has been executed. argument NULL: it sleeps. */
static inline pid_t fake_run(const char *program, const char *directory, const char *script)
{
    int executed[2];
    char nothing;

    CU_ASSERT_FATAL(pipe2(executed, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGQUIT, SIG_DFL); /* a shell's background jobs ignore it, these tests may be one */
        if (chdir(directory) == 0) {
            if (script)
                (void)execl(program, "sh", "-c", script, (char *)NULL);
            else
                (void)execl(program, "sleep", FAKE_LIFE, (char *)NULL);
        }
        _exit(127);
    }
    (void)close(executed[1]);
    CU_ASSERT_EQUAL(read(executed[0], &nothing, 1), 0); /* closed by the execution */
    (void)close(executed[0]);
    return pid;
}

static inline pid_t fake_server(const struct fake *fake)
{
    return fake_run(fake->server, fake->data, NULL);
}

/* Waits for the end of a child and reaps it; its wait status, or -1 when it does not end. */
static inline int fake_await_end(pid_t pid)
{
    int status = -1;
    int fd = pidfd_open(pid, 0);

    bool ended = fd >= 0 && process_wait(fd, FAKE_PATIENCE_MS);
    if (fd >= 0)
        (void)close(fd);
    return ended && waitpid(pid, &status, 0) == pid ? status : -1;
}

static inline bool fake_lives(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

static inline void fake_end(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* Tells a guard to end, waits for that, and leaves it. False: it did not end. One that is dead or was left is ended. */
static inline bool fake_end_guard(struct guard *guard)
{
    bool ended = !guard_alive(guard) || (guard_set(guard, GUARD_QUIT, 0, guard->last.token, NULL) == 0 &&
                                         process_wait(guard->pidfd, FAKE_PATIENCE_MS));

    guard_forget(guard);
    return ended;
}

/* Waits until the expression is true, FAKE_PATIENCE_MS at most, and asserts that it became so. */
#define FAKE_AWAIT(expression)                                                                                         \
    do {                                                                                                               \
        int64_t fake_end_us = clock_boot_us() + FAKE_PATIENCE_MS * 1000;                                               \
        while (!(expression) && clock_boot_us() < fake_end_us)                                                         \
            (void)usleep(1000);                                                                                        \
        CU_ASSERT_TRUE(expression);                                                                                    \
    } while (0)

#endif
