/*
 * resolve.h - names to socket addresses, without letting a dead name server stop the cluster.
 *
 * Lookups run in libuv's thread pool, which libraft's disk writes need too: at most LOOKUPS_MAX at a time, and what was
 * found is remembered. A remembered address is used for RESOLVE_FRESH_MS without asking again, and after that too when
 * asking takes long or fails.
 */
#ifndef RAFTMGR_NET_RESOLVE_H
#define RAFTMGR_NET_RESOLVE_H

#include "net/address.h"

#include <uv.h>

#define RESOLVED_MAX 4
#define LOOKUPS_MAX 2
#define RESOLVE_FRESH_MS 30000
#define RESOLVE_PATIENCE_MS 1000

struct resolved {
    unsigned count;
    struct {
        struct sockaddr_storage socket;
        socklen_t length;
    } entries[RESOLVED_MAX];
};

struct resolver;
struct lookup;

struct resolver *resolver_new(uv_loop_t *loop);
/* Lookups under way are left to end by themselves; their done is not called. */
void resolver_free(struct resolver *resolver);

/* What is known: a literal, or a name looked up before; fresh_only: lately. */
bool resolver_known(const struct resolver *resolver, const struct address *address, bool fresh_only,
                    struct resolved *ret_resolved);
/* What is known did not work: ask again next time. */
void resolver_doubt(struct resolver *resolver, const struct address *address);

/* Asks. done is called later, with NULL for resolved and a reason when nothing was found. NULL: too many under way. */
struct lookup *lookup_start(struct resolver *resolver, const struct address *address,
                            void (*done)(void *ctx, const struct resolved *resolved, const char *reason), void *ctx);
/* The answer is remembered, but done will not be called. */
void lookup_forget(struct lookup *lookup);

#endif
