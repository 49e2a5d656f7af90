/* adapter.c - opens and closes the adapter. See pg.h. */
#include "pg/adapter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/programs.h"
#include "pg/resolve.h"

static void all_closed(struct pool *pool)
{
    struct pg *pg = (struct pg *)((char *)pool - offsetof(struct pg, pool));
    void (*done)(void *ctx) = pg->closed;
    void *ctx = pg->closed_ctx;

    if (!pg->closing)
        return;
    instance_release(&pg->instance);
    free(pg);
    if (done)
        done(ctx);
}

static int check_path(const char *name, const char *path, struct err *err)
{
    return path[0] == '/' ? 0 : err_set(err, ERR_CONFIG, "%s must be an absolute path", name);
}

static int check(const struct pg_config *config, struct err *err)
{
    struct stat directory;

    int failed = check_path("data_directory", config->data_directory, err);
    if (!failed && config->config_directory[0])
        failed = check_path("config_directory", config->config_directory, err);
    if (!failed)
        failed = check_path("the runtime directory", config->runtime_directory, err);
    if (!failed)
        failed = check_path("the state directory", config->state_directory, err);
    if (failed)
        return failed;
    if (stat(config->data_directory, &directory) == 0 && directory.st_uid != geteuid())
        return err_set(err, ERR_CONFIG, "data directory '%s' belongs to another user: run as its owner",
                       config->data_directory);
    return 0;
}

/* Files of ours that have to be there whatever happened while nobody watched: the latch where a server runs (else its
 * next reload fails), standby.signal in a directory that is ours (a start in place that was cut short lacks it). And
 * one that must not be: the order of a promotion that was cut short. */
static int repair(struct pg *pg, struct err *err)
{
    char path[PLACE_PATH_SIZE];

    place_conf_path(&pg->config, path);
    if (!file_exists(path))
        return 0;
    int failed = place_no_order(pg->config.data_directory, err);
    if (!failed && instance_postmaster_pid(&pg->instance) > 0)
        failed = place_latch(&pg->config, err);
    return failed ? failed : place_signal(pg->config.data_directory, err);
}

int pg_open(struct pg **ret, uv_loop_t *loop, const struct pg_config *config, const struct pg_callbacks *callbacks,
            struct err *err)
{
    int failed = check(config, err);
    if (failed)
        return failed;
    struct pg *pg = calloc(1, sizeof *pg);
    assert(pg);
    pg->config = *config;
    place_follow(pg->config.data_directory);
    pg->callbacks = *callbacks;
    pg->pool = (struct pool){ .loop = loop };
    failed = programs_find(config->bindir, pg->config.data_directory, pg->bindir, err);
    if (!failed)
        failed = programs_version(pg->bindir, &pg->probe.seen.programs_major, err);
    if (!failed)
        failed = programs_match(pg->config.data_directory, pg->bindir, pg->probe.seen.programs_major, err);
    if (!failed)
        failed = instance_open(&pg->instance, pg->config.data_directory, err);
    if (!failed)
        failed = survivor_mark(pg->config.state_directory, pg->mark, err);
    if (!failed)
        failed = survivor_end_all(pg->mark, err);
    if (!failed)
        failed = repair(pg, err);
    if (!failed)
        failed = resolve_begin(pg, err);
    if (failed) {
        instance_release(&pg->instance);
        free(pg);
        return failed;
    }
    pg->pool.empty = all_closed;
    probe_begin(pg);
    act_begin(pg);
    *ret = pg;
    return 0;
}

void pg_close(struct pg *pg, void (*done)(void *ctx), void *ctx)
{
    assert(!pg->closing);
    pg->closing = true;
    pg->closed = done;
    pg->closed_ctx = ctx;
    resolve_end(pg);
    probe_end(pg);
    act_end(pg);
    schema_end(pg);
    server_forget(pg);
}
