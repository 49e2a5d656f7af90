/*
 * test_api.c - the control socket: what a request may be, and how clients of all manners are served. The daemon here is
 * no member of anything; what requests make of an agreed state is tested where there is one (live tests).
 */
#include "daemon/api.h"

#include <sys/stat.h>

#include "api_served.h"

/* -- requests ----------------------------------------------------------------------------------------------------- */

static int parse(const char *line, struct api_request *request, struct err *err)
{
    return api_parse(line, strlen(line), request, err);
}

static void takes_requests(void)
{
    struct api_request request;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(parse("{\"command\":\"status\"}", &request, &err), 0);
    CU_ASSERT_EQUAL(request.kind, API_STATUS);
    CU_ASSERT_EQUAL_FATAL(parse("{\"command\":\"switchover\",\"protocol\":1,\"to\":\"node2\",\"dry_run\":true,"
                                "\"timeout_ms\":90000,\"unknown\":[1]}",
                                &request, &err),
                          0);
    CU_ASSERT_EQUAL(request.kind, API_SWITCHOVER);
    CU_ASSERT_STRING_EQUAL(request.to, "node2");
    CU_ASSERT(request.dry_run && !request.force);
    CU_ASSERT_EQUAL(request.timeout_ms, 90000);
    CU_ASSERT_EQUAL_FATAL(parse("{\"command\":\"cluster_event\",\"limit\":0,\"node_id\":3}", &request, &err), 0);
    CU_ASSERT(request.limit == 0 && request.node_id == 3);
    CU_ASSERT_EQUAL_FATAL(parse("{\"command\":\"cluster_event\",\"limit\":null}", &request, &err), 0);
    CU_ASSERT_EQUAL(request.limit, 20);
    CU_ASSERT_EQUAL_FATAL(parse("{\"command\":\"config_set\",\"name\":\"lease_ttl\",\"value\":\"\"}", &request, &err),
                          0);
    CU_ASSERT_STRING_EQUAL(request.name, "lease_ttl");
    CU_ASSERT_EQUAL_FATAL(parse("{\"command\":\"standby_register\",\"force\":true}", &request, &err), 0);
    CU_ASSERT(request.force && request.timeout_ms == 60000);
}

static void refuses_what_is_no_request(void)
{
    static const char *const lines[] = {
        "",
        "status",
        "[]",
        "{}",
        "{\"command\":1}",
        "{\"command\":\"drop\"}",
        "{\"command\":\"status\"} {}",
        "{\"command\":\"status\",\"command\":\"pause\"}",
        "{\"command\":\"status\",\"protocol\":2}",
        "{\"command\":\"status\",\"protocol\":\"1\"}",
        "{\"command\":\"switchover\",\"to\":2}",
        "{\"command\":\"switchover\",\"to\":\"a\\u0000b\"}",
        "{\"command\":\"switchover\",\"dry_run\":1}",
        "{\"command\":\"switchover\",\"timeout_ms\":0}",
        "{\"command\":\"switchover\",\"timeout_ms\":1e3}",
        "{\"command\":\"switchover\",\"timeout_ms\":100000000000}",
        "{\"command\":\"cluster_event\",\"limit\":-1}",
        "{\"command\":\"cluster_event\",\"node_id\":4294967296}",
        "{\"command\":\"config_set\",\"name\":\"lease_ttl\"}",
        "{\"command\":\"config_set\",\"value\":\"4s\"}",
    };
    char line[512];

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct api_request request = { .limit = 77 };
        struct err err = { 0 };
        CU_ASSERT_EQUAL(parse(lines[i], &request, &err), -(int)ERR_USAGE);
        CU_ASSERT(err.text[0] != '\0');
        CU_ASSERT_EQUAL(request.limit, 77);
    }
    /* One byte more than a name has. */
    (void)snprintf(line, sizeof line, "{\"command\":\"switchover\",\"to\":\"%0*d\"}", NAME_SIZE, 1);
    struct api_request request;
    CU_ASSERT_EQUAL(parse(line, &request, NULL), -(int)ERR_USAGE);
    (void)snprintf(line, sizeof line, "{\"command\":\"switchover\",\"to\":\"%0*d\"}", NAME_SIZE - 1, 1);
    CU_ASSERT_EQUAL(parse(line, &request, NULL), 0);
}

/* -- the socket --------------------------------------------------------------------------------------------------- */

static void serves_several_clients(void)
{
    struct err err;
    struct stat found;

    CU_ASSERT_EQUAL_FATAL(open_served(&err), 0);
    CU_ASSERT_EQUAL(stat(served.settings.control_socket, &found), 0);
    CU_ASSERT_EQUAL(found.st_mode & 0777, 0600);
    int first = dial();
    int second = dial();
    say(first, "{\"command\":\"sta");
    say(second, "{\"command\":\"status\"}\n");
    expect(second, "");
    say(first, "tus\"}\n{\"command\":\"config_show\"}\nnonsense\n");
    expect(first, "");
    expect(first, "");
    expect(first, "USAGE");
    say(first, "{\"command\":\"pause\"}\n"); /* no member yet */
    expect(first, "REFUSED");
    say(first, "{\"command\":\"standby_register\"}\n"); /* no join */
    expect(first, "REFUSED");
    (void)close(second);
    say(first, "{\"command\":\"cluster_event\"}\n");
    expect(first, "");
    (void)close(first);
    close_served();
    CU_ASSERT(stat(served.settings.control_socket, &found) < 0 && errno == ENOENT);
}

static void drops_who_talks_too_much(void)
{
    struct err err;
    static char much[API_REQUEST_BYTES_MAX + 4096];

    CU_ASSERT_EQUAL_FATAL(open_served(&err), 0);
    int fd = dial();
    memset(much, 'x', sizeof much - 1);
    for (size_t sent = 0; sent < sizeof much - 1;) {
        ssize_t now = send(fd, much + sent, sizeof much - 1 - sent, MSG_NOSIGNAL);
        if (now < 0 && errno != EAGAIN)
            break;
        sent += now > 0 ? (size_t)now : 0;
        (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    }
    expect(fd, "TOO_BIG");
    CU_ASSERT_PTR_NULL(hear(fd));
    (void)close(fd);

    /* One who never reads is dropped when more waits for him than is good. */
    fd = dial();
    for (int i = 0; i < 20000 && send(fd, "{\"command\":\"config_show\"}\n", 26, MSG_NOSIGNAL) >= 0; i++)
        (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 1000 && served.api->client_count > 0; i++)
        (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(served.api->client_count, 0);
    (void)close(fd);
    int other = dial();
    say(other, "{\"command\":\"status\"}\n");
    expect(other, "");
    (void)close(other);
    close_served();
}

static void turns_away_too_many(void)
{
    int fds[API_CLIENTS_MAX + 1];
    struct err err;

    CU_ASSERT_EQUAL_FATAL(open_served(&err), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        for (int j = 0; j < 5; j++)
            (void)uv_run(&served.loop, UV_RUN_NOWAIT);
    }
    CU_ASSERT_EQUAL(served.api->client_count, API_CLIENTS_MAX);
    CU_ASSERT_PTR_NULL(hear(fds[API_CLIENTS_MAX]));
    say(fds[0], "{\"command\":\"status\"}\n");
    expect(fds[0], "");
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    close_served();
}

static void replaces_only_what_is_stale(void)
{
    struct daemon other = { 0 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct err err = { 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* Left over from a daemon that died: nobody listens. */
    (void)unit_path(address.sun_path, sizeof address.sun_path, "control.sock");
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd);
    CU_ASSERT_EQUAL_FATAL(open_served(&err), 0);

    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&other.loop), 0);
    settings_init(&other.settings);
    (void)text_copy(other.settings.control_socket, sizeof other.settings.control_socket,
                    served.settings.control_socket);
    CU_ASSERT_EQUAL(api_open(&other, &err), -(int)ERR_REFUSED);
    /* A file that is no socket is somebody's. */
    (void)unit_path(other.settings.control_socket, sizeof other.settings.control_socket, "file");
    FILE *file = fopen(other.settings.control_socket, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fclose(file);
    CU_ASSERT_EQUAL(api_open(&other, &err), -(int)ERR_CONFIG);
    (void)uv_run(&other.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&other.loop), 0);

    int client = dial(); /* the first one serves as before */
    say(client, "{\"command\":\"status\"}\n");
    expect(client, "");
    (void)close(client);
    close_served();
}

static const struct unit_test tests[] = {
    { "requests are taken apart, unknown members passed over", takes_requests },
    { "what is no request is refused, and says why", refuses_what_is_no_request },
    { "several clients are served, lines may come in pieces and in bulk", serves_several_clients },
    { "a client that sends too much, or never reads, is dropped", drops_who_talks_too_much },
    { "no more clients than are good, and the others are served on", turns_away_too_many },
    { "a stale socket is replaced, one that is listened on is not", replaces_only_what_is_stale },
};
const struct unit_suite suite_api = UNIT_SUITE("api", tests);
