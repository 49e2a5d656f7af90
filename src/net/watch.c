/* watch.c - file descriptors on the loop. See watch.h. */
#include "net/watch.h"

#include "net/private.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct net *net = watch->net;

    free(watch);
    net_handle_closed(net);
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;

    if (status < 0)
        watch->events = 0; /* libuv has stopped it */
    watch->ready(watch->owner, status < 0 ? 0 : events);
}

struct watch *watch_new(struct net *net, int fd, watch_ready_fn *ready, void *owner)
{
    struct watch *watch = net_alloc(sizeof *watch);

    if (uv_poll_init(net->loop, &watch->poll, fd)) {
        (void)close(fd);
        free(watch);
        return NULL;
    }
    net_handle_opened(net);
    watch->poll.data = watch;
    watch->net = net;
    watch->ready = ready;
    watch->owner = owner;
    watch->fd = fd;
    return watch;
}

void watch_set(struct watch *watch, int events)
{
    if (watch->events == events)
        return;
    watch->events = events;
    if (events)
        (void)uv_poll_start(&watch->poll, events, polled);
    else
        (void)uv_poll_stop(&watch->poll);
}

void watch_close(struct watch *watch)
{
    if (!watch)
        return;
    uv_close((uv_handle_t *)&watch->poll, closed);
    /* Allowed as soon as uv_close has returned: the handle is stopped (libuv manual, uv_poll_t). */
    (void)close(watch->fd);
    watch->fd = -1;
}

int watch_error(const struct watch *watch)
{
    int number = 0;
    socklen_t length = sizeof number;

    return getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &number, &length) < 0 ? 0 : number;
}
