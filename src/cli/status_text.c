/*
 * status_text.c - the answer to "how is it?" at a glance. See status_text.h.
 *
 * The first line is the verdict, the next ones the facts it rests on, then a row a member, then what is in progress and
 * what it waits for, and what one more failure would do. Nothing is printed that says nothing.
 */
#include "cli/status_text.h"

#include "base/err.h"
#include "cli/control.h"
#include "cli/table.h"

#define LABEL "%-18s"
#define LIST_INDENT "                  " /* as wide as LABEL */
#define MOMENT_SECONDS 19                /* characters of a moment up to its seconds */
#define HISTORY_SHOWN 3
#define PERSON_SIZE 128
#define EPOCH_SHIFT 48 /* of a token: core/types.h */

void duration_text(int64_t ms, char *text, size_t size)
{
    int64_t s = ms / 1000;

    if (ms < 1000)
        (void)snprintf(text, size, "%" PRId64 " ms", ms);
    else if (s < 60)
        (void)snprintf(text, size, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    else if (s < 3600)
        (void)snprintf(text, size, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(text, size, "%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    else
        (void)snprintf(text, size, "%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
}

void bytes_text(int64_t bytes, char *text, size_t size)
{
    static const char *const units[] = { "kB", "MB", "GB", "TB" };
    double value = (double)bytes;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(text, size, "%" PRId64 " B", bytes);
        return;
    }
    for (value /= 1024; value >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
        value /= 1024;
    (void)snprintf(text, size, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void token_text(int64_t token, char *text, size_t size)
{
    int64_t epoch = token >> EPOCH_SHIFT;
    int64_t count = token & (((int64_t)1 << EPOCH_SHIFT) - 1);

    if (epoch)
        (void)snprintf(text, size, "%" PRId64 ":%" PRId64, epoch, count);
    else
        (void)snprintf(text, size, "%" PRId64, count);
}

static const json_t *member_of(const json_t *status, int64_t node_id)
{
    const json_t *members = json_object_get(status, "members");

    for (size_t i = 0; i < json_array_size(members); i++)
        if (result_number(json_array_get(members, i), "node_id", 0) == node_id)
            return json_array_get(members, i);
    return NULL;
}

/* The name of a node; its number where the name is not known. */
static const char *name_of(const json_t *status, int64_t node_id, char *text)
{
    const char *name = result_text(member_of(status, node_id), "node_name");

    if (*name)
        (void)snprintf(text, PERSON_SIZE, "%s", name);
    else
        (void)snprintf(text, PERSON_SIZE, "node %" PRId64, node_id);
    return text;
}

/* "node1, node2" of a list of node ids; "nobody" where it is empty. */
static void names_of(const json_t *status, const json_t *ids, char *text, size_t size)
{
    char name[PERSON_SIZE];

    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(ids); i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                       name_of(status, json_integer_value(json_array_get(ids, i)), name));
    }
    if (!text[0])
        (void)text_copy(text, size, "nobody");
}

static void print_list(const json_t *texts, const char *before, FILE *out)
{
    for (size_t i = 0; i < json_array_size(texts); i++)
        if (json_is_string(json_array_get(texts, i)))
            fprintf(out, "%s%s\n", before, json_string_value(json_array_get(texts, i)));
}

static void print_verdict(const json_t *status, FILE *out)
{
    char name[PERSON_SIZE];
    const json_t *primary = json_object_get(status, "primary");
    const json_t *operation = json_object_get(status, "operation");
    const char *state = result_text(status, "state");

    if (!result_has(status, "cluster"))
        fprintf(out, "This node is not part of a cluster yet (%s)\n", *state ? state : "unknown");
    else if (!strcmp(state, "removed") || !strcmp(state, "damaged") || !strcmp(state, "joining"))
        fprintf(out, "This node does not take part in the cluster (%s)\n", state);
    else if (result_true(status, "writable"))
        fprintf(out, "The cluster accepts writes on %s\n", name_of(status, result_number(primary, "node_id", 0), name));
    else if (result_has(status, "operation"))
        fprintf(out, "THE CLUSTER ACCEPTS NO WRITES: a %s is in progress\n", result_text(operation, "kind"));
    else
        fprintf(out, "THE CLUSTER ACCEPTS NO WRITES\n");
    if (result_true(status, "paused"))
        fprintf(out, "FAILOVER IS PAUSED: \"rmctl unpause\" ends it\n");
    fputc('\n', out);
}

static void print_primary(const json_t *status, FILE *out)
{
    const json_t *primary = json_object_get(status, "primary");
    const char *phase = result_text(primary, "phase");
    char token[32];
    char age[48];

    if (!result_has(status, "primary")) {
        fprintf(out, LABEL "none\n", "Primary:");
        return;
    }
    token_text(result_number(primary, "token", 0), token, sizeof token);
    duration_text(result_number(primary, "since_ms", 0), age, sizeof age);
    fprintf(out, LABEL "%s (ID: %" PRId64 "), %s, token %s, timeline %" PRId64 ", since %.*s UTC (%s)\n",
            "Primary:", result_text(primary, "node_name"), result_number(primary, "node_id", 0), *phase ? phase : "-",
            token, result_number(primary, "timeline", 0), MOMENT_SECONDS, result_text(primary, "since"), age);
}

static void print_lease(const json_t *status, FILE *out)
{
    const json_t *lease = json_object_get(status, "lease");
    char name[PERSON_SIZE];
    char left[48];
    const json_t *grants = json_object_get(lease, "grants");
    int granted = 0;

    if (!result_has(status, "lease"))
        return;
    for (size_t i = 0; i < json_array_size(grants); i++)
        granted += result_true(json_array_get(grants, i), "granted");
    duration_text(result_number(lease, "left_ms", 0), left, sizeof left);
    fprintf(out, LABEL "%s's, %s", "Lease:", name_of(status, result_number(lease, "node_id", 0), name),
            result_true(lease, "valid") ? "valid" : "NOT VALID");
    if (result_true(lease, "endless"))
        fprintf(out, ", without end while paused");
    else if (result_true(lease, "valid"))
        fprintf(out, ", %s left", left);
    if (json_array_size(grants))
        fprintf(out, ", granted by %d of %zu", granted, json_array_size(grants));
    fputc('\n', out);
}

static void print_raft(const json_t *status, FILE *out)
{
    const json_t *raft = json_object_get(status, "raft");
    const json_t *cluster = json_object_get(status, "cluster");
    int64_t leader = result_number(raft, "leader", 0);
    char name[PERSON_SIZE];

    if (result_has(status, "raft"))
        fprintf(out, LABEL "%s, term %" PRId64 ", %" PRId64 " entries committed, %" PRId64 " applied here\n",
                "Raft leader:", leader ? name_of(status, leader, name) : "NONE KNOWN", result_number(raft, "term", 0),
                result_number(raft, "commit_index", 0), result_number(raft, "applied_index", 0));
    if (result_has(status, "cluster"))
        fprintf(out, LABEL "%s\n", "Cluster:", result_text(cluster, "id"));
}

static void print_demands(const json_t *status, FILE *out)
{
    char names[1024];
    const json_t *demands = json_object_get(status, "demands");

    for (size_t i = 0; i < json_array_size(demands); i++) {
        const json_t *demand = json_array_get(demands, i);
        int64_t k = result_number(demand, "k", 0);
        names_of(status, json_object_get(demand, "members"), names, sizeof names);
        fprintf(out, LABEL, i ? "" : "Commits wait for:");
        if (k)
            fprintf(out, "%" PRId64 " of %s", k, names);
        else
            fprintf(out, "no standby");
        fprintf(out, " (demand %" PRId64 ", %s)\n", result_number(demand, "version", 0),
                result_true(demand, "in_effect") ? "in effect" : "not in effect");
    }
}

static void print_here(const json_t *status, FILE *out)
{
    const json_t *node = json_object_get(status, "node");
    const json_t *guard = json_object_get(status, "guard");
    char left[48];

    fprintf(out, LABEL "%s (ID: %" PRId64 "), %s, version %s\n", "This node:", result_text(node, "node_name"),
            result_number(node, "node_id", 0), result_text(node, "kind"), result_text(node, "daemon_version"));
    if (result_has(guard, "kill_in_ms")) {
        duration_text(result_number(guard, "kill_in_ms", 0), left, sizeof left);
        fprintf(out, LABEL "armed, stops PostgreSQL in %s unless the lease is renewed (pid %" PRId64 ")\n",
                "Its guard:", left, result_number(guard, "pid", 0));
    }
    if (result_has(guard, "problem"))
        fprintf(out, LABEL "%s\n", "Its guard:", result_text(guard, "problem"));
    if (result_has(status, "waiting_for"))
        fprintf(out, LABEL "%s\n", "It waits for:", result_text(status, "waiting_for"));
}

/* "0 B, 0 ms"; empty for the primary and for a witness. */
static void lag_text(const json_t *member, char *text, size_t size)
{
    char bytes[32];
    char age[48];

    text[0] = '\0';
    if (result_has(member, "lag_bytes")) {
        bytes_text(result_number(member, "lag_bytes", 0), bytes, sizeof bytes);
        (void)snprintf(text, size, "%s", bytes);
    }
    if (result_has(member, "lag_ms")) {
        size_t used = strlen(text);
        duration_text(result_number(member, "lag_ms", 0), age, sizeof age);
        (void)snprintf(text + used, size - used, "%s%s", used ? ", " : "", age);
    }
}

static const char *flow_text(const json_t *member)
{
    if (strcmp(result_text(member, "role"), "standby") != 0)
        return "";
    if (result_true(member, "synchronous"))
        return result_true(member, "streaming") ? "synchronous" : "SYNC., AWAY";
    return result_true(member, "streaming") ? "streaming" : "no";
}

static void put_member(const json_t *status, const json_t *member, struct table *table)
{
    char lag[96];
    char lease[48] = "";
    char seen[48] = "never";
    int64_t id = result_number(member, "node_id", 0);
    int64_t timeline = result_number(member, "timeline", 0);
    const json_t *raft = json_object_get(status, "raft");

    lag_text(member, lag, sizeof lag);
    if (result_has(member, "lease_left_ms"))
        duration_text(result_number(member, "lease_left_ms", 0), lease, sizeof lease);
    if (result_has(member, "age_ms"))
        duration_text(result_number(member, "age_ms", 0), seen, sizeof seen);
    if (id == result_number(json_object_get(status, "node"), "node_id", 0))
        (void)text_copy(seen, sizeof seen, "here");
    table_put(table, "%" PRId64, id);
    table_put(table, "%s", result_text(member, "node_name"));
    table_put(table, "%s", result_text(member, "role"));
    table_put(table, "%s", result_true(member, "reachable") ? result_text(member, "state") : "UNREACHABLE");
    table_put(table, "%s", result_number(raft, "leader", 0) == id ? "leader" : result_text(member, "raft"));
    if (timeline)
        table_put(table, "%" PRId64, timeline);
    else
        table_put(table, "%s", "");
    table_put(table, "%s", result_text(member, "lsn"));
    table_put(table, "%s", lag);
    table_put(table, "%s", flow_text(member));
    table_put(table, "%s", lease);
    table_put(table, "%s",
              !result_has(member, "guard_armed")   ? ""
              : result_true(member, "guard_armed") ? "armed"
                                                   : "off");
    table_put(table, "%s", seen);
}

static void print_members(const json_t *status, FILE *out)
{
    static const char *const headings[] = { "ID",  "Name",      "Role",  "State", "Raft", "TLI", "LSN",
                                            "Lag", "Receiving", "Lease", "Guard", "Seen", NULL };
    AUTO(table) table;
    const json_t *members = json_object_get(status, "members");

    table_init(&table, headings);
    for (size_t i = 0; i < json_array_size(members); i++)
        put_member(status, json_array_get(members, i), &table);
    if (!table.count)
        return;
    fputc('\n', out);
    table_draw(&table, TABLE_TRIMMED, out);
}

static void print_problems(const json_t *status, FILE *out)
{
    const json_t *members = json_object_get(status, "members");
    const json_t *problems = json_object_get(status, "problems");
    char before[PERSON_SIZE];
    size_t count = json_array_size(problems);

    for (size_t i = 0; i < json_array_size(members); i++)
        count += json_array_size(json_object_get(json_array_get(members, i), "problems"));
    if (!count)
        return;
    fprintf(out, "\nProblems:\n");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        (void)snprintf(before, sizeof before, "  %s: ", result_text(member, "node_name"));
        print_list(json_object_get(member, "problems"), before, out);
    }
    print_list(problems, "  ", out);
}

static void print_operation(const json_t *status, FILE *out)
{
    const json_t *operation = json_object_get(status, "operation");
    int64_t from = result_number(operation, "from", 0);
    int64_t to = result_number(operation, "node_id", 0);
    char name[PERSON_SIZE];
    char age[48];

    fputc('\n', out);
    if (!result_has(status, "operation")) {
        fprintf(out, LABEL "nothing\n", "In progress:");
        return;
    }
    duration_text(result_number(operation, "since_ms", 0), age, sizeof age);
    fprintf(out, LABEL "%s", "In progress:", result_text(operation, "kind"));
    if (from)
        fprintf(out, " from %s", name_of(status, from, name));
    if (to)
        fprintf(out, " to %s", name_of(status, to, name));
    fprintf(out, ", %s, for %s", result_text(operation, "phase"), age);
    if (result_has(operation, "deadline_ms")) {
        duration_text(result_number(operation, "deadline_ms", 0), age, sizeof age);
        fprintf(out, ", %s left", age);
    }
    fputc('\n', out);
    if (result_has(operation, "waiting_for"))
        fprintf(out, LABEL "%s\n", "Waits for:", result_text(operation, "waiting_for"));
    print_list(json_object_get(operation, "why"), LIST_INDENT "- ", out);
}

/* In order of rank, then those that cannot be, with the reason; of a primary that works it need not be told. */
static void print_candidates(const json_t *status, FILE *out)
{
    const json_t *candidates = json_object_get(status, "candidates");
    const char *label = "Next primary:";
    size_t count = json_array_size(candidates);
    int64_t primary = result_number(json_object_get(status, "primary"), "node_id", 0);
    int64_t working = result_true(status, "writable") ? primary : 0;
    char name[PERSON_SIZE];

    for (size_t turn = 1; turn <= count + 1; turn++) {
        for (size_t i = 0; i < count; i++) {
            const json_t *one = json_array_get(candidates, i);
            int64_t rank = result_number(one, "rank", 0);
            int64_t id = result_number(one, "node_id", 0);
            if (rank != (turn <= count ? (int64_t)turn : 0) || (!rank && id == working))
                continue;
            if (rank)
                fprintf(out, LABEL "%" PRId64 ". %s\n", label, rank, name_of(status, id, name));
            else
                fprintf(out, LABEL "not %s: %s\n", label, name_of(status, id, name), result_text(one, "why"));
            label = "";
        }
    }
}

static void print_outlook(const json_t *status, FILE *out)
{
    const json_t *survivable = json_object_get(status, "survivable");

    if (!result_has(status, "survivable"))
        return;
    if (result_true(survivable, "one_more_failure"))
        fprintf(out, LABEL "survivable\n", "One more failure:");
    else
        fprintf(out, LABEL "NOT survivable: %s\n", "One more failure:", result_text(survivable, "why"));
}

static void print_history(const json_t *status, bool verbose, FILE *out)
{
    char token[32];
    char name[PERSON_SIZE];
    const json_t *history = json_object_get(status, "history");

    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *one = json_array_get(history, i);
        if (!i)
            fprintf(out, "\nLast events:\n");
        if (i == HISTORY_SHOWN && !verbose)
            return;
        token_text(result_number(one, "token", 0), token, sizeof token);
        fprintf(out, "  %.*s  %s  %s, token %s%s%s\n", MOMENT_SECONDS, result_text(one, "at"),
                result_text(one, "event"), name_of(status, result_number(one, "node_id", 0), name), token,
                result_has(one, "text") ? ": " : "", result_text(one, "text"));
    }
}

void status_text(const json_t *status, bool verbose, FILE *out)
{
    print_verdict(status, out);
    if (result_has(status, "cluster")) {
        print_primary(status, out);
        print_lease(status, out);
        print_demands(status, out);
        print_raft(status, out);
    }
    print_here(status, out);
    if (!result_has(status, "cluster"))
        return;
    print_members(status, out);
    print_problems(status, out);
    print_operation(status, out);
    print_candidates(status, out);
    print_outlook(status, out);
    print_history(status, verbose, out);
}

int status_exit(const json_t *status)
{
    bool well = result_true(status, "writable") && !result_has(status, "operation") &&
                !json_array_size(json_object_get(status, "problems"));
    const json_t *members = json_object_get(status, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        well = well && result_true(member, "reachable") && !json_array_size(json_object_get(member, "problems"));
    }
    return well ? 0 : err_exit_status(ERR_NODE_STATUS);
}
