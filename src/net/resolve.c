/* resolve.c - bounded, remembering name lookups. See resolve.h. */
#include "net/resolve.h"

#include "net/private.h"

#include <netdb.h>
#include <stdlib.h>

#define REMEMBERED_MAX 32

struct remembered {
    struct address address;
    struct resolved resolved; /* count 0: unused */
    uint64_t at;              /* uv_now() of the lookup */
    bool doubtful;
};

struct lookup {
    uv_getaddrinfo_t request;
    struct resolver *resolver; /* NULL once that is gone */
    struct lookup *next;
    struct address address;
    void (*done)(void *ctx, const struct resolved *resolved, const char *reason);
    void *ctx;
};

struct resolver {
    uv_loop_t *loop;
    struct lookup *lookups;
    unsigned under_way;
    struct remembered remembered[REMEMBERED_MAX];
};

struct resolver *resolver_new(uv_loop_t *loop)
{
    struct resolver *resolver = net_alloc(sizeof *resolver);

    resolver->loop = loop;
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    for (struct lookup *lookup = resolver->lookups; lookup; lookup = lookup->next) {
        lookup->resolver = NULL;
        (void)uv_cancel((uv_req_t *)&lookup->request);
    }
    free(resolver);
}

static struct remembered *find(const struct resolver *resolver, const struct address *address)
{
    for (unsigned i = 0; i < REMEMBERED_MAX; i++) {
        const struct remembered *entry = &resolver->remembered[i];
        if (entry->resolved.count && strcmp(entry->address.host, address->host) == 0 &&
            strcmp(entry->address.port, address->port) == 0)
            return (struct remembered *)(uintptr_t)entry;
    }
    return NULL;
}

bool resolver_known(const struct resolver *resolver, const struct address *address, bool fresh_only,
                    struct resolved *ret_resolved)
{
    struct sockaddr_storage literal;
    socklen_t length;

    if (address_literal(address, &literal, &length)) {
        ret_resolved->count = 1;
        ret_resolved->entries[0].socket = literal;
        ret_resolved->entries[0].length = length;
        return true;
    }
    const struct remembered *entry = find(resolver, address);
    if (!entry)
        return false;
    if (fresh_only && (entry->doubtful || uv_now(resolver->loop) - entry->at > RESOLVE_FRESH_MS))
        return false;
    *ret_resolved = entry->resolved;
    return true;
}

void resolver_doubt(struct resolver *resolver, const struct address *address)
{
    struct remembered *entry = find(resolver, address);

    if (entry)
        entry->doubtful = true;
}

/* Takes the place of what was known of this name, or else of the oldest. */
static void remember(struct resolver *resolver, const struct address *address, const struct resolved *resolved)
{
    struct remembered *entry = find(resolver, address);

    for (unsigned i = 0; i < REMEMBERED_MAX && !entry; i++)
        if (!resolver->remembered[i].resolved.count)
            entry = &resolver->remembered[i];
    if (!entry) {
        entry = &resolver->remembered[0];
        for (unsigned i = 1; i < REMEMBERED_MAX; i++)
            if (resolver->remembered[i].at < entry->at)
                entry = &resolver->remembered[i];
    }
    *entry = (struct remembered){ .address = *address, .resolved = *resolved, .at = uv_now(resolver->loop) };
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = request->data;
    struct resolver *resolver = lookup->resolver;
    struct resolved resolved = { 0 };

    for (struct addrinfo *each = found; each && resolved.count < RESOLVED_MAX; each = each->ai_next) {
        memcpy(&resolved.entries[resolved.count].socket, each->ai_addr, each->ai_addrlen);
        resolved.entries[resolved.count++].length = each->ai_addrlen;
    }
    uv_freeaddrinfo(found);
    if (resolver) {
        struct lookup **link = &resolver->lookups;
        while (*link != lookup)
            link = &(*link)->next;
        *link = lookup->next;
        resolver->under_way--;
        if (resolved.count)
            remember(resolver, &lookup->address, &resolved);
        if (lookup->done)
            lookup->done(lookup->ctx, resolved.count ? &resolved : NULL, status ? uv_strerror(status) : "no address");
    }
    free(lookup);
}

struct lookup *lookup_start(struct resolver *resolver, const struct address *address,
                            void (*done)(void *ctx, const struct resolved *resolved, const char *reason), void *ctx)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };

    if (resolver->under_way >= LOOKUPS_MAX)
        return NULL;
    struct lookup *lookup = net_alloc(sizeof *lookup);
    lookup->request.data = lookup;
    lookup->resolver = resolver;
    lookup->address = *address;
    lookup->done = done;
    lookup->ctx = ctx;
    if (uv_getaddrinfo(resolver->loop, &lookup->request, looked_up, address->host, address->port, &hints)) {
        free(lookup);
        return NULL;
    }
    lookup->next = resolver->lookups;
    resolver->lookups = lookup;
    resolver->under_way++;
    return lookup;
}

void lookup_forget(struct lookup *lookup)
{
    if (lookup)
        lookup->done = NULL;
}
