/* codec_walk.c - bytes of numbers, texts and the nouns that several encodings share. See codec_walk.h. */
#include "core/codec_walk.h"

#define CODEC_VERSION 1

static void fail(struct walk *walk, const char *why)
{
    if (!walk->why)
        walk->why = why;
    walk->from.failed = true;
}

struct walk walk_writer(struct buf *to)
{
    struct walk walk = { .to = to };

    buf_put_u8(to, CODEC_VERSION);
    return walk;
}

struct walk walk_reader(const uint8_t *bytes, size_t length)
{
    struct walk walk = { .from = cursor_of(bytes, length) };

    if (cursor_u8(&walk.from) != CODEC_VERSION)
        fail(&walk, "another version wrote it");
    return walk;
}

int walk_end(const struct walk *walk, const char *what, struct err *err)
{
    const char *why = walk->why;

    assert(!walk->to);
    if (cursor_done(&walk->from))
        return 0;
    if (!why)
        why = walk->from.failed ? "it ends too early, or a text is too long" : "bytes are left over";
    return err_set(err, ERR_CORRUPT, "could not decode a %s of %zu bytes, at byte %zu: %s", what, walk->from.length,
                   walk->from.at, why);
}

void walk_u8(struct walk *walk, uint8_t *value)
{
    if (walk->to)
        buf_put_u8(walk->to, *value);
    else
        *value = cursor_u8(&walk->from);
}

void walk_u32(struct walk *walk, uint32_t *value)
{
    if (walk->to)
        buf_put_u32(walk->to, *value);
    else
        *value = cursor_u32(&walk->from);
}

void walk_u64(struct walk *walk, uint64_t *value)
{
    if (walk->to)
        buf_put_u64(walk->to, *value);
    else
        *value = cursor_u64(&walk->from);
}

void walk_i32(struct walk *walk, int32_t *value)
{
    uint32_t bits = (uint32_t)*value;

    walk_u32(walk, &bits);
    *value = (int32_t)bits;
}

void walk_i64(struct walk *walk, int64_t *value)
{
    uint64_t bits = (uint64_t)*value;

    walk_u64(walk, &bits);
    *value = (int64_t)bits;
}

void walk_small(struct walk *walk, uint32_t *value, uint32_t max)
{
    assert(max <= UINT8_MAX);
    if (walk->to) {
        assert(*value <= max);
        buf_put_u8(walk->to, (uint8_t)*value);
        return;
    }
    *value = cursor_u8(&walk->from);
    if (*value > max) {
        fail(walk, "a number is out of range");
        *value = 0;
    }
}

void walk_bool(struct walk *walk, bool *value)
{
    uint32_t number = *value;

    walk_small(walk, &number, 1);
    *value = number != 0;
}

void walk_text(struct walk *walk, char *text, size_t size)
{
    if (walk->to) {
        assert(memchr(text, '\0', size));
        buf_put_text(walk->to, text);
    } else {
        cursor_text(&walk->from, text, size);
    }
}

void walk_bytes(struct walk *walk, uint32_t *length, uint8_t *bytes, uint32_t max)
{
    walk_u32(walk, length);
    if (walk->to) {
        assert(*length <= max);
        buf_put(walk->to, bytes, *length);
        return;
    }
    if (*length > max) {
        fail(walk, "a length is out of range");
        *length = 0;
    }
    cursor_get(&walk->from, bytes, *length);
}

void walk_token(struct walk *walk, struct token *token)
{
    walk_u64(walk, &token->no);
}

void walk_lsn(struct walk *walk, struct lsn *lsn)
{
    walk_u64(walk, &lsn->at);
}

void walk_timeline(struct walk *walk, struct timeline *timeline)
{
    walk_u32(walk, &timeline->no);
}

void walk_directory(struct walk *walk, struct directory_id *directory)
{
    walk_u64(walk, &directory->no);
}

void walk_policy(struct walk *walk, struct policy *policy)
{
    walk_u32(walk, &policy->failure_timeout_ms);
    walk_u32(walk, &policy->lease_ttl_ms);
    walk_u32(walk, &policy->guard_kill_time_ms);
    walk_u32(walk, &policy->raft_election_timeout_ms);
    walk_u32(walk, &policy->raft_heartbeat_ms);
    walk_u32(walk, &policy->primary_start_timeout_ms);
    walk_small(walk, &policy->durability, DURABILITY_STRICT);
    walk_u32(walk, &policy->synchronous_count);
    walk_u64(walk, &policy->maximum_lag_on_failover_bytes);
    walk_small(walk, &policy->fence_wait, FENCE_WAIT_NONE);
}

void walk_member(struct walk *walk, struct member *member)
{
    walk_i32(walk, &member->node_id);
    walk_u64(walk, &member->raft_id);
    WALK_ENUM(walk, &member->kind, NODE_WITNESS);
    walk_i32(walk, &member->priority);
    walk_bool(walk, &member->voter);
    walk_bool(walk, &member->registered);
    walk_bool(walk, &member->manual);
    walk_bool(walk, &member->written_off);
    walk_text(walk, member->name, sizeof member->name);
    walk_text(walk, member->address, sizeof member->address);
    walk_text(walk, member->conninfo, sizeof member->conninfo);
    walk_text(walk, member->location, sizeof member->location);
    walk_text(walk, member->replication_user, sizeof member->replication_user);
    walk_text(walk, member->config_file, sizeof member->config_file);
    walk_directory(walk, &member->directory);
    walk_u64(walk, &member->start_no);
    walk_u64(walk, &member->slot_no);
}

void walk_demand(struct walk *walk, struct demand *demand)
{
    walk_u64(walk, &demand->version);
    walk_token(walk, &demand->token);
    walk_u32(walk, &demand->k);
    walk_small(walk, &demand->count, DIRECTORIES_MAX);
    for (uint32_t i = 0; i < demand->count; i++)
        walk_directory(walk, &demand->directories[i]);
}
