/* self.c - the guard's own protection. See self.h. */
#include "guard/self.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/magic.h>

#include "guard/fds.h"
#include "guard/process.h"

#define OOM_LEAST (-1000)
#define OOM_STEP 50
#define PRIORITY 20 /* above all that has no deadline, below the kernel's own threads at 50 */
#define GROUP_MOUNT "/sys/fs/cgroup"
#define GROUP_PATH GROUP_MOUNT "/raftmgr-guard"

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t done = write(fd, text, strlen(text));
    (void)close(fd);
    return done == (ssize_t)strlen(text);
}

/* The least score that we may take: going below the least that a privileged process gave us is refused. */
static int32_t take_oom_score(void)
{
    char text[16] = "";

    for (int score = OOM_LEAST; score < 0; score += OOM_STEP) {
        (void)snprintf(text, sizeof text, "%d", score);
        if (write_text("/proc/self/oom_score_adj", text))
            return score;
    }
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    return (int32_t)strtol(text, NULL, 10);
}

/* Out of the daemon's group, so that stopping its unit or an OOM kill of that group leaves the guard alone (R15).
 * Only the unified hierarchy: elsewhere a manager would still find us by its own. */
static bool take_group(void)
{
    struct statfs found;
    char text[16];

    if (statfs(GROUP_MOUNT, &found) < 0 || (unsigned long)found.f_type != CGROUP2_SUPER_MAGIC)
        return false;
    if (mkdir(GROUP_PATH, 0755) < 0 && errno != EEXIST)
        return false;
    (void)snprintf(text, sizeof text, "%d", (int)getpid());
    return write_text(GROUP_PATH "/cgroup.procs", text);
}

static bool take_priority(void)
{
    struct sched_param param = { .sched_priority = PRIORITY };

    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) == 0)
        return true;
    /* Second best, and often refused as well. */
    (void)setpriority(PRIO_PROCESS, 0, -20);
    return false;
}

/* What a unit granted has been used by now. A daemon that is started without those privileges could not open our page
 * (ptrace(2): the other's capabilities must be among one's own), so it could not take us over. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

    if (geteuid() != 0)
        (void)syscall(SYS_capset, &header, none);
}

void self_harden(struct guard_state *state)
{
    struct process self = { .pid = getpid() };

    (void)process_look(self.pid, &self);
    *state = (struct guard_state){
        .pid = self.pid,
        .started = self.started,
        .deadline_us = INT64_MAX,
        .wake_at_us = INT64_MAX,
        .own_group = take_group(),
        .oom_score_adj = take_oom_score(),
        .memory_locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0,
        .real_time = take_priority(),
    };
    drop_capabilities();
}

void self_detach(void)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)setsid(); /* refused to a group leader; the daemon starts us in a session of our own already */
    (void)umask(077);
    (void)!chdir("/"); /* a directory that cannot be left only keeps its file system busy */
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < GUARD_FD_PAGE; fd++)
        if (null >= 0 && null != fd)
            (void)dup2(null, fd);
    if (null >= GUARD_FD_END)
        (void)close(null);
    (void)close_range(GUARD_FD_END, UINT_MAX, 0);
}
