/* again.c - the daemon executes itself. See again.h. */
#include "daemon/again.h"

#include "guard/launch.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "RAFTMGRD_AGAIN"
#define PROGRAM "raftmgrd"

unsigned again_count(void)
{
    const char *text = getenv(VARIABLE);
    unsigned long count = text ? strtoul(text, NULL, 10) : 0;

    (void)unsetenv(VARIABLE);
    /* The kernel names a process by the last part of what it executes: "exe" here, and nobody looks for that. */
    if (text)
        (void)prctl(PR_SET_NAME, PROGRAM);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return count < UINT_MAX ? (unsigned)count : 0;
}

bool again_after_start(unsigned count, enum err_code code)
{
    return count > 0 && (code == ERR_NO_SPACE || (code == ERR_SYSTEM && count < AGAIN_MOST));
}

unsigned again_counted(unsigned count, int64_t lasted_us)
{
    return lasted_us >= AGAIN_SOUND_US ? 0 : count;
}

bool again_after_life(unsigned count, int64_t lasted_us)
{
    return again_counted(count, lasted_us) < AGAIN_MOST;
}

unsigned again_pause_ms(unsigned count)
{
    unsigned pause_ms = AGAIN_PAUSE_MS;

    for (unsigned i = 0; i < count && pause_ms < AGAIN_PAUSE_MAX_MS; i++)
        pause_ms *= 2;
    return pause_ms < AGAIN_PAUSE_MAX_MS ? pause_ms : AGAIN_PAUSE_MAX_MS;
}

void again_execute(char *const *argv, unsigned count)
{
    char text[16];

    (void)poll(NULL, 0, (int)again_pause_ms(count));
    (void)snprintf(text, sizeof text, "%u", count + 1);
    launch_pass_privileges();
    if (setenv(VARIABLE, text, 1) == 0)
        (void)execv("/proc/self/exe", argv);
}
