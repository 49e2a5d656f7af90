/* hello.c - encoding and decoding of the hello and its answer. See hello.h. */
#include "net/hello.h"

#define HELLO_MAGIC 0x4c4c4548u /* "HELL" as bytes, read little endian: the O is in the answer */
#define ANSWER_MAGIC 0x4f4c4c45u

void hello_encode(struct buf *buf, const struct net_hello *hello, uint64_t wanted_id)
{
    buf_put_u32(buf, HELLO_MAGIC);
    buf_put_u16(buf, HELLO_VERSION);
    buf_put_u8(buf, (uint8_t)hello->kind);
    buf_put_u64(buf, hello->cluster_id);
    buf_put_u32(buf, hello->epoch);
    buf_put_u64(buf, hello->raft_id);
    buf_put_u64(buf, hello->incarnation);
    buf_put_u64(buf, wanted_id);
    buf_put_text(buf, hello->address);
}

int hello_decode(struct net_hello *ret_hello, uint64_t *ret_wanted_id, const uint8_t *bytes, size_t length,
                 struct err *err)
{
    struct cursor cursor = cursor_of(bytes, length);
    struct net_hello hello = { 0 };

    if (cursor_u32(&cursor) != HELLO_MAGIC || cursor.failed)
        return err_set(err, ERR_CONFIG, "this is no hello of raftmgr");
    uint16_t version = cursor_u16(&cursor);
    if (cursor.failed || version != HELLO_VERSION)
        return err_set(err, ERR_CONFIG, "this node speaks version %d of the protocol, not %u", HELLO_VERSION, version);
    uint8_t kind = cursor_u8(&cursor);
    hello.cluster_id = cursor_u64(&cursor);
    hello.epoch = cursor_u32(&cursor);
    hello.raft_id = cursor_u64(&cursor);
    hello.incarnation = cursor_u64(&cursor);
    uint64_t wanted_id = cursor_u64(&cursor);
    cursor_text(&cursor, hello.address, sizeof hello.address);
    if (!cursor_done(&cursor) || kind < NET_RAFT || kind > NET_REQUEST)
        return err_set(err, ERR_CONFIG, "this hello is damaged");
    hello.kind = (enum net_kind)kind;
    *ret_hello = hello;
    *ret_wanted_id = wanted_id;
    return 0;
}

void hello_answer_encode(struct buf *buf, bool welcome, const char *reason)
{
    buf_put_u32(buf, ANSWER_MAGIC);
    buf_put_u16(buf, HELLO_VERSION);
    buf_put_u8(buf, welcome);
    buf_put_text(buf, reason);
}

int hello_answer_decode(const uint8_t *bytes, size_t length, struct err *err)
{
    struct cursor cursor = cursor_of(bytes, length);
    char reason[NET_REASON_MAX];

    uint32_t magic = cursor_u32(&cursor);
    uint16_t version = cursor_u16(&cursor);
    uint8_t welcome = cursor_u8(&cursor);
    cursor_text(&cursor, reason, sizeof reason);
    if (!cursor_done(&cursor) || magic != ANSWER_MAGIC || version == 0 || welcome > 1)
        return err_set(err, ERR_CONFIG, "the answer to our hello is damaged");
    return welcome ? 0 : err_set(err, ERR_REFUSED, "%s", reason);
}
