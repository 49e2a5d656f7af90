/*
 * watch.h - one file descriptor that the loop watches for us, closed together with its handle.
 */
#ifndef RAFTMGR_NET_WATCH_H
#define RAFTMGR_NET_WATCH_H

#include "base/base.h"

#include <uv.h>

struct net;

/* events: UV_READABLE | UV_WRITABLE; 0 when the socket has an error (see SO_ERROR). */
typedef void watch_ready_fn(void *owner, int events);

struct watch {
    uv_poll_t poll;
    struct net *net;
    watch_ready_fn *ready;
    void *owner;
    int fd;
    int events; /* awaited at present */
};

/* Takes fd in any case; it must be non-blocking. NULL when the loop will not watch it. Waits for nothing yet. */
struct watch *watch_new(struct net *net, int fd, watch_ready_fn *ready, void *owner);
/* Waits for other events from now on. */
void watch_set(struct watch *watch, int events);
/* No more calls from now on; fd is closed now, memory is freed later. Accepts NULL. */
void watch_close(struct watch *watch);
/* The pending error of a socket, or 0. */
int watch_error(const struct watch *watch);

#endif
