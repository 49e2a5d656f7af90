/* page.c - layout of the shared page and its atomic reads and writes. See page.h. */
#include "guard/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define PAGE_MAGIC UINT64_C(0x7261756770676d72)
#define PAGE_VERSION 1
#define BOOT_ID_SIZE 40
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define PAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

struct slot {
    _Atomic uint32_t mode;
    _Atomic int64_t kill_at_us;
    _Atomic int64_t kill_time_us;
    _Atomic uint64_t token;
};

struct guard_page {
    /* Written once, before the page is shared. */
    uint64_t magic;
    uint32_t version;
    uint32_t bytes;
    char boot_id[BOOT_ID_SIZE];
    char data_directory[GUARD_PATH_SIZE];

    /* The daemon's half. Slot (sequence modulo 2) is in force. */
    _Alignas(64) _Atomic uint64_t sequence;
    struct slot slots[2];
    _Atomic int32_t daemon_pid;
    _Atomic uint64_t daemon_started;
    _Atomic int64_t linger_us;

    /* The guard's half. */
    _Alignas(64) _Atomic int32_t pid;
    _Atomic uint64_t started;
    _Atomic uint64_t seen;
    _Atomic int64_t deadline_us;
    _Atomic int64_t wake_at_us;
    _Atomic uint64_t wakes;
    _Atomic uint64_t stops;
    _Atomic uint64_t kills;
    _Atomic uint32_t act;
    _Atomic int64_t act_at_us;
    _Atomic int32_t left;
    _Atomic uint32_t stopping;
    _Atomic uint32_t memory_locked;
    _Atomic uint32_t real_time;
    _Atomic uint32_t own_group;
    _Atomic int32_t oom_score_adj;
};

_Static_assert(sizeof(struct guard_page) <= GUARD_PAGE_BYTES, "the page must hold all of it");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics in shared memory must need no lock");

static int boot_id_read(char *ret_text, struct err *err)
{
    AUTO(buf) text;

    buf_init(&text, BOOT_ID_SIZE - 1);
    int failed = file_read(BOOT_ID_PATH, &text, err);
    if (failed)
        return failed;
    while (text.length > 0 && text.bytes[text.length - 1] == '\n')
        text.length--;
    if (text.length == 0)
        return err_set(err, ERR_SYSTEM, "file '%s' is empty", BOOT_ID_PATH);
    memset(ret_text, 0, BOOT_ID_SIZE);
    memcpy(ret_text, text.bytes, text.length);
    return 0;
}

static struct guard_page *map(int fd)
{
    void *page = mmap(NULL, GUARD_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

static void page_fill(struct guard_page *page, const char *data_directory, const char *boot_id, int64_t kill_time_us)
{
    page->magic = PAGE_MAGIC;
    page->version = PAGE_VERSION;
    page->bytes = GUARD_PAGE_BYTES;
    memcpy(page->boot_id, boot_id, BOOT_ID_SIZE);
    (void)text_copy(page->data_directory, sizeof page->data_directory, data_directory);
    page->slots[1].mode = GUARD_STANDBY;
    page->slots[1].kill_time_us = kill_time_us;
    page->linger_us = GUARD_LINGER_US;
    page->deadline_us = INT64_MAX;
    page->wake_at_us = INT64_MAX;
    page->sequence = 1;
}

int page_create(const char *data_directory, int64_t kill_time_us, int *ret_fd, struct guard_page **ret_page,
                struct err *err)
{
    char boot_id[BOOT_ID_SIZE];

    if (data_directory[0] != '/' || strlen(data_directory) >= GUARD_PATH_SIZE)
        return err_set(err, ERR_CONFIG, "data directory '%s' is not an absolute path below %d bytes", data_directory,
                       GUARD_PATH_SIZE);
    int failed = boot_id_read(boot_id, err);
    if (failed)
        return failed;

    int fd = memfd_create("raftmgr-guard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set_errno(err, errno, "could not create the page of the guard");
    struct guard_page *page = NULL;
    if (ftruncate(fd, GUARD_PAGE_BYTES) == 0 && fcntl(fd, F_ADD_SEALS, PAGE_SEALS | F_SEAL_SEAL) == 0)
        page = map(fd);
    if (!page) {
        int number = errno;
        (void)close(fd);
        return err_set_errno(err, number, "could not set up the page of the guard");
    }
    page_fill(page, data_directory, boot_id, kill_time_us);
    *ret_fd = fd;
    *ret_page = page;
    return 0;
}

static int page_check(const struct guard_page *page, struct err *err)
{
    char boot_id[BOOT_ID_SIZE];

    if (page->magic != PAGE_MAGIC)
        return err_set(err, ERR_CORRUPT, "this is no page of a guard");
    if (page->version != PAGE_VERSION || page->bytes != GUARD_PAGE_BYTES)
        return err_set(err, ERR_STALE, "the page of the guard has version %" PRIu32 ", not %d", page->version,
                       PAGE_VERSION);
    if (!memchr(page->data_directory, '\0', sizeof page->data_directory) || page->data_directory[0] != '/')
        return err_set(err, ERR_CORRUPT, "the page of the guard names no data directory");
    int failed = boot_id_read(boot_id, err);
    if (failed)
        return failed;
    if (memcmp(page->boot_id, boot_id, BOOT_ID_SIZE) != 0)
        return err_set(err, ERR_STALE, "the page of the guard is of another boot");
    return 0;
}

int page_map(int fd, struct guard_page **ret_page, struct err *err)
{
    struct stat found;

    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & PAGE_SEALS) != PAGE_SEALS || fstat(fd, &found) < 0 || found.st_size != GUARD_PAGE_BYTES)
        return err_set(err, ERR_CORRUPT, "this is no sealed page of a guard");
    struct guard_page *page = map(fd);
    if (!page)
        return err_set_errno(err, errno, "could not map the page of the guard");
    int failed = page_check(page, err);
    if (failed) {
        page_unmap(page);
        return failed;
    }
    *ret_page = page;
    return 0;
}

void page_unmap(struct guard_page *page)
{
    if (page)
        (void)munmap(page, GUARD_PAGE_BYTES);
}

const char *page_data_directory(const struct guard_page *page)
{
    return page->data_directory;
}

bool page_is_for(const struct guard_page *page, const char *data_directory)
{
    struct stat ours;
    struct stat other;

    if (strcmp(page->data_directory, data_directory) == 0)
        return true;
    return stat(page->data_directory, &ours) == 0 && stat(data_directory, &other) == 0 && ours.st_dev == other.st_dev &&
           ours.st_ino == other.st_ino;
}

uint64_t page_read_order(const struct guard_page *page, struct guard_order *ret_order)
{
    uint64_t sequence;

    /* A slot is written again only after the other one came into force, so an unchanged number means an untouched
     * slot. Each further turn means that a newer order has come meanwhile. */
    do {
        sequence = page->sequence;
        const struct slot *slot = &page->slots[sequence % 2];
        *ret_order = (struct guard_order){
            .mode = (enum guard_mode)slot->mode,
            .kill_at_us = slot->kill_at_us,
            .kill_time_us = slot->kill_time_us,
            .token = slot->token,
        };
    } while (sequence != page->sequence);
    return sequence;
}

uint64_t page_write_order(struct guard_page *page, uint64_t expected, const struct guard_order *order)
{
    struct slot *slot = &page->slots[(expected + 1) % 2];

    if (page->sequence != expected)
        return 0;
    slot->mode = (uint32_t)order->mode;
    slot->kill_at_us = order->kill_at_us;
    slot->kill_time_us = order->kill_time_us;
    slot->token = order->token;
    return atomic_compare_exchange_strong(&page->sequence, &expected, expected + 1) ? expected + 1 : 0;
}

void page_set_daemon(struct guard_page *page, pid_t pid, uint64_t started)
{
    page->daemon_started = started;
    page->daemon_pid = pid;
}

void page_daemon(const struct guard_page *page, pid_t *ret_pid, uint64_t *ret_started)
{
    *ret_pid = page->daemon_pid;
    *ret_started = page->daemon_started;
}

void page_set_linger(struct guard_page *page, int64_t linger_us)
{
    page->linger_us = linger_us;
}

int64_t page_linger(const struct guard_page *page)
{
    return page->linger_us;
}

void page_write_state(struct guard_page *page, const struct guard_state *state)
{
    page->pid = state->pid;
    page->started = state->started;
    page->deadline_us = state->deadline_us;
    page->wake_at_us = state->wake_at_us;
    page->wakes = state->wakes;
    page->stops = state->stops;
    page->kills = state->kills;
    page->act = (uint32_t)state->act;
    page->act_at_us = state->act_at_us;
    page->left = state->left;
    page->stopping = state->stopping;
    page->memory_locked = state->memory_locked;
    page->real_time = state->real_time;
    page->own_group = state->own_group;
    page->oom_score_adj = state->oom_score_adj;
    /* Last: whoever sees that an order was acted on also sees the deadline that it led to. */
    page->seen = state->seen;
}

void page_read_state(const struct guard_page *page, struct guard_state *ret_state)
{
    uint64_t seen = page->seen;

    *ret_state = (struct guard_state){
        .pid = page->pid,
        .started = page->started,
        .seen = seen,
        .deadline_us = page->deadline_us,
        .wake_at_us = page->wake_at_us,
        .wakes = page->wakes,
        .stops = page->stops,
        .kills = page->kills,
        .act = (enum guard_act)page->act,
        .act_at_us = page->act_at_us,
        .left = page->left,
        .stopping = page->stopping,
        .memory_locked = page->memory_locked,
        .real_time = page->real_time,
        .own_group = page->own_group,
        .oom_score_adj = page->oom_score_adj,
    };
}

const char *guard_mode_name(enum guard_mode mode)
{
    static const char *const names[] = { "standby", "primary", "paused", "quit" };
    return (size_t)mode < ARRAY_LEN(names) ? names[mode] : "unknown";
}
