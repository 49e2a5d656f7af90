/* secret.c - making and reading the cluster's secret. See secret.h. */
#include "base/secret.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_RANDOM_BYTES 32
#define PATH_BYTES_MAX 1100

void secret_wipe(char *text, size_t size)
{
    explicit_bzero(text, size);
}

/* Hexadecimal text of fresh random bytes and a newline; returns its length. */
static size_t random_text(char text[2 * SECRET_RANDOM_BYTES + 2])
{
    uint8_t bytes[SECRET_RANDOM_BYTES];
    size_t have = 0;

    while (have < sizeof bytes) {
        ssize_t got = getrandom(bytes + have, sizeof bytes - have, 0);
        assert(got > 0 || errno == EINTR);
        have += got > 0 ? (size_t)got : 0;
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    text[2 * sizeof bytes] = '\n';
    explicit_bzero(bytes, sizeof bytes);
    return 2 * sizeof bytes + 1;
}

int secret_create(const char *path, struct err *err)
{
    char temporary[PATH_BYTES_MAX];
    char directory[PATH_BYTES_MAX];
    char text[2 * SECRET_RANDOM_BYTES + 2];

    if (snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid()) >= (int)sizeof temporary)
        return err_set(err, ERR_CONFIG, "path '%s' is too long", path);
    if (file_exists(path))
        return err_set(err, ERR_REFUSED, "'%s' exists already; a secret is never overwritten", path);
    size_t length = random_text(text);
    int failed = file_replace(temporary, text, length, 0600, err);
    secret_wipe(text, sizeof text);
    if (failed)
        return err_wrap(err, "could not make secret '%s'", path);

    /* link(2), unlike rename(2), fails when somebody else was faster. */
    int number = link(temporary, path) < 0 ? errno : 0;
    (void)unlink(temporary);
    if (number == EEXIST)
        return err_set(err, ERR_REFUSED, "'%s' exists already; a secret is never overwritten", path);
    if (number)
        return err_set_errno(err, number, "could not make secret '%s'", path);
    (void)text_copy(directory, sizeof directory, path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        return file_sync_dir(".", err);
    slash[slash == directory] = '\0';
    return file_sync_dir(directory, err);
}

/* What makes an open file unfit to hold a secret, or 0. closed_to: the bits of its mode that must not be there. */
static int check_file(int fd, const char *what, const char *path, mode_t closed_to, struct err *err)
{
    struct stat found;

    if (fstat(fd, &found) < 0)
        return err_set_errno(err, errno, "could not look at %s '%s'", what, path);
    if (!S_ISREG(found.st_mode))
        return err_set(err, ERR_CONFIG, "%s '%s' is not a regular file", what, path);
    if (found.st_mode & (found.st_uid == 0 ? closed_to : 077))
        return err_set(err, ERR_CONFIG, "%s '%s' is open to others (mode %04o); run: chmod 600 '%s'", what, path,
                       (unsigned)found.st_mode & 07777, path);
    if (found.st_uid != geteuid() && found.st_uid != 0)
        return err_set(err, ERR_CONFIG, "%s '%s' belongs to user %u, neither to us (%u) nor to root", what, path,
                       (unsigned)found.st_uid, (unsigned)geteuid());
    return 0;
}

int secret_check_key(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set_errno(err, errno, "could not open private key '%s'", path);
    int failed = check_file(fd, "private key", path, 037, err);
    (void)close(fd);
    return failed;
}

/* Cuts blanks off both ends of length bytes; checks what is left and copies it. */
static int take_text(const char *bytes, size_t length, const char *path, char *ret_text, struct err *err)
{
    while (length > 0 && isspace((unsigned char)bytes[length - 1]))
        length--;
    while (length > 0 && isspace((unsigned char)*bytes)) {
        bytes++;
        length--;
    }
    if (length < SECRET_TEXT_MIN)
        return err_set(err, ERR_CONFIG, "secret '%s' is too short: %zu characters, at least %d are needed", path,
                       length, SECRET_TEXT_MIN);
    if (length >= SECRET_TEXT_MAX)
        return err_set(err, ERR_CONFIG, "secret '%s' is too long: at most %d characters", path, SECRET_TEXT_MAX - 1);
    for (size_t i = 0; i < length; i++)
        if (!isprint((unsigned char)bytes[i]))
            return err_set(err, ERR_CONFIG, "secret '%s' is not one line of printable text", path);
    memcpy(ret_text, bytes, length);
    ret_text[length] = '\0';
    return 0;
}

int secret_read(const char *path, char *ret_text, struct err *err)
{
    char bytes[2 * SECRET_TEXT_MAX];
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        int number = errno;
        (void)err_set_errno(err, number, "could not open secret '%s'", path);
        if (err)
            err->code = ERR_CONFIG;
        return -(int)ERR_CONFIG;
    }
    int failed = check_file(fd, "secret", path, 077, err);
    while (!failed && length < sizeof bytes) {
        ssize_t got = read(fd, bytes + length, sizeof bytes - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            failed = err_set_errno(err, errno, "could not read secret '%s'", path);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    (void)close(fd);
    if (!failed)
        failed = take_text(bytes, length, path, ret_text, err);
    secret_wipe(bytes, sizeof bytes);
    return failed;
}
