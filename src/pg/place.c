/* place.c - signal, latch, settings and marks. See place.h. */
#include "pg/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rand.h"
#include "pg/conf.h"
#include "pg/conninfo.h"
#include "pg/programs.h"

#define STAND_IN_NOTE "# Written by raftmgrd for pg_rewind, which looks nowhere else.\n"
#define LATCH_TEXT "# Written by raftmgrd. While this file is missing, PostgreSQL does not start.\n"

#define LINKS_MAX 40 /* the kernel's own limit */

static void strip_end(char *path)
{
    for (size_t length = strlen(path); length > 1; length--) {
        bool dot = path[length - 1] == '.' && path[length - 2] == '/';
        if (path[length - 1] != '/' && !dot)
            return;
        path[length - 1] = '\0';
    }
}

void place_follow(char *data_directory)
{
    char target[PATH_SIZE];
    char path[2 * PATH_SIZE];

    strip_end(data_directory);
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        ssize_t length = readlink(data_directory, target, sizeof target);
        if (length <= 0 || length == sizeof target)
            return;
        int parent = target[0] == '/' ? 0 : (int)(strrchr(data_directory, '/') + 1 - data_directory);
        (void)snprintf(path, sizeof path, "%.*s%.*s", parent, data_directory, (int)length, target);
        strip_end(path);
        if (strlen(path) >= PATH_SIZE)
            return;
        (void)text_copy(data_directory, PATH_SIZE, path);
    }
}

static int remove_durably(const char *directory, const char *name, struct err *err)
{
    char path[PLACE_PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    if (unlink(path) == 0)
        return file_sync_dir(directory, err);
    return errno == ENOENT ? 0 : err_set_errno(err, errno, "could not remove file '%s'", path);
}

bool place_has_signal(const char *data_directory)
{
    char path[PLACE_PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/standby.signal", data_directory);
    return file_exists(path);
}

int place_signal(const char *data_directory, struct err *err)
{
    char path[PLACE_PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/standby.signal", data_directory);
    if (!file_exists(path)) {
        int failed = file_replace(path, "", 0, 0600, err);
        if (failed)
            return failed;
    }
    return remove_durably(data_directory, "recovery.signal", err);
}

int place_unsignal(const char *data_directory, struct err *err)
{
    int failed = remove_durably(data_directory, "recovery.signal", err);
    return failed ? failed : remove_durably(data_directory, "standby.signal", err);
}

void place_order_path(const char *data_directory, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/promote", data_directory);
}

int place_no_order(const char *data_directory, struct err *err)
{
    return remove_durably(data_directory, "promote", err);
}

static void latch_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/latch-%" PRId32 ".conf", config->runtime_directory, config->node_id);
}

int place_latch(const struct pg_config *config, struct err *err)
{
    char path[PLACE_PATH_SIZE];

    if (!config->start_latch)
        return 0;
    latch_path(config, path);
    if (file_exists(path))
        return 0;
    return file_replace(path, LATCH_TEXT, strlen(LATCH_TEXT), 0600, err);
}

static bool config_is_apart(const struct pg_config *config)
{
    return config->config_directory[0] && strcmp(config->config_directory, config->data_directory) != 0;
}

void place_conf_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/%s", config->data_directory, CONF_FILE);
}

void place_main_conf_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/postgresql.conf",
                   config_is_apart(config) ? config->config_directory : config->data_directory);
}

/* Reads a text file, terminated. The caller releases *text, also when this fails. */
static int read_text(const char *path, struct buf *text, struct err *err)
{
    buf_init(text, CONF_BYTES_MAX);
    int failed = file_read(path, text, err);
    if (failed)
        return failed;
    buf_put_u8(text, 0);
    return text->failed ? err_set(err, ERR_TOO_BIG, "file '%s' is too large", path) : 0;
}

/* Replaces the file that path leads to (it may be a link), with its mode kept. */
static int replace_kept(const char *path, const struct buf *text, struct err *err)
{
    char real[PATH_MAX];
    struct stat old;

    if (text->failed)
        return err_set(err, ERR_TOO_BIG, "the new text of '%s' is too large", path);
    if (!realpath(path, real) || stat(real, &old) < 0)
        return err_set_errno(err, errno, "could not look at file '%s'", path);
    return file_replace(real, text->bytes, text->length, old.st_mode & 0777, err);
}

static int place_include(const struct pg_config *config, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char ours[PLACE_PATH_SIZE] = CONF_FILE; /* relative to the including file */
    AUTO(buf) old = { 0 };
    AUTO(buf) new = { 0 };

    place_main_conf_path(config, path);
    if (config_is_apart(config))
        place_conf_path(config, ours);
    int failed = read_text(path, &old, err);
    if (failed)
        return failed;
    buf_init(&new, CONF_BYTES_MAX);
    if (!conf_include((const char *)old.bytes, ours, &new))
        return 0;
    return replace_kept(path, &new, err);
}

static void stand_in_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/postgresql.conf", config->data_directory);
}

int place_stand_in(const struct pg_config *config, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char main_conf[PLACE_PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    stand_in_path(config, path);
    if (!config_is_apart(config) || file_exists(path))
        return 0;
    place_main_conf_path(config, main_conf);
    buf_put(&text, STAND_IN_NOTE "include ", strlen(STAND_IN_NOTE "include "));
    conf_put_quoted(&text, main_conf);
    buf_put(&text, "\n", 1);
    if (text.failed)
        return err_set(err, ERR_TOO_BIG, "the path '%s' is too long", main_conf);
    return file_replace(path, text.bytes, text.length, 0600, err);
}

int place_no_stand_in(const struct pg_config *config, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    AUTO(buf) text = { 0 };

    stand_in_path(config, path);
    if (!config_is_apart(config) || !file_exists(path))
        return 0;
    int failed = read_text(path, &text, err);
    if (failed || strncmp((const char *)text.bytes, STAND_IN_NOTE, strlen(STAND_IN_NOTE)) != 0)
        return failed;
    return remove_durably(config->data_directory, "postgresql.conf", err);
}

static int write_conf(const struct pg_config *config, const struct pg_conf *conf, bool keep_restore,
                      uint64_t *ret_written, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char latch[PLACE_PATH_SIZE];
    struct conf_extra extra = { .written = rand_identity(),
                                .keep_restore = keep_restore,
                                .major = programs_major(config->data_directory) };
    AUTO(buf) conninfo = { 0 };
    AUTO(buf) text = { 0 };

    buf_init(&conninfo, CONF_CONNINFO_MAX);
    buf_init(&text, CONF_BYTES_MAX);
    if (conf->upstream) {
        int failed = conninfo_for_upstream(conf->upstream_conninfo, conf->name[0] ? conf->name : config->node_name,
                                           config->replication_user, config->passfile, extra.major, &conninfo, err);
        if (failed)
            return failed;
    }
    buf_put_u8(&conninfo, 0);
    extra.primary_conninfo = (const char *)conninfo.bytes;
    latch_path(config, latch);
    extra.latch = config->start_latch ? latch : NULL;
    conf_render(conf, &extra, &text);
    if (conninfo.failed || text.failed)
        return err_set(err, ERR_TOO_BIG, "the settings of node '%s' are too long", config->node_name);
    place_conf_path(config, path);
    int failed = place_latch(config, err);
    if (!failed)
        failed = file_replace(path, text.bytes, text.length, 0600, err);
    if (!failed)
        failed = place_include(config, err);
    if (!failed)
        *ret_written = extra.written;
    return failed;
}

int place_conf(const struct pg_config *config, const struct pg_conf *conf, uint64_t *ret_written, struct err *err)
{
    return write_conf(config, conf, false, ret_written, err);
}

int place_conf_for_rewind(const struct pg_config *config, const struct pg_conf *conf, uint64_t *ret_written,
                          struct err *err)
{
    struct pg_conf detached = *conf;

    detached.upstream = 0;
    return write_conf(config, &detached, true, ret_written, err);
}

static int copy_file(const char *from, const char *to, const char *name, mode_t mode, struct err *err)
{
    char source[PLACE_PATH_SIZE];
    char target[PLACE_PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    (void)snprintf(source, sizeof source, "%s/%s", from, name);
    (void)snprintf(target, sizeof target, "%s/%s", to, name);
    int failed = file_read(source, &text, err);
    return failed ? failed : file_replace(target, text.bytes, text.length, mode & 0777, err);
}

int place_copy_confs(const char *from, const char *to, struct err *err)
{
    struct dirent *entry;
    struct stat file;
    int failed = 0;
    DIR *directory = opendir(from);

    if (!directory)
        return err_set_errno(err, errno, "could not open directory '%s'", from);
    if (mkdir(to, 0700) < 0 && errno != EEXIST)
        failed = err_set_errno(err, errno, "could not make directory '%s'", to);
    while (!failed && (entry = readdir(directory)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0 &&
            fstatat(dirfd(directory), entry->d_name, &file, 0) == 0 && S_ISREG(file.st_mode))
            failed = copy_file(from, to, entry->d_name, file.st_mode, err);
    }
    (void)closedir(directory);
    return failed;
}

int place_read_conf(const struct pg_config *config, struct pg_conf *ret_conf, uint64_t *ret_written, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    AUTO(buf) text = { 0 };

    place_conf_path(config, path);
    int failed = read_text(path, &text, err);
    if (failed)
        return failed;
    if (!conf_parse((const char *)text.bytes, ret_conf, ret_written))
        return err_set(err, ERR_CORRUPT, "file '%s' is not as raftmgrd wrote it", path);
    return 0;
}

int place_strip_auto(const struct pg_config *config, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    AUTO(buf) old = { 0 };
    AUTO(buf) new = { 0 };

    (void)snprintf(path, sizeof path, "%s/postgresql.auto.conf", config->data_directory);
    int failed = read_text(path, &old, err);
    if (failed)
        return failed == -ERR_NOT_FOUND ? 0 : failed;
    buf_init(&new, CONF_BYTES_MAX);
    if (conf_strip((const char *)old.bytes, &new) == 0)
        return 0;
    return replace_kept(path, &new, err);
}

static void mark_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/unfinished", config->state_directory);
}

int place_mark_unfinished(const struct pg_config *config, const char *what, struct token token, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char text[64];

    mark_path(config, path);
    int length = snprintf(text, sizeof text, "%s %" PRIu64 "\n", what, token.no);
    return file_replace(path, text, (size_t)length, 0600, err);
}

int place_clear_unfinished(const struct pg_config *config, struct err *err)
{
    return remove_durably(config->state_directory, "unfinished", err);
}

bool place_unfinished(const struct pg_config *config, char *ret_what, struct token *ret_token)
{
    char path[PLACE_PATH_SIZE];
    AUTO(buf) text = { 0 };

    mark_path(config, path);
    if (!file_exists(path))
        return false;
    ret_what[0] = '\0';
    *ret_token = (struct token){ 0 };
    if (read_text(path, &text, NULL) == 0)
        (void)sscanf((const char *)text.bytes, "%15s %" SCNu64, ret_what, &ret_token->no);
    return true;
}
