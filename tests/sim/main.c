/*
 * main.c - raftmgr-sim: runs the daemon's manager on virtual time and looks for broken guarantees.
 *
 * One seed, replayed exactly, with a trace where wanted; or many seeds, in as many processes as there are processors;
 * or the proof that each checker can fail. The last line counts; the exit status is 1 where a guarantee was broken.
 */
#include "world.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define FAILURES_SHOWN 40
#define PLANT_SEEDS 2000

struct options {
    uint64_t seed, from, many;
    int64_t seconds;
    uint32_t jobs;
    bool trace, self_test, reasons;
    enum plant plant;
};

/* What the processes share. */
struct tally {
    uint64_t next, done, failed, acks, writes, promotions, restarts, faults, moments, cranks;
    uint64_t commands[COMMAND_COUNT], node_why[WHY_COUNT], lead_why[WHY_COUNT];
    uint64_t running[WORKERS_MAX];
    char found[16]; /* plants: the checker that failed first */
};

static struct world *new_world(void)
{
    struct world *world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (world == MAP_FAILED)
        abort();
    return world;
}

static void add(uint64_t *to, uint64_t count)
{
    (void)__atomic_add_fetch(to, count, __ATOMIC_RELAXED);
}

static void count(struct tally *tally, const struct check *check)
{
    add(&tally->acks, check->acks);
    add(&tally->writes, check->writes);
    add(&tally->promotions, check->promotions);
    add(&tally->restarts, check->restarts);
    add(&tally->faults, check->faults);
    add(&tally->moments, check->moments);
    add(&tally->cranks, check->cranks);
    for (uint32_t i = 0; i < COMMAND_COUNT; i++)
        add(&tally->commands[i], check->commands[i]);
    for (uint32_t i = 0; i < WHY_COUNT; i++) {
        add(&tally->node_why[i], check->node_why[i]);
        add(&tally->lead_why[i], check->lead_why[i]);
    }
}

static void print_failure(const struct world *world, const struct options *options)
{
    const struct check *check = &world->check;

    printf("seed %" PRIu64 ": %s at %" PRId64 ".%06" PRId64 " s: %s\n", world->seed, check->name, check->at_us / SEC,
           check->at_us % SEC, check->text);
    printf("  replay: build/bin/raftmgr-sim --seed %" PRIu64 " --seconds %" PRId64 " --trace%s%s\n", world->seed,
           options->seconds, options->plant ? " --plant " : "", options->plant ? plant_name(options->plant) : "");
}

static void worker(struct tally *tally, uint32_t number, const struct options *options)
{
    struct world *world = new_world();

    world->plant = options->plant;
    for (;;) {
        uint64_t seed = __atomic_fetch_add(&tally->next, 1, __ATOMIC_RELAXED);
        if (seed >= options->from + options->many || (options->plant && tally->found[0]))
            break;
        tally->running[number] = seed + 1;
        world_run(world, seed, options->seconds);
        count(tally, &world->check);
        add(&tally->done, 1);
        if (!world->check.failed)
            continue;
        if (options->plant) {
            /* A planted bug breaks other things on the way. */
            if (strstr(plant_finders(options->plant), world->check.name))
                (void)text_copy(tally->found, sizeof tally->found, world->check.name);
        } else if (__atomic_fetch_add(&tally->failed, 1, __ATOMIC_RELAXED) < FAILURES_SHOWN)
            print_failure(world, options);
        (void)fflush(stdout);
    }
    tally->running[number] = 0;
    _exit(0);
}

static pid_t start_worker(struct tally *tally, uint32_t number, const struct options *options)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0)
        worker(tally, number, options);
    return pid;
}

/* A process that dies takes one seed with it: an assertion of the product is a finding like any other. */
static void run_many(struct tally *tally, const struct options *options)
{
    pid_t pids[WORKERS_MAX];
    uint32_t running = options->jobs;
    int status;

    tally->next = options->from;
    for (uint32_t i = 0; i < options->jobs; i++)
        pids[i] = start_worker(tally, i, options);
    while (running > 0) {
        pid_t pid = wait(&status);
        uint32_t number = 0;
        while (number < options->jobs && pids[number] != pid)
            number++;
        if (pid < 0 || number == options->jobs)
            continue;
        running--;
        uint64_t seed = tally->running[number] - 1;
        if (!WIFSIGNALED(status) || tally->running[number] == 0)
            continue;
        add(&tally->failed, 1);
        add(&tally->done, 1);
        pids[number] = start_worker(tally, number, options);
        running++;
        if (options->plant)
            continue;
        printf("seed %" PRIu64 ": CRASH: %s\n  replay: build/bin/raftmgr-sim --seed %" PRIu64 " --seconds %" PRId64
               " --trace\n",
               seed, strsignal(WTERMSIG(status)), seed, options->seconds);
    }
}

static struct tally *new_tally(void)
{
    struct tally *tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (tally == MAP_FAILED)
        abort();
    return tally;
}

static void print_reasons(const struct tally *tally)
{
    printf("reason                    node     leader\n");
    for (enum why why = 0; why < WHY_COUNT; why++)
        printf("%-22s %8" PRIu64 " %8" PRIu64 "\n", why_name(why), tally->node_why[why], tally->lead_why[why]);
    for (enum command_kind kind = COMMAND_FOUND; kind < COMMAND_COUNT; kind++)
        printf("command %-14s %8" PRIu64 "\n", command_name(kind), tally->commands[kind]);
}

static void print_unreached(const struct tally *tally)
{
    printf("reasons never given:");
    for (enum why why = 0; why < WHY_COUNT; why++)
        if (tally->node_why[why] == 0 && tally->lead_why[why] == 0)
            printf(" %s", why_name(why));
    printf("\n");
}

static int many(const struct options *options)
{
    struct tally *tally = new_tally();

    run_many(tally, options);
    if (options->reasons)
        print_reasons(tally);
    print_unreached(tally);
    printf("sim: %" PRIu64 " seeds of %" PRId64 " s, %" PRIu64 " faults, %" PRIu64 " promotions, %" PRIu64
           " starts in place, %" PRIu64 " commits acknowledged, %" PRIu64 " turns of the crank\n",
           tally->done, options->seconds, tally->faults, tally->promotions, tally->restarts, tally->acks,
           tally->cranks);
    printf("sim: %" PRIu64 " passed, %" PRIu64 " failed\n", tally->done - tally->failed, tally->failed);
    return tally->failed > 0 || tally->done == 0;
}

static int self_test(struct options *options)
{
    uint32_t bad = 0;

    options->many = PLANT_SEEDS;
    for (options->plant = PLANT_NONE + 1; options->plant < PLANT_COUNT; options->plant++) {
        struct tally *tally = new_tally();
        run_many(tally, options);
        bool found = tally->found[0] != '\0';
        printf("plant %-24s wanted %-8s found %-8s after %" PRIu64 " seeds%s\n", plant_name(options->plant),
               plant_finders(options->plant), tally->found[0] ? tally->found : "nothing", tally->done,
               found ? "" : "  <- WRONG");
        bad += !found;
        (void)munmap(tally, sizeof *tally);
    }
    printf("sim: %u planted bugs found, %u not\n", PLANT_COUNT - 1u - bad, bad);
    return bad > 0;
}

static int one(const struct options *options)
{
    struct world *world = new_world();

    world->plant = options->plant;
    world->trace = options->trace;
    world_run(world, options->seed, options->seconds);
    const struct profile *profile = &world->profile;
    printf("seed %" PRIu64 ": %u hosts, %u with data, %s, synchronous_count %u, lease %u ms, failure %u ms, %" PRIu64
           " faults, %" PRIu64 " promotions, %" PRIu64 " acknowledged, %" PRIu64 " moments, %" PRIu64
           " cranks, %" PRIu64 " messages\n",
           world->seed, profile->hosts, profile->data,
           profile->policy.durability == DURABILITY_STRICT  ? "strict"
           : profile->policy.durability == DURABILITY_ASYNC ? "async"
                                                            : "quorum",
           profile->policy.synchronous_count, profile->policy.lease_ttl_ms, profile->policy.failure_timeout_ms,
           world->check.faults, world->check.promotions, world->check.acks, world->check.moments, world->check.cranks,
           world->check.messages);
    if (world->check.failed) {
        picture(world);
        print_failure(world, options);
    } else {
        printf("sim: passed\n");
    }
    return world->check.failed;
}

static int usage(void)
{
    (void)fputs("usage: raftmgr-sim --seed N [--seconds 60] [--trace] [--plant NAME]\n"
                "       raftmgr-sim --many N [--from K] [--seconds 60] [--jobs N] [--reasons] [--plant NAME]\n"
                "       raftmgr-sim --self-test [--from K]\n"
                "plants:",
                stderr);
    for (enum plant plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++)
        (void)fprintf(stderr, " %s", plant_name(plant));
    (void)fputs("\n", stderr);
    return 2;
}

static bool parse(int argc, char *argv[], struct options *options)
{
    static const struct option known[] = {
        { "seed", required_argument, NULL, 's' }, { "many", required_argument, NULL, 'm' },
        { "from", required_argument, NULL, 'f' }, { "seconds", required_argument, NULL, 'l' },
        { "jobs", required_argument, NULL, 'j' }, { "plant", required_argument, NULL, 'p' },
        { "trace", no_argument, NULL, 't' },      { "self-test", no_argument, NULL, 'x' },
        { "reasons", no_argument, NULL, 'r' },    { NULL, 0, NULL, 0 },
    };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int option;

    *options = (struct options){ .from = 1, .seconds = 60, .jobs = processors > 0 ? (uint32_t)processors : 1 };
    while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (option) {
        case 's':
            options->seed = number;
            break;
        case 'm':
            options->many = number;
            break;
        case 'f':
            options->from = number;
            break;
        case 'l':
            options->seconds = (int64_t)number;
            break;
        case 'j':
            options->jobs = (uint32_t)number;
            break;
        case 'p':
            options->plant = plant_by_name(optarg);
            if (options->plant == PLANT_NONE)
                return false;
            break;
        case 't':
            options->trace = true;
            break;
        case 'x':
            options->self_test = true;
            break;
        case 'r':
            options->reasons = true;
            break;
        default:
            return false;
        }
    }
    if (options->jobs < 1 || options->jobs > WORKERS_MAX || options->seconds < 25)
        return false;
    return optind == argc && (options->seed != 0) + (options->many != 0) + options->self_test == 1;
}

int main(int argc, char *argv[])
{
    struct options options;

    if (!parse(argc, argv, &options))
        return usage();
    if (options.self_test)
        return self_test(&options);
    return options.many ? many(&options) : one(&options);
}
