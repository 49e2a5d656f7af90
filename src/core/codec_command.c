/* codec_command.c - commands of the log as bytes: all numbers always, structs where the kind has them. */
#include "core/codec_walk.h"

static void walk_command(struct walk *walk, struct command *command)
{
    WALK_ENUM(walk, &command->kind, COMMAND_COUNT - 1);
    walk_u64(walk, &command->raft_id);
    walk_u64(walk, &command->start_no);
    walk_i64(walk, &command->wall_us);
    walk_i32(walk, &command->node_id);
    walk_token(walk, &command->token);
    walk_u64(walk, &command->expect);
    walk_bool(walk, &command->flag);
    walk_u64(walk, &command->cluster_id);
    walk_u64(walk, &command->system_identifier);
    walk_u32(walk, &command->number);
    walk_timeline(walk, &command->timeline);
    walk_lsn(walk, &command->lsn);
    walk_directory(walk, &command->directory);
    walk_u64(walk, &command->stopped_start_no);
    walk_text(walk, command->text, sizeof command->text);
    if (command->kind == COMMAND_FOUND || command->kind == COMMAND_HELLO || command->kind == COMMAND_JOIN)
        walk_member(walk, &command->member);
    if (command->kind == COMMAND_FOUND || command->kind == COMMAND_POLICY)
        walk_policy(walk, &command->policy);
    if (command->kind == COMMAND_ELECT || command->kind == COMMAND_ADD)
        walk_demand(walk, &command->demand);
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
