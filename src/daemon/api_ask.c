/* api_ask.c - requests that only look: status, cluster_event. See api.h. */
#include "daemon/api.h"

#include "base/clock.h"
#include "daemon/status.h"

#define EVENTS_MAX RECORDS_MAX /* the log's state keeps no more */

void api_turn_status(struct api_client *client, int64_t now_us)
{
    struct status_facts facts;

    status_look(client->daemon, now_us, &facts);
    api_answer(client, status_json(&facts));
}

static bool wanted(const struct cluster *cluster, const struct api_request *request, const struct record *record)
{
    const struct member *named = request->node_name[0] ? cluster_member_by_name(cluster, request->node_name) : NULL;

    if (request->event[0] && strcmp(request->event, record->event) != 0)
        return false;
    if (request->node_id != 0 && request->node_id != record->node_id)
        return false;
    return request->node_name[0] == '\0' || (named && named->node_id == record->node_id);
}

static json_t *event_json(const struct cluster *cluster, const struct record *record)
{
    char at[48];
    json_t *event = api_node(cluster, record->node_id);

    clock_wall_text(record->wall_us, at, sizeof at);
    at[sizeof "YYYY-MM-DD HH:MM:SS" - 1] = '\0';
    (void)json_object_set_new(event, "event", json_string(record->event));
    (void)json_object_set_new(event, "successful", json_boolean(record->successful));
    (void)json_object_set_new(event, "timestamp", json_string(at));
    (void)json_object_set_new(event, "details", json_string(record->text));
    return event;
}

void api_turn_cluster_event(struct api_client *client, int64_t now_us)
{
    const struct cluster *cluster = &client->daemon->manager.cluster;
    const struct api_request *request = &client->task.request;
    json_t *events = json_array();
    size_t limit = request->limit > 0 ? (size_t)request->limit : EVENTS_MAX;

    (void)now_us;
    uint64_t oldest = cluster->record_count > EVENTS_MAX ? cluster->record_count - EVENTS_MAX : 0;
    for (uint64_t i = cluster->record_count; i > oldest && json_array_size(events) < limit; i--) {
        const struct record *record = &cluster->records[(i - 1) % RECORDS_MAX];
        if (wanted(cluster, request, record))
            (void)json_array_append_new(events, event_json(cluster, record));
    }
    api_answer(client, json_pack("{s:o}", "events", events));
}
