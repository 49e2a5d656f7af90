/*
 * envelope.h - what surrounds our bytes in the log and in a snapshot, so that what is not ours, damaged or from a later
 * version is told from what is.
 *
 * A log entry: magic, version, length, bytes, zeroes up to a multiple of 8 (libraft takes no other length). A snapshot:
 * magic, version, length of the state, and the state as one LZ4 frame with a checksum of its content.
 */
#ifndef RAFTMGR_CONSENSUS_ENVELOPE_H
#define RAFTMGR_CONSENSUS_ENVELOPE_H

#include "base/buf.h"
#include "base/err.h"

#define ENVELOPE_HEADER_BYTES 12

/* The size of an entry that carries length bytes. */
size_t entry_size(size_t length);
/* Writes an entry of entry_size(length) bytes to to. */
void entry_encode(uint8_t *to, const uint8_t *bytes, size_t length);
/* Sets *ret_bytes, inside of entry, and *ret_length. ERR_CORRUPT; ERR_STALE: written by a later version. */
int entry_decode(const uint8_t *entry, size_t size, const uint8_t **ret_bytes, size_t *ret_length, struct err *err);

/* Appends a snapshot of state to *ret_snapshot. ERR_MEMORY, ERR_TOO_BIG. */
int snapshot_encode(struct buf *ret_snapshot, const uint8_t *state, size_t length, struct err *err);
/* Appends the state to *ret_state, whose maximum bounds it. ERR_CORRUPT, ERR_STALE, ERR_TOO_BIG, ERR_MEMORY. */
int snapshot_decode(struct buf *ret_state, const uint8_t *snapshot, size_t length, struct err *err);

#endif
