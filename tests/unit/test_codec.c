/*
 * test_codec.c - what is decoded is what was encoded, and nothing else is accepted.
 *
 * Values are filled from chance, field by field on zeroed storage, and compared as bytes: a field that the codec
 * forgets is found. One that the filler forgets too is caught by the sizes below. Bytes handed to a decoder stand in
 * storage of exactly their length: with the address sanitizer, reading past them ends the run.
 */
#include <stdlib.h>

#include "base/rand.h"
#include "core/codec.h"
#include "unit.h"

#define VALUES 200
#define MUTATIONS 20000

static struct rand chance;

/* --- filling ------------------------------------------------------------------------------------------------------ */

static void fill_bytes(void *to, size_t size)
{
    uint8_t *bytes = to;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(rand_below(&chance, 255) + 1);
}

static void fill_text(char *text, size_t size)
{
    size_t length = rand_below(&chance, 4) == 0 ? size - 1 : (size_t)rand_below(&chance, size);

    memset(text, 0, size);
    fill_bytes(text, length);
}

/* Any of 0..last, sometimes the greatest. */
static uint32_t number_to(uint32_t last)
{
    return rand_below(&chance, 4) == 0 ? last : (uint32_t)rand_below(&chance, last + 1u);
}

/* Each of the fields, named once more here than in the codec: four at a time, to keep it short. */
#define FILL(x, a) fill_bytes(&(x)->a, sizeof(x)->a)
#define FILL2(x, a, b) FILL(x, a), FILL(x, b)
#define FILL4(x, a, b, c, d) FILL2(x, a, b), FILL2(x, c, d)

static void fill_policy(struct policy *policy)
{
    memset(policy, 0, sizeof *policy);
    FILL4(policy, failure_timeout_ms, lease_ttl_ms, guard_kill_time_ms, raft_election_timeout_ms);
    FILL4(policy, raft_heartbeat_ms, primary_start_timeout_ms, synchronous_count, maximum_lag_on_failover_bytes);
    policy->durability = number_to(DURABILITY_STRICT);
    policy->fence_wait = number_to(FENCE_WAIT_NONE);
}

static void fill_member(struct member *member)
{
    memset(member, 0, sizeof *member);
    FILL4(member, node_id, raft_id, priority, directory);
    FILL2(member, start_no, slot_no);
    member->kind = (enum node_kind)number_to(NODE_WITNESS);
    member->voter = number_to(1);
    member->registered = number_to(1);
    member->manual = number_to(1);
    member->written_off = number_to(1);
    fill_text(member->name, sizeof member->name);
    fill_text(member->address, sizeof member->address);
    fill_text(member->conninfo, sizeof member->conninfo);
    fill_text(member->location, sizeof member->location);
    fill_text(member->replication_user, sizeof member->replication_user);
    fill_text(member->config_file, sizeof member->config_file);
}

static void fill_demand(struct demand *demand)
{
    memset(demand, 0, sizeof *demand);
    FILL2(demand, version, token);
    FILL(demand, k);
    demand->count = number_to(DIRECTORIES_MAX);
    fill_bytes(demand->directories, demand->count * sizeof demand->directories[0]);
}

static void fill_record(struct record *record)
{
    memset(record, 0, sizeof *record);
    FILL2(record, wall_us, node_id);
    FILL(record, token);
    record->successful = number_to(1);
    fill_text(record->event, sizeof record->event);
    fill_text(record->text, sizeof record->text);
}

static void fill_operation(struct operation *operation)
{
    memset(operation, 0, sizeof *operation);
    FILL4(operation, from, to, at, timeout_ms);
    FILL(operation, since_us);
    operation->kind = (enum operation_kind)number_to(OPERATION_SWITCHOVER);
    fill_text(operation->reason, sizeof operation->reason);
    operation->words.host_off = number_to(1);
    operation->words.accepted = number_to(1);
    operation->words.written_off = number_to(1);
    FILL2(operation, words.timeline, words.lsn);
}

static void fill_primary(struct primary *primary)
{
    memset(primary, 0, sizeof *primary);
    FILL4(primary, node_id, directory, token, timeline);
    FILL4(primary, from_timeline, position, permitted_at, since_us);
    primary->phase = (enum primary_phase)number_to(PRIMARY_ACTIVE);
}

static void fill_cluster(struct cluster *cluster, uint32_t members_max)
{
    memset(cluster, 0, sizeof *cluster);
    FILL4(cluster, cluster_id, system_identifier, epoch, version);
    FILL4(cluster, config_version, policy_version, raft_id_last, lease_max_ms);
    FILL2(cluster, token, demand_version);
    FILL2(cluster, timeline_max, timeline_old);
    fill_policy(&cluster->policy);
    cluster->member_count = number_to(members_max);
    for (uint32_t i = 0; i < cluster->member_count; i++)
        fill_member(&cluster->members[i]);
    fill_primary(&cluster->primary);
    cluster->demand_count = number_to(DEMANDS_MAX);
    for (uint32_t i = 0; i < cluster->demand_count; i++)
        fill_demand(&cluster->demands[i]);
    cluster->given_count = number_to(GIVEN_MAX);
    for (uint32_t i = 0; i < cluster->given_count; i++)
        FILL4(&cluster->given[i], timeline, node_id, parent, begin);
    fill_operation(&cluster->operation);
    cluster->pause = (enum pause_state)number_to(PAUSE_ENDING);
    cluster->pause_version = rand_next(&chance);
    uint32_t kept = number_to(2 * members_max > RECORDS_MAX ? RECORDS_MAX : 2 * members_max);
    cluster->record_count = kept == RECORDS_MAX ? RECORDS_MAX + rand_below(&chance, 100) : kept;
    for (uint32_t i = 0; i < kept; i++)
        fill_record(&cluster->records[i]);
}

static void fill_command(struct command *command, enum command_kind kind)
{
    memset(command, 0, sizeof *command);
    command->kind = kind;
    FILL4(command, raft_id, start_no, wall_us, node_id);
    FILL4(command, token, expect, cluster_id, system_identifier);
    FILL4(command, number, timeline, lsn, directory);
    FILL(command, stopped_start_no);
    fill_member(&command->member);
    command->flag = number_to(1);
    fill_policy(&command->policy);
    fill_demand(&command->demand);
    fill_text(command->text, sizeof command->text);
}

static void fill_history(struct history *history)
{
    memset(history, 0, sizeof *history);
    history->count = number_to(HISTORY_MAX);
    for (uint32_t i = 0; i < history->count; i++)
        FILL2(&history->rows[i], timeline, end);
}

static void fill_fence(struct fence_report *fence)
{
    memset(fence, 0, sizeof *fence);
    FILL4(fence, token, directory, timeline, end);
    fence->stopped = number_to(1);
    fence->clean = number_to(1);
    fence->data = number_to(1);
    fence->grants_over = number_to(1);
}

static void fill_report_flags(struct report *report)
{
    report->hello = number_to(1);
    report->leads = number_to(1);
    report->want_primary_data = number_to(1);
    report->pg_answering = number_to(1);
    report->pg_was_primary = number_to(1);
    report->receiver_streaming = number_to(1);
    report->leaving = number_to(1);
    report->lagging = number_to(1);
    report->checkpointed = number_to(1);
    report->following = number_to(1);
    report->lease_valid = number_to(1);
    report->told.known = number_to(1);
    report->guard_armed = number_to(1);
}

static void fill_report(struct report *report)
{
    memset(report, 0, sizeof *report);
    FILL4(report, node_id, raft_id, start_no, applied);
    FILL4(report, token, directory, system_identifier, version_number);
    FILL4(report, timeline, end, replayed, upstream);
    FILL4(report, replay_lag_us, lease_left_us, lease_length_us, lease_config);
    FILL2(report, demand_settled, primary_seen_us);
    FILL4(&report->told, token, incarnation, round, lsn);
    FILL2(report, fetch_node, fetch_from);
    fill_report_flags(report);
    report->pg_state = (enum pg_state)number_to(PG_PRIMARY);
    report->trouble = (enum trouble)number_to(TROUBLE_NO_SPACE);
    report->acting = (enum act_kind)number_to(ACT_CHECKPOINT);
    fill_history(&report->history);
    report->walsender_count = number_to(MEMBERS_MAX);
    for (uint32_t i = 0; i < report->walsender_count; i++) {
        FILL2(&report->walsenders[i], node_id, flushed);
        report->walsenders[i].streaming = number_to(1);
        report->walsenders[i].synchronous = number_to(1);
    }
    fill_fence(&report->fence);
    fill_text(report->waiting, sizeof report->waiting);
    fill_text(report->problem, sizeof report->problem);
}

static void fill_message(struct message *message, enum message_kind kind)
{
    memset(message, 0, sizeof *message);
    message->kind = kind;
    if (kind == MESSAGE_REPORT) {
        fill_report(&message->report);
    } else if (kind == MESSAGE_LEASE_ASK) {
        FILL4(&message->ask, token, node_id, incarnation, round);
        FILL2(&message->ask, length_us, lsn);
        message->ask.healthy = number_to(1);
    } else if (kind == MESSAGE_LEASE_REPLY) {
        FILL4(&message->reply, node_id, incarnation, round, token);
        message->reply.granted = number_to(1);
    } else {
        message->forward.length = number_to(sizeof message->forward.bytes);
        fill_bytes(message->forward.bytes, message->forward.length);
    }
}

/* --- one kind of encoding, as the tests below see it -------------------------------------------------------------- */

/* Decodes a copy of exactly `length` bytes and, where that was accepted, encodes the value again. */
typedef int (*redo_fn)(const uint8_t *bytes, size_t length, struct buf *again, struct err *err);

static int redo_command(const uint8_t *bytes, size_t length, struct buf *again, struct err *err)
{
    struct command command;
    int result = command_decode(bytes, length, &command, err);

    if (result == 0)
        command_encode(&command, again);
    return result;
}

static int redo_cluster(const uint8_t *bytes, size_t length, struct buf *again, struct err *err)
{
    static struct cluster cluster;
    int result = cluster_decode(bytes, length, &cluster, err);

    if (result == 0)
        cluster_encode(&cluster, again);
    return result;
}

static int redo_message(const uint8_t *bytes, size_t length, struct buf *again, struct err *err)
{
    struct message message;
    int result = message_decode(bytes, length, &message, err);

    if (result == 0)
        message_encode(&message, again);
    return result;
}

/* True where the bytes were accepted; they must then be the very bytes that the encoder writes for the value. */
static bool accepted(redo_fn redo, const uint8_t *bytes, size_t length)
{
    AUTO(buf) again = { .max = SNAPSHOT_BYTES_MAX };
    struct err err = { 0 };
    uint8_t *copy = malloc(length > 0 ? length : 1);

    assert(copy);
    if (length > 0)
        memcpy(copy, bytes, length);
    int result = redo(copy, length, &again, &err);
    free(copy);
    if (result < 0) {
        CU_ASSERT(result == -(int)ERR_CORRUPT && err.code == ERR_CORRUPT && err.text[0] != '\0');
        return false;
    }
    CU_ASSERT(!again.failed && again.length == length && memcmp(again.bytes, bytes, length) == 0);
    return true;
}

static void refuse_truncated(redo_fn redo, const struct buf *bytes)
{
    for (size_t length = 0; length < bytes->length; length++)
        CU_ASSERT(!accepted(redo, bytes->bytes, length));
}

static void refuse_longer(redo_fn redo, struct buf *bytes)
{
    buf_put_u8(bytes, 0);
    CU_ASSERT(!accepted(redo, bytes->bytes, bytes->length));
    bytes->length--;
}

/* From encodings with the greatest count of (zeroed) elements and with one fewer: forges one with one too many. */
static void refuse_count(redo_fn redo, const struct buf *fewer, const struct buf *full)
{
    AUTO(buf) forged = { .max = SNAPSHOT_BYTES_MAX };
    size_t at = 0;

    CU_ASSERT(accepted(redo, full->bytes, full->length));
    while (full->bytes[at] == fewer->bytes[at])
        at++;
    buf_put(&forged, full->bytes, at);
    buf_put_u8(&forged, (uint8_t)(full->bytes[at] + 1));
    for (size_t i = 0; i < full->length - fewer->length; i++)
        buf_put_u8(&forged, 0);
    buf_put(&forged, full->bytes + at + 1, full->length - at - 1);
    CU_ASSERT(!accepted(redo, forged.bytes, forged.length));
}

static void change_bytes(redo_fn redo, const struct buf *bytes)
{
    AUTO(buf) changed = { .max = SNAPSHOT_BYTES_MAX };

    buf_put(&changed, bytes->bytes, bytes->length);
    for (int i = 0; i < MUTATIONS / 20; i++) {
        size_t at = (size_t)rand_below(&chance, changed.length);
        uint8_t old = changed.bytes[at];
        changed.bytes[at] = (uint8_t)rand_next(&chance);
        (void)accepted(redo, changed.bytes, changed.length); /* it asks for the same bytes back where it is */
        if (rand_below(&chance, 4) != 0)
            changed.bytes[at] = old;
    }
}

static void survive_chance(redo_fn redo)
{
    uint8_t bytes[600];

    for (int i = 0; i < MUTATIONS; i++) {
        size_t length = (size_t)rand_below(&chance, sizeof bytes + 1);
        fill_bytes(bytes, length);
        if (length > 1) {
            bytes[0] = 1; /* past the version, and often past the kind */
            bytes[1] = (uint8_t)rand_below(&chance, 24);
        }
        (void)accepted(redo, bytes, length);
    }
}

/* --- the tests ---------------------------------------------------------------------------------------------------- */

/* Structs that cluster.h does not name beside the command's kind are not written and come back as zero. */
static void drop_structs(struct command *command)
{
    enum command_kind kind = command->kind;

    if (kind != COMMAND_FOUND && kind != COMMAND_HELLO && kind != COMMAND_JOIN)
        memset(&command->member, 0, sizeof command->member);
    if (kind != COMMAND_FOUND && kind != COMMAND_POLICY)
        memset(&command->policy, 0, sizeof command->policy);
    if (kind != COMMAND_ELECT && kind != COMMAND_ADD)
        memset(&command->demand, 0, sizeof command->demand);
}

static void commands_come_back(void)
{
    rand_seed(&chance, 1);
    for (int i = 0; i < VALUES * COMMAND_COUNT; i++) {
        struct command command, decoded;
        AUTO(buf) bytes = { .max = COMMAND_BYTES_MAX };
        struct err err;

        fill_command(&command, (enum command_kind)(1 + i % (COMMAND_COUNT - 1)));
        command_encode(&command, &bytes);
        drop_structs(&command);
        CU_ASSERT_FATAL(!bytes.failed);
        memset(&decoded, 0x55, sizeof decoded);
        CU_ASSERT_FATAL(command_decode(bytes.bytes, bytes.length, &decoded, &err) == 0);
        CU_ASSERT(memcmp(&decoded, &command, sizeof decoded) == 0);
        CU_ASSERT(accepted(redo_command, bytes.bytes, bytes.length));
    }
}

static void clusters_come_back(void)
{
    static struct cluster cluster, decoded;

    rand_seed(&chance, 2);
    for (int i = 0; i < VALUES; i++) {
        AUTO(buf) bytes = { .max = SNAPSHOT_BYTES_MAX };
        struct err err;

        fill_cluster(&cluster, MEMBERS_MAX);
        cluster_encode(&cluster, &bytes);
        CU_ASSERT_FATAL(!bytes.failed);
        memset(&decoded, 0x55, sizeof decoded);
        CU_ASSERT_FATAL(cluster_decode(bytes.bytes, bytes.length, &decoded, &err) == 0);
        CU_ASSERT(memcmp(&decoded, &cluster, sizeof decoded) == 0);
        CU_ASSERT(accepted(redo_cluster, bytes.bytes, bytes.length));
    }
}

static void messages_come_back(void)
{
    rand_seed(&chance, 3);
    for (int i = 0; i < 4 * VALUES; i++) {
        struct message message, decoded;
        AUTO(buf) bytes = { .max = MESSAGE_BYTES_MAX };
        struct err err;

        fill_message(&message, (enum message_kind)(1 + i % MESSAGE_FORWARD));
        message_encode(&message, &bytes);
        CU_ASSERT_FATAL(!bytes.failed);
        memset(&decoded, 0x55, sizeof decoded);
        CU_ASSERT_FATAL(message_decode(bytes.bytes, bytes.length, &decoded, &err) == 0);
        CU_ASSERT(memcmp(&decoded, &message, sizeof decoded) == 0);
        CU_ASSERT(accepted(redo_message, bytes.bytes, bytes.length));
    }
}

static void damaged_commands_are_refused(void)
{
    rand_seed(&chance, 4);
    for (int kind = 1; kind < COMMAND_COUNT; kind++) {
        struct command command;
        AUTO(buf) bytes = { .max = COMMAND_BYTES_MAX };

        fill_command(&command, (enum command_kind)kind);
        command_encode(&command, &bytes);
        refuse_truncated(redo_command, &bytes);
        refuse_longer(redo_command, &bytes);
        change_bytes(redo_command, &bytes);
    }
    survive_chance(redo_command);
}

static void damaged_snapshots_are_refused(void)
{
    static struct cluster cluster;

    rand_seed(&chance, 5);
    for (int i = 0; i < 4; i++) {
        AUTO(buf) bytes = { .max = SNAPSHOT_BYTES_MAX };

        fill_cluster(&cluster, 2);
        cluster_encode(&cluster, &bytes);
        refuse_truncated(redo_cluster, &bytes);
        refuse_longer(redo_cluster, &bytes);
        change_bytes(redo_cluster, &bytes);
    }
    survive_chance(redo_cluster);
}

static void damaged_messages_are_refused(void)
{
    rand_seed(&chance, 6);
    for (int kind = 1; kind <= MESSAGE_FORWARD; kind++) {
        struct message message;
        AUTO(buf) bytes = { .max = MESSAGE_BYTES_MAX };

        fill_message(&message, (enum message_kind)kind);
        message_encode(&message, &bytes);
        refuse_truncated(redo_message, &bytes);
        refuse_longer(redo_message, &bytes);
        change_bytes(redo_message, &bytes);
    }
    survive_chance(redo_message);
}

#define REFUSE_COUNT(redo, encode, value, count, greatest)                                                             \
    do {                                                                                                               \
        AUTO(buf) fewer = { .max = SNAPSHOT_BYTES_MAX };                                                               \
        AUTO(buf) full = { .max = SNAPSHOT_BYTES_MAX };                                                                \
        (count) = (greatest)-1;                                                                                        \
        encode(value, &fewer);                                                                                         \
        (count) = (greatest);                                                                                          \
        encode(value, &full);                                                                                          \
        refuse_count(redo, &fewer, &full);                                                                             \
    } while (0)

static void counts_too_great_are_refused(void)
{
    static struct cluster cluster;
    struct command command = { .kind = COMMAND_ADD };
    struct message message = { .kind = MESSAGE_REPORT };

    REFUSE_COUNT(redo_cluster, cluster_encode, &cluster, cluster.member_count, MEMBERS_MAX);
    REFUSE_COUNT(redo_cluster, cluster_encode, &cluster, cluster.demand_count, DEMANDS_MAX);
    REFUSE_COUNT(redo_cluster, cluster_encode, &cluster, cluster.given_count, GIVEN_MAX);
    REFUSE_COUNT(redo_command, command_encode, &command, command.demand.count, DIRECTORIES_MAX);
    REFUSE_COUNT(redo_message, message_encode, &message, message.report.history.count, HISTORY_MAX);
    REFUSE_COUNT(redo_message, message_encode, &message, message.report.walsender_count, MEMBERS_MAX);
}

/* Storage of the caller must stay as it was: a daemon goes on with its state when a snapshot is damaged. */
static void refusal_leaves_the_value_alone(void)
{
    struct command command, before;
    AUTO(buf) bytes = { .max = COMMAND_BYTES_MAX };
    struct err err;

    rand_seed(&chance, 7);
    fill_command(&command, COMMAND_JOIN);
    command_encode(&command, &bytes);
    memset(&before, 0x33, sizeof before);
    memcpy(&command, &before, sizeof command);
    CU_ASSERT(command_decode(bytes.bytes, bytes.length - 1, &command, &err) == -(int)ERR_CORRUPT);
    CU_ASSERT(memcmp(&command, &before, sizeof command) == 0);
}

static void other_versions_and_kinds_are_refused(void)
{
    struct command command = { .kind = COMMAND_RESERVE, .timeline = { 7 } };
    AUTO(buf) bytes = { .max = COMMAND_BYTES_MAX };

    command_encode(&command, &bytes);
    CU_ASSERT(accepted(redo_command, bytes.bytes, bytes.length));
    for (int version = 0; version < 256; version++) {
        bytes.bytes[0] = (uint8_t)version;
        CU_ASSERT(accepted(redo_command, bytes.bytes, bytes.length) == (version == 1));
    }
    bytes.bytes[0] = 1;
    uint8_t none[128] = { 1, 0 }, unknown[128] = { 1, COMMAND_COUNT };
    for (size_t length = 1; length <= sizeof none; length++) {
        CU_ASSERT(!accepted(redo_command, none, length));
        CU_ASSERT(!accepted(redo_command, unknown, length));
        CU_ASSERT(!accepted(redo_message, none, length));
    }
}

/* The limits of codec.h hold for the fullest values, or a decision could be lost for being too long. */
static void fullest_values_fit(void)
{
    static struct cluster cluster;
    struct command command;
    struct message message;
    AUTO(buf) bytes = { .max = SNAPSHOT_BYTES_MAX };

    rand_seed(&chance, 8);
    fill_command(&command, COMMAND_FOUND);
    memset(command.member.conninfo, 'c', CONNINFO_SIZE - 1);
    memset(command.member.config_file, 'p', PATH_SIZE - 1);
    command_encode(&command, &bytes);
    CU_ASSERT(bytes.length <= COMMAND_BYTES_MAX);
    bytes.length = 0;
    fill_message(&message, MESSAGE_FORWARD);
    message.forward.length = sizeof message.forward.bytes;
    message_encode(&message, &bytes);
    CU_ASSERT(bytes.length <= MESSAGE_BYTES_MAX);
    CU_ASSERT(sizeof(struct report) <= MESSAGE_BYTES_MAX && sizeof message.forward.bytes >= COMMAND_BYTES_MAX);
    bytes.length = 0;
    fill_cluster(&cluster, MEMBERS_MAX);
    cluster_encode(&cluster, &bytes);
    CU_ASSERT(!bytes.failed && sizeof cluster + 2 * RECORDS_MAX + 16 * MEMBERS_MAX <= SNAPSHOT_BYTES_MAX);
}

/* A size that has changed says that a struct has a new field: name it in src/core/codec_*.c and in the fillers above.
 */
static void no_field_is_new(void)
{
    CU_ASSERT_EQUAL(sizeof(struct policy), 48);
    CU_ASSERT_EQUAL(sizeof(struct member), 2424);
    CU_ASSERT_EQUAL(offsetof(struct member, name), 28); /* behind the flags: one more may hide in the padding */
    CU_ASSERT_EQUAL(sizeof(struct demand), 280);
    CU_ASSERT_EQUAL(sizeof(struct primary), 56);
    CU_ASSERT_EQUAL(sizeof(struct operation), 312);
    CU_ASSERT_EQUAL(sizeof(struct record), 336);
    CU_ASSERT_EQUAL(sizeof(struct cluster), 51408);
    CU_ASSERT_EQUAL(sizeof(struct command), 3120);
    CU_ASSERT_EQUAL(sizeof(struct fence_report), 48);
    CU_ASSERT_EQUAL(sizeof(struct report), 1576);
    CU_ASSERT_EQUAL(sizeof(struct lease_ask), 56);
    CU_ASSERT_EQUAL(sizeof(struct lease_reply), 40);
}

static const struct unit_test tests[] = {
    { "no struct has a field that codec and this test do not know", no_field_is_new },
    { "commands of all kinds come back as they were", commands_come_back },
    { "snapshots come back as they were", clusters_come_back },
    { "messages come back as they were", messages_come_back },
    { "damaged commands are refused", damaged_commands_are_refused },
    { "damaged snapshots are refused", damaged_snapshots_are_refused },
    { "damaged messages are refused", damaged_messages_are_refused },
    { "counts above their maximum are refused", counts_too_great_are_refused },
    { "a refusal leaves the caller's value alone", refusal_leaves_the_value_alone },
    { "other versions and unknown kinds are refused", other_versions_and_kinds_are_refused },
    { "the fullest values fit", fullest_values_fit },
};
const struct unit_suite suite_codec = UNIT_SUITE("codec", tests);
