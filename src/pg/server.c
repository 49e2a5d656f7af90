/*
 * server.c - starts the postmaster as a process of its own session that outlives this one.
 *
 * It is started directly and not through pg_ctl: so its number is known at once, and its end is heard at once. It gets
 * the OOM score of an ordinary process, whatever ours is.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/adapter.h"
#include "pg/postmaster.h"
#include "pg/words.h"

#define ARGS_MAX 16
#define ENV_MAX 512

static void server_closed(uv_handle_t *handle)
{
    struct server *server = handle->data;
    struct pool *pool = server->pool;

    free(server);
    pool_remove(pool);
}

static void exited(uv_process_t *process, int64_t status, int signal)
{
    struct server *server = process->data;

    server->exited = true;
    server->status = signal ? -signal : (int)status;
    if (server->pg)
        pg_look(server->pg);
}

void server_forget(struct pg *pg)
{
    if (!pg->server)
        return;
    pg->server->pg = NULL;
    uv_close((uv_handle_t *)&pg->server->process, server_closed);
    pg->server = NULL;
}

bool server_ended(const struct pg *pg)
{
    return !pg->server || pg->server->exited;
}

/* Our environment, with the words that make the server's children ordinary victims of the OOM killer. */
static void fill_env(char **env)
{
    static char file[] = "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj";
    static char value[] = "PG_OOM_ADJUST_VALUE=0";
    size_t used = 0;

    for (char **at = environ; *at && used + 3 < ENV_MAX; at++) {
        if (strncmp(*at, "PG", 2) != 0 && strncmp(*at, "NOTIFY_SOCKET=", 14) != 0)
            env[used++] = *at;
    }
    env[used++] = file;
    env[used++] = value;
    env[used] = NULL;
}

static void make_ordinary(pid_t pid)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "0", 1) != 1) {
        /* It keeps our score: no reason not to start it. */
    }
    (void)close(fd);
}

static struct server *spawn(struct pg *pg, char **args, int log, int *ret_failed)
{
    char *env[ENV_MAX];
    struct server *server = calloc(1, sizeof *server);
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_IGNORE },
        { .flags = UV_INHERIT_FD, .data.fd = log },
        { .flags = UV_INHERIT_FD, .data.fd = log },
    };
    uv_process_options_t options = {
        .exit_cb = exited,
        .file = args[0],
        .args = args,
        .env = env,
        .cwd = "/",
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };

    assert(server);
    fill_env(env);
    server->pool = &pg->pool;
    server->pg = pg;
    server->process.data = server;
    pool_add(&pg->pool);
    *ret_failed = uv_spawn(pg->pool.loop, &server->process, &options);
    server->exited = *ret_failed != 0;
    return server;
}

/* A lock file left by a crash names a number that another process may have by now (after a boot, or as a zombie): then
 * PostgreSQL refuses to start for as long as that one lives. It goes when that process is not of this instance. */
static int remove_stale_lock(struct pg *pg, struct err *err)
{
    struct postmaster_file file;
    char path[PLACE_PATH_SIZE];

    if (!postmaster_read(pg->config.data_directory, &file) || instance_has(&pg->instance, file.pid))
        return 0;
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", pg->config.data_directory);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_set_errno(err, errno, "could not remove the stale lock file '%s'", path);
    return 0;
}

int server_start(struct pg *pg, const char *const *extra, struct err *err)
{
    char program[PATH_SIZE + 32];
    char main_conf[PLACE_PATH_SIZE];
    char config_file[PLACE_PATH_SIZE + 16];
    char log[PLACE_PATH_SIZE];
    char *args[ARGS_MAX];
    union {
        const char *const *borrowed;
        char *const *given;
    } more = { .borrowed = extra }; /* uv_spawn only reads them */
    struct control control;
    int used = 0;
    int failed;

    if (control_read(pg->config.data_directory, &control, err) < 0 ||
        history_clean(pg->config.data_directory, control.timeline, err) < 0 || remove_stale_lock(pg, err) < 0)
        return -(int)err->code;
    (void)act_program(pg, "postgres", program);
    place_main_conf_path(&pg->config, main_conf);
    (void)snprintf(config_file, sizeof config_file, "config_file=%s", main_conf);
    static char dash_d[] = "-D";
    static char dash_c[] = "-c";
    args[used++] = program;
    args[used++] = dash_d;
    args[used++] = pg->config.data_directory;
    args[used++] = dash_c;
    args[used++] = config_file;
    for (; more.given && *more.given && used + 1 < ARGS_MAX; more.given++)
        args[used++] = *more.given;
    args[used] = NULL;
    server_log_path(pg, log);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "could not open the server's log file '%s'", log);
    pg->server_log_from = lseek(fd, 0, SEEK_END);
    server_forget(pg);
    pg->server = spawn(pg, args, fd, &failed);
    (void)close(fd);
    if (failed)
        return err_set(err, ERR_COMMAND, "could not run '%s': %s", program, uv_strerror(failed));
    uv_unref((uv_handle_t *)&pg->server->process);
    make_ordinary(pg->server->process.pid);
    return 0;
}
