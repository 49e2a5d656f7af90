/*
 * tls.h - the two TLS 1.3 contexts of a node: one that dials, one that answers, both sure of the other side.
 *
 * By the cluster's secret: an external pre-shared key with an ephemeral key exchange (RFC 8446, section 2.2,
 * psk_dhe_ke), so that a secret that leaks later opens no recorded traffic. By certificates: each side's chain must end
 * in ca_file; names in them do not count, as any holder of such a certificate is a member. Never both, never neither.
 */
#ifndef RAFTMGR_NET_TLS_H
#define RAFTMGR_NET_TLS_H

#include "net/net.h"

#include <openssl/ssl.h>

#define TLS_KEY_BYTES 48 /* as long as the hash of the one cipher that we use */

struct tls {
    SSL_CTX *dialler;
    SSL_CTX *acceptor;
    bool by_secret;
    uint8_t key[TLS_KEY_BYTES]; /* derived from the secret; zeroes in certificate mode */
};

/* Makes both contexts from the settings; tls must not move afterwards. ERR_CONFIG. */
int tls_init(struct tls *tls, const struct net_config *config, struct err *err);
/* Accepts zeroed storage. */
void tls_release(struct tls *tls);

/* A session on a connected, non-blocking socket. NULL when memory ran out. */
SSL *tls_session(struct tls *tls, int fd, bool dials);

/* True when a finished handshake proved what tls demands: the secret was used, or the chain is good. */
bool tls_proven(const struct tls *tls, SSL *ssl);

/* Says why the last call on ssl failed, in *err, as ERR_REFUSED when the other side did not pass or did not let us
 * pass, as ERR_SYSTEM when the connection broke. Empties OpenSSL's queue of errors. */
int tls_failure(const struct tls *tls, SSL *ssl, int result, struct err *err);

#endif
