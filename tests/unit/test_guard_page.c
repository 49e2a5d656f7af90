/* test_guard_page.c - the page of daemon and guard: whose it is, and that no order is ever torn. */
#include "guard/page.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "unit.h"

#define DATA "/var/lib/postgresql/data"
#define ORDERS 200000

static int changed_page(size_t at, const char *bytes, size_t length)
{
    struct guard_page *page;
    struct guard_page *again;
    int fd;

    CU_ASSERT_FATAL(page_create(DATA, 1000, &fd, &page, NULL) == 0);
    memcpy((char *)page + at, bytes, length);
    int failed = page_map(fd, &again, NULL);
    if (!failed)
        page_unmap(again);
    page_unmap(page);
    (void)close(fd);
    return failed;
}

/* Where in a page a text begins. */
static size_t find_text(const char *text)
{
    struct guard_page *page;
    int fd;

    CU_ASSERT_FATAL(page_create(DATA, 1000, &fd, &page, NULL) == 0);
    const char *found = memmem(page, GUARD_PAGE_BYTES, text, strlen(text));
    CU_ASSERT_FATAL(found != NULL);
    size_t at = (size_t)(found - (const char *)page);
    page_unmap(page);
    (void)close(fd);
    return at;
}

static void refuses_another_boot(void)
{
    AUTO(buf) boot;

    buf_init(&boot, 64);
    CU_ASSERT_FATAL(file_read("/proc/sys/kernel/random/boot_id", &boot, NULL) == 0);
    buf_put_u8(&boot, 0);
    boot.bytes[36] = '\0';
    size_t at = find_text((const char *)boot.bytes);
    CU_ASSERT_EQUAL(changed_page(at, (const char *)boot.bytes, 36), 0);
    boot.bytes[0] = boot.bytes[0] == '0' ? '1' : '0';
    CU_ASSERT_EQUAL(changed_page(at, (const char *)boot.bytes, 36), -ERR_STALE);
}

static void refuses_what_is_no_page(void)
{
    struct guard_page *page;

    CU_ASSERT_EQUAL(changed_page(0, "rubbish", 8), -ERR_CORRUPT);
    CU_ASSERT_EQUAL(changed_page(8, "\2", 1), -ERR_STALE);
    CU_ASSERT_EQUAL(changed_page(find_text(DATA), "not absolute", 13), -ERR_CORRUPT);
    /* One that somebody could still shrink under us. */
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CU_ASSERT_EQUAL(ftruncate(fd, GUARD_PAGE_BYTES), 0);
    CU_ASSERT_EQUAL(page_map(fd, &page, NULL), -ERR_CORRUPT);
    (void)close(fd);
    CU_ASSERT_EQUAL(page_map(STDERR_FILENO, &page, NULL), -ERR_CORRUPT);
}

static void is_for_one_directory(void)
{
    struct guard_page *page;
    int fd;

    CU_ASSERT_EQUAL(page_create("relative", 0, &fd, &page, NULL), -ERR_CONFIG);
    CU_ASSERT_FATAL(page_create("/tmp", 0, &fd, &page, NULL) == 0);
    CU_ASSERT_TRUE(page_is_for(page, "/tmp"));
    CU_ASSERT_TRUE(page_is_for(page, "/tmp/../tmp"));
    CU_ASSERT_FALSE(page_is_for(page, "/"));
    CU_ASSERT_FALSE(page_is_for(page, "/no such directory"));
    page_unmap(page);
    (void)close(fd);
}

static void begins_with_standby(void)
{
    struct guard_page *page;
    struct guard_order order;
    struct guard_state state;
    int fd;

    CU_ASSERT_FATAL(page_create(DATA, 1234, &fd, &page, NULL) == 0);
    CU_ASSERT(page_read_order(page, &order) > 0);
    CU_ASSERT_EQUAL(order.mode, GUARD_STANDBY);
    CU_ASSERT_EQUAL(order.kill_time_us, 1234);
    page_read_state(page, &state);
    CU_ASSERT_EQUAL(state.pid, 0);
    CU_ASSERT_EQUAL(state.deadline_us, INT64_MAX);
    page_unmap(page);
    (void)close(fd);
}

/* A daemon that was frozen, thawed, and goes on where it was, while another has given orders. */
static void refuses_a_writer_that_was_overtaken(void)
{
    struct guard_page *page;
    struct guard_order order;
    int fd;

    CU_ASSERT_FATAL(page_create(DATA, 0, &fd, &page, NULL) == 0);
    uint64_t seen = page_read_order(page, &order);
    uint64_t next = page_write_order(page, seen, &(struct guard_order){ .mode = GUARD_PAUSED, .token = 2 });
    CU_ASSERT_EQUAL(next, seen + 1);
    CU_ASSERT_EQUAL(page_write_order(page, seen, &(struct guard_order){ .mode = GUARD_PRIMARY, .token = 1 }), 0);
    CU_ASSERT_EQUAL(page_read_order(page, &order), next);
    CU_ASSERT_EQUAL(order.mode, GUARD_PAUSED);
    CU_ASSERT_EQUAL(order.token, 2);
    page_unmap(page);
    (void)close(fd);
}

static _Atomic bool writer_done;

/* Orders whose fields all tell the same number. */
static void *write_orders(void *page)
{
    struct guard_order order;
    uint64_t number = page_read_order(page, &order);

    for (int64_t i = 1; i <= ORDERS; i++) {
        order = (struct guard_order){
            .mode = i % 2 ? GUARD_PRIMARY : GUARD_PAUSED, .kill_at_us = i, .kill_time_us = i, .token = (uint64_t)i
        };
        number = page_write_order(page, number, &order);
    }
    writer_done = true;
    return NULL;
}

static void never_reads_a_torn_order(void)
{
    struct guard_page *page;
    struct guard_order order;
    pthread_t writer;
    int torn = 0;
    int fd;

    CU_ASSERT_FATAL(page_create(DATA, 0, &fd, &page, NULL) == 0);
    writer_done = false;
    CU_ASSERT_FATAL(pthread_create(&writer, NULL, write_orders, page) == 0);
    while (!writer_done) {
        (void)page_read_order(page, &order);
        enum guard_mode mode = order.kill_at_us == 0  ? GUARD_STANDBY
                               : order.kill_at_us % 2 ? GUARD_PRIMARY
                                                      : GUARD_PAUSED;
        torn +=
            order.kill_at_us != order.kill_time_us || (uint64_t)order.kill_at_us != order.token || order.mode != mode;
    }
    (void)pthread_join(writer, NULL);
    CU_ASSERT_EQUAL(torn, 0);
    (void)page_read_order(page, &order);
    CU_ASSERT_EQUAL(order.token, ORDERS);
    page_unmap(page);
    (void)close(fd);
}

static const struct unit_test tests[] = {
    { "refuses a page of another boot", refuses_another_boot },
    { "refuses what is no page, another version, one without seal", refuses_what_is_no_page },
    { "is for one data directory", is_for_one_directory },
    { "begins with standby and no guard", begins_with_standby },
    { "refuses a writer that was overtaken", refuses_a_writer_that_was_overtaken },
    { "never reads a torn order", never_reads_a_torn_order },
};
const struct unit_suite suite_guard_page = UNIT_SUITE("guard_page", tests);
