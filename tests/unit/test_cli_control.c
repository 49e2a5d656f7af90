/*
 * test_cli_control.c - rmctl against a daemon that is played by this test: what is asked, what is printed, where it
 * ends.
 *
 * Each case runs the whole of rmctl in a child of its own, with a configuration that names the test's socket. A daemon
 * may be away, busy, older, or broken: none of it may hang rmctl or be taken for success.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/control.h"
#include "unit.h"

struct run {
    char request[4096]; /* what the daemon was asked */
    char out[16384];
    char errors[8192];
    int status; /* exit status */
};

static struct run run;
static unsigned lives_s; /* ends a command that goes on for ever; 0: none does */

static const char *path_of(const char *name)
{
    static char paths[4][256];
    static unsigned next;

    next = (next + 1) % ARRAY_LEN(paths);
    return unit_path(paths[next], sizeof paths[0], name);
}

static void read_back(const char *name, char *text, size_t size)
{
    AUTO(buf) content;
    struct err err;

    buf_init(&content, size - 1);
    (void)file_read(path_of(name), &content, &err);
    if (content.length)
        memcpy(text, content.bytes, content.length);
    text[content.length] = '\0';
}

static int listening(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_FATAL(text_copy(address.sun_path, sizeof address.sun_path, path_of("cli.sock")));
    (void)unlink(address.sun_path);
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CU_ASSERT_FATAL(listen(fd, 4) == 0);
    return fd;
}

/* The daemon: takes one request, answers with the text as it is, closes. */
static void serve(int listener, const char *answer)
{
    char request[4096];
    size_t used = 0;
    struct err err;
    int fd = accept(listener, NULL, NULL);

    while (used + 1 < sizeof request && !memchr(request, '\n', used)) {
        ssize_t got = read(fd, request + used, sizeof request - 1 - used);
        if (got <= 0)
            _exit(1);
        used += (size_t)got;
    }
    (void)file_replace(path_of("cli.request"), request, used, 0600, &err);
    size_t length = strlen(answer);
    while (length > 0) {
        ssize_t sent = send(fd, answer, length, MSG_NOSIGNAL);
        if (sent <= 0)
            _exit(1);
        answer += sent;
        length -= (size_t)sent;
    }
    _exit(0);
}

static void write_config(const char *kind)
{
    char text[1024];
    struct err err;
    bool witness = !strcmp(kind, "witness");
    int length = snprintf(text, sizeof text,
                          "node_id=2\nnode_name=node2\nnode_kind=%s\n%speer_advertise='h:1'\nsecret_file='/s'\n"
                          "control_socket='%s'\n",
                          kind, witness ? "" : "conninfo='host=h'\ndata_directory='/nowhere/d'\n", path_of("cli.sock"));

    CU_ASSERT_EQUAL(file_replace(path_of("cli.conf"), text, (size_t)length, 0600, &err), 0);
}

static void run_words(const char *const *words)
{
    char *argv[16] = { (char *)"rmctl", (char *)"-f", (char *)path_of("cli.conf") };
    int argc = 3;
    int status;

    while (*words)
        argv[argc++] = (char *)*words++;
    pid_t child = fork();
    if (child == 0) {
        if (!freopen(path_of("cli.out"), "w", stdout) || !freopen(path_of("cli.err"), "w", stderr))
            _exit(99);
        (void)setvbuf(stderr, NULL, _IONBF, 0); /* as it is where nobody has opened it anew */
        (void)alarm(lives_s);
        status = cli_main(argc, argv);
        (void)fflush(NULL);
        _exit(status);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    run.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_back("cli.out", run.out, sizeof run.out);
    read_back("cli.err", run.errors, sizeof run.errors);
}

/* Runs "rmctl -f cli.conf WORDS..." with a daemon that gives this answer; NULL: there is no daemon. */
static void rmctl(const char *answer, const char *const *words)
{
    int listener = answer ? listening() : -1;
    pid_t daemon = -1;

    memset(&run, 0, sizeof run);
    (void)unlink(path_of("cli.request"));
    if (answer && (daemon = fork()) == 0)
        serve(listener, answer);
    run_words(words);
    if (daemon > 0) {
        /* A command that never asked leaves the daemon waiting. */
        (void)shutdown(listener, SHUT_RDWR);
        (void)close(listener);
        (void)waitpid(daemon, NULL, 0);
    }
    read_back("cli.request", run.request, sizeof run.request);
}

#define RMCTL(answer, ...) rmctl(answer, (const char *const[]){ __VA_ARGS__, NULL })
#define SAYS(text) CU_ASSERT_PTR_NOT_NULL(strstr(run.errors, text))

static void asks(const char *expected)
{
    json_t *request = json_loads(run.request, 0, NULL);
    json_t *wanted = json_loads(expected, 0, NULL);

    CU_ASSERT_PTR_NOT_NULL(wanted);
    CU_ASSERT(json_equal(request, wanted));
    if (!json_equal(request, wanted))
        printf("\n  asked %s, not %s\n", run.request, expected);
    json_decref(request);
    json_decref(wanted);
}

static void registers(void)
{
    write_config("data");
    RMCTL("{\"ok\":true,\"result\":{\"node_id\":2,\"node_name\":\"node2\",\"schema\":\"present\"}}\n", "primary",
          "register");
    asks("{\"command\":\"primary_register\",\"protocol\":1,\"force\":false,\"timeout_ms\":60000}");
    CU_ASSERT_STRING_EQUAL(run.errors, "INFO: connecting to primary database...\n"
                                       "NOTICE: primary node record (ID: 2) registered\n");
    CU_ASSERT_EQUAL(run.status, 0);

    RMCTL("{\"ok\":true,\"result\":{\"node_id\":2,\"updated\":true}}\n", "primary", "register", "--force");
    asks("{\"command\":\"primary_register\",\"protocol\":1,\"force\":true,\"timeout_ms\":60000}");
    SAYS("NOTICE: primary node record (ID: 2) updated\n");

    RMCTL("{\"ok\":true,\"result\":{\"upstream\":{\"node_id\":1,\"node_name\":\"node1\"}}}\n", "standby", "register");
    CU_ASSERT_STRING_EQUAL(run.errors,
                           "INFO: connecting to local node \"node2\" (ID: 2)\n"
                           "INFO: connecting to primary database\n"
                           "WARNING: --upstream-node-id not supplied, assuming upstream node is primary (node ID: 1)\n"
                           "INFO: standby registration complete\n"
                           "NOTICE: standby node \"node2\" (ID: 2) successfully registered\n");
    CU_ASSERT_EQUAL(run.status, 0);
    CU_ASSERT_STRING_EQUAL(run.out, "");

    RMCTL(NULL, "witness", "register");
    CU_ASSERT_EQUAL(run.status, 1);
    SAYS("is that of a data node\nHINT: use \"rmctl standby register\"");
    write_config("witness");
    RMCTL("{\"ok\":true}\n", "witness", "register");
    SAYS("NOTICE: witness node \"node2\" (ID: 2) successfully registered\n");
    CU_ASSERT_EQUAL(run.status, 0);
    write_config("data");
}

static void refusals(void)
{
    write_config("data");
    RMCTL("{\"ok\":false,\"code\":\"REFUSED\",\"error\":\"the server is in recovery\",\"hint\":\"use another\"}\n",
          "primary", "register");
    SAYS("ERROR: the server is in recovery\nHINT: use another\n");
    CU_ASSERT_EQUAL(run.status, 1);
    RMCTL("{\"ok\":false,\"code\":\"SWITCHOVER\",\"error\":\"no\"}\n", "propose-switchover");
    CU_ASSERT_EQUAL(run.status, 18);
    RMCTL("{\"ok\":false,\"code\":\"INCOMPLETE\",\"error\":\"no\"}\n", "propose-switchover");
    CU_ASSERT_EQUAL(run.status, 22);
    RMCTL("{\"ok\":false,\"code\":\"FROM THE FUTURE\",\"error\":\"no\"}\n", "pause");
    CU_ASSERT_EQUAL(run.status, 15);
}

static void switches_over(void)
{
    write_config("data");
    RMCTL("{\"progress\":\"node2 is within 0 B\",\"level\":\"INFO\"}\n{\"progress\":\"x\",\"level\":\"DEBUG\"}\n"
          "{\"ok\":true,\"result\":{}}\n",
          "propose-switchover", "--to", "node2", "--dry-run", "--timeout", "5");
    asks("{\"command\":\"switchover\",\"protocol\":1,\"to\":\"node2\",\"dry_run\":true,\"timeout_ms\":5000}");
    CU_ASSERT_STRING_EQUAL(run.errors, "INFO: node2 is within 0 B\n"
                                       "INFO: prerequisites for executing STANDBY SWITCHOVER are met\n");
    RMCTL("{\"ok\":false,\"code\":\"REFUSED\",\"error\":\"node2 is away\"}\n", "propose-switchover", "--dry-run");
    SAYS("ERROR: prerequisites for executing STANDBY SWITCHOVER are *not* met: node2 is away\n");
    CU_ASSERT_EQUAL(run.status, 1);
    RMCTL("{\"ok\":true,\"result\":{\"from\":{\"node_id\":1,\"node_name\":\"node1\"},\"to\":{\"node_id\":2,"
          "\"node_name\":\"node2\"},\"token\":5,\"timeline\":2,\"outage_ms\":412}}\n",
          "propose-switchover");
    SAYS("NOTICE: node \"node2\" (ID: 2) is primary now: token 5, timeline 2\n");
    SAYS("DETAIL: there was no primary for 412 ms\n");
    SAYS("NOTICE: STANDBY SWITCHOVER has completed successfully\n");
    CU_ASSERT_EQUAL(run.status, 0);
}

static void events(void)
{
    static const char answer[] =
        "{\"ok\":true,\"result\":{\"events\":[{\"node_id\":4,\"node_name\":\"node4\",\"event\":\"witness_register\","
        "\"successful\":true,\"timestamp\":\"2026-11-22 10:59:37\",\"details\":\"upstream node ID is 1\"},"
        "{\"node_id\":1,\"node_name\":\"\",\"event\":\"x\",\"successful\":false,\"timestamp\":\"2026-11-22 10:54:44\","
        "\"details\":null}]}}\n";

    write_config("data");
    RMCTL(answer, "cluster", "event");
    asks("{\"command\":\"cluster_event\",\"protocol\":1,\"limit\":20,\"event\":\"\",\"node_id\":0,\"node_name\":\"\"}");
    CU_ASSERT_STRING_EQUAL(
        run.out, " Node ID | Name  | Event            | OK | Timestamp           | Details              \n"
                 "---------+-------+------------------+----+---------------------+-----------------------\n"
                 " 4       | node4 | witness_register | t  | 2026-11-22 10:59:37 | upstream node ID is 1\n"
                 " 1       |       | x                | f  | 2026-11-22 10:54:44 |                      \n\n");
    RMCTL(answer, "cluster", "event", "--csv", "--all", "--event", "x", "--node-id", "4");
    asks("{\"command\":\"cluster_event\",\"protocol\":1,\"limit\":0,\"event\":\"x\",\"node_id\":4,\"node_name\":\"\"}");
    CU_ASSERT_STRING_EQUAL(run.out, "4,node4,witness_register,t,2026-11-22 10:59:37\n1,,x,f,2026-11-22 10:54:44\n");
    RMCTL("{\"ok\":true,\"result\":{\"events\":[]}}\n", "cluster", "event");
    CU_ASSERT_STRING_EQUAL(run.out, "no matching events found\n");
    CU_ASSERT_EQUAL(run.status, 0);
}

static void configuration(void)
{
    write_config("data");
    RMCTL("{\"ok\":true,\"result\":{\"name\":\"lease_ttl\",\"value\":\"6s\",\"old\":\"4s\"}}\n", "config", "set",
          "lease_ttl", "6s");
    asks("{\"command\":\"config_set\",\"protocol\":1,\"name\":\"lease_ttl\",\"value\":\"6s\"}");
    CU_ASSERT_STRING_EQUAL(run.errors, "NOTICE: lease_ttl is 6s on all nodes (was 4s)\n");
    RMCTL("{\"ok\":true,\"result\":{\"cluster\":{\"lease_ttl\":\"6s\"},\"file\":{\"lease_ttl\":\"4s\"},"
          "\"node\":{\"priority\":\"100\"}}}\n",
          "config", "show");
    CU_ASSERT_STRING_EQUAL(run.out, " Setting   | Scope   | Value | This node's file\n"
                                    "-----------+---------+-------+------------------\n"
                                    " lease_ttl | cluster | 6s    | 4s\n"
                                    " priority  | node    | 100   |\n");
    RMCTL("{\"ok\":true,\"result\":{\"paused\":true,\"changed\":true}}\n", "pause");
    asks("{\"command\":\"pause\",\"protocol\":1}");
    SAYS("NOTICE: failover is paused");
    RMCTL("{\"ok\":true,\"result\":{\"paused\":false,\"changed\":false}}\n", "unpause");
    SAYS("NOTICE: failover was not paused\n");
}

static void shows(void)
{
    write_config("data");
    RMCTL("{\"ok\":true,\"result\":{\"members\":[]}}\n", "cluster", "show");
    asks("{\"command\":\"status\",\"protocol\":1}");
    SAYS("ERROR: no node records were found\n");
    CU_ASSERT_EQUAL(run.status, 1);
    RMCTL("{\"ok\":true,\"result\":{\"members\":[{\"node_id\":1,\"node_name\":\"a\",\"role\":\"primary\","
          "\"registered\":true,\"location\":\"default\",\"reachable\":false}]}}\n",
          "cluster", "show", "--csv");
    CU_ASSERT_STRING_EQUAL(run.out, "1,-1,-1\n");
    CU_ASSERT_STRING_EQUAL(run.errors, "");
    CU_ASSERT_EQUAL(run.status, 25);
    RMCTL("{\"ok\":true,\"result\":{\"writable\":true,\"members\":[]}}\n", "status", "--json");
    json_t *printed = json_loads(run.out, 0, NULL);
    CU_ASSERT(result_true(printed, "writable"));
    json_decref(printed);
    CU_ASSERT_EQUAL(run.status, 0);
    RMCTL("{\"ok\":true,\"result\":{}}\n", "cluster", "show", "--csv", "--compact");
    SAYS("only one of");
    CU_ASSERT_EQUAL(run.status, 1);
}

static void no_daemon(void)
{
    char long_answer[40000];

    write_config("data");
    (void)unlink(path_of("cli.sock"));
    RMCTL(NULL, "status");
    SAYS("ERROR: could not reach the local daemon at '");
    SAYS("No such file or directory\nHINT: is raftmgrd running");
    CU_ASSERT_EQUAL(run.status, 27);
    RMCTL("", "status");
    SAYS("ended the connection without an answer");
    CU_ASSERT_EQUAL(run.status, 27);
    RMCTL("{\"ok\":", "status");
    CU_ASSERT_EQUAL(run.status, 27);
    RMCTL("nonsense\n", "status");
    SAYS("is not understood");
    CU_ASSERT_EQUAL(run.status, 15);
    RMCTL("[1]\n", "status");
    CU_ASSERT_EQUAL(run.status, 15);
    RMCTL("{\"ok\":\"yes\"}\n", "status");
    CU_ASSERT_EQUAL(run.status, 15);
    /* More than one read, and more than one line in a read. */
    (void)snprintf(long_answer, sizeof long_answer, "{\"progress\":\"%0*d\"}\n{\"progress\":\"b\"}\n{\"ok\":true}\n",
                   30000, 7);
    RMCTL(long_answer, "pause", "-q");
    CU_ASSERT_EQUAL(run.status, 0);
    CU_ASSERT_STRING_EQUAL(run.errors, "");
}

/* What reads the objects goes on reading when the daemon is back. */
static void nothing_but_json_while_watching(void)
{
    write_config("data");
    (void)unlink(path_of("cli.sock"));
    lives_s = 1;
    RMCTL(NULL, "status", "--json", "--watch=60");
    SAYS("ERROR: could not reach the local daemon at '");
    CU_ASSERT_STRING_EQUAL(run.out, "\n");
    RMCTL(NULL, "status", "--watch=60");
    CU_ASSERT_EQUAL(strncmp(run.out, "could not reach", 15), 0);
    lives_s = 0;
}

/* Asks in this process, so that the wait can be short. */
static void slow_daemon(void)
{
    int listener = listening();
    json_t *result = NULL;
    char hint[HINT_SIZE];
    struct err err;

    CU_ASSERT_EQUAL(control_ask(path_of("cli.sock"), "status", NULL, 50, &result, hint, &err), -ERR_TIMEOUT);
    CU_ASSERT_PTR_NULL(result);
    CU_ASSERT_PTR_NOT_NULL(strstr(hint, "another host"));
    CU_ASSERT_EQUAL(control_ask(path_of("cli.sock"), "pause", NULL, 50, &result, hint, &err), -ERR_TIMEOUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(hint, "rmctl status"));
    (void)close(listener);
    CU_ASSERT_EQUAL(control_ask(path_of("cli.sock"), "status", NULL, 50, &result, hint, &err), -ERR_DAEMON);
}

static void bad_configuration(void)
{
    struct err err;
    static const char text[] = "node_id=2\npriority=high\nlocation=''\n";

    CU_ASSERT_EQUAL(file_replace(path_of("cli.conf"), text, sizeof text - 1, 0600, &err), 0);
    RMCTL(NULL, "status");
    SAYS("priority must be a whole number, not 'high'");
    SAYS("location must not be empty");
    CU_ASSERT_EQUAL(run.status, 1);
    (void)unlink(path_of("cli.conf"));
    RMCTL(NULL, "status");
    SAYS("cannot be found: No such file or directory\n");
    CU_ASSERT_EQUAL(run.status, 1);
}

/* What can be refused without a server is refused before one is looked for. */
static void clone_refusals(void)
{
    bool root = geteuid() == 0;

    write_config("data");
    RMCTL(NULL, "standby", "clone");
    SAYS(root ? "ERROR: standby clone cannot be run as root\n" : "host name of the source node must be provided");
    CU_ASSERT_EQUAL(run.status, 1);
    write_config("witness");
    RMCTL(NULL, "standby", "clone", "-h", "x");
    SAYS(root ? "HINT: run it as the user that is to own the data directory\n" : "a witness has no data to clone");
    CU_ASSERT_EQUAL(run.status, 1);
}

static const struct unit_test tests[] = {
    { "register: asked as documented, told in repmgr's words", registers },
    { "a refusal has its reason, its hint and repmgr's exit status", refusals },
    { "propose-switchover: checks, dry run, result", switches_over },
    { "cluster event: filters, table, CSV", events },
    { "config and pause", configuration },
    { "cluster show and status --json", shows },
    { "no daemon, half an answer, nonsense", no_daemon },
    { "status --json --watch prints nothing but JSON", nothing_but_json_while_watching },
    { "a daemon that does not answer", slow_daemon },
    { "standby clone is refused where it cannot be meant", clone_refusals },
    { "a bad configuration is told in full", bad_configuration },
};

const struct unit_suite suite_cli_control = UNIT_SUITE("cli_control", tests);
