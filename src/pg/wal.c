/* wal.c - segment files and the control file. See wal.h. */
#include "pg/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

/* ControlFileData and CheckPoint of PostgreSQL 13 to 18, which keep these fields in front (catalog/pg_control.h). */
#define AT_SYSTEM_IDENTIFIER 0
#define AT_VERSION 8
#define AT_STATE 16
#define AT_CHECKPOINT 32
#define AT_REDO 40
#define AT_TIMELINE 48
#define CONTROL_BYTES_NEEDED 56
#define CONTROL_VERSION_MIN 1300
#define CONTROL_VERSION_MAX 1899

#define PAGE_BYTES 8192
#define PAGE_HEADER_BYTES 24       /* XLogPageHeaderData, aligned */
#define PAGE_HEADER_FIRST_BYTES 40 /* the first page of a segment: XLogLongPageHeaderData */
#define RECORD_BYTES_MAX 4096      /* a checkpoint record has about 120 */
#define RECORD_BYTES_MIN 24
#define WAL_PATH_SIZE (PATH_SIZE + 64)

static uint32_t u32_at(const uint8_t *bytes, size_t at)
{
    uint32_t value;
    memcpy(&value, bytes + at, sizeof value); /* written by this machine in its own byte order */
    return value;
}

static uint64_t u64_at(const uint8_t *bytes, size_t at)
{
    uint64_t value;
    memcpy(&value, bytes + at, sizeof value);
    return value;
}

int control_parse(const void *bytes, size_t length, struct control *ret, struct err *err)
{
    const uint8_t *from = bytes;

    if (length < CONTROL_BYTES_NEEDED)
        return err_set(err, ERR_CORRUPT, "the control file has only %zu bytes", length);
    uint32_t version = u32_at(from, AT_VERSION);
    if (version < CONTROL_VERSION_MIN || version > CONTROL_VERSION_MAX)
        return err_set(err, ERR_CORRUPT, "the control file has the unknown version %" PRIu32, version);
    uint32_t state = u32_at(from, AT_STATE);
    if (state > CONTROL_IN_PRODUCTION)
        return err_set(err, ERR_CORRUPT, "the control file shows the unknown state %" PRIu32, state);
    *ret = (struct control){
        .system_identifier = u64_at(from, AT_SYSTEM_IDENTIFIER),
        .state = state,
        .checkpoint = { u64_at(from, AT_CHECKPOINT) },
        .redo = { u64_at(from, AT_REDO) },
        .timeline = { u32_at(from, AT_TIMELINE) },
    };
    return 0;
}

static int read_at(const char *path, uint64_t offset, void *bytes, size_t length, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "file '%s' does not exist", path);
    if (fd < 0)
        return err_set_errno(err, errno, "could not open file '%s'", path);
    ssize_t got = pread(fd, bytes, length, (off_t)offset);
    int number = got < 0 ? errno : 0;
    (void)close(fd);
    if (number)
        return err_set_errno(err, number, "could not read file '%s'", path);
    if ((size_t)got != length)
        return err_set(err, ERR_CORRUPT, "file '%s' is too short", path);
    return 0;
}

int control_read(const char *data_directory, struct control *ret, struct err *err)
{
    char path[WAL_PATH_SIZE];
    uint8_t bytes[CONTROL_BYTES_NEEDED];

    (void)snprintf(path, sizeof path, "%s/global/pg_control", data_directory);
    int failed = read_at(path, 0, bytes, sizeof bytes, err);
    return failed ? failed : control_parse(bytes, sizeof bytes, ret, err);
}

void wal_name(struct timeline timeline, struct lsn at, uint64_t segment_bytes, char *name)
{
    uint64_t per_file = UINT64_C(0x100000000) / segment_bytes;
    uint64_t segment = at.at / segment_bytes;

    (void)snprintf(name, WAL_NAME_SIZE, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, timeline.no,
                   (uint32_t)(segment / per_file), (uint32_t)(segment % per_file));
}

bool wal_name_parse(const char *name, struct timeline *ret_timeline, uint64_t *ret_high, uint64_t *ret_low)
{
    uint32_t part[3];

    if (strlen(name) != WAL_NAME_SIZE - 1 || strspn(name, "0123456789ABCDEF") != WAL_NAME_SIZE - 1 ||
        sscanf(name, "%8" SCNx32 "%8" SCNx32 "%8" SCNx32, &part[0], &part[1], &part[2]) != 3)
        return false;
    ret_timeline->no = part[0];
    *ret_high = part[1];
    *ret_low = part[2];
    return true;
}

static DIR *open_wal(const char *data_directory, struct err *err)
{
    char path[WAL_PATH_SIZE];
    DIR *directory;

    (void)snprintf(path, sizeof path, "%s/pg_wal", data_directory);
    directory = opendir(path);
    if (!directory)
        (void)err_set_errno(err, errno, "could not open directory '%s'", path);
    return directory;
}

int wal_segment_bytes(const char *data_directory, uint64_t *ret, struct err *err)
{
    struct timeline timeline;
    uint64_t high;
    uint64_t low;
    struct dirent *entry;
    struct stat file;
    DIR *directory = open_wal(data_directory, err);

    if (!directory)
        return -(int)err->code;
    while ((entry = readdir(directory)) != NULL) {
        if (wal_name_parse(entry->d_name, &timeline, &high, &low) &&
            fstatat(dirfd(directory), entry->d_name, &file, 0) == 0 && file.st_size >= 1024 * 1024 &&
            (file.st_size & (file.st_size - 1)) == 0) {
            *ret = (uint64_t)file.st_size;
            (void)closedir(directory);
            return 0;
        }
    }
    (void)closedir(directory);
    return err_set(err, ERR_NOT_FOUND, "there is no WAL segment in '%s/pg_wal'", data_directory);
}

bool wal_exists(const char *data_directory, struct timeline timeline, struct lsn at, uint64_t segment_bytes)
{
    char name[WAL_NAME_SIZE];
    char path[WAL_PATH_SIZE];

    wal_name(timeline, at, segment_bytes, name);
    (void)snprintf(path, sizeof path, "%s/pg_wal/%s", data_directory, name);
    return file_exists(path);
}

/* Moves over length bytes of a record that begins at `at`, stepping over the headers of the pages it goes on in. */
static uint64_t record_end(uint64_t at, uint64_t length, uint64_t segment_bytes)
{
    while (length > 0) {
        if (at % PAGE_BYTES == 0)
            at += at % segment_bytes == 0 ? PAGE_HEADER_FIRST_BYTES : PAGE_HEADER_BYTES;
        uint64_t room = PAGE_BYTES - at % PAGE_BYTES;
        uint64_t take = length < room ? length : room;
        at += take;
        length -= take;
    }
    return at;
}

int control_end(const char *data_directory, const struct control *control, struct lsn *ret_end, struct err *err)
{
    char name[WAL_NAME_SIZE];
    char path[WAL_PATH_SIZE];
    uint64_t segment_bytes = 1;
    uint32_t length = 0;

    int failed = wal_segment_bytes(data_directory, &segment_bytes, err);
    if (failed)
        return failed;
    wal_name(control->timeline, control->checkpoint, segment_bytes, name);
    (void)snprintf(path, sizeof path, "%s/pg_wal/%s", data_directory, name);
    failed = read_at(path, control->checkpoint.at % segment_bytes, &length, sizeof length, err);
    if (failed)
        return failed;
    if (length < RECORD_BYTES_MIN || length > RECORD_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "there is no checkpoint record where the control file says");
    ret_end->at = record_end(control->checkpoint.at, (length + 7) & ~UINT64_C(7), segment_bytes);
    return 0;
}
