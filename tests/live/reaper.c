/*
 * reaper.c - runs a command and takes in every process that it leaves behind, as a good init would.
 *
 * A killed postmaster stays a zombie until its adoptive parent has waited for it, and its number in postmaster.pid then
 * still looks alive: PostgreSQL refuses to start. The first process of a container may take seconds to wait, or never
 * do it. Tests that restart servers run under this program, so that their times do not depend on that.
 *
 * Usage: reaper COMMAND [ARGUMENT...]. Exit status: the command's; 128 + its signal.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

static volatile pid_t command;

static void pass_on(int number)
{
    if (command > 0)
        (void)kill(command, number);
}

/* Waits for whatever ends until it is the command; returns its status as wait(2) tells it. */
static int reap(void)
{
    for (;;) {
        int status = 0;
        pid_t pid = wait(&status);

        if (pid == command)
            return status;
        if (pid < 0 && errno != EINTR)
            return 1 << 8;
    }
}

int main(int argc, char **argv)
{
    struct sigaction forward = { .sa_handler = pass_on };
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct sigaction usual;
    int status;

    if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        (void)fprintf(stderr, "reaper: wants a command, and a kernel with child subreapers\n");
        return 2;
    }
    (void)sigaction(SIGINT, &ignore, &usual); /* a terminal sends it to the command as well */
    (void)sigaction(SIGTERM, &forward, NULL);
    (void)sigaction(SIGHUP, &forward, NULL);
    command = fork();
    if (command == 0) {
        (void)sigaction(SIGINT, &usual, NULL);
        (void)execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    status = command > 0 ? reap() : 1 << 8;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
