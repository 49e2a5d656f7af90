/* publish_rows.c - the repmgr schema's rows from the agreed state and the members' reports. See publish.h. */
#include "daemon/publish.h"

#include "pg/conninfo.h"

#define TOKEN_COUNT_MASK ((UINT64_C(1) << 48) - 1) /* the count in a token; the epoch stands above */

static const struct report *report_of(const struct manager *manager, const struct member *member)
{
    if (member->raft_id == manager->node.raft_id)
        return &manager->report;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (manager->heard[i].at_us != 0 && manager->heard[i].raft_id == member->raft_id)
            return &manager->heard[i].report;
    return NULL;
}

bool publish_active(const struct manager *manager, const struct member *member, int64_t now_us)
{
    const struct cluster *cluster = &manager->cluster;
    const struct report *report = report_of(manager, member);

    if (member->kind == NODE_WITNESS || member->node_id == cluster->primary.node_id)
        return true;
    /* A daemon that has just started has not heard anybody yet. */
    if (!report)
        return now_us - manager->started_us < (int64_t)cluster->policy.failure_timeout_ms * 1000;
    return (report->pg_state == PG_STANDBY || report->pg_state == PG_STARTING) && report->following;
}

/* "a,b" */
static void append(char *list, size_t size, const char *item)
{
    size_t used = strlen(list);

    (void)snprintf(list + used, size - used, "%s%s", used ? "," : "", item);
}

void publish_witness_conninfo(const struct cluster *cluster, char *ret_text)
{
    char hosts[CONNINFO_SIZE] = "";
    char ports[CONNINFO_SIZE] = "";
    const char *first = NULL;
    bool plain = true;
    AUTO(buf) text;

    buf_init(&text, CONNINFO_SIZE - 1);
    ret_text[0] = '\0';
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        struct conninfo_facts facts;
        if (member->kind != NODE_DATA || !member->registered || conninfo_read(member->conninfo, &facts, NULL) < 0)
            continue;
        first = first ? first : member->conninfo;
        append(hosts, sizeof hosts, facts.host[0] ? facts.host : facts.hostaddr);
        append(ports, sizeof ports, facts.port[0] ? facts.port : "5432");
        plain = plain && facts.port[0] == '\0';
    }
    const struct conninfo_pair pairs[] = { { "host", hosts }, { "hostaddr", NULL }, { "port", plain ? NULL : ports } };
    if (!first || conninfo_change(first, pairs, ARRAY_LEN(pairs), &text, NULL) < 0 || text.failed)
        return;
    memcpy(ret_text, text.bytes, text.length);
    ret_text[text.length] = '\0';
}

static void make_row(const struct manager *manager, const struct member *member, int64_t now_us,
                     struct pg_schema_node *row)
{
    const struct cluster *cluster = &manager->cluster;
    bool primary = member->node_id == cluster->primary.node_id;
    bool witness = member->kind == NODE_WITNESS;
    struct conninfo_facts facts = { 0 };

    row->node_id = member->node_id;
    row->upstream_node_id = primary ? 0 : cluster->primary.node_id;
    row->active = publish_active(manager, member, now_us);
    row->priority = witness ? 0 : member->priority;
    (void)text_copy(row->node_name, sizeof row->node_name, member->name);
    (void)text_copy(row->type, sizeof row->type, primary ? "primary" : witness ? "witness" : "standby");
    (void)text_copy(row->location, sizeof row->location, member->location);
    (void)text_copy(row->config_file, sizeof row->config_file, member->config_file);
    if (witness)
        publish_witness_conninfo(cluster, row->conninfo);
    else
        (void)text_copy(row->conninfo, sizeof row->conninfo, member->conninfo);
    (void)conninfo_read(row->conninfo, &facts, NULL); /* not understood: no user is known */
    (void)text_copy(row->repluser, sizeof row->repluser,
                    member->replication_user[0] ? member->replication_user : facts.user);
    if (!witness)
        member_slot(member, row->slot_name);
}

static bool is_event_of(const struct pg_schema_event *event, const struct record *record)
{
    return event->node_id == record->node_id && event->at_us == record->wall_us &&
           strcmp(event->event, record->event) == 0;
}

/* Number of the first record that `before` does not cover. */
static uint64_t first_new(const struct cluster *cluster, const struct pg_schema *before)
{
    uint64_t oldest = cluster->record_count > RECORDS_MAX ? cluster->record_count - RECORDS_MAX : 0;

    for (uint64_t i = cluster->record_count; before->event_count > 0 && i > oldest; i--)
        if (is_event_of(&before->events[before->event_count - 1], &cluster->records[(i - 1) % RECORDS_MAX]))
            return i;
    return oldest;
}

static void add_events(const struct cluster *cluster, const struct pg_schema *before, struct pg_schema *schema)
{
    uint64_t from = first_new(cluster, before);

    if (from == cluster->record_count) {
        memcpy(schema->events, before->events, sizeof schema->events);
        schema->event_count = before->event_count;
        return;
    }
    for (uint64_t i = from; i < cluster->record_count && schema->event_count < SCHEMA_EVENTS_MAX; i++) {
        const struct record *record = &cluster->records[i % RECORDS_MAX];
        struct pg_schema_event *event = &schema->events[schema->event_count++];
        event->node_id = record->node_id;
        event->successful = record->successful;
        event->at_us = record->wall_us;
        (void)text_copy(event->event, sizeof event->event, record->event);
        (void)text_copy(event->details, sizeof event->details, record->text);
    }
}

void publish_rows(const struct manager *manager, const struct pg_schema *before, int64_t now_us,
                  struct pg_schema *ret_schema)
{
    const struct cluster *cluster = &manager->cluster;
    uint64_t term = cluster->token.no & TOKEN_COUNT_MASK;

    memset(ret_schema, 0, sizeof *ret_schema);
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].registered)
            make_row(manager, &cluster->members[i], now_us, &ret_schema->nodes[ret_schema->node_count++]);
    add_events(cluster, before, ret_schema);
    ret_schema->voting_term = term > INT32_MAX ? INT32_MAX : (int32_t)term;
}

static bool same_node(const struct pg_schema_node *left, const struct pg_schema_node *right)
{
    return left->node_id == right->node_id && left->upstream_node_id == right->upstream_node_id &&
           left->active == right->active && left->priority == right->priority &&
           strcmp(left->node_name, right->node_name) == 0 && strcmp(left->type, right->type) == 0 &&
           strcmp(left->location, right->location) == 0 && strcmp(left->conninfo, right->conninfo) == 0 &&
           strcmp(left->repluser, right->repluser) == 0 && strcmp(left->slot_name, right->slot_name) == 0 &&
           strcmp(left->config_file, right->config_file) == 0;
}

static bool same_event(const struct pg_schema_event *left, const struct pg_schema_event *right)
{
    return left->node_id == right->node_id && left->successful == right->successful && left->at_us == right->at_us &&
           strcmp(left->event, right->event) == 0 && strcmp(left->details, right->details) == 0;
}

bool publish_same(const struct pg_schema *left, const struct pg_schema *right)
{
    bool same = left->node_count == right->node_count && left->event_count == right->event_count &&
                left->voting_term == right->voting_term;

    for (uint32_t i = 0; same && i < left->node_count; i++)
        same = same_node(&left->nodes[i], &right->nodes[i]);
    for (uint32_t i = 0; same && i < left->event_count; i++)
        same = same_event(&left->events[i], &right->events[i]);
    return same;
}
