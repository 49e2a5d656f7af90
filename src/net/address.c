/* address.c - taking addresses apart. See address.h. */
#include "net/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

/* Splits at the last colon, outside of brackets; sets *ret_host and *ret_host_length. Returns the port, or NULL. */
static const char *split(const char *text, const char **ret_host, size_t *ret_host_length)
{
    const char *colon = strrchr(text, ':');

    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (!bracket || bracket[1] != ':')
            return NULL;
        *ret_host = text + 1;
        *ret_host_length = (size_t)(bracket - text) - 1;
        return bracket + 2;
    }
    if (!colon || memchr(text, ':', (size_t)(colon - text)))
        return NULL;
    *ret_host = text;
    *ret_host_length = (size_t)(colon - text);
    return colon + 1;
}

int address_parse(struct address *ret_address, const char *text, struct err *err)
{
    const char *host = NULL;
    size_t host_length = 0;
    const char *port = split(text, &host, &host_length);

    if (!port || host_length == 0)
        return err_set(err, ERR_CONFIG, "'%s' is no address: host:port or [IPv6 address]:port is needed", text);
    if (host_length >= ADDRESS_HOST_MAX)
        return err_set(err, ERR_CONFIG, "the host of '%s' is too long", text);
    size_t digits = strspn(port, "0123456789");
    if (digits == 0 || digits >= ADDRESS_PORT_MAX || port[digits] || strtoul(port, NULL, 10) > 65535)
        return err_set(err, ERR_CONFIG, "the port of '%s' is not a number from 0 to 65535", text);
    memcpy(ret_address->host, host, host_length);
    ret_address->host[host_length] = '\0';
    (void)text_copy(ret_address->port, sizeof ret_address->port, port);
    return 0;
}

bool address_literal(const struct address *address, struct sockaddr_storage *ret_socket, socklen_t *ret_length)
{
    const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;

    if (getaddrinfo(address->host, address->port, &hints, &found))
        return false;
    memcpy(ret_socket, found->ai_addr, found->ai_addrlen);
    *ret_length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

void address_text(const struct sockaddr *socket, socklen_t length, char *text, size_t size)
{
    char host[ADDRESS_HOST_MAX];
    char port[ADDRESS_PORT_MAX];

    if (getnameinfo(socket, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        (void)text_copy(text, size, "?");
    else
        (void)snprintf(text, size, socket->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
