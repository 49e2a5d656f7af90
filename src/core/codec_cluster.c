/* codec_cluster.c - the whole replicated state as bytes: what a snapshot of the log holds. */
#include "core/codec_walk.h"

static void walk_primary(struct walk *walk, struct primary *primary)
{
    walk_i32(walk, &primary->node_id);
    WALK_ENUM(walk, &primary->phase, PRIMARY_ACTIVE);
    walk_directory(walk, &primary->directory);
    walk_token(walk, &primary->token);
    walk_timeline(walk, &primary->timeline);
    walk_timeline(walk, &primary->from_timeline);
    walk_lsn(walk, &primary->position);
    walk_u64(walk, &primary->permitted_at);
    walk_i64(walk, &primary->since_us);
}

static void walk_given(struct walk *walk, struct given *given)
{
    walk_timeline(walk, &given->timeline);
    walk_i32(walk, &given->node_id);
    walk_timeline(walk, &given->parent);
    walk_lsn(walk, &given->begin);
}

static void walk_operation(struct walk *walk, struct operation *operation)
{
    WALK_ENUM(walk, &operation->kind, OPERATION_SWITCHOVER);
    walk_i32(walk, &operation->from);
    walk_i32(walk, &operation->to);
    walk_u64(walk, &operation->at);
    walk_u32(walk, &operation->timeout_ms);
    walk_i64(walk, &operation->since_us);
    walk_text(walk, operation->reason, sizeof operation->reason);
    walk_bool(walk, &operation->words.host_off);
    walk_bool(walk, &operation->words.accepted);
    walk_bool(walk, &operation->words.written_off);
    walk_timeline(walk, &operation->words.timeline);
    walk_lsn(walk, &operation->words.lsn);
}

static void walk_record(struct walk *walk, struct record *record)
{
    walk_i64(walk, &record->wall_us);
    walk_i32(walk, &record->node_id);
    walk_token(walk, &record->token);
    walk_text(walk, record->event, sizeof record->event);
    walk_bool(walk, &record->successful);
    walk_text(walk, record->text, sizeof record->text);
}

static void walk_records(struct walk *walk, struct cluster *cluster)
{
    walk_u64(walk, &cluster->record_count);
    uint64_t kept = cluster->record_count < RECORDS_MAX ? cluster->record_count : RECORDS_MAX;
    for (uint64_t i = 0; i < kept; i++)
        walk_record(walk, &cluster->records[i]);
}

static void walk_cluster(struct walk *walk, struct cluster *cluster)
{
    walk_u64(walk, &cluster->cluster_id);
    walk_u64(walk, &cluster->system_identifier);
    walk_u32(walk, &cluster->epoch);
    walk_u64(walk, &cluster->version);
    walk_u64(walk, &cluster->config_version);
    walk_u64(walk, &cluster->policy_version);
    walk_u64(walk, &cluster->raft_id_last);
    walk_policy(walk, &cluster->policy);
    walk_u32(walk, &cluster->lease_max_ms);
    walk_small(walk, &cluster->member_count, MEMBERS_MAX);
    for (uint32_t i = 0; i < cluster->member_count; i++)
        walk_member(walk, &cluster->members[i]);
    walk_token(walk, &cluster->token);
    walk_primary(walk, &cluster->primary);
    walk_u64(walk, &cluster->demand_version);
    walk_small(walk, &cluster->demand_count, DEMANDS_MAX);
    for (uint32_t i = 0; i < cluster->demand_count; i++)
        walk_demand(walk, &cluster->demands[i]);
    walk_timeline(walk, &cluster->timeline_max);
    walk_timeline(walk, &cluster->timeline_old);
    walk_small(walk, &cluster->given_count, GIVEN_MAX);
    for (uint32_t i = 0; i < cluster->given_count; i++)
        walk_given(walk, &cluster->given[i]);
    walk_operation(walk, &cluster->operation);
    WALK_ENUM(walk, &cluster->pause, PAUSE_ENDING);
    walk_u64(walk, &cluster->pause_version);
    walk_records(walk, cluster);
}

void cluster_encode(const struct cluster *cluster, struct buf *to)
{
    struct walk walk = walk_writer(to);

    walk_cluster(&walk, (struct cluster *)cluster); /* a writer changes nothing */
}

int cluster_decode(const uint8_t *bytes, size_t length, struct cluster *ret_cluster, struct err *err)
{
    struct walk walk = walk_reader(bytes, length);
    struct cluster cluster;

    memset(&cluster, 0, sizeof cluster);
    walk_cluster(&walk, &cluster);
    if (walk_end(&walk, "snapshot", err) < 0)
        return -(int)ERR_CORRUPT;
    *ret_cluster = cluster;
    return 0;
}
