/* test_net_trust.c - who gets in, by secret or by certificate, and what everybody else gets: nothing. */
#include "net_nodes.h"

#include "net/hello.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void another_secret_gets_nowhere(void)
{
    struct node first, second;
    struct answer answer = { 0 };

    loop_start();
    open_node(&first, 1, "secret");
    open_node(&second, 2, "other-secret");
    net_peer_set(first.net, 2, second.address);
    net_request(first.net, second.address, (const uint8_t *)"ping", 4, 2000, answered, &answer);
    RUN_UNTIL(first.downs == 1 && answer.calls == 1);
    CU_ASSERT_EQUAL(answer.status, -ERR_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(first.reason, "secrets differ"));
    CU_ASSERT_EQUAL(second.last_from.kind, 0); /* not even its hello was read */
    CU_ASSERT_EQUAL(second.admitted, 0);
    end_two_nodes(&first, &second);
}

/* A plain, non-blocking TCP connection to a node. */
static int knock(const struct node *node)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_port = htons((uint16_t)atoi(strrchr(node->address, ':') + 1));
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void strangers_get_no_answer(void)
{
    static const char *const greetings[] = { "GET / HTTP/1.0\r\n\r\n", "HELO....................", "\x16\x02xxxxx" };
    struct node node;

    loop_start();
    open_node(&node, 1, "secret");
    for (size_t i = 0; i < ARRAY_LEN(greetings); i++) {
        char byte;
        ssize_t got;
        int fd = knock(&node);
        CU_ASSERT(write(fd, greetings[i], strlen(greetings[i])) > 0);
        RUN_UNTIL((got = read(fd, &byte, 1)) >= 0 || errno == ECONNRESET);
        CU_ASSERT(got <= 0);
        (void)close(fd);
    }
    CU_ASSERT_EQUAL(node.last_from.kind, 0);
    close_node(&node);
    loop_end();
}

static void idle_strangers_do_not_lock_members_out(void)
{
    struct node first, second;
    int fds[100];

    two_nodes(&first, &second);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = knock(&second);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    net_peer_set(first.net, 2, second.address);
    RUN_UNTIL(first.ups == 1);
    char byte;
    CU_ASSERT_EQUAL(read(fds[0], &byte, 1), 0); /* the oldest has given way, the newest not */
    CU_ASSERT(read(fds[ARRAY_LEN(fds) - 1], &byte, 1) < 0 && errno == EAGAIN);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    end_two_nodes(&first, &second);
}

/* Shakes hands as a client of that version, with psk or without; true when TLS came up and a byte arrived. */
static bool client_gets_in(const struct node *node, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    int fd = knock(node);
    int result = 0;
    char byte;

    (void)SSL_set_min_proto_version(ssl, version);
    (void)SSL_set_max_proto_version(ssl, version);
    (void)SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    RUN_UNTIL((result = SSL_do_handshake(ssl)) == 1 || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ);
    bool in = result == 1;
    if (in)
        RUN_UNTIL((result = SSL_read(ssl, &byte, 1)) == 1 || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
    return in;
}

static void tls_clients_without_the_secret_fail(void)
{
    struct node node;

    loop_start();
    open_node(&node, 1, "secret");
    CU_ASSERT_FALSE(client_gets_in(&node, TLS1_2_VERSION));
    CU_ASSERT_FALSE(client_gets_in(&node, TLS1_3_VERSION));
    CU_ASSERT_EQUAL(node.last_from.kind, 0);
    close_node(&node);
    loop_end();
}

/* Certificates made once by the openssl tool: an authority, a node it signed, and a node that signed itself. */
static bool make_certificates(char *directory, size_t size)
{
    char command[2048];

    (void)unit_path(directory, size, "pki");
    if (mkdir(directory, 0700))
        return access(directory, X_OK) == 0;
    (void)snprintf(command, sizeof command,
                   "cd '%s' && exec 2>/dev/null && "
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 "
                   "-keyout ca.key -out ca.crt && "
                   "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node -keyout node.key "
                   "-out node.csr && openssl x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 "
                   "-out node.crt && "
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node -days 2 "
                   "-keyout stranger.key -out stranger.crt",
                   directory);
    return system(command) == 0;
}

/* Shakes hands as a member that offers this group alone; true when the handshake came through. */
static bool group_is_taken(const struct node *node, const char *directory, const char *group)
{
    char cert[600], key[600];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = 0;

    (void)snprintf(cert, sizeof cert, "%s/node.crt", directory);
    (void)snprintf(key, sizeof key, "%s/node.key", directory);
    CU_ASSERT_EQUAL(SSL_CTX_use_certificate_chain_file(ctx, cert), 1);
    CU_ASSERT_EQUAL(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM), 1);
    CU_ASSERT_EQUAL(SSL_CTX_set1_groups_list(ctx, group), 1);
    SSL *ssl = SSL_new(ctx);
    to.sin6_port = htons((uint16_t)atoi(strrchr(node->address, ':') + 1));
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    RUN_UNTIL((result = SSL_do_handshake(ssl)) == 1 || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
    return result == 1;
}

static void open_with_certificate(struct node *node, uint64_t raft_id, const char *directory, const char *name)
{
    char cert[600], key[600], ca[600];
    struct net_config config = { .listen = "[::1]:0", .cert_file = cert, .key_file = key, .ca_file = ca };

    (void)snprintf(cert, sizeof cert, "%s/%s.crt", directory, name);
    (void)snprintf(key, sizeof key, "%s/%s.key", directory, name);
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", directory);
    open_with(node, &config);
    net_identify(node->net, 7, 1, raft_id, 1, node->address);
}

/* With other groups a stranger's greeting, recorded once and sent again for nothing, costs a tenth of a second. */
static void costly_groups_are_refused(void)
{
    static const char *const costly[] = { "ffdhe8192", "ffdhe2048", "P-521" };
    struct node node;
    char directory[512];

    CU_ASSERT_FATAL(make_certificates(directory, sizeof directory));
    loop_start();
    open_with_certificate(&node, 1, directory, "node");
    CU_ASSERT_TRUE(group_is_taken(&node, directory, "X25519"));
    CU_ASSERT_TRUE(group_is_taken(&node, directory, "P-256"));
    for (size_t i = 0; i < ARRAY_LEN(costly); i++)
        CU_ASSERT_FALSE(group_is_taken(&node, directory, costly[i]));
    close_node(&node);
    loop_end();
}

static int open_with_key(const char *directory, const char *name, struct err *err)
{
    char cert[600], key[600], ca[600];
    struct net_callbacks callbacks = { 0 };
    struct net_config config = { .listen = "[::1]:0", .cert_file = cert, .key_file = key, .ca_file = ca };
    struct net *net;

    (void)snprintf(cert, sizeof cert, "%s/node.crt", directory);
    (void)snprintf(key, sizeof key, "%s/%s", directory, name);
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", directory);
    return net_open(&net, &loop, &config, &callbacks, err);
}

/* Who can read the key is a member; and one with a password would have OpenSSL ask at the terminal. */
static void keys_are_checked(void)
{
    char directory[512], command[2048];
    struct err err = { 0 };

    CU_ASSERT_FATAL(make_certificates(directory, sizeof directory));
    (void)snprintf(
        command, sizeof command,
        "cd '%s' && cp node.key open.key && chmod 644 open.key && "
        "openssl ec -in node.key -aes128 -passout pass:word -out locked.key 2>/dev/null && chmod 600 locked.key",
        directory);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    loop_start();
    CU_ASSERT_EQUAL(open_with_key(directory, "open.key", &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "open to others"));
    CU_ASSERT_EQUAL(open_with_key(directory, "locked.key", &err), -ERR_CONFIG);
    loop_end();
}

static void certificates_do_it_too(void)
{
    struct node first, second, stranger, by_secret;
    char directory[512];

    CU_ASSERT_FATAL(make_certificates(directory, sizeof directory));
    loop_start();
    open_with_certificate(&first, 1, directory, "node");
    open_with_certificate(&second, 2, directory, "node");
    open_with_certificate(&stranger, 3, directory, "stranger");
    open_node(&by_secret, 4, "secret");
    net_peer_set(first.net, 2, second.address);
    RUN_UNTIL(first.ups == 1);
    net_peer_set(stranger.net, 2, second.address);
    net_peer_set(by_secret.net, 2, second.address);
    net_peer_set(second.net, 4, by_secret.address);
    RUN_UNTIL(stranger.downs && by_secret.downs && second.downs);
    CU_ASSERT_EQUAL(stranger.ups + by_secret.ups + second.ups, 0);
    CU_ASSERT_EQUAL(second.admitted, 1);
    net_peer_set(first.net, 3, stranger.address);
    RUN_UNTIL(first.downs);
    CU_ASSERT_EQUAL(stranger.admitted, 0);
    close_node(&first);
    close_node(&second);
    close_node(&stranger);
    close_node(&by_secret);
    loop_end();
}

static void settings_are_checked(void)
{
    char path[512], open_path[512], short_path[512];
    struct net_callbacks callbacks = { 0 };
    struct net_config config = { .listen = "127.0.0.1:0" };
    struct net *net;
    struct node node;
    struct err err;
    FILE *file;

    loop_start();
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    config.secret_file = make_secret(path, sizeof path, "secret");
    config.cert_file = "x";
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "together"));
    config.cert_file = NULL;
    CU_ASSERT_EQUAL(secret_create(path, &err), -ERR_REFUSED);

    config.secret_file = unit_path(open_path, sizeof open_path, "open-secret");
    CU_ASSERT_EQUAL(secret_create(open_path, &err), 0);
    (void)chmod(open_path, 0640);
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "chmod 600"));

    config.secret_file = unit_path(short_path, sizeof short_path, "short-secret");
    file = fopen(short_path, "w");
    (void)fputs("too short\n", file);
    (void)fclose(file);
    (void)chmod(short_path, 0600);
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "too short"));
    config.secret_file = "/nonexistent/secret";
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_CONFIG);

    open_node(&node, 1, "secret");
    config.secret_file = path;
    config.listen = node.address;
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_SYSTEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "in use"));
    config.listen = "127.0.0.1:99999";
    CU_ASSERT_EQUAL(net_open(&net, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    close_node(&node);
    loop_end();
}

static void hellos_survive_decoding(void)
{
    struct net_hello hello = { NET_PEER, 11, 12, 13, 14, "[::1]:7000" }, back = { 0 };
    uint64_t wanted = 0;
    struct err err;
    AUTO(buf) frame;

    buf_init(&frame, HELLO_BYTES_MAX);
    hello_encode(&frame, &hello, 99);
    CU_ASSERT_EQUAL(hello_decode(&back, &wanted, frame.bytes, frame.length, &err), 0);
    CU_ASSERT_EQUAL(wanted, 99);
    CU_ASSERT_EQUAL(back.incarnation, 14);
    CU_ASSERT_STRING_EQUAL(back.address, hello.address);
    for (size_t length = 0; length < frame.length; length++) /* every cut is noticed */
        CU_ASSERT(hello_decode(&back, &wanted, frame.bytes, length, &err) < 0);
    frame.bytes[4]++; /* the version */
    CU_ASSERT(hello_decode(&back, &wanted, frame.bytes, frame.length, &err) < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "version"));
}

static const struct unit_test tests[] = {
    { "a hello survives encoding, and no part of one passes for a hello", hellos_survive_decoding },
    { "wrong settings and unsafe secrets are refused in words", settings_are_checked },
    { "a node with another secret gets nowhere", another_secret_gets_nowhere },
    { "a TLS client without the secret gets nowhere", tls_clients_without_the_secret_fail },
    { "strangers get no answer, not a byte", strangers_get_no_answer },
    { "idle strangers do not lock members out", idle_strangers_do_not_lock_members_out },
    { "groups that cost the loop time are refused", costly_groups_are_refused },
    { "a private key that others can read, or that has a password, is refused", keys_are_checked },
    { "certificates do it too, and do not mix with secrets", certificates_do_it_too },
};

const struct unit_suite suite_net_trust = UNIT_SUITE("net_trust", tests);
