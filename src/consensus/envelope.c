/* envelope.c - entries and snapshots wrapped and unwrapped. See envelope.h. */
#include "consensus/envelope.h"

#include <lz4frame.h>
#include <stdlib.h>

#define ENTRY_MAGIC 0x31454d52u    /* "RME1" */
#define SNAPSHOT_MAGIC 0x31534d52u /* "RMS1" */
#define VERSION 1
#define ALIGN 8 /* of libraft's entries */

static void put_header(uint8_t header[ENVELOPE_HEADER_BYTES], uint32_t magic, size_t length)
{
    uint32_t fields[3] = { magic, VERSION, (uint32_t)length };

    for (size_t i = 0; i < ENVELOPE_HEADER_BYTES; i++)
        header[i] = (uint8_t)(fields[i / 4] >> (8 * (i % 4)));
}

/* Reads a header of the kind that magic says. */
static int get_header(struct cursor *cursor, uint32_t magic, const char *what, size_t *ret_length, struct err *err)
{
    if (cursor_u32(cursor) != magic || cursor->failed)
        return err_set(err, ERR_CORRUPT, "%s is not one of raftmgr, or damaged", what);
    uint32_t version = cursor_u32(cursor);
    if (version > VERSION)
        return err_set(err, ERR_STALE, "%s has version %u, written by a later raftmgr; upgrade this node", what,
                       version);
    *ret_length = cursor_u32(cursor);
    if (cursor->failed)
        return err_set(err, ERR_CORRUPT, "%s is cut off", what);
    return 0;
}

size_t entry_size(size_t length)
{
    return (ENVELOPE_HEADER_BYTES + length + ALIGN - 1) / ALIGN * ALIGN;
}

void entry_encode(uint8_t *to, const uint8_t *bytes, size_t length)
{
    memset(to, 0, entry_size(length));
    put_header(to, ENTRY_MAGIC, length);
    if (length > 0)
        memcpy(to + ENVELOPE_HEADER_BYTES, bytes, length);
}

int entry_decode(const uint8_t *entry, size_t size, const uint8_t **ret_bytes, size_t *ret_length, struct err *err)
{
    struct cursor cursor = cursor_of(entry, size);
    size_t length = 0;
    int failed = get_header(&cursor, ENTRY_MAGIC, "a log entry", &length, err);

    if (failed)
        return failed;
    if (length > size || entry_size(length) != size)
        return err_set(err, ERR_CORRUPT, "a log entry of %zu bytes claims to hold %zu", size, length);
    *ret_bytes = entry + ENVELOPE_HEADER_BYTES;
    *ret_length = length;
    return 0;
}

int snapshot_encode(struct buf *ret_snapshot, const uint8_t *state, size_t length, struct err *err)
{
    const LZ4F_preferences_t preferences = {
        .frameInfo = { .contentChecksumFlag = LZ4F_contentChecksumEnabled, .contentSize = length },
    };
    size_t bound = LZ4F_compressFrameBound(length, &preferences);
    uint8_t header[ENVELOPE_HEADER_BYTES];
    uint8_t *frame = malloc(bound);

    if (!frame)
        return err_set(err, ERR_MEMORY, "out of memory for a snapshot of %zu bytes", length);
    size_t written = LZ4F_compressFrame(frame, bound, state, length, &preferences);
    if (LZ4F_isError(written)) {
        free(frame);
        return err_set(err, ERR_INTERNAL, "could not compress a snapshot: %s", LZ4F_getErrorName(written));
    }
    put_header(header, SNAPSHOT_MAGIC, length);
    buf_put(ret_snapshot, header, sizeof header);
    buf_put(ret_snapshot, frame, written);
    free(frame);
    return ret_snapshot->failed ? err_set(err, ERR_TOO_BIG, "a snapshot of %zu bytes is too big", length) : 0;
}

/* Decompresses one whole frame of exactly length bytes into state. */
static int decompress(uint8_t *state, size_t length, const uint8_t *frame, size_t frame_length, struct err *err)
{
    LZ4F_dctx *context = NULL;
    size_t hint = LZ4F_createDecompressionContext(&context, LZ4F_VERSION);
    size_t done = 0, taken = 0;

    if (LZ4F_isError(hint))
        return err_set(err, ERR_MEMORY, "out of memory for decompression");
    do {
        size_t to_length = length - done;
        size_t from_length = frame_length - taken;
        hint = LZ4F_decompress(context, state + done, &to_length, frame + taken, &from_length, NULL);
        done += to_length;
        taken += from_length;
        if (to_length == 0 && from_length == 0)
            break; /* no progress: the frame holds more than it may, or is cut off */
    } while (!LZ4F_isError(hint) && hint != 0);
    (void)LZ4F_freeDecompressionContext(context);
    if (LZ4F_isError(hint))
        return err_set(err, ERR_CORRUPT, "a snapshot is damaged: %s", LZ4F_getErrorName(hint));
    if (hint != 0 || done != length || taken != frame_length)
        return err_set(err, ERR_CORRUPT, "a snapshot is damaged: its length is wrong");
    return 0;
}

int snapshot_decode(struct buf *ret_state, const uint8_t *snapshot, size_t length, struct err *err)
{
    struct cursor cursor = cursor_of(snapshot, length);
    size_t state_length = 0;
    int failed = get_header(&cursor, SNAPSHOT_MAGIC, "a snapshot", &state_length, err);

    if (failed)
        return failed;
    if (state_length > ret_state->max - ret_state->length)
        return err_set(err, ERR_TOO_BIG, "a snapshot claims to hold %zu bytes", state_length);
    uint8_t *state = malloc(state_length + 1);
    if (!state)
        return err_set(err, ERR_MEMORY, "out of memory for a snapshot of %zu bytes", state_length);
    failed = decompress(state, state_length, snapshot + cursor.at, length - cursor.at, err);
    if (!failed)
        buf_put(ret_state, state, state_length);
    free(state);
    return failed;
}
