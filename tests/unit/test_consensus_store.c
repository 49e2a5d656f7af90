/* test_consensus_store.c - what is on the disk: wrapped, founded, damaged, and not to be written. */
#include "raft_drive.h"

#include "consensus/envelope.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static void entries_survive_decoding(void)
{
    uint8_t entry[64];
    const uint8_t *bytes;
    size_t length;
    struct err err;

    for (size_t size = 0; size < 20; size++) {
        entry_encode(entry, (const uint8_t *)"abcdefghijklmnopqrst", size);
        CU_ASSERT_EQUAL(entry_size(size) % 8, 0);
        CU_ASSERT_EQUAL(entry_decode(entry, entry_size(size), &bytes, &length, &err), 0);
        CU_ASSERT_EQUAL(length, size);
        CU_ASSERT_EQUAL(memcmp(bytes, "abcdefghijklmnopqrst", size), 0);
        CU_ASSERT_EQUAL(entry_decode(entry, entry_size(size) - 8, &bytes, &length, &err), -ERR_CORRUPT);
        CU_ASSERT_EQUAL(entry_decode(entry, entry_size(size) + 8, &bytes, &length, &err), -ERR_CORRUPT);
    }
    entry[4]++;
    CU_ASSERT_EQUAL(entry_decode(entry, 32, &bytes, &length, &err), -ERR_STALE);
    entry[0]++;
    CU_ASSERT_EQUAL(entry_decode(entry, 32, &bytes, &length, &err), -ERR_CORRUPT);
}

static void damaged_snapshots_are_noticed(void)
{
    uint8_t state[5000];
    unsigned unnoticed = 0;
    struct err err;
    AUTO(buf) wrapped;

    for (size_t i = 0; i < sizeof state; i++)
        state[i] = (uint8_t)(i * i >> 3);
    buf_init(&wrapped, 10000);
    CU_ASSERT_EQUAL(snapshot_encode(&wrapped, state, sizeof state, &err), 0);
    for (size_t i = 0; i <= wrapped.length; i++) { /* each byte changed, then none, then each cut */
        AUTO(buf) back;
        AUTO(buf) cut;
        buf_init(&back, sizeof state);
        buf_init(&cut, sizeof state);
        if (i < wrapped.length)
            wrapped.bytes[i] ^= 0x40;
        int failed = snapshot_decode(&back, wrapped.bytes, wrapped.length, &err);
        if (i < wrapped.length)
            wrapped.bytes[i] ^= 0x40;
        unnoticed += !failed;
        if (i < wrapped.length)
            CU_ASSERT(snapshot_decode(&cut, wrapped.bytes, i, &err) < 0);
        if (i == wrapped.length)
            CU_ASSERT(back.length == sizeof state && memcmp(back.bytes, state, sizeof state) == 0);
    }
    CU_ASSERT_EQUAL(unnoticed, 1);
}

static void flip_byte(const char *directory, const char *name, off_t at)
{
    char path[1200];
    char byte;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDWR);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static void damage_is_refused_in_words(void)
{
    char path[1200];
    struct err err;

    open_group(1);
    propose_many(&members[0], 20, "g");
    close_consensus(&members[0]);
    flip_byte(members[0].directory, "0000000000000001-0000000000000001", 30);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), -ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "admitted anew"));
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    RUN_UNTIL(open_consensus(&members[0], &err) != -ERR_REFUSED); /* unlocked once the failed opening is gone */
    flip_byte(members[0].directory, "0000000000000001-0000000000000001", 30);
    RUN_UNTIL(open_consensus(&members[0], &err) == 0); /* the damage undone */
    RUN_UNTIL(leads(&members[0]));
    close_consensus(&members[0]);
    (void)snprintf(path, sizeof path, "%s/metadata1", members[0].directory);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/metadata2", members[0].directory);
    (void)unlink(path);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), -ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "metadata"));
    members[0].consensus = NULL;
    end_all();
}

static void an_interrupted_founding_is_repeated(void)
{
    char directory[512], path[600];
    uint8_t metadata[32] = { [0] = 1, [8] = 1, [16] = 1 }; /* format 1, version 1, term 1, no vote */
    struct err err;

    (void)unit_path(directory, sizeof directory, "interrupted");
    CU_ASSERT_EQUAL_FATAL(mkdir(directory, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/metadata1", directory);
    FILE *file = fopen(path, "w");
    CU_ASSERT_EQUAL(fwrite(metadata, sizeof metadata, 1, file), 1);
    (void)fclose(file);
    CU_ASSERT_FALSE(consensus_exists(directory));
    /* libraft makes segments beforehand: one that was never written to is no log, also where metadata are missing. */
    uint8_t segment[64] = { 0 };
    (void)snprintf(path, sizeof path, "%s/open-1", directory);
    file = fopen(path, "w");
    CU_ASSERT_EQUAL(fwrite(segment, sizeof segment, 1, file), 1);
    (void)fclose(file);
    CU_ASSERT_FALSE(consensus_exists(directory));
    CU_ASSERT_FALSE(consensus_holds(directory));
    CU_ASSERT_EQUAL(consensus_bootstrap(directory, 1, "127.0.0.1:1", &err), 0);
    CU_ASSERT(consensus_exists(directory) && consensus_holds(directory));
}

/* libraft would begin anew with an empty log, and nobody would know that it had confirmed entries. */
static void a_vote_alone_is_no_log(void)
{
    char path[1200];
    struct err err;

    open_group(1);
    propose_many(&members[0], 20, "v");
    close_consensus(&members[0]);
    CU_ASSERT(consensus_holds(members[0].directory));
    DIR *directory = opendir(members[0].directory);
    CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        (void)snprintf(path, sizeof path, "%s/%s", members[0].directory, entry->d_name);
        if (strchr(entry->d_name, '-'))
            CU_ASSERT_EQUAL(unlink(path), 0);
    }
    (void)closedir(directory);
    CU_ASSERT_FALSE(consensus_holds(members[0].directory));
    RUN_UNTIL(open_consensus(&members[0], &err) == 0);
    close_consensus(&members[0]);
    end_all();
}

static void settings_are_checked(void)
{
    struct consensus_config config = {
        .directory = "/nonexistent", .id = 1, .address = "x:1", .election_timeout_ms = 1000, .heartbeat_ms = 100
    };
    struct consensus_callbacks callbacks = { 0 };
    struct consensus *consensus;
    struct err err;

    loop_start();
    memset(members, 0, sizeof members);
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_SYSTEM);
    config.heartbeat_ms = 400;
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    config.election_timeout_ms = 100;
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    config.id = 0;
    CU_ASSERT_EQUAL(consensus_open(&consensus, &loop, &config, &callbacks, &err), -ERR_CONFIG);
    end_all();
}

/* A limit on the size of files stands in for a failing disk: from now on nothing gets written beyond bytes. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_failing_disk_ends_it_in_order(void)
{
    struct outcomes outcomes = { 0 };
    char big[8192];
    struct err err;

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    open_group(1);
    propose_many(&members[0], 3, "h");
    limit_files(4096);
    for (int i = 0; i < 5; i++)
        propose(&members[0], big, &outcomes);
    RUN_UNTIL(status_of(&members[0]).role == CONSENSUS_DOWN && outcomes.calls == 5);
    CU_ASSERT_EQUAL(outcomes.unknown, 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(status_of(&members[0]).problem, "could not write the raft log"));
    propose(&members[0], "after", &outcomes);
    RUN_UNTIL(outcomes.refused == 1);
    limit_files(RLIM_INFINITY);
    close_consensus(&members[0]);
    CU_ASSERT_EQUAL(open_consensus(&members[0], &err), 0);
    RUN_UNTIL(leads(&members[0]));
    CU_ASSERT(members[0].applied >= 3);
    end_all();
}

static void a_vote_that_cannot_be_written_is_not_cast(void)
{
    struct err err;

    open_group(2);
    limit_files(16); /* terms and votes are files of 32 bytes */
    CU_ASSERT_EQUAL(consensus_transfer(members[0].consensus, 2, &err), 0);
    RUN_UNTIL(status_of(&members[1]).role == CONSENSUS_DOWN);
    CU_ASSERT_PTR_NOT_NULL(strstr(status_of(&members[1]).problem, "could not write the raft term"));
    CU_ASSERT_FALSE(leads(&members[1]));
    limit_files(RLIM_INFINITY);
    close_consensus(&members[1]);
    CU_ASSERT_EQUAL(open_consensus(&members[1], &err), 0);
    RUN_UNTIL(leads(&members[0]) || leads(&members[1]));
    end_all();
}

static const struct unit_test tests[] = {
    { "an entry survives encoding, and nothing else passes for one", entries_survive_decoding },
    { "any damage to a snapshot is noticed", damaged_snapshots_are_noticed },
    { "wrong settings are refused", settings_are_checked },
    { "an interrupted founding can be repeated", an_interrupted_founding_is_repeated },
    { "where only a vote is left, the log was lost", a_vote_alone_is_no_log },
    { "a damaged log is refused in words that help", damage_is_refused_in_words },
    { "a failing disk ends a member in order, with a reason", a_failing_disk_ends_it_in_order },
    { "a vote that cannot be written is not cast", a_vote_that_cannot_be_written_is_not_cast },
};

const struct unit_suite suite_consensus_store = UNIT_SUITE("consensus_store", tests);
