/*
 * codec.h - commands, snapshots and messages as bytes: versioned, bounded, decoded defensively.
 *
 * Every encoding begins with a version byte. A decoder accepts exactly what the encoder of that version writes, and
 * refuses everything else (unknown kinds, enum values out of range, counts above their maximum, trailing bytes).
 */
#ifndef RAFTMGR_CODEC_H
#define RAFTMGR_CODEC_H

#include "base/buf.h"
#include "base/err.h"
#include "core/cluster.h"
#include "core/report.h"

#define COMMAND_BYTES_MAX 8192
#define SNAPSHOT_BYTES_MAX (256 * 1024)
#define MESSAGE_BYTES_MAX 16384

/* Appends the command's bytes to *to (initialised by the caller); of member, policy and demand only what its
 * kind has. */
void command_encode(const struct command *command, struct buf *to);
/* Returns 0, or -ERR_CORRUPT with *ret_command untouched. */
int command_decode(const uint8_t *bytes, size_t length, struct command *ret_command, struct err *err);
/* The whole state, and back. */
void cluster_encode(const struct cluster *cluster, struct buf *to);
int cluster_decode(const uint8_t *bytes, size_t length, struct cluster *ret_cluster, struct err *err);
void message_encode(const struct message *message, struct buf *to);
int message_decode(const uint8_t *bytes, size_t length, struct message *ret_message, struct err *err);

#endif
