/*
 * codec_walk.h - one description of a struct's bytes for both directions: the inside of codec.h.
 *
 * A walk_x() function names the fields of x once, in the order of their bytes. The same function writes them into a
 * buffer and reads them from a cursor, so that decoding what was encoded gives the same value back, and a new field is
 * one line. Reading starts from zeroed storage and fails for good at the first wrong byte; writing a value that could
 * not be read back is a programmer's error.
 */
#ifndef RAFTMGR_CODEC_WALK_H
#define RAFTMGR_CODEC_WALK_H

#include "core/codec.h"

struct walk {
    struct buf *to;     /* written to; NULL when reading */
    struct cursor from; /* read from */
    const char *why;    /* reading: what was wrong first, for people */
};

/* Begins with the version byte: writes it, or reads it and refuses any other. */
struct walk walk_writer(struct buf *to);
struct walk walk_reader(const uint8_t *bytes, size_t length);
/* After reading: 0 where everything was read and nothing failed, or -ERR_CORRUPT; `what` is "command" and the like. */
int walk_end(const struct walk *walk, const char *what, struct err *err);

void walk_bool(struct walk *walk, bool *value);
void walk_u8(struct walk *walk, uint8_t *value);
void walk_u32(struct walk *walk, uint32_t *value);
void walk_u64(struct walk *walk, uint64_t *value);
void walk_i32(struct walk *walk, int32_t *value);
void walk_i64(struct walk *walk, int64_t *value);
/* One byte from 0 to max, which is below 256: counts of array elements, enums kept as numbers. */
void walk_small(struct walk *walk, uint32_t *value, uint32_t max);
void walk_text(struct walk *walk, char *text, size_t size);
/* A length up to max, and as many bytes. */
void walk_bytes(struct walk *walk, uint32_t *length, uint8_t *bytes, uint32_t max);

/* An enum whose greatest value is `last`. */
#define WALK_ENUM(walk, field, last)                                                                                   \
    do {                                                                                                               \
        uint32_t number_ = (uint32_t) * (field);                                                                       \
        walk_small(walk, &number_, (uint32_t)(last));                                                                  \
        *(field) = (__typeof__(*(field)))number_;                                                                      \
    } while (0)

/* Nouns that more than one kind of encoding holds. */
void walk_token(struct walk *walk, struct token *token);
void walk_lsn(struct walk *walk, struct lsn *lsn);
void walk_timeline(struct walk *walk, struct timeline *timeline);
void walk_directory(struct walk *walk, struct directory_id *directory);
void walk_policy(struct walk *walk, struct policy *policy);
void walk_member(struct walk *walk, struct member *member);
void walk_demand(struct walk *walk, struct demand *demand);

#endif
