/* buf.c - bounded writing and defensive reading of bytes. See buf.h. */
#include "base/buf.h"

#include <stdlib.h>

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){ .max = max };
}

void buf_release(struct buf *buf)
{
    free(buf->bytes);
    buf_init(buf, buf->max);
}

static bool reserve(struct buf *buf, size_t more)
{
    if (buf->failed || more > buf->max - buf->length) {
        buf->failed = true;
        return false;
    }
    size_t want = buf->length + more;
    if (want <= buf->capacity)
        return true;
    size_t capacity = buf->capacity ? buf->capacity : 256;
    while (capacity < want)
        capacity *= 2;
    if (capacity > buf->max)
        capacity = buf->max;
    uint8_t *bytes = realloc(buf->bytes, capacity);
    if (!bytes) {
        buf->failed = true;
        return false;
    }
    buf->bytes = bytes;
    buf->capacity = capacity;
    return true;
}

void buf_put(struct buf *buf, const void *bytes, size_t length)
{
    if (length == 0 || !reserve(buf, length))
        return;
    memcpy(buf->bytes + buf->length, bytes, length);
    buf->length += length;
}

static void put_number(struct buf *buf, uint64_t value, size_t width)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    buf_put(buf, bytes, width);
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
    put_number(buf, value, 1);
}

void buf_put_u16(struct buf *buf, uint16_t value)
{
    put_number(buf, value, 2);
}

void buf_put_u32(struct buf *buf, uint32_t value)
{
    put_number(buf, value, 4);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
    put_number(buf, value, 8);
}

void buf_put_text(struct buf *buf, const char *text)
{
    size_t length = strlen(text);

    if (length > UINT16_MAX) {
        buf->failed = true;
        return;
    }
    buf_put_u16(buf, (uint16_t)length);
    buf_put(buf, text, length);
}

struct cursor cursor_of(const void *bytes, size_t length)
{
    return (struct cursor){ .bytes = bytes, .length = length };
}

void cursor_get(struct cursor *cursor, void *to, size_t length)
{
    if (cursor->failed || length > cursor->length - cursor->at) {
        cursor->failed = true;
        memset(to, 0, length);
        return;
    }
    memcpy(to, cursor->bytes + cursor->at, length);
    cursor->at += length;
}

static uint64_t get_number(struct cursor *cursor, size_t width)
{
    uint8_t bytes[8];
    uint64_t value = 0;

    cursor_get(cursor, bytes, width);
    for (size_t i = 0; i < width; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t cursor_u8(struct cursor *cursor)
{
    return (uint8_t)get_number(cursor, 1);
}

uint16_t cursor_u16(struct cursor *cursor)
{
    return (uint16_t)get_number(cursor, 2);
}

uint32_t cursor_u32(struct cursor *cursor)
{
    return (uint32_t)get_number(cursor, 4);
}

uint64_t cursor_u64(struct cursor *cursor)
{
    return get_number(cursor, 8);
}

void cursor_text(struct cursor *cursor, char *text, size_t size)
{
    size_t length = cursor_u16(cursor);

    text[0] = '\0';
    if (cursor->failed || length >= size || length > cursor->length - cursor->at) {
        cursor->failed = true;
        return;
    }
    cursor_get(cursor, text, length);
    text[length] = '\0';
    if (memchr(text, '\0', length))
        cursor->failed = true;
}

bool cursor_done(const struct cursor *cursor)
{
    return !cursor->failed && cursor->at == cursor->length;
}
