/* test_pg_conn.c - a server that dies under a query is noticed at once, whatever it had sent before. */
#include "loop_test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg/conn.h"

#define NEVER_MS 60000 /* longer than RUN_UNTIL waits */
#define TURNS 5        /* of the loop, by which a query has been sent */

struct heard {
    unsigned count;
    bool problem;
    bool timed_out;
};

static void note(void *ctx, const struct conn_answer *answer)
{
    struct heard *heard = ctx;

    heard->count++;
    heard->problem = answer->problem[0] != '\0';
    heard->timed_out = answer->timed_out;
}

/* Lets a client in. When told to, it sends what a backend says whose postmaster ends, and dies without having read the
 * query: so a reset follows what it said. */
static void serve(int listener, int told)
{
    static const char welcome[] = "R\0\0\0\010\0\0\0\0Z\0\0\0\005I";
    static const char notice[] = "N\0\0\0\032SWARNING\0C57P02\0Mend\0\0";
    struct linger at_once = { .l_onoff = 1 };
    char text[1024];
    int client = accept(listener, NULL, NULL);

    if (client < 0 || read(client, text, sizeof text) <= 0 ||
        write(client, welcome, sizeof welcome - 1) != sizeof welcome - 1 || read(told, text, 1) != 1)
        _exit(1);
    struct pollfd query = { .fd = client, .events = POLLIN };
    (void)poll(&query, 1, 5000);
    if (write(client, notice, sizeof notice - 1) != sizeof notice - 1)
        _exit(1);
    (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(client);
    _exit(0);
}

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
                    listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    *ret_port = ntohs(address.sin_port);
    return listener;
}

static void notices_a_reset_after_words(void)
{
    struct conn_target target = { 0 };
    struct pool pool = { .loop = &loop };
    struct heard opened = { 0 };
    struct heard heard = { 0 };
    uint16_t port = 0;
    int status = -1;
    int tell[2];
    int listener = listen_somewhere(&port);

    CU_ASSERT_FATAL(pipe(tell) == 0);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        serve(listener, tell[0]);
    loop_start();
    (void)snprintf(target.conninfo, sizeof target.conninfo,
                   "host=127.0.0.1 port=%u user=nobody dbname=none sslmode=disable", port);
    struct conn *conn = conn_open(&pool, &target, NEVER_MS, note, &opened);
    RUN_UNTIL(opened.count == 1);
    CU_ASSERT_FALSE(opened.problem);
    conn_query(conn, "SELECT 1", NEVER_MS, note, &heard);
    for (int i = 0; i < TURNS; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(write(tell[1], "", 1), 1);
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    RUN_UNTIL(heard.count == 1);
    CU_ASSERT_TRUE(heard.problem);
    CU_ASSERT_FALSE(heard.timed_out);
    conn_drop(conn);
    loop_end();
    (void)close(listener);
    (void)close(tell[0]);
    (void)close(tell[1]);
}

static const struct unit_test tests[] = {
    { "a reset after a server's last words is noticed", notices_a_reset_after_words },
};

const struct unit_suite suite_pg_conn = UNIT_SUITE("pg_conn", tests);
