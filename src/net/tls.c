/* tls.c - TLS contexts that know the other side, or fail. See tls.h. */
#include "net/tls.h"

#include "base/secret.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>

#define CIPHER "TLS_AES_256_GCM_SHA384"
#define GROUPS "X25519:P-256" /* the dear ones (ffdhe8192: 0.15 s a greeting) would let strangers hold the loop up */
#define IDENTITY "raftmgr"    /* the same for all: which secret it is shows in the binder alone */

static const uint8_t cipher_id[2] = { 0x13, 0x02 }; /* RFC 8446, B.4 */

/* Where a context finds its struct tls. */
static int ctx_slot(void)
{
    static int slot = -1;

    if (slot < 0)
        slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return slot;
}

static struct tls *tls_of(SSL *ssl)
{
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_slot());
}

/* A session that stands for the shared key. NULL when memory ran out. */
static SSL_SESSION *session_of_key(SSL *ssl)
{
    const struct tls *tls = tls_of(ssl);
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, cipher_id);
    SSL_SESSION *session = SSL_SESSION_new();

    if (session && cipher && SSL_SESSION_set1_master_key(session, tls->key, sizeof tls->key) &&
        SSL_SESSION_set_cipher(session, cipher) && SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

static int offer_key(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_identity, size_t *ret_length,
                     SSL_SESSION **ret_session)
{
    *ret_session = NULL;
    *ret_identity = (const unsigned char *)IDENTITY;
    *ret_length = strlen(IDENTITY);
    /* After a retry request the digest is settled; ours goes with SHA-384 only. */
    if (digest && EVP_MD_get_size(digest) != TLS_KEY_BYTES)
        return 1;
    *ret_session = session_of_key(ssl);
    return *ret_session ? 1 : 0;
}

static int find_key(SSL *ssl, const unsigned char *identity, size_t length, SSL_SESSION **ret_session)
{
    *ret_session = NULL;
    if (length != strlen(IDENTITY) || memcmp(identity, IDENTITY, length) != 0)
        return 1;
    *ret_session = session_of_key(ssl);
    return *ret_session ? 1 : 0;
}

/* HKDF (RFC 5869): the file may hold a long passphrase; what TLS gets is evenly random and of this use alone. */
static bool derive_key(const char *secret, uint8_t ret_key[TLS_KEY_BYTES])
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA384";
    char salt[] = "raftmgr transport";
    char info[] = "tls 1.3 external psk, version 1";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, strlen(secret)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, strlen(salt)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    bool derived = ctx && EVP_KDF_derive(ctx, ret_key, TLS_KEY_BYTES, params) > 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return derived;
}

/* The text of OpenSSL's first error, whose queue is emptied. */
static const char *library_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    return reason ? reason : "no reason given";
}

/* What both contexts and both modes have in common. */
static SSL_CTX *common_ctx(struct tls *tls, const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx)
        return NULL;
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1); /* one read(2) a record instead of two */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
        SSL_CTX_set_num_tickets(ctx, 0) && SSL_CTX_set_ciphersuites(ctx, CIPHER) &&
        SSL_CTX_set1_groups_list(ctx, GROUPS) && SSL_CTX_set_ex_data(ctx, ctx_slot(), tls))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static int use_secret(struct tls *tls, const struct net_config *config, struct err *err)
{
    char secret[SECRET_TEXT_MAX];
    int failed = secret_read(config->secret_file, secret, err);

    if (failed)
        return failed;
    bool derived = derive_key(secret, tls->key);
    secret_wipe(secret, sizeof secret);
    if (!derived)
        return err_set(err, ERR_CONFIG, "could not derive a key from the secret: %s", library_reason());
    /* A server that verifies takes no session, not even one that stands for a key, without a context. */
    if (!SSL_CTX_set_session_id_context(tls->acceptor, (const unsigned char *)IDENTITY, strlen(IDENTITY)))
        return err_set(err, ERR_CONFIG, "could not set TLS up: %s", library_reason());
    tls->by_secret = true;
    SSL_CTX_set_psk_use_session_callback(tls->dialler, offer_key);
    SSL_CTX_set_psk_find_session_callback(tls->acceptor, find_key);
    return 0;
}

/* A key that is locked by a password is refused: nobody sits at the daemon's terminal. */
static int no_password(char *text, int size, int writing, void *ctx)
{
    (void)writing;
    (void)ctx;
    if (size > 0)
        text[0] = '\0';
    return 0;
}

static int use_certificates(SSL_CTX *ctx, const struct net_config *config, struct err *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, config->cert_file) != 1)
        return err_set(err, ERR_CONFIG, "could not use certificate '%s': %s", config->cert_file, library_reason());
    int failed = secret_check_key(config->key_file, err);
    if (failed)
        return failed;
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    if (SSL_CTX_use_PrivateKey_file(ctx, config->key_file, SSL_FILETYPE_PEM) != 1)
        return err_set(err, ERR_CONFIG, "could not use private key '%s' with certificate '%s': %s", config->key_file,
                       config->cert_file, library_reason());
    if (SSL_CTX_load_verify_locations(ctx, config->ca_file, NULL) != 1)
        return err_set(err, ERR_CONFIG, "could not use certificate authority '%s': %s", config->ca_file,
                       library_reason());
    return 0;
}

int tls_init(struct tls *tls, const struct net_config *config, struct err *err)
{
    bool any_file = config->cert_file || config->key_file || config->ca_file;
    bool all_files = config->cert_file && config->key_file && config->ca_file;
    int failed = 0;

    *tls = (struct tls){ 0 };
    if (config->secret_file && any_file)
        return err_set(err, ERR_CONFIG, "a secret and certificates cannot be used together; choose one");
    if (!config->secret_file && !all_files)
        return err_set(err, ERR_CONFIG, "either a secret, or a certificate with its key and authority, is needed");
    tls->dialler = common_ctx(tls, TLS_client_method());
    tls->acceptor = common_ctx(tls, TLS_server_method());
    if (!tls->dialler || !tls->acceptor)
        failed = err_set(err, ERR_CONFIG, "could not set TLS up: %s", library_reason());
    else if (config->secret_file)
        failed = use_secret(tls, config, err);
    else if (!(failed = use_certificates(tls->dialler, config, err)))
        failed = use_certificates(tls->acceptor, config, err);
    if (failed)
        tls_release(tls);
    return failed;
}

void tls_release(struct tls *tls)
{
    SSL_CTX_free(tls->dialler);
    SSL_CTX_free(tls->acceptor);
    explicit_bzero(tls, sizeof *tls);
}

SSL *tls_session(struct tls *tls, int fd, bool dials)
{
    SSL *ssl = SSL_new(dials ? tls->dialler : tls->acceptor);

    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (dials)
        SSL_set_connect_state(ssl);
    else
        SSL_set_accept_state(ssl);
    return ssl;
}

bool tls_proven(const struct tls *tls, SSL *ssl)
{
    if (SSL_version(ssl) != TLS1_3_VERSION)
        return false;
    if (tls->by_secret)
        return SSL_session_reused(ssl) == 1;
    return SSL_get0_peer_certificate(ssl) && SSL_get_verify_result(ssl) == X509_V_OK;
}

int tls_failure(const struct tls *tls, SSL *ssl, int result, struct err *err)
{
    int number = errno;
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(ssl);
    bool handshaking = !SSL_is_init_finished(ssl);

    if (SSL_get_error(ssl, result) == SSL_ERROR_SYSCALL && number) {
        ERR_clear_error();
        return err_set_errno(err, number, "connection broke");
    }
    if (SSL_get_error(ssl, result) != SSL_ERROR_SSL || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return err_set(err, ERR_SYSTEM, "the other side closed the connection");
    }
    if (handshaking && tls->by_secret)
        return err_set(err, ERR_REFUSED, "TLS handshake failed, most likely because the secrets differ: %s",
                       library_reason());
    if (handshaking && verified != X509_V_OK) {
        ERR_clear_error();
        return err_set(err, ERR_REFUSED, "TLS handshake failed: certificate: %s",
                       X509_verify_cert_error_string(verified));
    }
    return err_set(err, handshaking ? ERR_REFUSED : ERR_SYSTEM, "TLS %s: %s",
                   handshaking ? "handshake failed" : "failed", library_reason());
}
