/*
 * writer.c - writes one row after another and records what the database said of each.
 *
 * One row is one transaction with an id of its own; at most one is in flight. Each host is tried by itself and gets no
 * longer than the limit: to accept a connection, and to answer. A row whose answer is late is not given up at once: its
 * connection is kept while the other hosts are tried, and only when one of these takes writes is its outcome recorded
 * as unknown. What nobody told us was committed is never recorded as acknowledged; neither is a COMMIT with a WARNING,
 * which is how PostgreSQL reports a synchronous commit whose waiting was cancelled.
 *
 * Output, one line a row:   ID SENT_US DONE_US OUTCOME HOST SERVER TIMELINE CODE
 * and an event of a connection:   0 AT_US AT_US up|down HOST - 0 CODE
 * OUTCOME is ok, refused (surely not committed), warned or unknown. Moments are CLOCK_BOOTTIME in microseconds, one
 * clock for all hosts of a test, so lines of several writers can be compared.
 *
 * Pinned to one host (--pinned) it waits there for as long as that host is a standby and writes as soon as it is not:
 * two such writers that are acknowledged at the same time prove two primaries.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/base.h"

#define HOSTS_MAX 8
#define CONNINFO_SIZE 1024
#define TEXT_SIZE 64
#define QUERY_SIZE 512
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define USAGE "writer --out FILE --host NAME=CONNINFO... [--first ID] [--pause-ms N] [--limit-ms N] [--pinned]"
#define ROUND_PAUSE_US 20000 /* between two rounds over hosts that all refused */

struct host {
    char name[TEXT_SIZE];
    char conninfo[CONNINFO_SIZE];
    PGconn *conn;
    bool in_flight; /* a row was sent and not answered */
    bool warned;    /* a WARNING came with the answer */
    int64_t id;     /* of the row in flight */
    int64_t sent_us;
};

struct writer {
    struct host hosts[HOSTS_MAX];
    int count;
    int current;
    bool pinned;
    int64_t next_id;
    int64_t limit_us;
    int64_t pause_us;
    FILE *out;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pause_us(int64_t duration_us)
{
    struct timespec pause = { duration_us / 1000000, duration_us % 1000000 * 1000 };

    (void)nanosleep(&pause, NULL); /* a signal may end it early: nothing depends on its length */
}

static void die(const char *text, const char *detail)
{
    (void)fprintf(stderr, "writer: %s: %s\n", text, detail);
    exit(2);
}

/* Waits until the connection's socket is readable (or writable) or the deadline has passed; false for the latter. */
static bool wait_socket(const PGconn *conn, short events, int64_t deadline_us)
{
    struct pollfd poll_fd = { .fd = PQsocket(conn), .events = events };

    for (;;) {
        int64_t left_us = deadline_us - now_us();
        int ready = poll(&poll_fd, 1, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);

        if (ready > 0)
            return true;
        if (ready < 0 && errno == EINTR && !stop)
            continue;
        return false;
    }
}

static void record_event(struct writer *writer, const struct host *host, const char *what, const char *code)
{
    int64_t at_us = now_us();

    (void)fprintf(writer->out, "0 %" PRId64 " %" PRId64 " %s %s - 0 %s\n", at_us, at_us, what, host->name, code);
}

static void record(struct writer *writer, struct host *host, const char *outcome, const char *server,
                   const char *timeline, const char *code)
{
    (void)fprintf(writer->out, "%" PRId64 " %" PRId64 " %" PRId64 " %s %s %s %s %s\n", host->id, host->sent_us,
                  now_us(), outcome, host->name, server, timeline, code);
    host->in_flight = false;
}

static void drop(struct writer *writer, struct host *host, const char *code)
{
    if (host->in_flight)
        record(writer, host, "unknown", "-", "0", code);
    if (host->conn)
        record_event(writer, host, "down", code);
    PQfinish(host->conn);
    host->conn = NULL;
}

static void on_notice(void *arg, const PGresult *result)
{
    struct host *host = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity && strcmp(severity, "WARNING") == 0)
        host->warned = true;
}

/* Connects within the limit; a writer that is not pinned takes only a server that accepts writes. */
static bool connect_host(struct writer *writer, struct host *host)
{
    int64_t deadline_us = now_us() + writer->limit_us;
    PGconn *conn = PQconnectStart(host->conninfo);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (conn && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED && PQstatus(conn) != CONNECTION_BAD) {
        if (!wait_socket(conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us))
            break;
        state = PQconnectPoll(conn);
    }
    if (state != PGRES_POLLING_OK) {
        PQfinish(conn);
        return false;
    }
    (void)PQsetnonblocking(conn, 1);
    (void)PQsetNoticeReceiver(conn, on_notice, host);
    host->conn = conn;
    host->in_flight = false;
    record_event(writer, host, "up", "-");
    return true;
}

/* Waits for the whole answer to what was sent; NULL when there is none by the deadline or the connection broke. */
static PGresult *read_answer(struct host *host, int64_t deadline_us)
{
    while (PQflush(host->conn) == 1)
        if (!wait_socket(host->conn, POLLOUT, deadline_us))
            return NULL;
    while (PQisBusy(host->conn)) {
        if (!wait_socket(host->conn, POLLIN, deadline_us) || !PQconsumeInput(host->conn))
            return NULL;
    }
    return PQgetResult(host->conn);
}

/* Takes what follows the answer, up to the server being ready again; drops a connection on which that does not come. */
static void read_rest(struct writer *writer, struct host *host)
{
    int64_t deadline_us = now_us() + writer->limit_us;
    PGresult *result = read_answer(host, deadline_us);

    while (result) {
        PQclear(result);
        result = read_answer(host, deadline_us);
    }
    if (PQtransactionStatus(host->conn) != PQTRANS_IDLE)
        drop(writer, host, "unready");
}

/* Asks a host whether it is a standby; drops it when it does not answer. */
static bool takes_writes(struct writer *writer, struct host *host)
{
    PGresult *result = NULL;
    bool writable = false;

    if (PQsendQuery(host->conn, "SELECT pg_is_in_recovery()"))
        result = read_answer(host, now_us() + writer->limit_us);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        writable = PQgetvalue(result, 0, 0)[0] == 'f';
        read_rest(writer, host);
    } else {
        drop(writer, host, "probe");
    }
    PQclear(result);
    return writable && host->conn;
}

/*
 * Sends the next row as a simple query: then the transaction ends, synchronous wait included, before the server says
 * that the command is complete. In the extended protocol it would end after that.
 */
static bool send_row(struct writer *writer, struct host *host)
{
    char query[QUERY_SIZE];

    host->id = writer->next_id++;
    host->sent_us = now_us();
    host->warned = false;
    (void)snprintf(query, sizeof(query),
                   "INSERT INTO live_rows (id, sent_us, host) VALUES (%" PRId64 ", %" PRId64 ", '%s')"
                   " RETURNING coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'local'),"
                   " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int",
                   host->id, host->sent_us, host->name);
    host->in_flight = PQsendQuery(host->conn, query);
    return host->in_flight;
}

/* True when this answer says for sure that the row was not committed: the server was read-only. */
static bool surely_refused(const char *code)
{
    return strcmp(code, "25006") == 0;
}

/*
 * Takes the answer to the row in flight, waiting until the deadline. Returns true when the host may take the next row.
 * Without an answer the row stays in flight, unless the connection is gone.
 */
static bool finish_row(struct writer *writer, struct host *host, int64_t deadline_us)
{
    PGresult *result = read_answer(host, deadline_us);
    const char *code = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;

    if (!result) {
        if (PQstatus(host->conn) == CONNECTION_BAD)
            drop(writer, host, "broken");
        return false;
    }
    if (ok) {
        char server[TEXT_SIZE];
        char timeline[TEXT_SIZE];

        (void)text_copy(server, sizeof(server), PQgetvalue(result, 0, 0));
        (void)text_copy(timeline, sizeof(timeline), PQgetvalue(result, 0, 1));
        record(writer, host, host->warned ? "warned" : "ok", server, timeline, "-");
        read_rest(writer, host);
    } else {
        code = code ? code : "none";
        record(writer, host, surely_refused(code) ? "refused" : "unknown", "-", "0", code);
        drop(writer, host, code);
    }
    PQclear(result);
    return ok && host->conn;
}

/* One visit of a host: true when it takes rows now and has none in flight. A host that owes an answer had its time when
 * the row was sent: it is only looked at whether the answer has come. */
static bool visit(struct writer *writer, struct host *host)
{
    if (host->conn && host->in_flight)
        return finish_row(writer, host, now_us());
    if (!host->conn && !connect_host(writer, host))
        return false;
    return writer->pinned ? takes_writes(writer, host) : true;
}

/* Goes round the hosts until one takes rows. Rows that are still in flight elsewhere are then unknown. */
static struct host *find_host(struct writer *writer)
{
    while (!stop) {
        for (int i = 0; i < writer->count && !stop; i++) {
            struct host *host = &writer->hosts[(writer->current + 1 + i) % writer->count];

            if (!visit(writer, host))
                continue;
            for (int other = 0; other < writer->count; other++)
                if (&writer->hosts[other] != host)
                    drop(writer, &writer->hosts[other], "moved");
            writer->current = (int)(host - writer->hosts);
            return host;
        }
        pause_us(ROUND_PAUSE_US);
    }
    return NULL;
}

static void write_rows(struct writer *writer)
{
    while (!stop) {
        struct host *host = find_host(writer);

        while (host && !stop) {
            if (!send_row(writer, host)) {
                drop(writer, host, "send");
                break;
            }
            if (!finish_row(writer, host, now_us() + writer->limit_us))
                break;
            pause_us(writer->pause_us);
        }
    }
    for (int i = 0; i < writer->count; i++) {
        struct host *host = &writer->hosts[i];

        if (host->conn && host->in_flight)
            (void)finish_row(writer, host, now_us() + writer->limit_us);
        drop(writer, host, "end");
    }
}

static void add_host(struct writer *writer, const char *text)
{
    struct host *host = &writer->hosts[writer->count];
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;

    if (writer->count == HOSTS_MAX || length == 0 || length >= sizeof(host->name) || strspn(text, NAME_CHARS) != length)
        die("--host wants NAME=CONNINFO, at most 8 times", text);
    memcpy(host->name, text, length);
    (void)text_copy(host->conninfo, sizeof(host->conninfo), equals + 1);
    writer->count++;
}

static int64_t number(const char *text)
{
    char *end = NULL;
    long long value = strtoll(text, &end, 10);

    if (end == text || *end != '\0' || value < 0)
        die("not a number", text);
    return value;
}

static void finish_conninfo(struct writer *writer)
{
    for (int i = 0; i < writer->count; i++) {
        struct host *host = &writer->hosts[i];
        char given[CONNINFO_SIZE];
        int length;

        (void)text_copy(given, sizeof(given), host->conninfo);
        length = snprintf(host->conninfo, sizeof(host->conninfo), "%s application_name=writer target_session_attrs=%s",
                          given, writer->pinned ? "any" : "read-write");
        if (length < 0 || (size_t)length >= sizeof(host->conninfo))
            die("connection string is too long", given);
    }
}

static void parse(struct writer *writer, int argc, char **argv)
{
    static const struct option options[] = {
        { "host", required_argument, NULL, 'h' },
        { "out", required_argument, NULL, 'o' },
        { "first", required_argument, NULL, 'f' },
        { "pause-ms", required_argument, NULL, 'p' },
        { "limit-ms", required_argument, NULL, 'l' },
        { "pinned", no_argument, NULL, 'P' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'h':
            add_host(writer, optarg);
            break;
        case 'o':
            writer->out = fopen(optarg, "a");
            if (!writer->out)
                die("could not open the output", optarg);
            break;
        case 'f':
            writer->next_id = number(optarg);
            break;
        case 'p':
            writer->pause_us = number(optarg) * 1000;
            break;
        case 'l':
            writer->limit_us = number(optarg) * 1000;
            break;
        case 'P':
            writer->pinned = true;
            break;
        default:
            die("usage", USAGE);
        }
    }
    if (writer->count == 0 || !writer->out || (writer->pinned && writer->count != 1))
        die("usage", "--out and --host are needed; --pinned takes one host");
    finish_conninfo(writer);
}

int main(int argc, char **argv)
{
    struct writer writer = { .next_id = 1, .limit_us = 200000, .pause_us = 5000 };
    struct sigaction action = { .sa_handler = on_signal };

    parse(&writer, argc, argv);
    (void)setvbuf(writer.out, NULL, _IOLBF, 0);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    write_rows(&writer);
    if (fclose(writer.out) != 0)
        die("could not write the output", strerror(errno));
    return 0;
}
