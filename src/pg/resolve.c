/* resolve.c - getaddrinfo beside the loop. See resolve.h. */
#include "pg/resolve.h"

#include <netdb.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pg/conninfo.h"
#include "pg/postmaster.h"

#define AGAIN_US (5 * INT64_C(1000000))
#define PATIENCE_US INT64_C(1000000) /* so long a first lookup is waited for; a name service that is down takes ten */

static void use(struct pg *pg, const char *address)
{
    (void)text_copy(pg->target.hostaddr, sizeof pg->target.hostaddr, address);
    pg->target.unresolved = false;
}

/* Without a name service the server is looked for where it says that it listens. */
static void fall_back(struct pg *pg)
{
    struct postmaster_file file;

    if (!postmaster_read(pg->config.data_directory, &file) || !file.listen_address[0])
        return; /* not yet, or by no address */
    bool any = strcmp(file.listen_address, "*") == 0 || strcmp(file.listen_address, "0.0.0.0") == 0;
    use(pg, any || !conninfo_is_numeric(file.listen_address) ? "127.0.0.1" : file.listen_address);
}

static void resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct pg *pg = request->data;
    char address[ADDRESS_SIZE];

    pg->resolving = NULL;
    pg->resolved_at_us = clock_boot_us();
    if (status == 0 && found &&
        getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) == 0)
        use(pg, address);
    else
        resolve_hurry(pg);
    uv_freeaddrinfo(found);
    free(request);
    if (!pg->closing)
        pg_look(pg);
    pool_remove(&pg->pool);
}

static void ask(struct pg *pg)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    uv_getaddrinfo_t *request = calloc(1, sizeof *request);

    if (!request)
        return;
    request->data = pg;
    if (uv_getaddrinfo(pg->pool.loop, request, resolved, pg->host, NULL, &hints) != 0) {
        free(request);
        return;
    }
    pg->resolving = request;
    pg->resolving_since_us = clock_boot_us();
    pool_add(&pg->pool);
}

int resolve_begin(struct pg *pg, struct err *err)
{
    struct conninfo_facts facts;

    int failed = conninfo_read(pg->config.conninfo, &facts, err);
    if (failed)
        return failed;
    if (facts.several)
        return err_set(err, ERR_CONFIG, "conninfo names several hosts: it must name this node's PostgreSQL alone");
    if (facts.service[0] && !facts.host[0] && !facts.hostaddr[0])
        return err_set(err, ERR_CONFIG,
                       "conninfo names a service ('%s'), which other hosts may not know: name the host", facts.service);
    if (!facts.host[0] && !facts.hostaddr[0])
        conninfo_default("host", facts.host, sizeof facts.host);
    (void)text_copy(pg->target.conninfo, sizeof pg->target.conninfo, pg->config.conninfo);
    (void)text_copy(pg->target.passfile, sizeof pg->target.passfile, pg->config.passfile);
    if (facts.hostaddr[0] || conninfo_is_numeric(facts.host))
        return 0;
    (void)text_copy(pg->host, sizeof pg->host, facts.host);
    pg->target.unresolved = true;
    ask(pg);
    return 0;
}

bool resolve_waits(struct pg *pg)
{
    bool asked = pg->resolving && clock_boot_us() - pg->resolving_since_us < PATIENCE_US;

    if (pg->target.unresolved && !asked)
        resolve_hurry(pg);
    return pg->target.unresolved && asked;
}

void resolve_hurry(struct pg *pg)
{
    if (pg->target.unresolved)
        fall_back(pg);
}

void resolve_again(struct pg *pg)
{
    if (pg->host[0] && !pg->resolving && clock_boot_us() - pg->resolved_at_us >= AGAIN_US)
        ask(pg);
}

void resolve_end(struct pg *pg)
{
    if (pg->resolving)
        (void)uv_cancel((uv_req_t *)pg->resolving); /* resolved() comes in any case */
}
