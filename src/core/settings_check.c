/*
 * settings_check.c - what must hold between settings, and the cluster's settings by name.
 *
 * Every refusal says what is wrong and what to change. Bounds of single values are in settings.def.
 */
#include "core/settings.h"

#define LEASE_MARGIN_MS 1000 /* beyond two elections and the guard's time: a stall of the Raft disk (design 5.2) */
#define HEARTBEATS_MIN 5     /* in an election timeout: a few may be lost */

static bool wildcard(const char *address)
{
    return !strncmp(address, "0.0.0.0:", 8) || !strncmp(address, "[::]:", 5) || !strncmp(address, "*:", 2);
}

void settings_derive(struct settings *settings)
{
    size_t room = sizeof settings->control_socket;

    if (!settings->peer_advertise[0] && !wildcard(settings->peer_listen))
        (void)text_copy(settings->peer_advertise, sizeof settings->peer_advertise, settings->peer_listen);
    if (!settings->control_socket[0])
        (void)snprintf(settings->control_socket, room, "%.900s/control.sock", settings->runtime_directory);
}

/* The path or something below it. */
static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 1 && directory[length - 1] == '/')
        length--;
    return !strncmp(path, directory, length) && (path[length] == '\0' || path[length] == '/' || length == 1);
}

/* synchronous_standby_names takes "*" for everybody even in quotes, and quoting rules differ between places. */
static bool name_is_plain(const char *name)
{
    for (; *name; name++)
        if (*name <= ' ' || *name > '~' || strchr("\"'\\,*()", *name))
            return false;
    return true;
}

/* password= in any spelling (sslpassword too), or user:password@ of a URI. */
static bool has_password(const char *conninfo)
{
    const char *user = strstr(conninfo, "://");
    const char *colon = user ? strchr(user + 3, ':') : NULL;
    const char *at = user ? user + 3 + strcspn(user + 3, "@/?") : NULL;

    return strstr(conninfo, "password") || (colon && *at == '@' && colon < at);
}

/* Whether the value that begins here, in quotes or not, holds a comma. */
static bool is_list(const char *value, const char *ends)
{
    bool quoted = *value == '\'';
    size_t length = quoted ? strcspn(value + 1, "'") + 1 : strcspn(value, ends);

    return memchr(value, ',', length) != NULL;
}

/* host=a,b or hostaddr=a,b, or a URI with several hosts. Finds what is written plainly; the adapter asks libpq. */
static bool has_several_hosts(const char *conninfo)
{
    const char *uri = strstr(conninfo, "://");

    if (uri) {
        const char *at = uri + 3 + strcspn(uri + 3, "@/?");
        if (is_list(*at == '@' ? at + 1 : uri + 3, "/?"))
            return true;
    }
    for (const char *at = conninfo; (at = strstr(at, "host")); at += 4) {
        const char *value = at + 4 + (strncmp(at + 4, "addr", 4) == 0 ? 4 : 0);
        if (at > conninfo && !strchr(" \t?&", at[-1]))
            continue;
        value += strspn(value, " \t");
        if (*value == '=' && is_list(value + 1 + strspn(value + 1, " \t"), " \t&"))
            return true;
    }
    return false;
}

static int check_identity(const struct settings *settings, struct err *err)
{
    if (settings->node_id < 1)
        return err_set(err, ERR_CONFIG, "node_id is not set: give each node a number of its own, from 1");
    if (!settings->node_name[0])
        return err_set(err, ERR_CONFIG, "node_name is not set: give each node a name of its own");
    if (!name_is_plain(settings->node_name))
        return err_set(err, ERR_CONFIG,
                       "node_name '%s' must be ASCII without blanks, quotes, backslashes, commas, parentheses or '*'",
                       settings->node_name);
    if (settings->watchdog)
        return err_set(err, ERR_CONFIG, "watchdog must be off: this version does not feed a watchdog");
    return 0;
}

static int check_witness(const struct settings *settings, struct err *err)
{
    const char *name = settings->conninfo[0]           ? "conninfo"
                       : settings->data_directory[0]   ? "data_directory"
                       : settings->config_directory[0] ? "config_directory"
                                                       : NULL;

    if (name)
        return err_set(err, ERR_CONFIG, "a witness has no PostgreSQL: take out %s, or set node_kind to data", name);
    return 0;
}

static int check_data(const struct settings *settings, struct err *err)
{
    if (!settings->conninfo[0])
        return err_set(err, ERR_CONFIG, "conninfo is not set: say how the other nodes connect to this PostgreSQL");
    if (!settings->data_directory[0])
        return err_set(err, ERR_CONFIG, "data_directory is not set");
    if (has_several_hosts(settings->conninfo))
        return err_set(err, ERR_CONFIG, "conninfo names several hosts: it must name this node's PostgreSQL alone");
    if (has_password(settings->conninfo))
        return err_set(err, ERR_CONFIG,
                       "conninfo contains a password, which every node and repmgr.nodes would show: "
                       "put it into a password file (passfile)");
    if (lies_in(settings->state_directory, settings->data_directory) ||
        lies_in(settings->data_directory, settings->state_directory))
        return err_set(err, ERR_CONFIG,
                       "state_directory '%s' and data_directory '%s' must not lie in each other: a clone replaces the "
                       "one, and the other must outlive it",
                       settings->state_directory, settings->data_directory);
    if (lies_in(settings->runtime_directory, settings->data_directory))
        return err_set(err, ERR_CONFIG, "runtime_directory '%s' must not lie in data_directory '%s'",
                       settings->runtime_directory, settings->data_directory);
    return 0;
}

static int check_traffic(const struct settings *settings, struct err *err)
{
    int certificates = !!settings->tls_cert_file[0] + !!settings->tls_key_file[0] + !!settings->tls_ca_file[0];

    if (!settings->peer_advertise[0])
        return err_set(err, ERR_CONFIG,
                       "peer_advertise is not set, and peer_listen '%s' names no single address: say under which "
                       "host:port the other nodes reach this one",
                       settings->peer_listen);
    if (wildcard(settings->peer_advertise))
        return err_set(err, ERR_CONFIG, "peer_advertise '%s' is no address that another node could reach",
                       settings->peer_advertise);
    if (settings->secret_file[0] && certificates)
        return err_set(err, ERR_CONFIG,
                       "secret_file and certificates are both set: take out secret_file, or tls_cert_file, "
                       "tls_key_file and tls_ca_file");
    if (!settings->secret_file[0] && !certificates)
        return err_set(err, ERR_CONFIG,
                       "neither secret_file nor certificates are set: make a secret with 'rmctl secret create FILE', "
                       "copy it to every node and set secret_file");
    if (certificates && certificates < 3)
        return err_set(err, ERR_CONFIG, "certificates take all of tls_cert_file, tls_key_file and tls_ca_file");
    return 0;
}

int settings_check(const struct settings *settings, struct err *err)
{
    int failed = check_identity(settings, err);

    if (!failed)
        failed = settings->node_kind == NODE_WITNESS ? check_witness(settings, err) : check_data(settings, err);
    if (!failed)
        failed = check_traffic(settings, err);
    if (!failed && strlen(settings->control_socket) > (size_t)settings_find("control_socket")->max)
        failed = err_set(err, ERR_CONFIG,
                         "the path of a socket has at most %" PRId64 " characters, '%s' has more: set control_socket",
                         settings_find("control_socket")->max, settings->control_socket);
    if (!failed && lies_in(settings->runtime_directory, settings->state_directory))
        failed = err_set(err, ERR_CONFIG,
                         "runtime_directory '%s' must not lie in state_directory '%s': it must end with the boot",
                         settings->runtime_directory, settings->state_directory);
    return failed;
}

int settings_policy_check(const struct policy *policy, struct err *err)
{
    struct settings whole = { .policy = *policy };
    const struct setting *row;

    for (size_t i = 0; (row = settings_row(i)); i++) {
        int failed = row->scope == SCOPE_CLUSTER ? settings_within(&whole, row, err) : 0;
        if (failed)
            return failed;
    }
    if (policy->raft_heartbeat_ms * HEARTBEATS_MIN > policy->raft_election_timeout_ms)
        return err_set(
            err, ERR_CONFIG,
            "raft_election_timeout (%u ms) must be at least %d times raft_heartbeat (%u ms): raise the one or "
            "lower the other",
            policy->raft_election_timeout_ms, HEARTBEATS_MIN, policy->raft_heartbeat_ms);
    if (policy->guard_kill_time_ms >= policy->lease_ttl_ms / 2)
        return err_set(
            err, ERR_CONFIG,
            "guard_kill_time (%u ms) must be less than half of lease_ttl (%u ms): lower the one or raise the "
            "other",
            policy->guard_kill_time_ms, policy->lease_ttl_ms);
    return 0;
}

bool settings_policy_warning(const struct policy *policy, char *ret_text, size_t size)
{
    uint32_t wanted = 2 * policy->raft_election_timeout_ms + policy->guard_kill_time_ms + LEASE_MARGIN_MS;

    ret_text[0] = '\0';
    if (policy->lease_ttl_ms >= wanted)
        return false;
    (void)snprintf(ret_text, size,
                   "lease_ttl (%u ms) is below two raft_election_timeout, guard_kill_time and 1 s (%u ms): a slow disk "
                   "of the Raft log can cost the primary its lease",
                   policy->lease_ttl_ms, wanted);
    return true;
}

void settings_policy_init(struct policy *policy)
{
    struct settings whole;

    settings_init(&whole);
    *policy = whole.policy;
}

int settings_policy_set(struct policy *policy, const char *name, const char *value, struct err *err)
{
    struct settings whole = { .policy = *policy };
    const struct setting *row = settings_find(name);

    if (!row)
        return err_set(err, ERR_NOT_FOUND, "there is no setting '%s'", name);
    if (row->scope != SCOPE_CLUSTER)
        return err_set(err, ERR_REFUSED, "'%s' is a setting of the node: change it in the node's raftmgr.conf", name);
    int failed = settings_put(&whole, row, value, err);
    if (!failed)
        failed = settings_policy_check(&whole.policy, err);
    if (!failed)
        *policy = whole.policy;
    return failed;
}

int settings_policy_get(const struct policy *policy, const char *name, char *ret_text, size_t size)
{
    struct settings whole = { .policy = *policy };
    const struct setting *row = settings_find(name);

    if (!row || row->scope != SCOPE_CLUSTER)
        return -(int)ERR_NOT_FOUND;
    settings_get(&whole, row, ret_text, size);
    return 0;
}

/* Appends to text as far as there is room. */
static void append(char *text, size_t size, const char *separator, const char *more)
{
    size_t used = strlen(text);

    (void)snprintf(text + used, size - used, "%s%s", used ? separator : "", more);
}

bool settings_policy_diff(const struct policy *agreed, const struct policy *file, char *ret_text, size_t size)
{
    struct settings left = { .policy = *agreed };
    struct settings right = { .policy = *file };
    char agreed_text[32];
    char file_text[32];
    char both[TEXT_SIZE];
    const struct setting *row;

    ret_text[0] = '\0';
    for (size_t i = 0; (row = settings_row(i)); i++) {
        if (row->scope != SCOPE_CLUSTER)
            continue;
        settings_get(&left, row, agreed_text, sizeof agreed_text);
        settings_get(&right, row, file_text, sizeof file_text);
        if (!strcmp(agreed_text, file_text))
            continue;
        (void)snprintf(both, sizeof both, "%s is %s in the cluster and %s in the file", row->name, agreed_text,
                       file_text);
        append(ret_text, size, ", ", both);
    }
    return ret_text[0] != '\0';
}

bool settings_need_restart(const struct settings *running, const struct settings *file, char *ret_names, size_t size)
{
    char left[SETTING_TEXT_SIZE];
    char right[SETTING_TEXT_SIZE];
    const struct setting *row;

    ret_names[0] = '\0';
    for (size_t i = 0; (row = settings_row(i)); i++) {
        if (row->scope != SCOPE_NODE || row->reload)
            continue;
        settings_get(running, row, left, sizeof left);
        settings_get(file, row, right, sizeof right);
        if (strcmp(left, right) != 0)
            append(ret_names, size, " ", row->name);
    }
    return ret_names[0] != '\0';
}
