/*
 * guard.c - between libraft and its disk: a node whose log or vote could not be written says nothing any more.
 *
 * libraft 0.22 takes some failures for passing ones (segments that cannot be allocated: it tries again, and so recovers
 * from a full disk by itself) and does not survive others: it goes on after a failed write of term or vote, asserts
 * that snapshots can be written, and after a failed write of an entry starts the wrong timer (uv_append.c), whose
 * callback then crashes. Here each of the latter becomes an orderly end with a reason, before anything built on the
 * failed write can reach another member: the process is restarted, and a restart is what libraft does handle.
 */
#include "consensus/private.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#define LOOK_MS 500
#define WRITE_SLOW_MS 3000    /* a write that takes longer is a problem to be told */
#define APPLY_WEDGED_MS 10000 /* committed, not applied, nothing being written */

#define OF_IO(pointer) ((struct consensus *)(void *)((char *)(pointer)-offsetof(struct consensus, io)))

static int set_term(struct raft_io *io, raft_term term)
{
    struct consensus *consensus = OF_IO(io);

    /* Told as success: an error makes libraft abort, and silence is what matters. */
    if (!consensus->down && consensus->io_of_uv.set_term(io, term))
        consensus_down(consensus, "could not write the raft term: %s", io->errmsg);
    return 0;
}

static int set_vote(struct raft_io *io, raft_id id)
{
    struct consensus *consensus = OF_IO(io);

    if (!consensus->down && consensus->io_of_uv.set_vote(io, id))
        consensus_down(consensus, "could not write the raft vote: %s", io->errmsg);
    return 0;
}

/* A message that is not sent is a lost message: raft repeats what matters. An error makes libraft abort. */
static int send_message(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
                        raft_io_send_cb done)
{
    struct consensus *consensus = OF_IO(io);

    if (consensus->down || pace_says_nothing_new(consensus, message)) {
        done(request, RAFT_CANCELED);
        return 0;
    }
    int failed = consensus->io_of_uv.send(io, request, message, done);
    if (failed)
        done(request, failed);
    return 0;
}

struct snapshot_write {                  /* our request in front of libraft's */
    struct raft_io_snapshot_put request; /* first: libraft hands back its address */
    struct consensus *consensus;
    struct raft_io_snapshot_put *theirs;
    raft_io_snapshot_put_cb done;
};

static void snapshot_written(struct raft_io_snapshot_put *request, int status)
{
    struct snapshot_write *write = (struct snapshot_write *)request;
    struct consensus *consensus = write->consensus;
    struct raft_io_snapshot_put *theirs = write->theirs;
    raft_io_snapshot_put_cb done = write->done;

    free(write);
    consensus->snapshot_since = 0;
    if (status && status != RAFT_CANCELED) {
        consensus_down(consensus, "could not write a snapshot: %s", raft_strerror(status));
        return; /* libraft would abort; its request is lost with it */
    }
    if (!status && consensus->raft.legacy.snapshot_taking && consensus->raft.legacy.snapshot_pending) {
        /* libraft 0.22.1 follows a null pointer here (legacy.c, takeSnapshotCb). */
        consensus_down(consensus, "a snapshot arrived while one was being taken; a restart takes it");
        return;
    }
    done(theirs, status);
}

static int put_snapshot(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
                        const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb done)
{
    struct consensus *consensus = OF_IO(io);
    struct snapshot_write *write = consensus_alloc(sizeof *write);

    write->consensus = consensus;
    write->theirs = request;
    write->done = done;
    int failed = consensus->io_of_uv.snapshot_put(io, trailing, &write->request, snapshot, snapshot_written);
    if (failed)
        free(write);
    else
        consensus->snapshot_since = uv_now(consensus->loop);
    return failed;
}

/* libraft's only word about a failed write of entries is a line for its tracer, just before it starts that timer. Lines
 * come from the thread pool too. */
static void traced(struct raft_tracer *tracer, int type, const void *info)
{
    struct consensus *consensus = tracer->impl;
    const struct raft_tracer_info *line = info;
    static const char retry[] = "retry failed write";

    if (type == RAFT_TRACER_DIAGNOSTIC && strncmp(line->diagnostic.message, retry, sizeof retry - 1) == 0 &&
        pthread_equal(consensus->thread, pthread_self()))
        consensus_down(consensus, "could not write the raft log: %s", line->diagnostic.message + sizeof retry - 1);
}

void guard_io(struct consensus *consensus)
{
    consensus->thread = pthread_self();
    consensus->tracer = (struct raft_tracer){ .impl = consensus, .version = 2, .emit = traced };
    raft_uv_set_tracer(&consensus->io, &consensus->tracer);
    consensus->io_of_uv = consensus->io;
    consensus->io.set_term = set_term;
    consensus->io.set_vote = set_vote;
    consensus->io.send = send_message;
    consensus->io.snapshot_put = put_snapshot;
}

/* Says in consensus->problem that nothing gets written, or that it is over. */
static void tell_slow_write(struct consensus *consensus, bool slow)
{
    struct statvfs disk;

    if (slow == (consensus->problem[0] != '\0'))
        return;
    consensus->problem[0] = '\0';
    if (slow) {
        unsigned long long free_bytes =
            statvfs(consensus->directory, &disk) ? 0 : (unsigned long long)disk.f_bavail * disk.f_frsize;
        (void)snprintf(consensus->problem, sizeof consensus->problem,
                       "the raft log in '%s' cannot be written (%llu KiB free); it goes on by itself once it can",
                       consensus->directory, free_bytes / 1024);
    }
    consensus->changed = true;
    consensus_defer(consensus);
}

void guard_look(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    uint64_t now = uv_now(consensus->loop);

    if (now - consensus->looked_at < LOOK_MS)
        return;
    consensus->looked_at = now;
    if (raft->last_stored >= raft_last_index(raft))
        consensus->append_since = 0;
    else if (!consensus->append_since || raft->last_stored != consensus->seen_stored)
        consensus->append_since = now;
    consensus->seen_stored = raft->last_stored;
    uint64_t since = consensus->append_since;
    if (consensus->snapshot_since && (!since || consensus->snapshot_since < since))
        since = consensus->snapshot_since;
    tell_slow_write(consensus, since && now - since >= WRITE_SLOW_MS);

    if (raft->last_applied >= raft->commit_index || raft->last_applied != consensus->seen_applied || since)
        consensus->applied_at = now;
    consensus->seen_applied = raft->last_applied;
    if (now - consensus->applied_at > APPLY_WEDGED_MS)
        consensus_down(consensus, "entry %llu of the raft log is committed but has not been applied for %d s",
                       raft->last_applied + 1, APPLY_WEDGED_MS / 1000);
}
