/*
 * api.c - the control socket: connections, lines in and out, and whose turn it is. See api.h.
 *
 * A socket file that is left over from a daemon that died is removed; one on which somebody listens is not. Who may
 * connect is the file's mode: the owner and root.
 */
#include "daemon/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/hook.h"

#define BACKLOG 16
#define LINE_TEXT_MAX 2048

static const char *const code_names[ERR_COUNT] = {
    [ERR_OK] = "OK",
#define ERR(name, status, text) [ERR_##name] = #name,
#include "base/err.def"
#undef ERR
};

static void (*const turns[API_KIND_COUNT])(struct api_client *client, int64_t now_us) = {
    [API_STATUS] = api_turn_status,
    [API_PRIMARY_REGISTER] = api_turn_primary_register,
    [API_STANDBY_REGISTER] = api_turn_member_register,
    [API_WITNESS_REGISTER] = api_turn_member_register,
    [API_CLUSTER_EVENT] = api_turn_cluster_event,
    [API_SWITCHOVER] = api_turn_switchover,
    [API_FAILOVER_STATUS] = api_turn_failover,
    [API_WRITE_OFF] = api_turn_failover,
    [API_ACCEPT_LOSS] = api_turn_failover,
    [API_HOST_OFF] = api_turn_failover,
    [API_PAUSE] = api_turn_pause,
    [API_UNPAUSE] = api_turn_pause,
    [API_CONFIG_SHOW] = api_turn_config_show,
    [API_CONFIG_SET] = api_turn_config_set,
};

/* -- connections -------------------------------------------------------------------------------------------------- */

static void handle_closed(struct api *api)
{
    if (--api->handles == 0)
        free(api);
}

static void client_closed(uv_handle_t *handle)
{
    struct api_client *client = handle->data;
    struct api *api = client->api;

    for (struct api_client **at = &api->clients; *at; at = &(*at)->next) {
        if (*at == client) {
            *at = client->next;
            break;
        }
    }
    api->client_count--;
    buf_release(&client->in);
    free(client);
    handle_closed(api);
}

static void client_close(struct api_client *client)
{
    if (client->closing)
        return;
    client->closing = true;
    client->task.open = false;
    uv_close((uv_handle_t *)&client->pipe, client_closed);
}

struct line {
    uv_write_t write;
    char *text;
};

static void line_written(uv_write_t *write, int status)
{
    struct line *line = write->data;
    struct api_client *client = write->handle->data;

    if (status < 0 && status != UV_ECANCELED)
        client_close(client);
    free(line->text);
    free(line);
}

/* Takes object over. */
static void send_line(struct api_client *client, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    struct line *line = malloc(sizeof *line);

    json_decref(object);
    if (!text || !line || client->closing ||
        uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe) > API_UNSENT_BYTES_MAX) {
        free(text);
        free(line);
        client_close(client);
        return;
    }
    size_t length = strlen(text);
    line->text = text;
    line->write.data = line;
    text[length] = '\n'; /* instead of the terminator, which nobody needs any more */
    uv_buf_t bytes = uv_buf_init(text, (unsigned)length + 1);
    client->task.told_us = clock_boot_us();
    if (uv_write(&line->write, (uv_stream_t *)&client->pipe, &bytes, 1, line_written) < 0) {
        free(line->text);
        free(line);
        client_close(client);
    }
}

/* -- answering ---------------------------------------------------------------------------------------------------- */

/* Texts of other programs may be no UTF-8. */
static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);
    char plain[LINE_TEXT_MAX];

    if (json)
        return json;
    (void)text_copy(plain, sizeof plain, text);
    for (char *at = plain; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    return json_string(plain);
}

void api_progress(struct api_client *client, const char *level, const char *format, ...)
{
    char text[LINE_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    send_line(client, json_pack("{s:o, s:s}", "progress", text_json(text), "level", level));
}

void api_answer(struct api_client *client, json_t *result)
{
    client->task.open = false;
    send_line(client, json_pack("{s:b, s:o}", "ok", 1, "result", result ? result : json_object()));
}

void api_fail(struct api_client *client, const struct err *err, const char *hint)
{
    enum err_code code = err->code > ERR_OK && err->code < ERR_COUNT ? err->code : ERR_INTERNAL;
    json_t *object = json_pack("{s:b, s:s, s:o}", "ok", 0, "code", code_names[code], "error", text_json(err->text));

    client->task.open = false;
    if (hint && hint[0])
        (void)json_object_set_new(object, "hint", text_json(hint));
    send_line(client, object);
}

void api_refuse(struct api_client *client, enum err_code code, const char *hint, const char *format, ...)
{
    struct err err = { .code = code };
    va_list args;

    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    api_fail(client, &err, hint);
}

/* Whatever is waited for comes through the Raft log: where that cannot be written, it is why. */
static void note_log_problem(struct api_client *client)
{
    struct api_task *task = &client->task;
    struct consensus_status raft;
    size_t used = strlen(task->waits);

    if (!client->daemon->consensus)
        return;
    consensus_status(client->daemon->consensus, &raft);
    if (raft.problem[0])
        (void)snprintf(task->waits + used, sizeof task->waits - used, "; %s", raft.problem);
}

void api_waits(struct api_client *client, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(client->task.waits, sizeof client->task.waits, format, args);
    va_end(args);
    note_log_problem(client);
}

/* -- proposing and looking ---------------------------------------------------------------------------------------- */

bool api_try(struct api_client *client, struct command *command)
{
    const struct manager *manager = &client->daemon->manager;
    char reason[TEXT_SIZE];
    struct cluster *copy = malloc(sizeof *copy);
    if (!copy) {
        api_refuse(client, ERR_MEMORY, NULL, "out of memory");
        return false;
    }
    *copy = manager->cluster;
    command->raft_id = manager->node.raft_id;
    command->start_no = manager->node.start_no;
    command->wall_us = clock_wall_us();
    enum apply_result result = cluster_apply(copy, command, reason);
    free(copy);
    if (result == APPLY_REFUSED) {
        api_refuse(client, ERR_REFUSED, NULL, "%s", reason);
        return false;
    }
    return true;
}

bool api_propose(struct api_client *client, struct command *command, int64_t now_us)
{
    struct api_task *task = &client->task;
    struct manager *manager = &client->daemon->manager;

    if (task->submitted_us != 0 && now_us - task->submitted_us < API_RESUBMIT_US)
        return true;
    if (!api_try(client, command))
        return false;
    /* No leader: it is tried again until the deadline, and the answer then says why it came to nothing. */
    if (manager_submit(manager, command, now_us, NULL) == 0)
        task->submitted_us = now_us;
    return true;
}

bool api_ready(struct api_client *client)
{
    const struct daemon *daemon = client->daemon;

    if (daemon->consensus && daemon->manager.cluster.cluster_id != 0 && daemon->manager.node.hello)
        return true;
    if (!daemon->consensus)
        api_refuse(client, ERR_REFUSED, "register it first: \"rmctl status\" says what it waits for",
                   "this node is not part of a cluster yet");
    else
        api_waits(client, "this node to know what is agreed");
    return false;
}

json_t *api_node(const struct cluster *cluster, int32_t node_id)
{
    const struct member *member = cluster_member(cluster, node_id);

    return json_pack("{s:i, s:o}", "node_id", (int)node_id, "node_name", text_json(member ? member->name : ""));
}

const struct report *api_report(const struct daemon *daemon, int32_t node_id, int64_t now_us)
{
    const struct manager *manager = &daemon->manager;
    const struct member *member = cluster_member(&manager->cluster, node_id);
    int64_t fresh_us = (int64_t)manager->cluster.policy.failure_timeout_ms * 1000;

    if (!member)
        return NULL;
    if (member->raft_id == manager->node.raft_id)
        return &manager->report;
    fresh_us = fresh_us > 1000000 ? fresh_us : 1000000;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        const struct manager_heard *heard = &manager->heard[i];
        if (heard->at_us != 0 && heard->raft_id == member->raft_id && now_us - heard->at_us <= fresh_us)
            return &heard->report;
    }
    return NULL;
}

/* -- turns -------------------------------------------------------------------------------------------------------- */

static void give_up(struct api_client *client)
{
    const struct api_task *task = &client->task;
    const struct manager *manager = &client->daemon->manager;
    const char *hint = "look at \"rmctl status\"";

    if (task->submitted_us != 0)
        api_refuse(client, ERR_UNKNOWN, hint, "it was proposed, and is not in effect after %" PRId64 " s; waits for %s",
                   task->request.timeout_ms / 1000, task->waits);
    else if (client->daemon->consensus && manager->lead.raft.leader_id == 0)
        api_refuse(client, ERR_NOT_LEADER, hint, "no Raft leader is known to this node; waited %" PRId64 " s for %s",
                   task->request.timeout_ms / 1000, task->waits);
    else
        api_refuse(client, ERR_TIMEOUT, hint, "waited %" PRId64 " s for %s", task->request.timeout_ms / 1000,
                   task->waits);
}

static void turn(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;

    turns[task->request.kind](client, now_us);
    if (!task->open || client->closing)
        return;
    if (now_us >= task->deadline_us)
        give_up(client);
    else if (now_us - task->told_us >= API_KEEP_ALIVE_US)
        api_progress(client, "INFO", "waits for %s", task->waits);
}

static void begin(struct api_client *client, const char *line, size_t length)
{
    struct api_task *task = &client->task;
    struct err err = { 0 };
    char quoted[TEXT_SIZE];
    int64_t now_us = clock_boot_us();

    memset(task, 0, sizeof *task);
    if (api_parse(line, length, &task->request, &err) < 0) {
        api_fail(client, &err, "docs/reference/control.md lists the requests");
        return;
    }
    task->open = true;
    task->begun_us = now_us;
    task->told_us = now_us;
    task->deadline_us = now_us + task->request.timeout_ms * 1000;
    if (task->request.kind != API_STATUS && task->request.kind != API_FAILOVER_STATUS) {
        (void)snprintf(quoted, sizeof quoted, "%.*s", (int)(length < 100 ? length : 100), line);
        char text[2 * TEXT_SIZE];
        daemon_event(client->daemon, EVENT_CONTROL, "request=%s", log_quoted(text, sizeof text, quoted));
    }
    turn(client, now_us);
}

/* Begins the next request once the last one has its answer. */
static void next_request(struct api_client *client)
{
    while (!client->closing && !client->task.open && client->in.length > 0) {
        uint8_t *end = memchr(client->in.bytes, '\n', client->in.length);
        if (!end)
            break;
        size_t length = (size_t)(end - client->in.bytes);
        begin(client, (const char *)client->in.bytes, length);
        size_t left = client->in.length - length - 1;
        memmove(client->in.bytes, end + 1, left);
        client->in.length = left;
    }
    if (!client->closing && client->in.length > API_REQUEST_BYTES_MAX) {
        api_refuse(client, ERR_TOO_BIG, NULL, "a request is at most %u bytes long", API_REQUEST_BYTES_MAX);
        client_close(client);
    }
    if (client->task.open)
        daemon_wake(client->daemon);
}

static void timer_fired(uv_timer_t *timer)
{
    struct api *api = timer->data;

    daemon_wake(api->daemon);
}

void api_turn(struct daemon *daemon, int64_t now_us)
{
    struct api *api = daemon->api;
    bool open = false;

    if (!api)
        return;
    for (struct api_client *client = api->clients; client; client = client->next) {
        if (client->task.open)
            turn(client, now_us);
        if (!client->task.open)
            next_request(client);
        open = open || client->task.open;
    }
    if (!open)
        (void)uv_timer_stop(&api->timer);
    else if (!uv_is_active((uv_handle_t *)&api->timer))
        (void)uv_timer_start(&api->timer, timer_fired, API_TURN_MS, API_TURN_MS);
}

/* -- reading ------------------------------------------------------------------------------------------------------ */

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct api_client *client = handle->data;

    (void)suggested;
    *room = uv_buf_init(client->room, sizeof client->room);
}

static void got_bytes(uv_stream_t *stream, ssize_t count, const uv_buf_t *room)
{
    struct api_client *client = stream->data;

    if (count > 0)
        buf_put(&client->in, room->base, (size_t)count);
    if (count < 0 || client->in.failed)
        client_close(client);
    else
        next_request(client);
}

static void connected(uv_stream_t *server, int status)
{
    struct api *api = server->data;
    struct api_client *client = status == 0 ? calloc(1, sizeof *client) : NULL;

    if (!client)
        return;
    client->api = api;
    client->daemon = api->daemon;
    buf_init(&client->in, API_REQUEST_BYTES_MAX + API_READ_BYTES);
    (void)uv_pipe_init(server->loop, &client->pipe, 0); /* cannot fail */
    client->pipe.data = client;
    client->next = api->clients;
    api->clients = client;
    api->client_count++;
    api->handles++;
    /* One too many is taken and closed at once: left in the queue it would wait for nothing. */
    if (uv_accept(server, (uv_stream_t *)&client->pipe) < 0 || api->client_count > API_CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&client->pipe, give_room, got_bytes) < 0)
        client_close(client);
}

/* -- opening and closing ------------------------------------------------------------------------------------------ */

/* A socket file on which nobody listens any more is removed. */
static int remove_stale(const char *path, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat found;

    if (!text_copy(address.sun_path, sizeof address.sun_path, path))
        return err_set(err, ERR_CONFIG, "the path of the control socket '%s' is too long", path);
    if (lstat(path, &found) < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, errno, "could not look at the control socket '%s'", path);
    if (!S_ISSOCK(found.st_mode))
        return err_set(err, ERR_CONFIG, "control_socket '%s' is there and is no socket: remove it, or name another",
                       path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "could not make a socket");
    int failed = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    (void)close(fd);
    if (failed == 0 || failed == EAGAIN)
        return err_set(err, ERR_REFUSED, "another daemon listens on the control socket '%s'", path);
    if (failed != ECONNREFUSED && failed != ENOENT)
        return err_set_errno(err, failed, "could not find out whether anybody listens on '%s'", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_set_errno(err, errno, "could not remove the stale control socket '%s'", path);
    return 0;
}

static int listen_on(struct api *api, const char *path, struct err *err)
{
    int failed = remove_stale(path, err);

    if (failed)
        return failed;
    int status = uv_pipe_bind(&api->pipe, path);
    if (status < 0)
        return err_set_errno(err, -status, "could not make the control socket '%s'", path);
    /* Before listening, so that there is no moment in which somebody else could connect. */
    if (chmod(path, S_IRUSR | S_IWUSR) < 0)
        return err_set_errno(err, errno, "could not set the mode of the control socket '%s'", path);
    status = uv_listen((uv_stream_t *)&api->pipe, BACKLOG, connected);
    if (status < 0)
        return err_set_errno(err, -status, "could not listen on the control socket '%s'", path);
    return 0;
}

static void api_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

int api_open(struct daemon *daemon, struct err *err)
{
    struct api *api = calloc(1, sizeof *api);

    if (!api)
        return err_set(err, ERR_MEMORY, "out of memory");
    api->daemon = daemon;
    api->handles = 2;
    (void)uv_pipe_init(&daemon->loop, &api->pipe, 0); /* neither can fail */
    (void)uv_timer_init(&daemon->loop, &api->timer);
    api->pipe.data = api;
    api->timer.data = api;
    daemon->api = api;
    int failed = listen_on(api, daemon->settings.control_socket, err);
    if (failed)
        api_close(daemon);
    return failed;
}

void api_close(struct daemon *daemon)
{
    struct api *api = daemon->api;

    if (!api)
        return;
    daemon->api = NULL;
    hook_close(api->hook);
    for (struct api_client *client = api->clients; client; client = client->next)
        client_close(client);
    uv_close((uv_handle_t *)&api->timer, api_handle_closed);
    uv_close((uv_handle_t *)&api->pipe, api_handle_closed); /* removes the socket file */
}

bool api_published(struct daemon *daemon, int code, const char *text)
{
    struct api *api = daemon->api;
    bool news = code != 0 && api && strcmp(api->schema_problem, text) != 0;

    if (api)
        (void)text_copy(api->schema_problem, sizeof api->schema_problem, code == 0 ? "" : text);
    return news;
}
