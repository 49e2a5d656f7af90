/* test_instance.c - finding a PostgreSQL instance's processes and no others. */
#include "guard/instance.h"

#include "fake_postgres.h"

static void finds_servers_only(void)
{
    struct fake fake;
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-finds");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 0);
    pid_t server = fake_server(&fake);
    pid_t bystander = fake_run(fake.other, fake.data, NULL);
    pid_t elsewhere = fake_run(fake.server, fake.runtime, NULL);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 1);
    CU_ASSERT_TRUE(instance_has(&instance, server));
    CU_ASSERT_FALSE(instance_has(&instance, bystander));
    CU_ASSERT_FALSE(instance_has(&instance, elsewhere));
    fake_end(server);
    fake_end(bystander);
    fake_end(elsewhere);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 0);
}

/* By the directory and not by its name: the path given is a symbolic link to where the server runs. */
static void finds_by_directory(void)
{
    struct fake fake;
    char link[FAKE_PATH_SIZE + 8];
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-link");
    (void)snprintf(link, sizeof link, "%s.link", fake.data);
    CU_ASSERT_EQUAL(symlink(fake.data, link), 0);
    CU_ASSERT_EQUAL(instance_open(&instance, link, NULL), 0);
    pid_t server = fake_server(&fake);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 1);
    fake_end(server);
}

/* An upgrade replaces the program and a restore the directory while the server runs on. */
static void finds_what_was_deleted(void)
{
    struct fake fake;
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-deleted");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    pid_t server = fake_server(&fake);
    CU_ASSERT_EQUAL(unlink(fake.server), 0);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 1);
    CU_ASSERT_EQUAL(rmdir(fake.data), 0);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 1);
    CU_ASSERT_EQUAL(mkdir(fake.data, 0700), 0);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 1);
    fake_end(server);
}

static void does_not_count_zombies(void)
{
    struct fake fake;
    siginfo_t info;
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-zombie");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    pid_t server = fake_server(&fake);
    (void)kill(server, SIGKILL);
    CU_ASSERT_EQUAL(waitid(P_PID, (id_t)server, &info, WEXITED | WNOWAIT), 0);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 0);
    fake_end(server);
}

static void kills_all_of_it(void)
{
    struct fake fake;
    pid_t servers[3];
    int sent = 0;
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-kills");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        servers[i] = fake_server(&fake);
    pid_t bystander = fake_run(fake.other, fake.data, NULL);
    CU_ASSERT_EQUAL(instance_signal(&instance, INSTANCE_ALL, SIGKILL, &sent, NULL), 3);
    CU_ASSERT_EQUAL(sent, 3);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        CU_ASSERT_EQUAL(WTERMSIG(fake_await_end(servers[i])), SIGKILL);
    CU_ASSERT_EQUAL(instance_signal(&instance, INSTANCE_ALL, SIGKILL, &sent, NULL), 0);
    CU_ASSERT_TRUE(fake_lives(bystander));
    fake_end(bystander);
}

/* The postmaster's children are its own to end; with it gone, each of them is a head. */
static void tells_heads_from_children(void)
{
    struct fake fake;
    char script[FAKE_PATH_SIZE + 64];
    int sent = 0;
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-heads");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    /* The head lives on with the signal, which a child would die of. */
    (void)snprintf(script, sizeof script, "trap : TERM; %s " FAKE_LIFE " & while :; do wait; done", fake.server);
    pid_t head = fake_run(fake.parent, fake.data, script);
    FAKE_AWAIT(instance_count(&instance, NULL) == 2);
    CU_ASSERT_EQUAL(instance_signal(&instance, INSTANCE_HEADS, SIGTERM, &sent, NULL), 2);
    CU_ASSERT_EQUAL(sent, 1);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 2);
    fake_end(head);
    CU_ASSERT_EQUAL(instance_count(&instance, NULL), 1);
    CU_ASSERT_EQUAL(instance_signal(&instance, INSTANCE_HEADS, SIGKILL, &sent, NULL), 1);
    CU_ASSERT_EQUAL(sent, 1);
    FAKE_AWAIT(instance_count(&instance, NULL) == 0);
}

/* A server that may not be looked at: a program that can be executed and not read makes one. */
static pid_t run_unseen(const struct fake *fake, const char *option, const char *value)
{
    int executed[2];
    int input[2];
    char nothing;

    if (pipe2(executed, O_CLOEXEC) < 0 || pipe2(input, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(input[0], 0);
        if (chdir(fake->data) == 0)
            (void)execl(fake->parent, "postgres", "-c", "read word", option, value, (char *)NULL);
        _exit(127);
    }
    (void)close(executed[1]);
    return read(executed[0], &nothing, 1) == 0 ? pid : -1;
}

#define STRANGERS 1000000u /* users above this number are nobody's */

/* As an ordinary user and in a process of its own, for root may look at all. Counts what is not as it must be. */
static int among_the_unseen(const struct fake *fake, uid_t user, const char *option, const char *value)
{
    AUTO(instance) instance = { 0 };
    char path[32];
    char link[FAKE_PATH_SIZE];
    siginfo_t info;
    int sent = 0;
    bool ours = !option;

    if (setgid((gid_t)user) < 0 || setuid(user) < 0)
        return 99;
    int wrong = instance_open(&instance, fake->data, NULL) != 0;
    wrong += instance_count(&instance, NULL) != 0;
    pid_t server = run_unseen(fake, option, value);
    if (server < 0)
        return 98;
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)server);
    wrong += readlink(path, link, sizeof link) >= 0; /* else this proves nothing */
    wrong += instance_count(&instance, NULL) != ours;
    wrong += instance_has(&instance, server) != ours;
    wrong += instance_signal(&instance, INSTANCE_ALL, SIGKILL, &sent, NULL) != ours;
    wrong += sent != ours;
    (void)kill(server, SIGKILL);
    wrong += waitid(P_PID, (id_t)server, &info, WEXITED | WNOWAIT) != 0;
    wrong += instance_count(&instance, NULL) != 0; /* not waited for yet */
    return wrong;
}

static void count_the_unseen(const char *name, const char *option, const char *value)
{
    struct fake fake;
    char path[FAKE_PATH_SIZE];
    int status = -1;
    uid_t user = STRANGERS + (uid_t)getpid(); /* another run of these tests must not be seen */

    fake_init(&fake, name);
    (void)chmod(unit_path(path, sizeof path, "."), 0711);
    (void)chmod(unit_path(path, sizeof path, name), 0711);
    fake_path(path, name, "/shell");
    (void)chmod(path, 0711);
    (void)chmod(fake.parent, 0711);
    CU_ASSERT_EQUAL(chown(fake.data, user, (gid_t)user), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(among_the_unseen(&fake, user, option, value));
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A server that holds capabilities which we lack must not be taken for none (decision 3). */
static void counts_what_it_may_not_look_at(void)
{
    if (geteuid() != 0)
        return; /* it takes a second user */
    count_the_unseen("instance-unseen", NULL, NULL);
    count_the_unseen("instance-unseen-other", "-D", "/elsewhere");
}

static void write_postmaster_pid(const struct fake *fake, const char *text)
{
    char path[FAKE_PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/postmaster.pid", fake->data);
    CU_ASSERT_EQUAL(file_replace(path, text, strlen(text), 0600, NULL), 0);
}

/* A number left behind by a crash may belong to anybody by now. */
static void believes_no_stale_postmaster_pid(void)
{
    struct fake fake;
    char text[64];
    AUTO(instance) instance = { 0 };

    fake_init(&fake, "instance-pid");
    CU_ASSERT_EQUAL(instance_open(&instance, fake.data, NULL), 0);
    CU_ASSERT_EQUAL(instance_postmaster_pid(&instance), 0);
    pid_t server = fake_server(&fake);
    (void)snprintf(text, sizeof text, "%d\n/data\n123\n", (int)server);
    write_postmaster_pid(&fake, text);
    CU_ASSERT_EQUAL(instance_postmaster_pid(&instance), server);
    (void)snprintf(text, sizeof text, "-%d\n", (int)server);
    write_postmaster_pid(&fake, text);
    CU_ASSERT_EQUAL(instance_postmaster_pid(&instance), 0);
    (void)snprintf(text, sizeof text, "%d\n", (int)getpid());
    write_postmaster_pid(&fake, text);
    CU_ASSERT_EQUAL(instance_postmaster_pid(&instance), 0);
    write_postmaster_pid(&fake, "rubbish that is longer than any number\n");
    CU_ASSERT_EQUAL(instance_postmaster_pid(&instance), 0);
    fake_end(server);
}

/* A number that is used again names another process: the start time tells. */
static void a_process_is_number_and_start(void)
{
    struct process self;

    CU_ASSERT_TRUE(process_look(getpid(), &self));
    CU_ASSERT_EQUAL(self.parent, getppid());
    CU_ASSERT_EQUAL(process_open(self.pid, self.started + 1), -1);
    int fd = process_open(self.pid, self.started);
    CU_ASSERT(fd >= 0);
    CU_ASSERT_FALSE(process_ended(fd));
    (void)close(fd);
}

static const struct unit_test tests[] = {
    { "finds the server's processes in its data directory and no others", finds_servers_only },
    { "finds them by the directory, not by its name", finds_by_directory },
    { "finds them when program or directory were deleted", finds_what_was_deleted },
    { "does not count zombies", does_not_count_zombies },
    { "kills all of the instance and nothing else", kills_all_of_it },
    { "tells the postmaster from its children, and orphans from both", tells_heads_from_children },
    { "counts and kills a server that it may not look at", counts_what_it_may_not_look_at },
    { "believes no stale postmaster.pid", believes_no_stale_postmaster_pid },
    { "knows a process by number and start time", a_process_is_number_and_start },
};
const struct unit_suite suite_instance = UNIT_SUITE("instance", tests);
