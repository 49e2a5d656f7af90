/*
 * buf.h - a growing byte buffer with a maximum, and a cursor that reads one defensively.
 *
 * All integers are little endian. A writer that meets the maximum, and a reader that runs past the end, fail for good
 * ("sticky"): encode and decode everything, then ask once.
 */
#ifndef RAFTMGR_BUF_H
#define RAFTMGR_BUF_H

#include "base/base.h"

struct buf {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    size_t max;  /* never grows beyond; set by buf_init */
    bool failed; /* something did not fit, or memory ran out */
};

/* An empty buffer that may hold up to max bytes. Allocates nothing yet. */
void buf_init(struct buf *buf, size_t max);
/* Frees the bytes and leaves an empty buffer with the same maximum. */
void buf_release(struct buf *buf);
void buf_put(struct buf *buf, const void *bytes, size_t length);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
/* A u16 length and the bytes without the terminator. */
void buf_put_text(struct buf *buf, const char *text);

struct cursor {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    bool failed; /* read past the end, or a text did not fit */
};

struct cursor cursor_of(const void *bytes, size_t length);
/* Copies length bytes out; zero-fills *to when there are not so many left. */
void cursor_get(struct cursor *cursor, void *to, size_t length);
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
/* Reads what buf_put_text wrote, terminated; fails when it does not fit or contains a zero byte. */
void cursor_text(struct cursor *cursor, char *text, size_t size);
/* True when everything was read and nothing failed. */
bool cursor_done(const struct cursor *cursor);

#endif
