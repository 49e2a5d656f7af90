/*
 * test_net.c - two nodes on loopback, and strangers at their door.
 *
 * Every test runs a loop until what it waits for has happened, or fails after DEADLINE_MS.
 */
#include "unit.h"

#include "base/secret.h"
#include "net/hello.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_MS 5000
#define BIG_BYTES 200000

struct node {
    struct net *net;
    char address[NET_ADDRESS_MAX];
    bool refuse_all;
    unsigned admitted;
    unsigned messages;
    size_t message_bytes;
    uint8_t last_message[16];
    struct net_hello last_from;
    int stream_fd; /* -1: none came */
    unsigned ups, downs;
    char reason[1024];
    struct net_reply *kept; /* a request not answered yet */
    bool keep_requests;
    bool closed;
};

static uv_loop_t loop;
static uv_timer_t ticker; /* wakes the loop, so that conditions outside of it are looked at too */

static void tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until condition holds; fails after DEADLINE_MS. */
#define RUN_UNTIL(condition)                                                                                           \
    do {                                                                                                               \
        uv_update_time(&loop);                                                                                         \
        const uint64_t give_up_at_ = uv_now(&loop) + DEADLINE_MS;                                                      \
        bool held_;                                                                                                    \
        (void)uv_timer_start(&ticker, tick, 5, 5);                                                                     \
        while (!(held_ = (condition)) && uv_now(&loop) < give_up_at_)                                                  \
            (void)uv_run(&loop, UV_RUN_ONCE);                                                                          \
        (void)uv_timer_stop(&ticker);                                                                                  \
        CU_ASSERT(held_);                                                                                              \
    } while (0)

static bool admit(void *ctx, const struct net_hello *hello, char *ret_reason, size_t size)
{
    struct node *node = ctx;

    node->last_from = *hello;
    if (node->refuse_all) {
        (void)text_copy(ret_reason, size, "cluster 7 is not for you");
        return false;
    }
    node->admitted++;
    return true;
}

static void message_came(void *ctx, const struct net_hello *from, const uint8_t *bytes, size_t length)
{
    struct node *node = ctx;

    node->last_from = *from;
    node->messages++;
    node->message_bytes += length;
    memcpy(node->last_message, bytes, length < sizeof node->last_message ? length : sizeof node->last_message);
}

static void stream_came(void *ctx, const struct net_hello *from, int fd)
{
    struct node *node = ctx;

    node->last_from = *from;
    node->stream_fd = fd;
}

static void request_came(void *ctx, struct net_reply *reply, const uint8_t *bytes, size_t length)
{
    struct node *node = ctx;

    if (node->keep_requests)
        node->kept = reply;
    else
        net_reply_send(reply, bytes, length); /* an echo */
}

static void state_came(void *ctx, uint64_t raft_id, bool up, const char *reason)
{
    struct node *node = ctx;

    (void)raft_id;
    node->ups += up;
    node->downs += !up;
    (void)text_copy(node->reason, sizeof node->reason, reason);
}

static const char *make_secret(char *path, size_t size, const char *name)
{
    struct err err;

    (void)unit_path(path, size, name);
    if (access(path, F_OK))
        CU_ASSERT_EQUAL(secret_create(path, &err), 0);
    return path;
}

static void open_with(struct node *node, const struct net_config *config)
{
    struct net_callbacks callbacks = {
        .ctx = node,
        .admit = admit,
        .peer_message = message_came,
        .raft_stream = stream_came,
        .request = request_came,
        .peer_state = state_came,
    };
    struct err err = { 0 };

    *node = (struct node){ .stream_fd = -1 };
    CU_ASSERT_EQUAL_FATAL(net_open(&node->net, &loop, config, &callbacks, &err), 0);
    net_listen_address(node->net, node->address, sizeof node->address);
}

static void open_node(struct node *node, uint64_t raft_id, const char *secret_name)
{
    char path[512];
    struct net_config config = { .listen = "127.0.0.1:0", .secret_file = make_secret(path, sizeof path, secret_name) };

    open_with(node, &config);
    net_identify(node->net, 7, 1, raft_id, 1000 + raft_id, node->address);
}

static void closed(void *ctx)
{
    ((struct node *)ctx)->closed = true;
}

static void close_node(struct node *node)
{
    net_close(node->net, closed, node);
    RUN_UNTIL(node->closed);
    if (node->stream_fd >= 0)
        (void)close(node->stream_fd);
}

static void start_loop(void)
{
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    (void)uv_timer_init(&loop, &ticker);
}

/* Every handle must be gone: net_close forgets nothing. */
static void end_loop(void)
{
    uv_close((uv_handle_t *)&ticker, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static void two_nodes(struct node *first, struct node *second)
{
    start_loop();
    open_node(first, 1, "secret");
    open_node(second, 2, "secret");
}

static void end_two_nodes(struct node *first, struct node *second)
{
    close_node(first);
    close_node(second);
    end_loop();
}

static void peers_exchange_messages(void)
{
    struct node first, second;
    uint8_t *big = calloc(1, BIG_BYTES);

    two_nodes(&first, &second);
    net_peer_set(first.net, 2, second.address);
    net_send(first.net, 2, (const uint8_t *)"early", 5); /* not connected: dropped */
    RUN_UNTIL(first.ups == 1);
    net_send(first.net, 2, (const uint8_t *)"hello", 5);
    net_send(first.net, 2, big, BIG_BYTES); /* many TLS records */
    net_send(first.net, 2, (const uint8_t *)"", 0);
    net_send(first.net, 2, (const uint8_t *)"world", 5);
    RUN_UNTIL(second.messages == 4);
    CU_ASSERT_EQUAL(second.message_bytes, BIG_BYTES + 10);
    CU_ASSERT_EQUAL(memcmp(second.last_message, "world", 5), 0);
    CU_ASSERT_EQUAL(second.last_from.kind, NET_PEER);
    CU_ASSERT_EQUAL(second.last_from.raft_id, 1);
    CU_ASSERT_EQUAL(second.last_from.cluster_id, 7);
    CU_ASSERT_EQUAL(second.last_from.epoch, 1);
    CU_ASSERT_EQUAL(second.last_from.incarnation, 1001);
    CU_ASSERT_STRING_EQUAL(second.last_from.address, first.address);
    free(big);
    end_two_nodes(&first, &second);
}

static void peer_reconnects(void)
{
    struct node first, second, third;

    two_nodes(&first, &second);
    net_peer_set(first.net, 2, second.address);
    RUN_UNTIL(first.ups == 1);
    close_node(&second);
    RUN_UNTIL(first.downs >= 1);
    open_node(&third, 2, "secret");
    net_peer_set(first.net, 2, third.address); /* the same member has come back elsewhere */
    RUN_UNTIL(first.ups == 2);
    net_send(first.net, 2, (const uint8_t *)"again", 5);
    RUN_UNTIL(third.messages == 1);
    net_identify(first.net, 7, 2, 1, 1001, first.address); /* a raised epoch: introduced anew */
    RUN_UNTIL(first.ups == 3 && third.last_from.epoch == 2);
    net_peer_drop(first.net, 2);
    close_node(&first);
    close_node(&third);
    end_loop();
}

static void refusal_is_told(void)
{
    struct node first, second;

    two_nodes(&first, &second);
    second.refuse_all = true;
    net_peer_set(first.net, 2, second.address);
    RUN_UNTIL(first.downs == 1);
    CU_ASSERT_STRING_EQUAL(first.reason, "cluster 7 is not for you");
    net_peer_set(first.net, 3, second.address); /* somebody else lives there */
    RUN_UNTIL(first.downs == 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(first.reason, "this is raft member 2, not 3"));
    CU_ASSERT_EQUAL(first.ups, 0);
    end_two_nodes(&first, &second);
}

struct answer {
    unsigned calls;
    int status;
    size_t length;
    struct err err;
};

static void answered(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err)
{
    struct answer *answer = ctx;

    (void)bytes;
    answer->calls++;
    answer->status = status;
    answer->length = length;
    if (err)
        answer->err = *err;
}

static void requests_are_answered(void)
{
    struct node first, second;
    struct answer small = { 0 }, big = { 0 }, refused = { 0 };
    uint8_t *bytes = calloc(1, NET_REQUEST_BYTES_MAX);

    two_nodes(&first, &second);
    net_request(first.net, second.address, (const uint8_t *)"ping", 4, 2000, answered, &small);
    net_request(first.net, second.address, bytes, NET_REQUEST_BYTES_MAX, 5000, answered, &big);
    CU_ASSERT_EQUAL(small.calls, 0);
    RUN_UNTIL(small.calls == 1 && big.calls == 1);
    CU_ASSERT_EQUAL(small.status, 0);
    CU_ASSERT_EQUAL(small.length, 4);
    CU_ASSERT_EQUAL(big.status, 0);
    CU_ASSERT_EQUAL(big.length, NET_REQUEST_BYTES_MAX);
    second.refuse_all = true;
    net_request(first.net, second.address, (const uint8_t *)"ping", 4, 2000, answered, &refused);
    RUN_UNTIL(refused.calls == 1);
    CU_ASSERT_EQUAL(refused.status, -ERR_REFUSED);
    CU_ASSERT_STRING_EQUAL(refused.err.text, "cluster 7 is not for you");
    free(bytes);
    end_two_nodes(&first, &second);
    CU_ASSERT_EQUAL(small.calls + big.calls + refused.calls, 3);
}

static void requests_fail_in_words(void)
{
    struct node first, second;
    struct answer nobody = { 0 }, nonsense = { 0 }, late = { 0 }, lost = { 0 }, large = { 0 };
    uint8_t *bytes = calloc(1, NET_REQUEST_BYTES_MAX + 1);

    two_nodes(&first, &second);
    second.keep_requests = true;
    net_request(first.net, "127.0.0.1:1", (const uint8_t *)"", 0, 2000, answered, &nobody);
    net_request(first.net, "nonsense", (const uint8_t *)"", 0, 2000, answered, &nonsense);
    net_request(first.net, second.address, bytes, NET_REQUEST_BYTES_MAX + 1, 2000, answered, &large);
    net_request(first.net, second.address, (const uint8_t *)"", 0, 50, answered, &late);
    RUN_UNTIL(nobody.calls && nonsense.calls && late.calls && large.calls && second.kept);
    CU_ASSERT_EQUAL(nobody.status, -ERR_SYSTEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(nobody.err.text, "refused"));
    CU_ASSERT_EQUAL(nonsense.status, -ERR_CONFIG);
    CU_ASSERT_EQUAL(late.status, -ERR_TIMEOUT);
    CU_ASSERT_EQUAL(large.status, -ERR_TOO_BIG);
    struct net_reply *kept = second.kept;
    second.kept = NULL;
    net_reply_send(kept, (const uint8_t *)"late", 4); /* its connection may be gone: no harm */
    net_request(first.net, second.address, (const uint8_t *)"", 0, 4000, answered, &lost);
    RUN_UNTIL(second.kept);
    close_node(&second);
    net_reply_send(second.kept, (const uint8_t *)"late", 4); /* owed, after net_close */
    RUN_UNTIL(lost.calls);
    CU_ASSERT_EQUAL(lost.status, -ERR_UNKNOWN);
    free(bytes);
    close_node(&first);
    end_loop();
}

static int dialled_fd;
static unsigned dialled_calls;

static void dialled(void *ctx, int fd)
{
    (void)ctx;
    dialled_calls++;
    dialled_fd = fd;
}

/* Counts what can be read from fd now. */
static size_t drain(int fd)
{
    static uint8_t bytes[65536];
    size_t sum = 0;
    ssize_t got;

    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        sum += (size_t)got;
    return sum;
}

static void raft_stream_carries_bytes(void)
{
    struct node first, second;
    static uint8_t chunk[32768];
    size_t sent = 0, got = 0, stuck = 0;
    char bye[4];

    two_nodes(&first, &second);
    dialled_calls = 0;
    net_dial_raft(first.net, 2, second.address, dialled, NULL);
    CU_ASSERT_EQUAL(dialled_calls, 0);
    RUN_UNTIL(dialled_calls == 1 && second.stream_fd >= 0);
    CU_ASSERT_FATAL(dialled_fd >= 0);
    CU_ASSERT_EQUAL(second.last_from.kind, NET_RAFT);
    /* Nobody reads: what is under way must stay bounded. Then everything arrives. */
    for (int i = 0; i < 4000 && stuck < 200; i++) {
        ssize_t done = write(dialled_fd, chunk, sizeof chunk);
        stuck = done > 0 ? 0 : stuck + 1;
        sent += done > 0 ? (size_t)done : 0;
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    CU_ASSERT(sent < 32u << 20);
    CU_ASSERT_EQUAL(stuck, 200);
    RUN_UNTIL((got += drain(second.stream_fd)) == sent);
    CU_ASSERT_EQUAL(write(second.stream_fd, "back", 4), 4);
    RUN_UNTIL(read(dialled_fd, bye, sizeof bye) == 4);
    /* An end closed here shows there. */
    (void)close(dialled_fd);
    RUN_UNTIL(read(second.stream_fd, bye, sizeof bye) == 0);
    end_two_nodes(&first, &second);
}

static void raft_dial_fails_once(void)
{
    struct node first, second;

    two_nodes(&first, &second);
    second.refuse_all = true;
    dialled_calls = 0;
    net_dial_raft(first.net, 2, second.address, dialled, NULL);
    RUN_UNTIL(dialled_calls == 1);
    CU_ASSERT_EQUAL(dialled_fd, -1);
    net_dial_raft(first.net, 2, "127.0.0.1:1", dialled, NULL);
    net_dial_raft(first.net, 2, second.address, dialled, NULL);
    end_two_nodes(&first, &second); /* closing answers what is under way */
    CU_ASSERT_EQUAL(dialled_calls, 3);
    CU_ASSERT_EQUAL(dialled_fd, -1);
}

static void another_secret_gets_nowhere(void)
{
    struct node first, second;
    struct answer answer = { 0 };

    start_loop();
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

    start_loop();
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
    end_loop();
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

    start_loop();
    open_node(&node, 1, "secret");
    CU_ASSERT_FALSE(client_gets_in(&node, TLS1_2_VERSION));
    CU_ASSERT_FALSE(client_gets_in(&node, TLS1_3_VERSION));
    CU_ASSERT_EQUAL(node.last_from.kind, 0);
    close_node(&node);
    end_loop();
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

static void certificates_do_it_too(void)
{
    struct node first, second, stranger, by_secret;
    char directory[512];

    CU_ASSERT_FATAL(make_certificates(directory, sizeof directory));
    start_loop();
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
    end_loop();
}

static void names_are_looked_up(void)
{
    struct node first, second;
    char by_name[64];

    two_nodes(&first, &second);
    (void)snprintf(by_name, sizeof by_name, "localhost:%s", strrchr(second.address, ':') + 1);
    net_peer_set(first.net, 2, by_name);
    RUN_UNTIL(first.ups == 1);
    end_two_nodes(&first, &second);
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

    start_loop();
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
    end_loop();
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
    { "peers exchange messages of any size in order", peers_exchange_messages },
    { "a peer is dialled again after it went, moved, or we changed", peer_reconnects },
    { "names are looked up", names_are_looked_up },
    { "a refusal and its reason reach the dialler", refusal_is_told },
    { "requests up to the limit are answered", requests_are_answered },
    { "requests that fail say why, once", requests_fail_in_words },
    { "a raft stream carries bytes with back-pressure", raft_stream_carries_bytes },
    { "a raft dial that fails answers once", raft_dial_fails_once },
    { "a node with another secret gets nowhere", another_secret_gets_nowhere },
    { "a TLS client without the secret gets nowhere", tls_clients_without_the_secret_fail },
    { "strangers get no answer, not a byte", strangers_get_no_answer },
    { "idle strangers do not lock members out", idle_strangers_do_not_lock_members_out },
    { "certificates do it too, and do not mix with secrets", certificates_do_it_too },
};

const struct unit_suite suite_net = UNIT_SUITE("net", tests);
