/*
 * identity.c - what must not be forgotten: which cluster, which raft id, how often started, which data directory.
 *
 * Small text files of "name value" lines, replaced durably. The start number is on disk before it is used (design 5.1;
 * R10, R35); the data directory's identity lies in the data directory itself, so that it goes where the data goes.
 */
#include "daemon/daemon.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY_BYTES_MAX 4096

static int path_in(char *path, size_t size, const char *directory, const char *name, struct err *err)
{
    if (snprintf(path, size, "%s/%s", directory, name) >= (int)size)
        return err_set(err, ERR_CONFIG, "path '%s/%s' is too long", directory, name);
    return 0;
}

/* The number behind "name " at the start of a line; false when there is none, or the line is not whole. */
static bool find_number(const char *text, const char *name, uint64_t *ret_number)
{
    size_t length = strlen(name);

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, name, length) != 0 || line[length] != ' ')
            continue;
        const char *number = line + length + 1;
        size_t digits = strspn(number, "0123456789abcdef");
        if (digits == 0 || digits > 16 || number[digits] != '\n')
            return false;
        *ret_number = strtoull(number, NULL, 16);
        return true;
    }
    return false;
}

static int read_text(const char *path, char text[IDENTITY_BYTES_MAX], struct err *err)
{
    AUTO(buf) bytes;

    buf_init(&bytes, IDENTITY_BYTES_MAX - 1);
    int failed = file_read(path, &bytes, err);
    if (failed)
        return failed;
    memcpy(text, bytes.bytes ? bytes.bytes : (const uint8_t *)"", bytes.length);
    text[bytes.length] = '\0';
    return 0;
}

int identity_make_directory(const char *path, const char *what, struct err *err)
{
    char above[PATH_SIZE + 16];

    if (mkdir(path, 0700) < 0) {
        if (errno == EEXIST)
            return 0;
        return err_set_errno(err, errno, "could not create %s '%s' (create it for the user that runs raftmgrd)", what,
                             path);
    }
    (void)text_copy(above, sizeof above, path);
    char *slash = strrchr(above, '/');
    if (!slash)
        return file_sync_dir(".", err);
    slash[slash == above] = '\0';
    return file_sync_dir(above, err);
}

static int lock_state(struct daemon *daemon, struct err *err)
{
    const char *directory = daemon->settings.state_directory;
    char path[PATH_SIZE + 16];

    int failed = identity_make_directory(directory, "state_directory", err);
    if (!failed)
        failed = path_in(path, sizeof path, directory, "lock", err);
    if (failed)
        return failed;
    daemon->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (daemon->lock_fd < 0)
        return err_set_errno(err, errno,
                             "could not open '%s' (state_directory must belong to the user that runs raftmgrd)", path);
    if (flock(daemon->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_REFUSED, "another raftmgrd uses state_directory '%s': end it first", directory);
    return 0;
}

/* Reads the counter, adds one, writes it durably. A missing counter beside a member file would repeat numbers. */
static int count_start(struct daemon *daemon, struct err *err)
{
    char path[PATH_SIZE + 16];
    char text[IDENTITY_BYTES_MAX];
    uint64_t start_no = 0;

    int failed = path_in(path, sizeof path, daemon->settings.state_directory, "start", err);
    if (failed)
        return failed;
    failed = read_text(path, text, err);
    if (failed == -ERR_NOT_FOUND && daemon->identity.raft_id == 0)
        start_no = 0;
    else if (failed == -ERR_NOT_FOUND)
        return err_set(err, ERR_CORRUPT,
                       "'%s' is missing beside a member's state: this node must be admitted anew; empty '%s' and run "
                       "'rmctl standby register --force' (a witness: 'rmctl witness register --force')",
                       path, daemon->settings.state_directory);
    else if (failed)
        return failed;
    else if (!find_number(text, "start", &start_no))
        return err_set(err, ERR_CORRUPT,
                       "'%s' cannot be read as a start counter: this node must be admitted anew; empty '%s' and run "
                       "'rmctl standby register --force'",
                       path, daemon->settings.state_directory);
    daemon->identity.start_no = start_no + 1;
    int length = snprintf(text, sizeof text, "start %" PRIx64 "\n", daemon->identity.start_no);
    failed = file_replace(path, text, (size_t)length, 0600, err);
    return failed ? err_wrap(err, "could not count this start") : 0;
}

static int read_member(struct daemon *daemon, struct err *err)
{
    char path[PATH_SIZE + 16];
    char text[IDENTITY_BYTES_MAX];
    uint64_t epoch = 0;
    uint64_t founder = 0;
    uint64_t begun = 0;
    uint64_t timing[2] = { 0 };
    struct identity identity = { 0 };

    int failed = path_in(path, sizeof path, daemon->settings.state_directory, "member", err);
    if (failed)
        return failed;
    failed = read_text(path, text, err);
    if (failed == -ERR_NOT_FOUND) {
        char raft[PATH_SIZE + 16];
        (void)path_in(raft, sizeof raft, daemon->settings.state_directory, "raft", NULL);
        if (consensus_exists(raft))
            return err_set(err, ERR_CORRUPT,
                           "'%s' is missing beside a Raft log: this node must be admitted anew; move '%s' away and run "
                           "'rmctl standby register --force' (a witness: 'rmctl witness register --force')",
                           path, raft);
        return 0;
    }
    if (failed)
        return failed;
    if (!find_number(text, "cluster", &identity.cluster_id) || !find_number(text, "raft_id", &identity.raft_id) ||
        !find_number(text, "epoch", &epoch) || !find_number(text, "system", &identity.system_identifier) ||
        !find_number(text, "founder", &founder) || !find_number(text, "begun", &begun) || identity.cluster_id == 0 ||
        identity.raft_id == 0 || epoch > UINT32_MAX)
        return err_set(err, ERR_CORRUPT,
                       "'%s' is damaged: this node must be admitted anew; empty '%s' and run "
                       "'rmctl standby register --force'",
                       path, daemon->settings.state_directory);
    identity.epoch = (uint32_t)epoch;
    identity.founder = founder != 0;
    identity.begun = begun != 0;
    if (find_number(text, "raft_election_timeout_ms", &timing[0]) &&
        find_number(text, "raft_heartbeat_ms", &timing[1])) {
        identity.raft_election_timeout_ms = (unsigned)timing[0];
        identity.raft_heartbeat_ms = (unsigned)timing[1];
    }
    daemon->identity = identity;
    return 0;
}

int identity_open(struct daemon *daemon, struct err *err)
{
    int failed = lock_state(daemon, err);

    if (!failed)
        failed = read_member(daemon, err);
    if (!failed)
        failed = count_start(daemon, err);
    return failed;
}

int identity_save(struct daemon *daemon, const struct identity *identity, struct err *err)
{
    char path[PATH_SIZE + 16];
    char text[IDENTITY_BYTES_MAX];

    int failed = path_in(path, sizeof path, daemon->settings.state_directory, "member", err);
    if (failed)
        return failed;
    int length = snprintf(text, sizeof text,
                          "cluster %" PRIx64 "\nraft_id %" PRIx64 "\nepoch %" PRIx32 "\nsystem %" PRIx64
                          "\nfounder %x\nbegun %x\nraft_election_timeout_ms %x\nraft_heartbeat_ms %x\n",
                          identity->cluster_id, identity->raft_id, identity->epoch, identity->system_identifier,
                          identity->founder ? 1u : 0u, identity->begun ? 1u : 0u, identity->raft_election_timeout_ms,
                          identity->raft_heartbeat_ms);
    failed = file_replace(path, text, (size_t)length, 0600, err);
    if (!failed)
        daemon->identity = *identity;
    return failed;
}

int identity_read_directory(const struct daemon *daemon, uint64_t *ret_cluster_id, struct directory_id *ret_directory,
                            struct err *err)
{
    char path[PATH_SIZE + 16];
    char text[IDENTITY_BYTES_MAX];
    uint64_t cluster_id = 0;
    uint64_t node_id = 0;
    struct directory_id directory = { 0 };

    int failed = path_in(path, sizeof path, daemon->settings.data_directory, "raftmgr.id", err);
    if (failed)
        return failed;
    failed = read_text(path, text, err);
    if (failed && failed != -ERR_NOT_FOUND)
        return failed;
    /* A file that came with a copy of another node's directory says nothing about this one. */
    if (!failed && find_number(text, "cluster", &cluster_id) && find_number(text, "node", &node_id) &&
        (node_id != (uint64_t)daemon->settings.node_id || !find_number(text, "directory", &directory.no)))
        directory.no = 0;
    *ret_cluster_id = cluster_id;
    *ret_directory = directory;
    return 0;
}

int identity_save_directory(const struct daemon *daemon, struct directory_id directory, struct err *err)
{
    char path[PATH_SIZE + 16];
    char text[IDENTITY_BYTES_MAX];

    int failed = path_in(path, sizeof path, daemon->settings.data_directory, "raftmgr.id", err);
    if (failed)
        return failed;
    if (directory.no == 0) {
        if (unlink(path) < 0 && errno != ENOENT)
            return err_set_errno(err, errno, "could not remove '%s'", path);
        /* A link may lead to nothing while a clone is under way. */
        return access(daemon->settings.data_directory, F_OK) == 0 ? file_sync_dir(daemon->settings.data_directory, err)
                                                                  : 0;
    }
    int length = snprintf(text, sizeof text, "cluster %" PRIx64 "\nnode %" PRIx64 "\ndirectory %" PRIx64 "\n",
                          daemon->identity.cluster_id, (uint64_t)daemon->settings.node_id, directory.no);
    return file_replace(path, text, (size_t)length, 0600, err);
}
