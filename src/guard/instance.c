/* instance.c - finding and signalling the processes of a PostgreSQL instance. See instance.h. */
#include "guard/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard/doubt.h"
#include "guard/process.h"

#define ENTRY_BYTES 8192 /* of /proc, read at a time */
#define NAME_BYTES 32    /* "PID/exe" */
#define DELETED " (deleted)"

/* Server binaries; the second is EDB's. */
static const char *const servers[] = { "postgres", "edb-postgres" };

/* The data directory as it is on disk now. */
struct place {
    bool exists;
    uint32_t device_major;
    uint32_t device_minor;
    uint64_t inode;
    uid_t owner; /* while it does not exist: the user that a server of ours would have */
};

/* What a look at a process says. */
enum look { LOOK_NO, LOOK_YES, LOOK_DENIED };

/* A directory, and whose. */
struct where {
    const struct instance *instance;
    const struct place *place;
};

struct pass {
    struct instance *instance;
    struct place place;
    enum instance_whom whom;
    int signal; /* 0 = count only */
    int found;
    int sent;
};

int instance_open(struct instance *instance, const char *data_directory, struct err *err)
{
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set_errno(err, errno, "could not open directory '/proc'");
    *instance = (struct instance){ .data_directory = data_directory, .proc_fd = fd, .open = true };
    return 0;
}

void instance_release(struct instance *instance)
{
    if (instance->open)
        (void)close(instance->proc_fd);
    *instance = (struct instance){ 0 };
}

/* A look that does not ask a remote or dead disk: what the kernel has in memory is good enough for an identity. Where
 * there is nothing, errno says why. */
static struct place place_at(int fd, const char *path)
{
    struct statx found;

    if (statx(fd, path, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO | STATX_UID, &found) < 0)
        return (struct place){ .owner = geteuid() };
    if (!S_ISDIR(found.stx_mode)) {
        errno = ENOENT;
        return (struct place){ .owner = geteuid() };
    }
    return (struct place){
        .exists = true,
        .owner = found.stx_uid,
        .device_major = found.stx_dev_major,
        .device_minor = found.stx_dev_minor,
        .inode = found.stx_ino,
    };
}

static bool place_is(const struct place *left, const struct place *right)
{
    return left->exists && right->exists && left->device_major == right->device_major &&
           left->device_minor == right->device_minor && left->inode == right->inode;
}

/* Reads the link /proc/PID/<name>; zombies and kernel threads have none. */
static enum look link_of(const struct instance *instance, pid_t pid, const char *name, char *text, size_t size)
{
    char path[NAME_BYTES];

    (void)snprintf(path, sizeof path, "%d/%s", (int)pid, name);
    ssize_t length = readlinkat(instance->proc_fd, path, text, size - 1);
    if (length <= 0)
        return length < 0 && doubt_denied(errno) ? LOOK_DENIED : LOOK_NO;
    text[length] = '\0';
    return LOOK_YES;
}

/* Takes " (deleted)", which the kernel appends to names of what was unlinked, off the text; true if it was there. */
static bool cut_deleted(char *text)
{
    size_t length = strlen(text);
    size_t tail = sizeof DELETED - 1;

    if (length <= tail || strcmp(text + length - tail, DELETED) != 0)
        return false;
    text[length - tail] = '\0';
    return true;
}

static enum look is_server(const struct instance *instance, pid_t pid)
{
    char text[PATH_MAX];

    enum look looked = link_of(instance, pid, "exe", text, sizeof text);
    if (looked != LOOK_YES)
        return looked;
    (void)cut_deleted(text);
    const char *slash = strrchr(text, '/');
    const char *base = slash ? slash + 1 : text;
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        if (strcmp(base, servers[i]) == 0)
            return LOOK_YES;
    return LOOK_NO;
}

static enum look stands_there(const struct instance *instance, const struct place *place, pid_t pid)
{
    char path[NAME_BYTES];
    char text[PATH_MAX];

    (void)snprintf(path, sizeof path, "%d/cwd", (int)pid);
    struct place cwd = place_at(instance->proc_fd, path);
    if (!cwd.exists && doubt_denied(errno))
        return LOOK_DENIED;
    if (place_is(&cwd, place))
        return LOOK_YES;
    /* A directory that was removed under a running server: its processes still hold the files open. */
    enum look looked = link_of(instance, pid, "cwd", text, sizeof text);
    if (looked != LOOK_YES)
        return looked;
    return cut_deleted(text) && strcmp(text, instance->data_directory) == 0 ? LOOK_YES : LOOK_NO;
}

static bool is_our_directory(const void *context, const char *directory)
{
    const struct where *where = context;

    if (strcmp(directory, where->instance->data_directory) == 0)
        return true;
    struct place there = place_at(AT_FDCWD, directory);
    return place_is(&there, where->place);
}

/* What may not be looked at is not absent (decision 3). */
static bool belongs_in_doubt(const struct where *where, pid_t pid)
{
    pid_t parent = 0;

    enum doubt doubt = doubt_judge(pid, where->place->owner, is_our_directory, where, &parent);
    if (doubt != DOUBT_PARENT)
        return doubt == DOUBT_YES;
    enum look server = is_server(where->instance, parent);
    enum look there = server == LOOK_YES ? stands_there(where->instance, where->place, parent) : server;
    if (there != LOOK_DENIED)
        return there == LOOK_YES;
    return doubt_judge(parent, where->place->owner, is_our_directory, where, &parent) != DOUBT_NO;
}

static bool belongs(const struct instance *instance, const struct place *place, pid_t pid)
{
    enum look server = is_server(instance, pid);
    enum look there = server == LOOK_YES ? stands_there(instance, place, pid) : server;

    return there == LOOK_DENIED ? belongs_in_doubt(&(struct where){ instance, place }, pid) : there == LOOK_YES;
}

/* True when its parent is not of the instance. In doubt it is a head: a signal too many does no harm. */
static bool is_head(const struct pass *pass, pid_t pid)
{
    struct process process;

    return !process_look(pid, &process) || !belongs(pass->instance, &pass->place, process.parent);
}

static bool send_checked(const struct pass *pass, pid_t pid)
{
    int fd = pidfd_open(pid, 0);

    if (fd < 0 && errno == ESRCH)
        return false;
    bool sent = false;
    if (belongs(pass->instance, &pass->place, pid)) /* looked at again, now that the descriptor names it */
        /* No descriptor left in the system: by number, right after the look. Stopping PostgreSQL must go on. */
        sent = fd >= 0 ? pidfd_send_signal(fd, pass->signal, NULL, 0) == 0 : kill(pid, pass->signal) == 0;
    if (fd >= 0)
        (void)close(fd);
    return sent;
}

static void visit(struct pass *pass, pid_t pid)
{
    if (!belongs(pass->instance, &pass->place, pid))
        return;
    pass->found++;
    if (pass->signal && (pass->whom == INSTANCE_ALL || is_head(pass, pid)) && send_checked(pass, pid))
        pass->sent++;
}

/* The number that an entry of /proc is named by; 0 when it is no process. */
static pid_t pid_of(const char *name)
{
    char *end;
    long number = name[0] >= '1' && name[0] <= '9' ? strtol(name, &end, 10) : 0;

    return number > 0 && number <= INT_MAX && *end == '\0' ? (pid_t)number : 0;
}

static int pass_run(struct pass *pass, struct err *err)
{
    _Alignas(struct dirent64) char bytes[ENTRY_BYTES];

    pass->place = place_at(AT_FDCWD, pass->instance->data_directory);
    if (lseek(pass->instance->proc_fd, 0, SEEK_SET) < 0)
        return err_set_errno(err, errno, "could not rewind directory '/proc'");
    for (;;) {
        ssize_t got = getdents64(pass->instance->proc_fd, bytes, sizeof bytes);
        if (got < 0)
            return err_set_errno(err, errno, "could not read directory '/proc'");
        if (got == 0)
            return pass->found;
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(bytes + at);
            pid_t pid = pid_of(entry->d_name);
            if (pid > 0)
                visit(pass, pid);
            at += entry->d_reclen;
        }
    }
}

int instance_count(struct instance *instance, struct err *err)
{
    struct pass first = { .instance = instance };
    struct pass second = { .instance = instance };

    int found = pass_run(&first, err);
    /* A child whose number lies behind the reader, of a parent that ended before the reader came to it, escapes one
     * pass: nobody is left only when a second pass says so too. */
    return found == 0 ? pass_run(&second, err) : found;
}

int instance_signal(struct instance *instance, enum instance_whom whom, int signal, int *ret_sent, struct err *err)
{
    struct pass pass = { .instance = instance, .whom = whom, .signal = signal };

    assert(signal > 0);
    int found = pass_run(&pass, err);
    if (found >= 0 && ret_sent)
        *ret_sent = pass.sent;
    return found;
}

pid_t instance_postmaster_pid(struct instance *instance)
{
    char path[PATH_MAX];
    char text[16];

    if (snprintf(path, sizeof path, "%s/postmaster.pid", instance->data_directory) >= (int)sizeof path)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    /* A single-user server writes its number negated. */
    pid_t pid = pid_of(text);
    return pid > 0 && instance_has(instance, pid) ? pid : 0;
}

bool instance_has(struct instance *instance, pid_t pid)
{
    struct place place = place_at(AT_FDCWD, instance->data_directory);

    return belongs(instance, &place, pid);
}
