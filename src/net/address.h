/* address.h - "host:port", "[v6]:port" and "name:port" taken apart. */
#ifndef RAFTMGR_NET_ADDRESS_H
#define RAFTMGR_NET_ADDRESS_H

#include "base/err.h"

#include <sys/socket.h>

#define ADDRESS_HOST_MAX 120
#define ADDRESS_PORT_MAX 6

struct address {
    char host[ADDRESS_HOST_MAX]; /* without brackets */
    char port[ADDRESS_PORT_MAX]; /* decimal, 0 to 65535 */
};

/* Takes text apart; says nothing about whether the host exists. ERR_CONFIG. */
int address_parse(struct address *ret_address, const char *text, struct err *err);

/* True when the host is a literal IPv4 or IPv6 address; then *ret_socket and *ret_length are filled. */
bool address_literal(const struct address *address, struct sockaddr_storage *ret_socket, socklen_t *ret_length);

/* Writes host:port of a socket address. */
void address_text(const struct sockaddr *socket, socklen_t length, char *text, size_t size);

#endif
