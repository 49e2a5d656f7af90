/*
 * hello.h - the first frame of a dialler and the acceptor's answer, as bytes.
 *
 * Everything after TLS is in frames: a u32 length, little endian, and so many bytes. The hello is versioned so that
 * later nodes can refuse, or serve, earlier ones by name.
 */
#ifndef RAFTMGR_NET_HELLO_H
#define RAFTMGR_NET_HELLO_H

#include "base/buf.h"
#include "net/net.h"

#define HELLO_VERSION 1
#define HELLO_BYTES_MAX 1024 /* of either frame, without its length */

/* Appends a hello that means to reach the member wanted_id (0: whoever answers). */
void hello_encode(struct buf *buf, const struct net_hello *hello, uint64_t wanted_id);
/* ERR_CONFIG: not ours, another version, or not well-formed. */
int hello_decode(struct net_hello *ret_hello, uint64_t *ret_wanted_id, const uint8_t *bytes, size_t length,
                 struct err *err);

/* Appends an answer: welcome, or refused for reason. */
void hello_answer_encode(struct buf *buf, bool welcome, const char *reason);
/* 0: welcome. ERR_REFUSED with the acceptor's reason. ERR_CONFIG: not well-formed. */
int hello_answer_decode(const uint8_t *bytes, size_t length, struct err *err);

#endif
