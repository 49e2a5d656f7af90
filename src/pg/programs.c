/* programs.c - finding PostgreSQL's programs. See programs.h. */
#include "pg/programs.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define DEBIAN "/usr/lib/postgresql"

static bool has_pg_ctl(const char *directory)
{
    char path[PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/pg_ctl", directory);
    return access(path, X_OK) == 0;
}

unsigned programs_major(const char *data_directory)
{
    char path[PATH_SIZE + 16];
    AUTO(buf) text;

    buf_init(&text, 64);
    (void)snprintf(path, sizeof path, "%s/PG_VERSION", data_directory);
    if (file_read(path, &text, NULL) < 0)
        return 0;
    buf_put_u8(&text, 0);
    return text.failed ? 0 : (unsigned)strtoul((const char *)text.bytes, NULL, 10);
}

static unsigned newest_of_debian(void)
{
    unsigned newest = 0;
    struct dirent *entry;
    DIR *directory = opendir(DEBIAN);

    if (!directory)
        return 0;
    while ((entry = readdir(directory)) != NULL) {
        unsigned major = (unsigned)strtoul(entry->d_name, NULL, 10);
        char bin[PATH_SIZE];
        (void)snprintf(bin, sizeof bin, DEBIAN "/%u/bin", major);
        if (major > newest && has_pg_ctl(bin))
            newest = major;
    }
    (void)closedir(directory);
    return newest;
}

static bool in_path(char *ret_bindir)
{
    const char *at = getenv("PATH");

    while (at && *at) {
        size_t length = strcspn(at, ":");
        if (length > 0 && length < PATH_SIZE) {
            (void)snprintf(ret_bindir, PATH_SIZE, "%.*s", (int)length, at);
            if (has_pg_ctl(ret_bindir))
                return true;
        }
        at += length + (at[length] == ':');
    }
    return false;
}

int programs_find(const char *given, const char *data_directory, char *ret_bindir, struct err *err)
{
    char found[PATH_SIZE];
    unsigned major = programs_major(data_directory);

    (void)text_copy(found, sizeof found, given);
    if (given[0] && !has_pg_ctl(given))
        return err_set(err, ERR_CONFIG, "there is no pg_ctl in '%s'", given);
    if (!given[0]) {
        (void)snprintf(found, sizeof found, DEBIAN "/%u/bin", major ? major : newest_of_debian());
        if (!has_pg_ctl(found) && !in_path(found))
            return err_set(err, ERR_CONFIG, "PostgreSQL's programs were not found: set pg_bindir");
    }
    (void)text_copy(ret_bindir, PATH_SIZE, found);
    return 0;
}
