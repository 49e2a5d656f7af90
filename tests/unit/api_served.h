/*
 * api_served.h - a daemon that has nothing but its control socket, and clients of it, in one process and loop.
 */
#ifndef RAFTMGR_TEST_API_SERVED_H
#define RAFTMGR_TEST_API_SERVED_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/api.h"
#include "unit.h"

#define WAIT_MS 5000

static struct daemon served;
static int64_t served_now_us; /* what the turns are told */

static inline int open_served(struct err *err)
{
    memset(&served, 0, sizeof served);
    served_now_us = INT64_MAX / 2; /* every deadline has passed: nothing is waited for */
    settings_init(&served.settings);
    served.settings.node_id = 1;
    (void)text_copy(served.settings.node_name, sizeof served.settings.node_name, "node1");
    (void)unit_path(served.settings.control_socket, sizeof served.settings.control_socket, "control.sock");
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&served.loop), 0);
    log_set_level(LOG_ERROR);
    return api_open(&served, err);
}

static inline void close_served(void)
{
    api_close(&served);
    (void)uv_run(&served.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&served.loop), 0);
    log_set_level(LOG_INFO);
}

static inline int dial(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)text_copy(address.sun_path, sizeof address.sun_path, served.settings.control_socket);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    CU_ASSERT_EQUAL_FATAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The next line as JSON; NULL at the end of the connection. Runs the daemon's loop meanwhile. */
static inline json_t *hear(int fd)
{
    static char line[65536];
    size_t length = 0;

    for (int waited_ms = 0; waited_ms < WAIT_MS;) {
        ssize_t got = recv(fd, line + length, 1, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return NULL;
        if (got > 0 && line[length] == '\n')
            return json_loadb(line, length, 0, NULL);
        if (got > 0) {
            length = length + 1 < sizeof line ? length + 1 : 0;
            continue;
        }
        if (!uv_run(&served.loop, UV_RUN_NOWAIT))
            return NULL;
        api_turn(&served, served_now_us);
        (void)usleep(1000);
        waited_ms++;
    }
    CU_FAIL("no line came");
    return NULL;
}

/* Holds that the next line is an answer with this code; "": a good one. */
static inline void expect(int fd, const char *code)
{
    json_t *line = hear(fd);
    while (json_object_get(line, "progress")) {
        json_decref(line);
        line = hear(fd);
    }
    const char *found = json_string_value(json_object_get(line, "code"));

    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    CU_ASSERT_EQUAL(json_is_true(json_object_get(line, "ok")), code[0] == '\0');
    CU_ASSERT_STRING_EQUAL(found ? found : "", code);
    json_decref(line);
}

#endif
