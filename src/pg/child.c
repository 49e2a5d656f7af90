/* child.c - uv_spawn with pipes for the output and a deadline. See child.h. */
#include "pg/child.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

#define DRAIN_MS 100 /* how long to wait for the end of the output of a program that has exited */
#define ENV_TOTAL_MAX 512

struct output {
    uv_pipe_t pipe;
    char text[CHILD_OUTPUT_MAX + 1];
    size_t used;
    bool keep_last;
    bool ended;
    char chunk[4096];
};

struct child {
    struct pool *pool;
    uv_process_t process;
    uv_timer_t timer;
    struct output output;
    struct output errors;
    char name[64];
    child_done_fn done;
    void *ctx;
    bool spawned;
    bool group;
    bool exited;
    bool timed_out;
    bool closing;
    int spawn_error;
    int64_t silence_ms; /* after which it is killed; 0: only its time counts */
    int64_t heard_us;
    int status;
    int signal;
    int handles;
};

static void closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    struct pool *pool = child->pool;

    if (--child->handles > 0)
        return;
    free(child);
    pool_remove(pool);
}

static void close_all(struct child *child)
{
    if (child->closing)
        return;
    child->closing = true;
    uv_close((uv_handle_t *)&child->process, closed);
    uv_close((uv_handle_t *)&child->timer, closed);
    uv_close((uv_handle_t *)&child->output.pipe, closed);
    uv_close((uv_handle_t *)&child->errors.pipe, closed);
}

bool child_names_error(const char *line, size_t length)
{
    return memmem(line, length, ": error: ", 9) || memmem(line, length, ": fatal: ", 9);
}

/* The last line with something in it that does not go on from the one before (those begin with a tab); where one names
 * an error, the first such: what comes of it is told after it. */
static const char *telling_line(const char *text, char *line, size_t size)
{
    bool named = false;

    line[0] = '\0';
    while (*text) {
        size_t length = strcspn(text, "\r\n");
        if (length > 0 && text[0] != '\t' && text[0] != ' ' && !named)
            (void)snprintf(line, size, "%.*s", (int)length, text);
        named = named || child_names_error(text, length);
        text += length;
        text += strspn(text, "\r\n");
    }
    return line;
}

static void describe(const struct child *child, struct child_end *end)
{
    char line[384];
    int used = 0;
    size_t size = sizeof end->problem;

    if (child->spawn_error)
        used = snprintf(end->problem, size, "%s: %s", child->name, uv_strerror(child->spawn_error));
    else if (child->timed_out)
        used = snprintf(end->problem, size, "%s: did not end in time", child->name);
    else if (child->signal)
        used = snprintf(end->problem, size, "%s: killed by signal %d", child->name, child->signal);
    else if (child->status)
        used = snprintf(end->problem, size, "%s: exited with status %d", child->name, child->status);
    if (used <= 0 || used >= (int)size)
        return;
    if (telling_line(child->errors.text, line, sizeof line)[0])
        (void)snprintf(end->problem + used, size - (size_t)used, ": %s", line);
}

static void finish(struct child *child)
{
    struct child_end end = {
        .status = child->spawn_error || child->signal ? -1 : child->status,
        .signal = child->signal,
        .timed_out = child->timed_out,
        .output = child->output.text,
        .errors = child->errors.text,
    };
    child_done_fn done = child->done;

    if (child->closing)
        return;
    describe(child, &end);
    child->done = NULL;
    close_all(child);
    if (done)
        done(child->ctx, &end);
}

static void kill_it(struct child *child)
{
    if (!child->spawned || child->exited)
        return;
    if (child->group)
        (void)kill(-child->process.pid, SIGKILL); /* it is the leader of its session, see child_run */
    (void)uv_process_kill(&child->process, SIGKILL);
}

static void timer_fired(uv_timer_t *timer)
{
    struct child *child = timer->data;

    if (child->spawn_error || child->exited) {
        finish(child);
        return;
    }
    int64_t left_ms = child->silence_ms - child_silent_us(child) / 1000;
    if (child->silence_ms > 0 && left_ms > 0) {
        (void)uv_timer_start(&child->timer, timer_fired, (uint64_t)left_ms + 1, 0);
        return;
    }
    child->timed_out = true;
    kill_it(child);
}

static void exited(uv_process_t *process, int64_t status, int signal)
{
    struct child *child = process->data;

    child->exited = true;
    child->status = (int)status;
    child->signal = signal;
    if (child->output.ended && child->errors.ended)
        finish(child);
    else if (!child->closing)
        (void)uv_timer_start(&child->timer, timer_fired, DRAIN_MS, 0);
}

static void keep(struct output *output, const char *bytes, size_t length)
{
    size_t room = CHILD_OUTPUT_MAX - output->used;

    if (length > room && output->keep_last) {
        size_t drop = length - room < output->used ? length - room : output->used;
        memmove(output->text, output->text + drop, output->used - drop);
        output->used -= drop;
        room += drop;
    }
    size_t take = length < room ? length : room;
    memcpy(output->text + output->used, bytes + (output->keep_last ? length - take : 0), take);
    output->used += take;
    output->text[output->used] = '\0';
}

static struct output *output_of(struct child *child, const void *handle)
{
    return handle == &child->output.pipe ? &child->output : &child->errors;
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct output *output = output_of(handle->data, handle);

    (void)suggested;
    *room = uv_buf_init(output->chunk, sizeof output->chunk);
}

static void have_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes)
{
    struct child *child = stream->data;
    struct output *output = output_of(child, stream);

    if (count > 0)
        child->heard_us = clock_boot_us();
    if (count > 0)
        keep(output, bytes->base, (size_t)count);
    if (count >= 0)
        return;
    output->ended = true;
    (void)uv_read_stop(stream);
    if (child->exited && child->output.ended && child->errors.ended)
        finish(child);
}

/* Our environment with what the caller adds. The strings are borrowed from both. */
static void fill_env(char **env, size_t max, const struct child_spec *spec)
{
    size_t used = 0;

    for (char **at = environ; *at && used + CHILD_ENV_MAX + 1 < max; at++) {
        bool replaced = false;
        for (size_t i = 0; i < CHILD_ENV_MAX && spec->env[i]; i++) {
            size_t name = strcspn(spec->env[i], "=") + 1;
            replaced = replaced || strncmp(*at, spec->env[i], name) == 0;
        }
        if (!replaced)
            env[used++] = *at;
    }
    for (size_t i = 0; i < CHILD_ENV_MAX && spec->env[i]; i++) {
        union {
            const char *borrowed;
            char *given;
        } text = { .borrowed = spec->env[i] }; /* uv_spawn does not write to it */
        env[used++] = text.given;
    }
    env[used] = NULL;
}

static void name_it(struct child *child, const char *path)
{
    const char *slash = strrchr(path, '/');
    (void)text_copy(child->name, sizeof child->name, slash ? slash + 1 : path);
}

static void prepare(struct child *child, struct pool *pool, const struct child_spec *spec)
{
    child->pool = pool;
    child->group = spec->group;
    child->silence_ms = spec->while_silent ? spec->timeout_ms : 0;
    child->heard_us = clock_boot_us();
    child->errors.keep_last = true;
    name_it(child, spec->argv[0]);
    (void)uv_timer_init(pool->loop, &child->timer);
    (void)uv_pipe_init(pool->loop, &child->output.pipe, 0);
    (void)uv_pipe_init(pool->loop, &child->errors.pipe, 0);
    child->timer.data = child->output.pipe.data = child->errors.pipe.data = child->process.data = child;
    child->handles = 4;
    pool_add(pool);
}

struct child *child_run(struct pool *pool, const struct child_spec *spec, child_done_fn done, void *ctx)
{
    struct child *child = calloc(1, sizeof *child);
    char *env[ENV_TOTAL_MAX];
    union {
        const char *const *borrowed;
        char **given;
    } argv = { .borrowed = spec->argv };
    uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE } };

    assert(child && done);
    prepare(child, pool, spec);
    child->done = done;
    child->ctx = ctx;
    fill_env(env, ARRAY_LEN(env), spec);
    for (int i = 1; i < 3; i++) {
        stdio[i].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        stdio[i].data.stream = (uv_stream_t *)(i == 1 ? &child->output.pipe : &child->errors.pipe);
    }
    uv_process_options_t options = {
        .exit_cb = exited,
        .file = spec->argv[0],
        .args = argv.given,
        .env = env,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    child->spawn_error = uv_spawn(pool->loop, &child->process, &options);
    child->spawned = child->spawn_error == 0;
    if (child->spawned) {
        (void)uv_read_start((uv_stream_t *)&child->output.pipe, give_room, have_read);
        (void)uv_read_start((uv_stream_t *)&child->errors.pipe, give_room, have_read);
    }
    (void)uv_timer_start(&child->timer, timer_fired, child->spawned ? (uint64_t)spec->timeout_ms : 0, 0);
    return child;
}

int64_t child_silent_us(const struct child *child)
{
    return clock_boot_us() - child->heard_us;
}

void child_kill(struct child *child)
{
    if (!child || child->closing)
        return;
    child->done = NULL;
    if (child->spawned && !child->exited) {
        kill_it(child); /* exited() follows, and with it finish() */
        return;
    }
    close_all(child);
}
