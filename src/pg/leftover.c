/* leftover.c - tells an unfinished copy of our own from what was there. See leftover.h. */
#include "pg/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pg/clone.h"
#include "pg/place.h"

#define LABEL_LINE "LABEL: " CLONE_LABEL "\n"
#define SMALL_BYTES 4096

static void mark_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/unfinished", config->state_directory);
}

static int sync_parent(const char *path, struct err *err)
{
    char parent[PATH_SIZE];

    (void)text_copy(parent, sizeof parent, path);
    char *slash = strrchr(parent, '/');
    assert(slash);
    slash[slash == parent] = '\0';
    return file_sync_dir(parent, err);
}

int leftover_begin(const struct pg_config *config, struct token token, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char text[128];
    struct stat made;

    if (mkdir(config->data_directory, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, errno, "could not make directory '%s'", config->data_directory);
    if (stat(config->data_directory, &made) < 0)
        return err_set_errno(err, errno, "could not look at directory '%s'", config->data_directory);
    /* The mark must never be there before what it says is: after a crash it would name the old data. */
    int failed = sync_parent(config->data_directory, err);
    if (failed)
        return failed;
    mark_path(config, path);
    int length = snprintf(text, sizeof text, "clone %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", token.no,
                          (uint64_t)made.st_dev, (uint64_t)made.st_ino);
    return file_replace(path, text, (size_t)length, 0600, err);
}

static bool read_small(const char *path, char *text)
{
    AUTO(buf) bytes = { 0 };

    buf_init(&bytes, SMALL_BYTES - 1);
    if (file_read(path, &bytes, NULL) < 0)
        return false;
    memcpy(text, bytes.bytes, bytes.length);
    text[bytes.length] = '\0';
    return true;
}

/* The mark names this directory. */
static bool is_marked(const struct pg_config *config)
{
    char path[PLACE_PATH_SIZE];
    char text[SMALL_BYTES];
    uint64_t token, device, inode;
    struct stat found;

    mark_path(config, path);
    return read_small(path, text) &&
           sscanf(text, "clone %" SCNu64 " %" SCNu64 " %" SCNu64, &token, &device, &inode) == 3 &&
           stat(config->data_directory, &found) == 0 && S_ISDIR(found.st_mode) && found.st_dev == device &&
           found.st_ino == inode;
}

/* pg_basebackup's first file is the label; until then there is WAL at most. */
static bool has_wal_at_most(const char *path)
{
    struct dirent *entry;
    bool only = true;
    DIR *directory = opendir(path);

    if (!directory)
        return false;
    while (only && (entry = readdir(directory)) != NULL)
        only =
            strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, "pg_wal") == 0;
    (void)closedir(directory);
    return only;
}

bool leftover_is_ours(const struct pg_config *config)
{
    char path[PLACE_PATH_SIZE];
    char text[SMALL_BYTES];

    if (!is_marked(config))
        return false;
    (void)snprintf(path, sizeof path, "%s/backup_label", config->data_directory);
    if (read_small(path, text))
        return strstr(text, LABEL_LINE) != NULL;
    return has_wal_at_most(config->data_directory);
}

bool leftover_path(const struct pg_config *config, char *ret)
{
    return snprintf(ret, PATH_SIZE, "%s.raftmgr-unfinished", config->data_directory) < PATH_SIZE;
}
