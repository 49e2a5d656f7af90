/* conninfo.h - libpq connection strings, taken apart and put together again. No network. */
#ifndef RAFTMGR_PG_CONNINFO_H
#define RAFTMGR_PG_CONNINFO_H

#include "base/buf.h"
#include "base/err.h"
#include "core/types.h"

struct conninfo_facts {
    char host[ADDRESS_SIZE]; /* as given; empty: libpq's default */
    char hostaddr[ADDRESS_SIZE];
    char port[16];
    char user[NAME_SIZE];
    char dbname[NAME_SIZE];
    char password[ADDRESS_SIZE];
    char service[NAME_SIZE];
    bool several; /* more than one host */
};

/* What stands in it. ERR_CONFIG when libpq does not understand it. */
int conninfo_read(const char *conninfo, struct conninfo_facts *ret, struct err *err);

/* What libpq takes for "host" or "user" where a string names none (PGHOST, PGUSER, the system's user); empty: nothing,
 * which for a host means a socket. */
void conninfo_default(const char *key, char *ret, size_t size);

struct conninfo_pair {
    const char *key;
    const char *value; /* NULL or empty: the key is left out */
};

/* Appends conninfo with these keys replaced, added or left out, quoted for libpq. */
int conninfo_change(const char *conninfo, const struct conninfo_pair *pairs, size_t count, struct buf *ret,
                    struct err *err);

/* primary_conninfo towards an upstream: its conninfo with our name as application_name, our replication user and
 * passfile, and timeouts that show a dead peer within seconds. dbname is left out, but for servers that copy logical
 * slots over that connection string (sync_replication_slots, from CONNINFO_DBNAME_MAJOR on); WAL receivers ignore it.
 */
#define CONNINFO_DBNAME_MAJOR 17
int conninfo_for_upstream(const char *conninfo, const char *node_name, const char *replication_user,
                          const char *passfile, unsigned major, struct buf *ret, struct err *err);

/* For a program's command line: conninfo with this user (empty: its own) and passfile, without a password, which
 * everybody on the host could read there: that is left in ret_env as "PGPASSWORD=...", or empty. Size
 * CONNINFO_ENV_SIZE. */
#define CONNINFO_ENV_SIZE (ADDRESS_SIZE + 16)
int conninfo_for_program(const char *conninfo, const char *user, const char *passfile, struct buf *ret, char *ret_env,
                         struct err *err);

/* True for a numeric IPv4 or IPv6 address or a socket directory: libpq resolves nothing then. */
bool conninfo_is_numeric(const char *host);

#endif
