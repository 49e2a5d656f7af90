/*
 * conn.c - libpq's asynchronous calls under uv_poll. See conn.h.
 *
 * While connecting, libpq may close its socket and open another one, even with the same number. So the handle is
 * stopped before each PQconnectPoll (which takes the descriptor out of epoll) and started anew after it, on a new
 * handle when the number has changed.
 */
#include "pg/conn.h"

#include <stdlib.h>

#define PROBLEM_SIZE 512
#define MORE_MS 0                          /* a timer of this length defers a callback to the loop */
#define NO_PASSFILE "/nonexistent/raftmgr" /* libpq would take its default for an empty name */

static const char session_options[] =
    "-c synchronous_commit=local -c search_path= -c statement_timeout=60s -c lock_timeout=10s "
    "-c default_transaction_read_only=off";

enum conn_state { CONN_CONNECTING, CONN_IDLE, CONN_ASKING, CONN_LOST };

struct conn {
    struct pool *pool;
    PGconn *pq;
    uv_poll_t *poll; /* its own memory: closed and replaced while connecting */
    uv_timer_t timer;
    enum conn_state state;
    bool knocking; /* see conn_knock() */
    bool dropped;
    bool sending; /* output is not flushed yet */
    conn_answer_fn answer;
    void *ctx;
    PGresult *rows;
    char problem[PROBLEM_SIZE];
    char sqlstate[6];
};

static void connect_on(struct conn *conn);
static void ask_on(struct conn *conn, int events);
static void polled(uv_poll_t *handle, int status, int events);

static void poll_freed(uv_handle_t *handle)
{
    free(handle);
}

static void poll_drop(struct conn *conn)
{
    if (!conn->poll)
        return;
    (void)uv_poll_stop(conn->poll);
    conn->poll->data = NULL;
    uv_close((uv_handle_t *)conn->poll, poll_freed);
    conn->poll = NULL;
}

/* libpq's messages have several lines and end with one: make it one line. */
static void keep_problem(struct conn *conn, const char *text)
{
    size_t used = 0;

    for (const char *at = text; *at && used + 1 < sizeof conn->problem; at++) {
        char c = *at == '\n' || *at == '\t' ? ' ' : *at;
        if (c == ' ' && (used == 0 || conn->problem[used - 1] == ' '))
            continue;
        conn->problem[used++] = c;
    }
    while (used > 0 && conn->problem[used - 1] == ' ')
        used--;
    conn->problem[used] = '\0';
    if (used == 0)
        (void)text_copy(conn->problem, sizeof conn->problem, "connection lost");
}

/* Hands the answer over. The callback may drop the connection or ask again. */
static void answer(struct conn *conn, enum conn_state next, bool timed_out)
{
    conn_answer_fn fn = conn->answer;
    PGresult *rows = conn->rows;
    struct conn_answer said = {
        .rows = conn->problem[0] ? NULL : rows,
        .problem = conn->problem,
        .sqlstate = conn->sqlstate,
        .timed_out = timed_out,
    };

    (void)uv_timer_stop(&conn->timer);
    conn->state = next;
    conn->answer = NULL;
    conn->rows = NULL;
    if (next == CONN_LOST)
        poll_drop(conn);
    if (fn)
        fn(conn->ctx, &said);
    PQclear(rows);
}

static void lost(struct conn *conn)
{
    if (!conn->problem[0])
        keep_problem(conn, conn->pq ? PQerrorMessage(conn->pq) : "out of memory");
    answer(conn, CONN_LOST, false);
}

/* Waits for these events on libpq's present socket. False when that cannot be. */
static bool poll_for(struct conn *conn, int events)
{
    int socket = PQsocket(conn->pq);
    uv_os_fd_t old = -1;

    if (socket < 0)
        return false;
    if (conn->poll && (uv_fileno((uv_handle_t *)conn->poll, &old) != 0 || old != socket))
        poll_drop(conn);
    if (!conn->poll) {
        uv_poll_t *poll = calloc(1, sizeof *poll);
        if (!poll || uv_poll_init(conn->pool->loop, poll, socket) != 0) {
            free(poll);
            return false;
        }
        poll->data = conn;
        conn->poll = poll;
    }
    return uv_poll_start(conn->poll, events, polled) == 0;
}

/* libuv stops watching a socket with an error (a reset). What came before that is read first, and the error shows only
 * when it is watched and read again. */
static void watch_on(struct conn *conn)
{
    bool open = conn->state == CONN_IDLE || conn->state == CONN_ASKING;
    int events = conn->state == CONN_ASKING && conn->sending ? UV_READABLE | UV_WRITABLE : UV_READABLE;

    if (conn->dropped || !open || poll_for(conn, events))
        return;
    if (conn->state == CONN_ASKING)
        lost(conn);
    else
        conn->state = CONN_LOST;
}

static void polled(uv_poll_t *handle, int status, int events)
{
    struct conn *conn = handle->data;

    if (!conn || conn->dropped)
        return;
    if (status < 0)
        events = UV_READABLE | UV_WRITABLE; /* libpq finds the error by itself */
    if (conn->state == CONN_CONNECTING) {
        connect_on(conn);
    } else if (conn->state == CONN_ASKING) {
        ask_on(conn, events);
    } else if (conn->state == CONN_IDLE && !PQconsumeInput(conn->pq)) {
        conn->state = CONN_LOST;
        poll_drop(conn);
    }
    if (status < 0)
        watch_on(conn);
}

static void connect_on(struct conn *conn)
{
    if (conn->poll)
        (void)uv_poll_stop(conn->poll);
    PostgresPollingStatusType status = PQconnectPoll(conn->pq);
    if (status == PGRES_POLLING_OK) {
        if (PQsetnonblocking(conn->pq, 1) == 0 && poll_for(conn, UV_READABLE))
            answer(conn, CONN_IDLE, false);
        else
            lost(conn);
    } else if (status == PGRES_POLLING_FAILED && conn->knocking && PQconnectionNeedsPassword(conn->pq)) {
        answer(conn, CONN_LOST, false);
    } else if (status == PGRES_POLLING_FAILED ||
               !poll_for(conn, status == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE)) {
        lost(conn);
    }
}

/* Takes the results that are complete; true when the whole query is answered. */
static bool take_results(struct conn *conn)
{
    while (!PQisBusy(conn->pq)) {
        PGresult *result = PQgetResult(conn->pq);
        if (!result)
            return true;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            PQclear(conn->rows);
            conn->rows = result;
            continue;
        }
        if (!conn->problem[0]) {
            const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
            const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
            (void)text_copy(conn->sqlstate, sizeof conn->sqlstate, state ? state : "");
            keep_problem(conn, text ? text : PQresultErrorMessage(result));
        }
        PQclear(result);
    }
    return false;
}

static void ask_on(struct conn *conn, int events)
{
    if (conn->sending) {
        int left = PQflush(conn->pq);
        if (left < 0) {
            lost(conn);
            return;
        }
        conn->sending = left > 0;
        (void)poll_for(conn, conn->sending ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    }
    if (!(events & UV_READABLE))
        return;
    bool alive = PQconsumeInput(conn->pq) == 1;
    bool complete = take_results(conn);
    if (!alive || PQstatus(conn->pq) == CONNECTION_BAD) {
        if (!conn->problem[0])
            keep_problem(conn, PQerrorMessage(conn->pq));
        answer(conn, CONN_LOST, false);
    } else if (complete) {
        answer(conn, CONN_IDLE, false);
    }
}

static void late(uv_timer_t *timer)
{
    struct conn *conn = timer->data;

    if (conn->dropped || !conn->answer)
        return;
    if (conn->state == CONN_LOST || PQstatus(conn->pq) == CONNECTION_BAD) {
        lost(conn); /* failed at once; told from the loop */
        return;
    }
    (void)snprintf(conn->problem, sizeof conn->problem, "no answer %s in time",
                   conn->state == CONN_CONNECTING ? "to a connection attempt" : "to a query");
    answer(conn, CONN_LOST, true);
}

static bool start(struct conn *conn, const struct conn_target *target)
{
    const char *keys[12] = { "dbname",     "application_name", "options",
                             "gssencmode", "client_encoding",  "target_session_attrs" };
    const char *values[12] = { target->conninfo, "raftmgr", session_options, "disable", "UTF8", "any" };
    size_t used = 6;

    if (target->unresolved) { /* libpq would look the name up, and wait for it */
        keep_problem(conn, "the address of its host is not known yet");
        return false;
    }
    if (target->hostaddr[0]) {
        keys[used] = "hostaddr";
        values[used++] = target->hostaddr;
    }
    if (target->host[0]) {
        keys[used] = "host";
        values[used++] = target->host;
    }
    if (conn->knocking || target->passfile[0]) {
        keys[used] = "passfile";
        values[used++] = conn->knocking ? NO_PASSFILE : target->passfile;
    }
    if (conn->knocking) {
        keys[used] = "password"; /* given, so that neither conninfo nor the environment says another */
        values[used++] = "";
        keys[used] = "sslmode";
        values[used++] = "disable";
    }
    conn->pq = PQconnectStartParams(keys, values, 1);
    if (!conn->pq || PQstatus(conn->pq) == CONNECTION_BAD)
        return false;
    return poll_for(conn, UV_WRITABLE);
}

static void ignore_notice(void *ctx, const PGresult *notice)
{
    (void)ctx; /* "already exists, skipping" and the like: nothing that anybody waits for */
    (void)notice;
}

static struct conn *begin(struct pool *pool, const struct conn_target *target, bool knocking, int64_t timeout_ms,
                          conn_answer_fn opened, void *ctx)
{
    struct conn *conn = calloc(1, sizeof *conn);

    assert(conn && opened); /* out of memory: a crashed daemon is as safe as a slow one */
    conn->pool = pool;
    conn->knocking = knocking;
    conn->answer = opened;
    conn->ctx = ctx;
    pool_add(pool);
    (void)uv_timer_init(pool->loop, &conn->timer);
    conn->timer.data = conn;
    if (!start(conn, target)) {
        conn->state = CONN_LOST;
        timeout_ms = MORE_MS;
    } else {
        (void)PQsetNoticeReceiver(conn->pq, ignore_notice, NULL);
    }
    (void)uv_timer_start(&conn->timer, late, (uint64_t)timeout_ms, 0);
    return conn;
}

struct conn *conn_open(struct pool *pool, const struct conn_target *target, int64_t timeout_ms, conn_answer_fn opened,
                       void *ctx)
{
    return begin(pool, target, false, timeout_ms, opened, ctx);
}

struct conn *conn_knock(struct pool *pool, const struct conn_target *target, int64_t timeout_ms,
                        conn_answer_fn answered, void *ctx)
{
    return begin(pool, target, true, timeout_ms, answered, ctx);
}

void conn_query(struct conn *conn, const char *sql, int64_t timeout_ms, conn_answer_fn answered, void *ctx)
{
    assert(!conn->dropped && !conn->answer && answered);
    conn->answer = answered;
    conn->ctx = ctx;
    conn->problem[0] = '\0';
    conn->sqlstate[0] = '\0';
    if (conn->state == CONN_IDLE && PQsendQuery(conn->pq, sql)) {
        conn->state = CONN_ASKING;
        conn->sending = true;
        if (!poll_for(conn, UV_READABLE | UV_WRITABLE))
            timeout_ms = MORE_MS;
    } else {
        conn->state = CONN_LOST;
        timeout_ms = MORE_MS;
    }
    (void)uv_timer_start(&conn->timer, late, (uint64_t)timeout_ms, 0);
}

bool conn_is_idle(const struct conn *conn)
{
    return conn && conn->state == CONN_IDLE && !conn->answer;
}

uint32_t conn_version(const struct conn *conn)
{
    return (uint32_t)PQserverVersion(conn->pq);
}

PGconn *conn_pq(struct conn *conn)
{
    return conn->pq;
}

static void timer_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct pool *pool = conn->pool;

    free(conn);
    pool_remove(pool);
}

void conn_drop(struct conn *conn)
{
    if (!conn || conn->dropped)
        return;
    conn->dropped = true;
    conn->answer = NULL;
    poll_drop(conn);
    PQclear(conn->rows);
    conn->rows = NULL;
    PQfinish(conn->pq); /* sends a goodbye on a non-blocking socket at most */
    conn->pq = NULL;
    uv_close((uv_handle_t *)&conn->timer, timer_closed);
}
