/* postmaster.c - postmaster.pid and the titles of its children. See postmaster.h. */
#include "pg/postmaster.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define LINES 8
#define TITLE_SIZE 256

static enum postmaster_status status_of(const char *word)
{
    if (strncmp(word, "ready", 5) == 0)
        return POSTMASTER_READY;
    if (strncmp(word, "standby", 7) == 0)
        return POSTMASTER_CLOSED;
    if (strncmp(word, "stopping", 8) == 0)
        return POSTMASTER_STOPPING;
    return POSTMASTER_STARTING;
}

bool postmaster_parse(const char *text, struct postmaster_file *ret)
{
    char line[LINES][PATH_SIZE];
    size_t count = 0;

    for (; *text && count < LINES; count++) {
        size_t length = strcspn(text, "\n");
        (void)snprintf(line[count], PATH_SIZE, "%.*s", (int)length, text);
        text += length + (text[length] == '\n');
    }
    for (size_t i = count; i < LINES; i++)
        line[i][0] = '\0';
    long pid = strtol(line[0], NULL, 10); /* negative: a single-user server */
    if (pid <= 0)
        return false;
    *ret = (struct postmaster_file){ .pid = (pid_t)pid, .port = (uint16_t)strtoul(line[3], NULL, 10) };
    (void)text_copy(ret->socket_directory, sizeof ret->socket_directory, line[4]);
    (void)text_copy(ret->listen_address, sizeof ret->listen_address, line[5]);
    ret->status = status_of(line[7]);
    ret->recovering = line[7][0] != '\0';
    return true;
}

bool postmaster_read(const char *data_directory, struct postmaster_file *ret)
{
    char path[PATH_SIZE + 32];
    AUTO(buf) text;

    buf_init(&text, LINES * PATH_SIZE);
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", data_directory);
    if (file_read(path, &text, NULL) < 0)
        return false;
    buf_put_u8(&text, 0);
    return !text.failed && postmaster_parse((const char *)text.bytes, ret);
}

/* The parent of a process from field 4 of /proc/PID/stat; 0 when it is gone. */
static pid_t parent_of(int proc, const char *pid)
{
    char path[64];
    char text[512];

    (void)snprintf(path, sizeof path, "%s/stat", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    const char *after_name = strrchr(text, ')');
    int parent = 0;
    if (!after_name || sscanf(after_name, ") %*c %d", &parent) != 1)
        return 0;
    return parent;
}

static bool is_receiver(int proc, const char *pid)
{
    char path[64];
    char title[TITLE_SIZE];

    (void)snprintf(path, sizeof path, "%s/cmdline", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, title, sizeof title - 1);
    (void)close(fd);
    if (got <= 0)
        return false;
    title[got] = '\0';
    return strncmp(title, "postgres: ", 10) == 0 && strstr(title, ": walreceiver") != NULL;
}

int postmaster_receivers(pid_t postmaster, int signal)
{
    int found = 0;
    struct dirent *entry;
    DIR *directory = opendir("/proc");

    if (!directory)
        return 0;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        if (parent_of(dirfd(directory), entry->d_name) != postmaster || !is_receiver(dirfd(directory), entry->d_name))
            continue;
        found++;
        if (signal)
            (void)kill((pid_t)strtol(entry->d_name, NULL, 10), signal);
    }
    (void)closedir(directory);
    return found;
}
