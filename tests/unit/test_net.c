/* test_net.c - what nodes that trust each other carry: messages, requests, raft streams. */
#include "net_nodes.h"
#include "pool_held.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BIG_BYTES 200000

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
    loop_end();
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
    loop_end();
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

/* The lookup's answer waits for the loop when the peer is dropped: it finds a connection that has ended and is not
 * freed yet, and must not begin it again. */
static void late_answer_revives_nothing(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof at;
    struct node node;
    char by_name[64];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    CU_ASSERT_FATAL(bind(listener, (struct sockaddr *)&at, length) == 0 && listen(listener, 1) == 0);
    CU_ASSERT_EQUAL(getsockname(listener, (struct sockaddr *)&at, &length), 0);
    loop_start();
    open_node(&node, 1, "secret");
    pool_hold();
    (void)snprintf(by_name, sizeof by_name, "localhost:%u", (unsigned)ntohs(at.sin_port));
    net_peer_set(node.net, 2, by_name);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    pool_let_go();
    pool_finish();
    net_peer_drop(node.net, 2);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accept(listener, NULL, NULL), -1); /* nobody came: a connection on loopback is there at once */
    close_node(&node);
    loop_end();
    pool_forget();
    (void)close(listener);
}

static const struct unit_test tests[] = {
    { "peers exchange messages of any size in order", peers_exchange_messages },
    { "a peer is dialled again after it went, moved, or we changed", peer_reconnects },
    { "names are looked up", names_are_looked_up },
    { "a lookup's late answer revives no connection", late_answer_revives_nothing },
    { "a refusal and its reason reach the dialler", refusal_is_told },
    { "requests up to the limit are answered", requests_are_answered },
    { "requests that fail say why, once", requests_fail_in_words },
    { "a raft stream carries bytes with back-pressure", raft_stream_carries_bytes },
    { "a raft dial that fails answers once", raft_dial_fails_once },
};

const struct unit_suite suite_net = UNIT_SUITE("net", tests);
