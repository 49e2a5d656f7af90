/* file.c - whole small files, replaced durably. See file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1100

int file_read(const char *path, struct buf *ret_text, struct err *err)
{
    uint8_t chunk[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "file '%s' does not exist", path);
    if (fd < 0)
        return err_set_errno(err, errno, "could not open file '%s'", path);
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int number = errno;
            (void)close(fd);
            return err_set_errno(err, number, "could not read file '%s'", path);
        }
        if (got == 0)
            break;
        buf_put(ret_text, chunk, (size_t)got);
    }
    (void)close(fd);
    if (ret_text->failed)
        return err_set(err, ERR_TOO_BIG, "file '%s' is larger than %zu bytes", path, ret_text->max);
    return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, bytes, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        bytes += done;
        length -= (size_t)done;
    }
    return 0;
}

int file_sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set_errno(err, errno, "could not open directory '%s'", path);
    int number = fsync(fd) < 0 ? errno : 0;
    (void)close(fd);
    return number ? err_set_errno(err, number, "could not sync directory '%s'", path) : 0;
}

static int write_new(const char *path, const void *bytes, size_t length, unsigned mode, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    if (fd < 0)
        return err_set_errno(err, errno, "could not create file '%s'", path);
    int number = write_all(fd, bytes, length);
    if (!number && fchmod(fd, mode) < 0)
        number = errno;
    if (!number && fsync(fd) < 0)
        number = errno;
    if (close(fd) < 0 && !number)
        number = errno;
    if (!number)
        return 0;
    (void)unlink(path);
    return err_set_errno(err, number, "could not write file '%s'", path);
}

int file_replace(const char *path, const void *bytes, size_t length, unsigned mode, struct err *err)
{
    char temporary[PATH_BYTES_MAX];
    char directory[PATH_BYTES_MAX];

    if (snprintf(temporary, sizeof temporary, "%s.raftmgr-new", path) >= (int)sizeof temporary)
        return err_set(err, ERR_CONFIG, "path '%s' is too long", path);
    int failed = write_new(temporary, bytes, length, mode, err);
    if (failed)
        return failed;
    if (rename(temporary, path) < 0) {
        int number = errno;
        (void)unlink(temporary);
        return err_set_errno(err, number, "could not rename file '%s' to '%s'", temporary, path);
    }
    (void)text_copy(directory, sizeof directory, path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        return file_sync_dir(".", err);
    slash[slash == directory] = '\0';
    return file_sync_dir(directory, err);
}

bool file_exists(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}
