/* own.c - keeps the server's log and TLS files over a rewind. See own.h. */
#include "pg/own.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "pg/kept.h"

#define OWN_PATH_SIZE (PLACE_PATH_SIZE + 32)
#define OWN_BYTES_MAX (16u << 20) /* of one file: a list of revoked certificates may be long */

enum how { OWN_COPY, OWN_MOVE };

/* The last is raftmgr's own file, which no setting names. */
static const struct {
    const char *name;
    enum how how;
} settings[OWN_SETTINGS] = {
    { "ssl_cert_file", OWN_COPY }, { "ssl_key_file", OWN_COPY },  { "ssl_ca_file", OWN_COPY },
    { "ssl_crl_file", OWN_COPY },  { "log_directory", OWN_MOVE }, { NULL, OWN_MOVE },
};

static void fail(struct pg *pg, struct err *err)
{
    (void)err_wrap(err, "could not keep this node's own files");
    act_finish(pg, -(int)err->code, err);
}

/* Notes it where it is something of ours in the data directory: not that directory itself, and nothing outside. */
static void note(const struct pg *pg, struct own *own, unsigned which, const char *value)
{
    const char *data = pg->config.data_directory;
    size_t length = strlen(data);
    char *path = own->paths[which];
    struct stat found;

    (void)snprintf(path, sizeof own->paths[which], "%s%s%s", value[0] == '/' ? "" : data, value[0] == '/' ? "" : "/",
                   value);
    bool inside = value[0] && strncmp(path, data, length) == 0 && path[length] == '/' && path[length + 1] &&
                  !strstr(path + length, "/.");
    if (!inside || lstat(path, &found) < 0)
        path[0] = '\0';
}

static void kept_path(const struct pg *pg, const struct own *own, unsigned which, char *path)
{
    char directory[PLACE_PATH_SIZE];

    kept_directory(pg, own->token, directory);
    (void)snprintf(path, OWN_PATH_SIZE, "%s/%s", directory, settings[which].name);
}

static int copy(const char *from, const char *to, struct err *err)
{
    AUTO(buf) text;

    buf_init(&text, OWN_BYTES_MAX);
    int failed = file_read(from, &text, err);
    return failed ? failed : file_replace(to, text.bytes, text.length, 0600, err);
}

/* Where it cannot be renamed (another file system, no right to the directory above) it stays, as pg_rewind treats it.
 */
static void move_aside(struct own *own, unsigned which)
{
    char path[PATH_SIZE + 64];

    (void)snprintf(path, sizeof path, "%s/%u", own->aside, which);
    if (mkdir(own->aside, 0700) == 0 || errno == EEXIST)
        own->moved[which] = rename(own->paths[which], path) == 0;
}

void own_move(struct own *own)
{
    for (unsigned i = 0; i < OWN_SETTINGS; i++)
        if (settings[i].how == OWN_MOVE && own->paths[i][0])
            move_aside(own, i);
}

static int copy_all(const struct pg *pg, const struct own *own, struct err *err)
{
    char kept[OWN_PATH_SIZE];
    char directory[PLACE_PATH_SIZE];
    int failed = 0;

    kept_directory(pg, own->token, directory);
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, errno, "could not make directory '%s'", directory);
    for (unsigned i = 0; i < OWN_SETTINGS && !failed; i++) {
        if (settings[i].how != OWN_COPY || !own->paths[i][0])
            continue;
        kept_path(pg, own, i, kept);
        failed = copy(own->paths[i], kept, err);
    }
    return failed;
}

static void save(struct pg *pg, struct own *own)
{
    struct err err = { 0 };

    (void)snprintf(own->aside, sizeof own->aside, "%s.own-%" PRIu64, pg->config.data_directory, own->token.no);
    if (copy_all(pg, own, &err) < 0)
        fail(pg, &err);
    else
        own->next(pg);
}

static void ask(struct pg *pg, struct own *own);

static void answered(struct pg *pg, const struct child_end *end)
{
    struct own *own = pg->act.own;
    char value[PATH_SIZE];

    act_setting(end, value, sizeof value);
    note(pg, own, own->asked++, value);
    ask(pg, own);
}

static void ask(struct pg *pg, struct own *own)
{
    if (settings[own->asked].name) {
        act_ask_setting(pg, settings[own->asked].name, answered);
        return;
    }
    note(pg, own, own->asked, "raftmgr-server.log");
    save(pg, own);
}

void own_save(struct pg *pg, struct own *own, step_fn next)
{
    *own = (struct own){ .token = own->token, .next = next };
    pg->act.own = own;
    act_waits(pg, "this node's own files to be kept");
    ask(pg, own);
}

/* Directories on the way to it that pg_rewind has removed. */
static int make_parents(const struct pg *pg, const char *path, struct err *err)
{
    char parent[2 * PATH_SIZE];

    (void)text_copy(parent, sizeof parent, path);
    for (char *at = strchr(parent + strlen(pg->config.data_directory) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(parent, 0700) < 0 && errno != EEXIST)
            return err_set_errno(err, errno, "could not make directory '%s'", parent);
        *at = '/';
    }
    return 0;
}

static int put_one_back(const struct pg *pg, const struct own *own, unsigned which, struct err *err)
{
    char path[OWN_PATH_SIZE];

    if (!own->moved[which] && (settings[which].how != OWN_COPY || !own->paths[which][0]))
        return 0;
    int failed = make_parents(pg, own->paths[which], err);
    if (failed)
        return failed;
    if (!own->moved[which]) {
        kept_path(pg, own, which, path);
        return copy(path, own->paths[which], err);
    }
    (void)snprintf(path, sizeof path, "%s/%u", own->aside, which);
    if (rename(path, own->paths[which]) < 0)
        return err_set_errno(err, errno, "could not rename '%s' to '%s'", path, own->paths[which]);
    return 0;
}

static void put_back(struct pg *pg)
{
    struct own *own = pg->act.own;
    struct err err = { 0 };
    int failed = 0;

    for (unsigned i = 0; i < OWN_SETTINGS && !failed; i++)
        failed = put_one_back(pg, own, i, &err);
    (void)rmdir(own->aside); /* stays where something is left in it */
    if (failed)
        fail(pg, &err);
    else
        own->next(pg);
}

static void removed(struct pg *pg, const struct child_end *end)
{
    struct err err = { 0 };

    if (end->problem[0]) {
        (void)err_set(&err, ERR_SYSTEM, "%s", end->problem);
        fail(pg, &err);
    } else {
        put_back(pg);
    }
}

void own_restore(struct pg *pg, struct own *own, step_fn next)
{
    const char *argv[4 + OWN_SETTINGS] = { "rm", "-rf", "--" };
    size_t used = 3;

    own->next = next;
    for (unsigned i = 0; i < OWN_SETTINGS; i++)
        if (own->moved[i])
            argv[used++] = own->paths[i]; /* the source's */
    argv[used] = NULL;
    if (used == 3)
        put_back(pg);
    else
        act_run(pg, argv, NULL, removed);
}
