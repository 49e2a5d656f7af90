/* control.c - one request over the control socket. See control.h. */
#include "cli/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/say.h"

#define CONNECT_WAIT_MS 5000
#define READ_BYTES 16384

struct line_reader {
    int fd;
    int wait_ms;
    struct buf bytes; /* read and not yet taken, from `taken` on */
    size_t taken;
};

static void line_reader_release(struct line_reader *reader)
{
    buf_release(&reader->bytes);
    if (reader->fd >= 0)
        (void)close(reader->fd);
}

static int64_t now_ms(void)
{
    return clock_boot_us() / 1000;
}

/* Waits until the socket is ready; ERR_TIMEOUT after the deadline. */
static int await(int fd, short events, int64_t deadline_ms, struct err *err)
{
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = events };
        int64_t left = deadline_ms - now_ms();
        int count = left > 0 ? poll(&ready, 1, (int)left) : 0;
        if (count > 0)
            return 0;
        if (count == 0)
            return err_set(err, ERR_TIMEOUT, "the local daemon does not answer");
        if (errno != EINTR)
            return err_set_errno(err, errno, "could not wait for the local daemon");
    }
}

/* Returns the socket or a negative code. */
static int dial(const char *path, char *ret_hint, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t deadline = now_ms() + CONNECT_WAIT_MS;

    if (!text_copy(address.sun_path, sizeof address.sun_path, path))
        return err_set(err, ERR_CONFIG, "the path of the control socket '%s' is too long", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "could not make a socket");
    /* EAGAIN: the daemon's queue of connections is full (connect(2)); there is nothing to wait on but time. */
    while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int number = errno;
        if ((number == EAGAIN || number == EINTR) && now_ms() < deadline) {
            (void)poll(NULL, 0, 20);
            continue;
        }
        (void)close(fd);
        if (number == EACCES || number == EPERM)
            (void)snprintf(ret_hint, HINT_SIZE, "run rmctl as the user of the daemon, or as root");
        else if (number == EAGAIN)
            (void)snprintf(ret_hint, HINT_SIZE, "the daemon runs but takes no connection: look at its log");
        else
            (void)snprintf(ret_hint, HINT_SIZE,
                           "is raftmgrd running on this host, with the same configuration? Start it with \"raftmgrd -f "
                           "FILE\" or its service, then try again");
        (void)err_set_errno(err, number, "could not reach the local daemon at '%s'", path);
        err->code = ERR_DAEMON;
        return -(int)ERR_DAEMON;
    }
    return fd;
}

static int send_all(int fd, const char *bytes, size_t length, struct err *err)
{
    int64_t deadline = now_ms() + CONNECT_WAIT_MS;

    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            int failed = await(fd, POLLOUT, deadline, err);
            if (failed)
                return failed;
        } else if (errno != EINTR) {
            return err_set_errno(err, errno, "could not send to the local daemon");
        }
    }
    return 0;
}

/* The next line, terminated in place and borrowed until the next call. */
static int next_line(struct line_reader *reader, char **ret_line, struct err *err)
{
    uint8_t chunk[READ_BYTES];
    int64_t deadline = now_ms() + reader->wait_ms;

    for (;;) {
        size_t left = reader->bytes.length - reader->taken;
        uint8_t *start = reader->bytes.bytes + reader->taken;
        uint8_t *end = left ? memchr(start, '\n', left) : NULL;
        if (end) {
            *end = '\0';
            reader->taken += (size_t)(end - start) + 1;
            *ret_line = (char *)start;
            return 0;
        }
        if (left)
            memmove(reader->bytes.bytes, start, left);
        reader->bytes.length = left;
        reader->taken = 0;
        ssize_t got = recv(reader->fd, chunk, sizeof chunk, 0);
        if (got == 0)
            return err_set(err, ERR_DAEMON, "the local daemon ended the connection without an answer");
        if (got > 0) {
            buf_put(&reader->bytes, chunk, (size_t)got);
            if (reader->bytes.failed)
                return err_set(err, ERR_TOO_BIG, "the local daemon's answer is too long");
        } else if (errno == EAGAIN) {
            int failed = await(reader->fd, POLLIN, deadline, err);
            if (failed)
                return failed;
        } else if (errno != EINTR) {
            return err_set_errno(err, errno, "could not read the local daemon's answer");
        }
    }
}

static enum err_code code_of(const char *name)
{
    static const struct {
        const char *name;
        enum err_code code;
    } codes[] = {
#define ERR(name, status, text) { #name, ERR_##name },
#include "base/err.def"
#undef ERR
    };

    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (!strcmp(codes[i].name, name))
            return codes[i].code;
    return ERR_INTERNAL;
}

static void print_progress(const json_t *line)
{
    enum say_level level = SAY_INFO;

    (void)say_level_of(result_text(line, "level"), &level);
    say(level, "%s", result_text(line, "progress"));
}

/* Reads lines until the last one of the answer. */
static int read_answer(struct line_reader *reader, json_t **ret_result, char *ret_hint, struct err *err)
{
    char *text;

    for (;;) {
        int failed = next_line(reader, &text, err);
        if (failed)
            return failed;
        json_t *line = json_loads(text, 0, NULL);
        const json_t *ok = json_object_get(line, "ok");
        if (!ok && json_is_string(json_object_get(line, "progress"))) {
            print_progress(line);
            json_decref(line);
            continue;
        }
        if (json_is_true(ok)) {
            json_t *result = json_object_get(line, "result");
            *ret_result = json_is_object(result) ? json_incref(result) : json_object();
        } else if (json_is_false(ok)) {
            failed = err_set(err, code_of(result_text(line, "code")), "%s", result_text(line, "error"));
            (void)text_copy(ret_hint, HINT_SIZE, result_text(line, "hint"));
        } else {
            failed = err_set(err, ERR_INTERNAL, "the local daemon's answer is not understood");
        }
        json_decref(line);
        return failed;
    }
}

int control_ask(const char *socket_path, const char *name, json_t *arguments, int wait_ms, json_t **ret_result,
                char *ret_hint, struct err *err)
{
    AUTO(line_reader) reader = { .wait_ms = wait_ms };
    json_t *request = arguments ? arguments : json_object();

    ret_hint[0] = '\0';
    buf_init(&reader.bytes, CONTROL_LINE_MAX);
    (void)json_object_set_new(request, "command", json_string(name));
    (void)json_object_set_new(request, "protocol", json_integer(CONTROL_PROTOCOL));
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (!text) {
        reader.fd = -1;
        return err_set(err, ERR_USAGE, "the arguments are not valid text (UTF-8)");
    }
    reader.fd = dial(socket_path, ret_hint, err);
    int failed = reader.fd < 0 ? reader.fd : send_all(reader.fd, text, strlen(text), err);
    if (!failed)
        failed = send_all(reader.fd, "\n", 1, err);
    free(text);
    if (!failed)
        failed = read_answer(&reader, ret_result, ret_hint, err);
    if (failed == -(int)ERR_TIMEOUT && !ret_hint[0])
        (void)snprintf(ret_hint, HINT_SIZE,
                       strcmp(name, "status") ? "look at \"rmctl status\" and at the daemon's log"
                                              : "raftmgrd of this host hangs: look at its process and its log, and ask "
                                                "on another host");
    return failed;
}

int control_command(struct cli *cli, const char *name, json_t *arguments, int wait_ms, json_t **ret_result,
                    struct err *err)
{
    int failed = cli_load_settings(cli, err);

    if (failed) {
        json_decref(arguments);
        return failed;
    }
    failed = control_ask(cli->settings.control_socket, name, arguments, wait_ms, ret_result, cli->hint, err);
    if (!failed && cli->options.json) {
        json_dumpf(*ret_result, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    return failed;
}

const char *result_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

int64_t result_number(const json_t *object, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool result_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

bool result_has(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return value && !json_is_null(value);
}
