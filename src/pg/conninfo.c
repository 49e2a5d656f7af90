/* conninfo.c - connection strings by libpq's own parser. See conninfo.h. */
#include "pg/conninfo.h"

#include <arpa/inet.h>
#include <libpq-fe.h>

static PQconninfoOption *parse(const char *conninfo, struct err *err)
{
    char *problem = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &problem);

    if (!options)
        (void)err_set(err, ERR_CONFIG, "bad connection string: %s", problem ? problem : "out of memory");
    PQfreemem(problem);
    return options;
}

static void take(char *to, size_t size, const PQconninfoOption *option, const char *key)
{
    if (strcmp(option->keyword, key) == 0)
        (void)text_copy(to, size, option->val);
}

int conninfo_read(const char *conninfo, struct conninfo_facts *ret, struct err *err)
{
    struct conninfo_facts facts = { 0 };
    PQconninfoOption *options = parse(conninfo, err);

    if (!options)
        return -ERR_CONFIG;
    for (const PQconninfoOption *at = options; at->keyword; at++) {
        if (!at->val)
            continue;
        take(facts.host, sizeof facts.host, at, "host");
        take(facts.hostaddr, sizeof facts.hostaddr, at, "hostaddr");
        take(facts.port, sizeof facts.port, at, "port");
        take(facts.user, sizeof facts.user, at, "user");
        take(facts.dbname, sizeof facts.dbname, at, "dbname");
        take(facts.password, sizeof facts.password, at, "password");
        take(facts.service, sizeof facts.service, at, "service");
    }
    PQconninfoFree(options);
    facts.several = strchr(facts.host, ',') || strchr(facts.hostaddr, ',');
    *ret = facts;
    return 0;
}

void conninfo_default(const char *key, char *ret, size_t size)
{
    PQconninfoOption *options = PQconndefaults();

    ret[0] = '\0';
    for (const PQconninfoOption *at = options; at && at->keyword; at++)
        if (at->val)
            take(ret, size, at, key);
    PQconninfoFree(options);
}

static void put_pair(struct buf *ret, const char *key, const char *value)
{
    if (!value || !value[0])
        return;
    if (ret->length > 0)
        buf_put(ret, " ", 1);
    buf_put(ret, key, strlen(key));
    buf_put(ret, "=", 1);
    bool plain = strpbrk(value, " '\\\t\n") == NULL;
    if (!plain)
        buf_put(ret, "'", 1);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_put(ret, "\\", 1);
        buf_put(ret, value, 1);
    }
    if (!plain)
        buf_put(ret, "'", 1);
}

int conninfo_change(const char *conninfo, const struct conninfo_pair *pairs, size_t count, struct buf *ret,
                    struct err *err)
{
    PQconninfoOption *options = parse(conninfo, err);

    if (!options)
        return -ERR_CONFIG;
    for (const PQconninfoOption *at = options; at->keyword; at++) {
        bool changed = false;
        for (size_t i = 0; i < count; i++)
            changed = changed || strcmp(pairs[i].key, at->keyword) == 0;
        if (at->val && !changed)
            put_pair(ret, at->keyword, at->val);
    }
    for (size_t i = 0; i < count; i++)
        put_pair(ret, pairs[i].key, pairs[i].value);
    PQconninfoFree(options);
    return ret->failed ? err_set(err, ERR_TOO_BIG, "connection string is too long") : 0;
}

int conninfo_for_upstream(const char *conninfo, const char *node_name, const char *replication_user,
                          const char *passfile, unsigned major, struct buf *ret, struct err *err)
{
    struct conninfo_facts facts;

    int failed = conninfo_read(conninfo, &facts, err);
    if (failed)
        return failed;
    const struct conninfo_pair pairs[] = {
        { "dbname", major >= CONNINFO_DBNAME_MAJOR ? facts.dbname : NULL },
        { "fallback_application_name", NULL },
        { "options", NULL },
        { "target_session_attrs", NULL },
        { "user", replication_user[0] ? replication_user : facts.user },
        { "application_name", node_name },
        { "passfile", passfile },
        { "connect_timeout", "2" }, /* libpq's least */
        { "keepalives", "1" },
        { "keepalives_idle", "5" },
        { "keepalives_interval", "2" },
        { "keepalives_count", "2" },
        { "tcp_user_timeout", "9000" },
    };
    return conninfo_change(conninfo, pairs, ARRAY_LEN(pairs), ret, err);
}

int conninfo_for_program(const char *conninfo, const char *user, const char *passfile, struct buf *ret, char *ret_env,
                         struct err *err)
{
    struct conninfo_facts facts;

    int failed = conninfo_read(conninfo, &facts, err);
    if (failed)
        return failed;
    const struct conninfo_pair pairs[] = {
        { "password", NULL },       { "user", user[0] ? user : facts.user },    { "passfile", passfile },
        { "connect_timeout", "5" }, { "fallback_application_name", "raftmgr" },
    };
    ret_env[0] = '\0';
    if (facts.password[0])
        (void)snprintf(ret_env, CONNINFO_ENV_SIZE, "PGPASSWORD=%s", facts.password);
    failed = conninfo_change(conninfo, pairs, ARRAY_LEN(pairs), ret, err);
    buf_put_u8(ret, 0);
    return failed;
}

bool conninfo_is_numeric(const char *host)
{
    uint8_t address[sizeof(struct in6_addr)];

    return host[0] == '\0' || host[0] == '/' || host[0] == '@' || inet_pton(AF_INET, host, address) == 1 ||
           inet_pton(AF_INET6, host, address) == 1;
}
