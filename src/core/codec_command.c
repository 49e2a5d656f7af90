/* codec_command.c - commands of the log as bytes: what every command carries, then the fields of its kind. */
#include "core/codec_walk.h"

/* A bit for each field that only some kinds carry. */
enum {
    HAS_NODE = 1 << 0,
    HAS_TOKEN = 1 << 1,
    HAS_EXPECT = 1 << 2,
    HAS_MEMBER = 1 << 3,
    HAS_FLAG = 1 << 4,
    HAS_CLUSTER = 1 << 5,
    HAS_SYSTEM = 1 << 6,
    HAS_POLICY = 1 << 7,
    HAS_NUMBER = 1 << 8,
    HAS_TIMELINE = 1 << 9,
    HAS_LSN = 1 << 10,
    HAS_DIRECTORY = 1 << 11,
    HAS_STOPPED = 1 << 12,
    HAS_DEMAND = 1 << 13,
    HAS_TEXT = 1 << 14,
};

static const unsigned fields_of[COMMAND_COUNT] = {
    [COMMAND_FOUND] = HAS_MEMBER | HAS_CLUSTER | HAS_SYSTEM | HAS_POLICY | HAS_TIMELINE,
    [COMMAND_HELLO] = HAS_MEMBER,
    [COMMAND_JOIN] = HAS_EXPECT | HAS_MEMBER | HAS_FLAG | HAS_SYSTEM,
    [COMMAND_REGISTER] = HAS_NODE,
    [COMMAND_VOTER] = HAS_NODE | HAS_EXPECT | HAS_FLAG,
    [COMMAND_DIRECTORY] = HAS_NODE | HAS_DIRECTORY,
    [COMMAND_POLICY] = HAS_EXPECT | HAS_POLICY,
    [COMMAND_LEASE_MAX] = HAS_NUMBER,
    [COMMAND_FENCE] = HAS_TOKEN | HAS_TEXT,
    [COMMAND_ELECT] =
        HAS_NODE | HAS_TOKEN | HAS_EXPECT | HAS_TIMELINE | HAS_LSN | HAS_DIRECTORY | HAS_STOPPED | HAS_DEMAND,
    [COMMAND_PROMOTED] = HAS_TOKEN | HAS_TIMELINE | HAS_LSN,
    [COMMAND_RESTART] = HAS_NODE | HAS_TOKEN | HAS_EXPECT | HAS_DIRECTORY | HAS_STOPPED,
    [COMMAND_SWITCHOVER] = HAS_NODE | HAS_TOKEN | HAS_NUMBER,
    [COMMAND_ADD] = HAS_TOKEN | HAS_DEMAND,
    [COMMAND_END] = HAS_EXPECT,
    [COMMAND_RESERVE] = HAS_TIMELINE,
    [COMMAND_PAUSE] = HAS_NUMBER,
};

static void walk_fields(struct walk *walk, struct command *command, unsigned fields)
{
    if (fields & HAS_NODE)
        walk_i32(walk, &command->node_id);
    if (fields & HAS_TOKEN)
        walk_token(walk, &command->token);
    if (fields & HAS_EXPECT)
        walk_u64(walk, &command->expect);
    if (fields & HAS_MEMBER)
        walk_member(walk, &command->member);
    if (fields & HAS_FLAG)
        walk_bool(walk, &command->flag);
    if (fields & HAS_CLUSTER)
        walk_u64(walk, &command->cluster_id);
    if (fields & HAS_SYSTEM)
        walk_u64(walk, &command->system_identifier);
    if (fields & HAS_POLICY)
        walk_policy(walk, &command->policy);
    if (fields & HAS_NUMBER)
        walk_u32(walk, &command->number);
    if (fields & HAS_TIMELINE)
        walk_timeline(walk, &command->timeline);
    if (fields & HAS_LSN)
        walk_lsn(walk, &command->lsn);
    if (fields & HAS_DIRECTORY)
        walk_directory(walk, &command->directory);
    if (fields & HAS_STOPPED)
        walk_u64(walk, &command->stopped_start_no);
    if (fields & HAS_DEMAND)
        walk_demand(walk, &command->demand);
    if (fields & HAS_TEXT)
        walk_text(walk, command->text, sizeof command->text);
}

static void walk_command(struct walk *walk, struct command *command)
{
    WALK_ENUM(walk, &command->kind, COMMAND_COUNT - 1);
    walk_u64(walk, &command->raft_id);
    walk_u64(walk, &command->start_no);
    walk_i64(walk, &command->wall_us);
    walk_fields(walk, command, fields_of[command->kind]);
}

void command_encode(const struct command *command, struct buf *to)
{
    struct walk walk = walk_writer(to);

    assert(command->kind >= COMMAND_FOUND);
    walk_command(&walk, (struct command *)command); /* a writer changes nothing */
}

int command_decode(const uint8_t *bytes, size_t length, struct command *ret_command, struct err *err)
{
    struct walk walk = walk_reader(bytes, length);
    struct command command;

    memset(&command, 0, sizeof command);
    walk_command(&walk, &command);
    if (walk_end(&walk, "command", err) < 0)
        return -(int)ERR_CORRUPT;
    if (command.kind < COMMAND_FOUND)
        return err_set(err, ERR_CORRUPT, "could not decode a command of %zu bytes: it has no kind", length);
    *ret_command = command;
    return 0;
}
