/*
 * store.c - the directory of the raft log: whose it is, whether it can be trusted, and founding a group in it.
 *
 * libraft locks nothing, and two processes on one directory lose what was agreed; it takes a log without metadata for
 * a new member that has never voted; and a founding that stops halfway leaves a directory that can never be founded
 * (libraft.md, section 2). All three are met here.
 */
#include "base/file.h"
#include "consensus/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1100
#define LOCK_NAME "lock"
#define METADATA_BYTES 32 /* format, version, term, vote: four u64 (uv_metadata.c) */

struct inventory { /* what libraft has left in a directory */
    unsigned metadata, segments, snapshots;
    bool voted; /* the metadata speak of more than a founding */
};

/* libraft makes open segments beforehand, full of zeros: before the first entry, and also before there is a term. */
static bool is_unwritten(const char *directory, const char *name)
{
    char path[PATH_BYTES_MAX];
    uint64_t format = 0;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, &format, sizeof format);
    (void)close(fd);
    return got >= 0 && format == 0;
}

/* Segments are open-N and FIRST-LAST. */
static bool is_segment(const char *directory, const char *name)
{
    size_t digits = strspn(name, "0123456789");

    if (strncmp(name, "open-", 5) == 0)
        return !is_unwritten(directory, name);
    return digits > 0 && name[digits] == '-' && strspn(name + digits + 1, "0123456789") > 0;
}

static void look_into_metadata(const char *directory, const char *name, struct inventory *inventory)
{
    char path[PATH_BYTES_MAX];
    AUTO(buf) text;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    buf_init(&text, 4096);
    if (file_read(path, &text, NULL) || text.length < METADATA_BYTES)
        return; /* written halfway: libraft does not count it either */
    struct cursor cursor = cursor_of(text.bytes, text.length);
    (void)cursor_u64(&cursor);
    (void)cursor_u64(&cursor);
    uint64_t term = cursor_u64(&cursor);
    uint64_t vote = cursor_u64(&cursor);
    inventory->metadata++;
    inventory->voted |= term > 1 || vote != 0;
}

static struct inventory take_inventory(const char *directory)
{
    struct inventory inventory = { 0 };
    struct dirent *entry;
    DIR *dir = opendir(directory);

    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, "metadata1") == 0 || strcmp(entry->d_name, "metadata2") == 0)
            look_into_metadata(directory, entry->d_name, &inventory);
        inventory.segments += is_segment(directory, entry->d_name);
        inventory.snapshots += strncmp(entry->d_name, "snapshot-", 9) == 0;
    }
    if (dir)
        (void)closedir(dir);
    return inventory;
}

bool consensus_exists(const char *directory)
{
    struct inventory inventory = take_inventory(directory);

    return inventory.segments || inventory.snapshots || inventory.voted;
}

bool consensus_holds(const char *directory)
{
    struct inventory inventory = take_inventory(directory);

    return inventory.segments || inventory.snapshots;
}

int store_lock(const char *directory, int *ret_fd, struct err *err)
{
    char path[PATH_BYTES_MAX];

    (void)snprintf(path, sizeof path, "%s/%s", directory, LOCK_NAME);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "could not open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int number = errno;
        (void)close(fd);
        if (number == EWOULDBLOCK)
            return err_set(err, ERR_REFUSED, "the raft log in '%s' is in use by another process", directory);
        return err_set_errno(err, number, "could not lock '%s'", path);
    }
    *ret_fd = fd;
    return 0;
}

int store_check(const char *directory, struct err *err)
{
    struct inventory inventory = take_inventory(directory);

    if ((inventory.segments || inventory.snapshots) && !inventory.metadata)
        return err_set(err, ERR_CORRUPT,
                       "the raft log in '%s' has lost its metadata files: what this member has "
                       "voted for is forgotten; it must be admitted anew: empty its state directory, start raftmgrd "
                       "again and run 'rmctl standby register --force' (a witness: 'rmctl witness register --force')",
                       directory);
    return 0;
}

int store_failure(const char *directory, uint64_t id, int status, const char *detail, struct err *err)
{
    const char *text = detail && detail[0] ? detail : raft_strerror(status);

    switch (status) {
    case RAFT_CORRUPT:
    case RAFT_MALFORMED:
        return err_set(
            err, ERR_CORRUPT,
            "the raft log in '%s' is damaged (%s); raft member %" PRIu64 " cannot be "
            "used any more and must be admitted anew: empty the node's state directory, start raftmgrd again "
            "and run 'rmctl standby register --force' (a witness: 'rmctl witness register --force')",
            directory, text, id);
    case RAFT_NOSPACE:
        return err_set(err, ERR_NO_SPACE, "no space for the raft log in '%s': %s", directory, text);
    case RAFT_NOMEM:
        return err_set(err, ERR_MEMORY, "out of memory for the raft log in '%s'", directory);
    default:
        return err_set(err, ERR_SYSTEM, "could not open the raft log in '%s': %s", directory, text);
    }
}

/* Removes what an interrupted founding has left: metadata that nobody can have relied on. */
static int remove_remains(const char *directory, struct err *err)
{
    static const char *const names[] = { "metadata1", "metadata2" };
    char path[PATH_BYTES_MAX];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        if (unlink(path) < 0 && errno != ENOENT)
            return err_set_errno(err, errno, "could not remove '%s'", path);
    }
    return file_sync_dir(directory, err);
}

static void nothing_done(struct raft *raft)
{
    (void)raft;
}

/* Writes the first metadata and the first segment, which names this member as the only voter. */
static int write_founding(struct consensus *consensus, struct err *err)
{
    struct raft_configuration configuration;
    int status = raft_init(&consensus->raft, &consensus->io, &consensus->fsm, consensus->id, consensus->address);

    if (status)
        return store_failure(consensus->directory, consensus->id, status, consensus->io.errmsg, err);
    raft_configuration_init(&configuration);
    status = raft_configuration_add(&configuration, consensus->id, consensus->address, RAFT_VOTER);
    if (!status)
        status = raft_bootstrap(&consensus->raft, &configuration);
    raft_configuration_close(&configuration);
    int failed = status ? store_failure(consensus->directory, consensus->id, status, consensus->io.errmsg, err) : 0;
    raft_close(&consensus->raft, nothing_done);
    (void)uv_run(consensus->loop, UV_RUN_DEFAULT);
    return failed;
}

int consensus_bootstrap(const char *directory, uint64_t id, const char *address, struct err *err)
{
    struct consensus *consensus = consensus_alloc(sizeof *consensus);
    char directory_copy[PATH_BYTES_MAX];
    char address_copy[CONSENSUS_ADDRESS_MAX];
    uv_loop_t loop;

    assert(id != 0);
    (void)text_copy(directory_copy, sizeof directory_copy, directory);
    (void)text_copy(address_copy, sizeof address_copy, address);
    int failed = store_lock(directory, &consensus->lock_fd, err);
    if (failed) {
        free(consensus);
        return failed;
    }
    consensus->loop = &loop;
    consensus->id = id;
    consensus->directory = directory_copy;
    consensus->address = address_copy;
    (void)uv_loop_init(&loop);
    transport_init(consensus);
    fsm_init(consensus);
    if (consensus_exists(directory))
        failed = err_set(err, ERR_REFUSED, "there is a raft log in '%s' already", directory);
    else
        failed = remove_remains(directory, err);
    if (!failed) {
        int status = raft_uv_init(&consensus->io, &loop, directory, &consensus->transport);
        failed =
            status ? store_failure(directory, id, status, consensus->io.errmsg, err) : write_founding(consensus, err);
        if (!status)
            raft_uv_close(&consensus->io);
    }
    (void)uv_loop_close(&loop);
    (void)close(consensus->lock_fd);
    free(consensus);
    return failed ? err_wrap(err, "could not found a raft group") : file_sync_dir(directory, err);
}
