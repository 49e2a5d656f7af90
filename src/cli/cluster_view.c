/* cluster_view.c - repmgr's cluster show from the status object. See cluster_view.h. */
#include "cli/cluster_view.h"

#include <stdarg.h>

#include "cli/control.h"
#include "cli/table.h"

/* One node, as registered and as seen. */
struct node {
    const json_t *member;
    const char *name;
    int64_t id;
    bool witness;
    bool primary; /* registered as */
    bool active;
    bool connected; /* its server takes connections, or a witness' daemon is heard */
    bool refusing;  /* its server runs and takes no connection */
    int recovery;   /* 1, 0, -1 unknown */
};

static void issue(struct cluster_view *view, const char *format, ...) PRINTF_LIKE(2, 3);

static void issue(struct cluster_view *view, const char *format, ...)
{
    va_list args;

    if (view->issue_count == ISSUES_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(view->issues[view->issue_count++], ISSUE_SIZE, format, args);
    va_end(args);
}

static struct node node_of(const json_t *member)
{
    const char *pg = result_text(member, "pg");
    bool heard = result_true(member, "reachable");
    bool up = !strcmp(pg, "primary") || !strcmp(pg, "standby");
    bool starting = !strcmp(pg, "starting");
    struct node node = {
        .member = member,
        .name = result_text(member, "node_name"),
        .id = result_number(member, "node_id", 0),
        .witness = !strcmp(result_text(member, "role"), "witness"),
        .primary = !strcmp(result_text(member, "role"), "primary"),
        .active = !json_is_false(json_object_get(member, "active")),
    };

    node.connected = node.witness ? heard : heard && up && result_true(member, "answering");
    node.refusing = !node.witness && heard && !node.connected && up && !starting;
    node.recovery = node.witness ? 0 : !node.connected ? -1 : !strcmp(pg, "standby");
    return node;
}

static const char *status_words(const struct node *node)
{
    if (node->connected && node->witness)
        return node->active ? "* running" : "! running";
    if (node->connected && node->primary)
        return node->recovery ? "! running as standby" : node->active ? "* running" : "! running";
    if (node->connected)
        return !node->recovery ? "! running as primary" : node->active ? "  running" : "! running";
    if (node->refusing)
        return node->active ? "? running" : "! running";
    return node->active || node->witness ? "? unreachable" : "- failed";
}

static void status_issues(const struct node *node, struct cluster_view *view)
{
    const char *role = node->primary ? "primary" : "standby";

    if (!node->connected) {
        view->unreachable = true;
        issue(view, "unable to connect to node \"%s\" (ID: %" PRId64 ")", node->name, node->id);
        if (!node->witness && !node->refusing && node->active)
            issue(view, "node \"%s\" (ID: %" PRId64 ") is registered as an active %s but is unreachable", node->name,
                  node->id, role);
    } else if (node->witness) {
        return;
    } else if (node->primary && node->recovery) {
        issue(view, "node \"%s\" (ID: %" PRId64 ") is registered as %sprimary but running as standby", node->name,
              node->id, node->active ? "" : "an inactive ");
    } else if (!node->primary && !node->recovery) {
        if (node->active)
            issue(view, "node \"%s\" (ID: %" PRId64 ") is registered as standby but running as primary", node->name,
                  node->id);
        else
            issue(view, "node \"%s\" (ID: %" PRId64 ") is running as primary but the repmgr node record is inactive",
                  node->name, node->id);
    } else if (!node->active) {
        issue(view, "node \"%s\" (ID: %" PRId64 ") is running but the repmgr node record is inactive", node->name,
              node->id);
    }
    if (result_true(node->member, "replay_paused"))
        issue(view,
              "WAL replay is paused on node \"%s\" (ID: %" PRId64 ") with WAL replay pending; this node cannot be "
              "manually promoted until WAL replay is resumed",
              node->name, node->id);
}

static const char *name_of(const json_t *status, int64_t node_id)
{
    const json_t *members = json_object_get(status, "members");

    for (size_t i = 0; i < json_array_size(members); i++)
        if (result_number(json_array_get(members, i), "node_id", 0) == node_id)
            return result_text(json_array_get(members, i), "node_name");
    return "unknown";
}

/* The Upstream column of a node below the primary. Every registered node's upstream is the primary. */
static void judge_upstream(const struct node *node, const struct node *up, const json_t *status, char *text,
                           size_t size, struct cluster_view *view)
{
    const char *attached = result_text(node->member, "attached");
    int64_t reported = node->witness ? up->id : result_number(node->member, "upstream", 0);
    const char *mark = "";

    if (!node->connected) {
        mark = "? ";
    } else if (!reported) {
        issue(view, "node \"%s\" (ID: %" PRId64 ") reports it has no upstream (expected: \"%s\")", node->name, node->id,
              up->name);
        (void)text_copy(text, size, "!");
        return;
    } else if (reported != up->id) {
        const char *other = name_of(status, reported);
        issue(view, "node \"%s\" (ID: %" PRId64 ") reports a different upstream (reported: \"%s\", expected \"%s\")",
              node->name, node->id, other, up->name);
        (void)snprintf(text, size, "! %s", other);
        return;
    } else if (!up->connected) {
        mark = "? ";
        issue(view, "unable to connect to node \"%s\" (ID: %" PRId64 ")'s upstream node \"%s\" (ID: %" PRId64 ")",
              node->name, node->id, up->name, up->id);
        if (!node->witness)
            issue(view,
                  "unable to determine if node \"%s\" (ID: %" PRId64 ") is attached to its upstream node \"%s\" (ID: "
                  "%" PRId64 ")",
                  node->name, node->id, up->name, up->id);
    } else if (!node->witness && !*attached) {
        mark = "! ";
        issue(view, "node \"%s\" (ID: %" PRId64 ") is not attached to its upstream node \"%s\" (ID: %" PRId64 ")",
              node->name, node->id, up->name, up->id);
    } else if (!node->witness && strcmp(attached, "streaming") != 0) {
        mark = "? ";
        issue(view,
              "node \"%s\" (ID: %" PRId64 ") attached to its upstream node \"%s\" (ID: %" PRId64 ") in state \"%s\"",
              node->name, node->id, up->name, up->id, attached);
    }
    (void)snprintf(text, size, "%s%s", mark, up->name);
}

static void make_row(const struct node *node, const struct node *primary, const json_t *status,
                     struct cluster_view *view)
{
    struct cluster_row *row = &view->rows[view->count++];
    int64_t timeline = result_number(node->member, "timeline", 0);

    *row = (struct cluster_row){
        .node_id = node->id,
        .priority = node->witness ? 0 : result_number(node->member, "priority", 0),
        .available = node->connected ? 0 : -1,
        .recovery = node->connected ? node->recovery : -1,
        .name = node->name,
        .role = result_text(node->member, "role"),
        .location = result_text(node->member, "location"),
        .conninfo = result_text(node->member, "conninfo"),
    };
    (void)text_copy(row->status, sizeof row->status, status_words(node));
    if (node->witness)
        (void)text_copy(row->timeline, sizeof row->timeline, "n/a");
    else if (node->connected && timeline)
        (void)snprintf(row->timeline, sizeof row->timeline, "%" PRId64, timeline);
    else if (node->connected)
        (void)text_copy(row->timeline, sizeof row->timeline, "?");
    status_issues(node, view);
    view->wrong = view->wrong || strchr("!?-", row->status[0]);
    if (primary && !node->primary)
        judge_upstream(node, primary, status, row->upstream, sizeof row->upstream, view);
}

void cluster_view_make(const json_t *status, struct cluster_view *ret_view)
{
    const json_t *members = json_object_get(status, "members");
    struct node primary;
    bool found = false;

    memset(ret_view, 0, sizeof *ret_view);
    for (size_t i = 0; i < json_array_size(members); i++) {
        struct node node = node_of(json_array_get(members, i));
        if (node.primary)
            primary = node;
        found = found || node.primary;
    }
    for (size_t i = 0; i < json_array_size(members); i++) {
        struct node node = node_of(json_array_get(members, i));
        if (result_true(node.member, "registered") && ret_view->count < MEMBERS_MAX)
            make_row(&node, found ? &primary : NULL, status, ret_view);
    }
    ret_view->wrong = ret_view->wrong || ret_view->issue_count;
}

void cluster_view_table(const struct cluster_view *view, bool compact, FILE *out)
{
    static const char *const full[] = {
        "ID", "Name", "Role", "Status", "Upstream", "Location", "Priority", "Timeline", "Connection string", NULL
    };
    static const char *const small[] = { "ID", "Name", "Role", "Status", "Upstream", "Location", "Prio.", "TLI", NULL };
    AUTO(table) table;

    table_init(&table, compact ? small : full);
    for (size_t i = 0; i < view->count; i++) {
        const struct cluster_row *row = &view->rows[i];
        table_put(&table, "%" PRId64, row->node_id);
        table_put(&table, "%s", row->name);
        table_put(&table, "%s", row->role);
        table_put(&table, "%s", row->status);
        table_put(&table, "%s", row->upstream);
        table_put(&table, "%s", row->location);
        table_put(&table, "%" PRId64, row->priority);
        table_put(&table, "%s", row->timeline);
        if (!compact)
            table_put(&table, "%s", row->conninfo);
    }
    table_draw(&table, compact ? TABLE_TRAILING : TABLE_PLAIN, out);
}

void cluster_view_csv(const struct cluster_view *view, FILE *out)
{
    for (size_t i = 0; i < view->count; i++)
        fprintf(out, "%" PRId64 ",%d,%d\n", view->rows[i].node_id, view->rows[i].available, view->rows[i].recovery);
}
