/*
 * standby_clone.c - rmctl standby clone: repmgr's checks and words around pg/clone.h's steps.
 *
 * Runs before there is a daemon on this host. It ends with a stopped standby that is pointed at nobody: raftmgrd, once
 * admitted, points and starts it. What is in the way is moved aside, never deleted; a slot that was made for a clone
 * that failed is dropped again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/say.h"
#include "pg/clone.h"
#include "pg/conninfo.h"
#include "pg/leftover.h"
#include "pg/place.h"
#include "pg/programs.h"

#define WALSENDERS_NEEDED 2 /* the copy, and the WAL beside it */

struct clone {
    struct cli *cli;
    struct clone_options options;
    struct clone_facts facts;
    enum clone_directory directory;
    bool slot_made;
};

static int usage(struct cli *cli, struct err *err)
{
    (void)snprintf(cli->hint, sizeof cli->hint, "name the server to clone: -h HOST, and -p, -U and -d where needed");
    return err_set(err, ERR_USAGE, "host name of the source node must be provided");
}

/* -d is a connection string where it looks like one, as with repmgr. */
static bool is_conninfo(const char *text)
{
    return strchr(text, '=') || !strncmp(text, "postgres://", 11) || !strncmp(text, "postgresql://", 13);
}

/* What the command line says of the source; user and database, where it does not, are those of this node's conninfo. */
static int make_source(struct clone *clone, struct err *err)
{
    const struct options *options = &clone->cli->options;
    bool whole = options->dbname && is_conninfo(options->dbname);
    const char *base = whole ? options->dbname : "";
    struct conninfo_facts own;
    struct conninfo_facts given;
    struct conninfo_pair pairs[4];
    size_t count = 0;
    AUTO(buf) text;

    buf_init(&text, CONNINFO_SIZE);
    int failed = conninfo_read(clone->cli->settings.conninfo, &own, err);
    if (failed)
        return err_wrap(err, "conninfo of '%s'", clone->cli->config_path);
    failed = conninfo_read(base, &given, err);
    if (failed)
        return failed;
    if (!options->host && !given.host[0] && !given.hostaddr[0])
        return usage(clone->cli, err);
    if (given.password[0]) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "put it into a password file: passfile, or ~/.pgpass");
        return err_set(err, ERR_USAGE, "a password on the command line can be read by everybody on this host");
    }
    if (options->host)
        pairs[count++] = (struct conninfo_pair){ "host", options->host };
    if (options->port)
        pairs[count++] = (struct conninfo_pair){ "port", options->port };
    if (options->username || !given.user[0])
        pairs[count++] = (struct conninfo_pair){ "user", options->username ? options->username : own.user };
    if (!whole || !given.dbname[0])
        pairs[count++] = (struct conninfo_pair){ "dbname", options->dbname && !whole ? options->dbname : own.dbname };
    failed = conninfo_change(base, pairs, count, &text, err);
    buf_put_u8(&text, 0);
    if (failed || text.failed)
        return failed ? failed : err_set(err, ERR_USAGE, "the connection string is too long");
    (void)text_copy(clone->options.source_conninfo, CONNINFO_SIZE, (const char *)text.bytes);
    return 0;
}

static int make_options(struct clone *clone, struct err *err)
{
    const struct settings *settings = &clone->cli->settings;
    const struct options *given = &clone->cli->options;
    struct clone_options *options = &clone->options;

    if (settings->node_kind == NODE_WITNESS) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "start raftmgrd on it, then use \"rmctl witness register\"");
        return err_set(err, ERR_CONFIG, "a witness has no data to clone");
    }
    (void)text_copy(options->data_directory, PATH_SIZE, settings->data_directory);
    place_follow(options->data_directory);
    (void)survivor_mark(settings->state_directory, options->mark, NULL); /* without one there was no raftmgrd here */
    (void)text_copy(options->passfile, PATH_SIZE, settings->passfile);
    (void)snprintf(options->slot, sizeof options->slot, "repmgr_slot_%d", (int)settings->node_id);
    options->fast_checkpoint = given->fast_checkpoint;
    if (!text_copy(options->bindir, PATH_SIZE, given->bindir ? given->bindir : settings->pg_bindir) ||
        !text_copy(options->replication_user, NAME_SIZE,
                   given->replication_user ? given->replication_user : settings->replication_user))
        return err_set(err, ERR_USAGE, "the value of an option is too long");
    return make_source(clone, err);
}

static int check_directory(struct clone *clone, struct err *err)
{
    struct cli *cli = clone->cli;
    const char *directory = clone->options.data_directory;

    say(SAY_NOTICE, "destination directory \"%s\" provided", directory);
    int failed = clone_directory(directory, &clone->directory, err);
    if (failed)
        return failed;
    switch (clone->directory) {
    case CLONE_DIRECTORY_ABSENT:
    case CLONE_DIRECTORY_EMPTY:
        return 0;
    case CLONE_DIRECTORY_RUNNING:
        (void)snprintf(cli->hint, sizeof cli->hint, "stop raftmgrd and that server first");
        return err_set(err, ERR_REFUSED, "a PostgreSQL server runs in directory \"%s\"", directory);
    case CLONE_DIRECTORY_OTHER:
        (void)snprintf(
            cli->hint, sizeof cli->hint,
            "empty it (a clone that was cut short may have left this), or set data_directory to another one");
        return err_set(err, ERR_REFUSED, "directory \"%s\" is not empty, and is no data directory of PostgreSQL",
                       directory);
    case CLONE_DIRECTORY_POSTGRES:
        break;
    }
    if (cli->options.force)
        return clone_check_tablespaces(directory, err);
    (void)snprintf(cli->hint, sizeof cli->hint, "use -F/--force to move it aside and clone");
    return err_set(err, ERR_REFUSED, "directory \"%s\" holds the data of a PostgreSQL server", directory);
}

/* As pg_size_pretty() shows it: a larger unit from ten thousand and something of the smaller on. */
static void size_pretty(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
    size_t unit = 0;

    while (bytes >= 10 * 1024 && unit + 1 < ARRAY_LEN(units)) {
        bytes = (bytes + 512) / 1024;
        unit++;
    }
    (void)snprintf(text, size, "%" PRIu64 " %s", bytes, units[unit]);
}

/* The programs of the source's major version, where nothing else is said. */
static void choose_programs(struct clone *clone)
{
    char directory[PATH_SIZE];
    char program[PATH_SIZE];

    if (clone->options.bindir[0])
        return;
    (void)snprintf(directory, sizeof directory, "/usr/lib/postgresql/%u/bin",
                   (unsigned)clone->facts.version_number / 10000);
    (void)snprintf(program, sizeof program, "%.900s/pg_basebackup", directory);
    if (file_exists(program))
        (void)text_copy(clone->options.bindir, sizeof clone->options.bindir, directory);
}

/* A copy starts with programs of the version that made it, and streams from that version only. */
static int check_major(struct clone *clone, struct err *err)
{
    unsigned source = (unsigned)clone->facts.version_number / 10000;
    char bindir[PATH_SIZE];
    unsigned ours = 0;

    int failed = programs_find(clone->options.bindir, clone->options.data_directory, bindir, err);
    if (!failed)
        failed = programs_version(bindir, &ours, err);
    if (failed || ours == source)
        return failed;
    (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                   "install PostgreSQL %u on this host, or name its programs by pg_bindir", source);
    return err_set(err, ERR_REFUSED,
                   "the source node runs PostgreSQL %u, and the programs in \"%s\" are of PostgreSQL %u: physical "
                   "replication is within one major version",
                   source, bindir, ours);
}

/* The source is the registered primary of a cluster in which this node is who it says. */
static int check_cluster(struct clone *clone, struct err *err)
{
    const struct settings *settings = &clone->cli->settings;
    const struct clone_facts *facts = &clone->facts;
    bool taken = false;

    if (facts->in_recovery) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint, "clone from the primary%s%s",
                       facts->primary_name[0] ? ", " : "", facts->primary_name);
        return err_set(err, ERR_REFUSED, "the source node is a standby, where no slot for this node can be made");
    }
    if (!facts->has_nodes || !facts->primary_id) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "register the primary first: \"rmctl primary register\" on its host; is -d its database?");
        return err_set(err, ERR_REFUSED, "no registered primary in database \"%s\" of the source node",
                       facts->database);
    }
    if (facts->primary_id == settings->node_id) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint, "give this node a number of its own");
        return err_set(err, ERR_CONFIG, "node_id %d is that of the primary, \"%s\"", (int)settings->node_id,
                       facts->primary_name);
    }
    int failed = clone_name_is_taken(&clone->options, settings->node_name, settings->node_id, &taken, err);
    if (!failed && taken)
        return err_set(err, ERR_CONFIG, "another active node has the name \"%s\": give this one a name of its own",
                       settings->node_name);
    return failed;
}

static int check_settings(struct clone *clone, struct err *err)
{
    const struct clone_facts *facts = &clone->facts;
    bool dry_run = clone->cli->options.dry_run;

    if (strcmp(facts->wal_level, "replica") != 0 && strcmp(facts->wal_level, "logical") != 0)
        return err_set(err, ERR_CONFIG, "parameter \"wal_level\" of the source node is \"%s\": set it to \"replica\"",
                       facts->wal_level);
    if (!facts->max_replication_slots)
        return err_set(err, ERR_CONFIG, "parameter \"max_replication_slots\" of the source node is 0: raise it");
    if (!facts->has_slot && !facts->free_replication_slots) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "drop slots of the source node that nobody uses, or increase \"max_replication_slots\" (%u)",
                       (unsigned)facts->max_replication_slots);
        return err_set(err, ERR_CONFIG, "no free replication slot on the source node");
    }
    if (dry_run) {
        say(SAY_INFO, "parameter \"max_replication_slots\" set to %u", (unsigned)facts->max_replication_slots);
        say(SAY_INFO, "parameter \"max_wal_senders\" set to %u", (unsigned)facts->max_wal_senders);
    }
    if (!facts->data_checksums && !facts->wal_log_hints) {
        say(SAY_WARNING, "data checksums are not enabled and \"wal_log_hints\" is \"off\"");
        say(SAY_DETAIL, "pg_rewind needs one of them; \"rmctl status\" on the primary names what waits for a restart");
    }
    say(SAY_NOTICE, "checking for available walsenders on the source node (%d required)", WALSENDERS_NEEDED);
    if (facts->free_wal_senders < WALSENDERS_NEEDED) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "increase \"max_wal_senders\" of the source node (%u) by at least %u",
                       (unsigned)facts->max_wal_senders, (unsigned)(WALSENDERS_NEEDED - facts->free_wal_senders));
        return err_set(err, ERR_CONFIG, "insufficient free walsenders on the source node: %d required, %u available",
                       WALSENDERS_NEEDED, (unsigned)facts->free_wal_senders);
    }
    if (dry_run) {
        say(SAY_INFO, "sufficient walsenders available on the source node");
        say(SAY_DETAIL, "%d required, %u available", WALSENDERS_NEEDED, (unsigned)facts->free_wal_senders);
    }
    return 0;
}

static int check_replication(struct clone *clone, struct err *err)
{
    unsigned made = 0;

    say(SAY_NOTICE, "checking replication connections can be made to the source server (%d required)",
        WALSENDERS_NEEDED);
    int failed = clone_try_replication(&clone->options, WALSENDERS_NEEDED, &made, err);
    if (failed) {
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "pg_hba.conf of the source node and the password file of this one must let this host in, to the "
                       "database \"replication\" as the replication user");
        return err_wrap(err, "%u of %d replication connections could be made", made, WALSENDERS_NEEDED);
    }
    if (clone->cli->options.dry_run) {
        say(SAY_INFO, "required number of replication connections could be made to the source server");
        say(SAY_DETAIL, "%d replication connections required", WALSENDERS_NEEDED);
    }
    return 0;
}

static int check_source(struct clone *clone, struct err *err)
{
    char pretty[32];

    say(SAY_INFO, "connecting to source node");
    say(SAY_DETAIL, "connection string is: %s", clone->options.source_conninfo);
    int failed = clone_look(&clone->options, &clone->facts, err);
    if (failed == -(int)ERR_DB_CONN)
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "check -h, -p, -U and -d, listen_addresses and pg_hba.conf of the source node, and the password "
                       "file of this one (passfile, or ~/.pgpass)");
    if (failed)
        return failed;
    size_pretty(clone->facts.size_bytes, pretty, sizeof pretty);
    say(SAY_DETAIL, "current installation size is %s", pretty);
    choose_programs(clone);
    failed = check_major(clone, err);
    if (!failed)
        failed = check_cluster(clone, err);
    if (!failed)
        failed = check_settings(clone, err);
    return failed ? failed : check_replication(clone, err);
}

/* A word of a shell's command line. */
static void put_word(char *text, size_t size, const char *option, const char *word)
{
    size_t used = strlen(text);
    bool bare = *word && !word[strcspn(word, " \t\n\"'\\$`&;|<>()*?[]{}#~!")];

    if (*word)
        (void)snprintf(text + used, size - used, bare ? " %s %s" : " %s '%s'", option, word);
}

/*
 * Shows the copy as repmgr shows it, word for word, since people and scripts know that line: what could be typed for
 * it. What clone_run runs does the same, and says more of timeouts and of passwords that are not asked for.
 */
static int show_command(struct clone *clone, const char *before, struct err *err)
{
    char text[4 * PATH_SIZE] = "";
    char bindir[PATH_SIZE];
    struct conninfo_facts source;
    const struct clone_options *options = &clone->options;

    int failed = conninfo_read(options->source_conninfo, &source, err);
    if (!failed)
        failed = programs_find(options->bindir, options->data_directory, bindir, err);
    if (failed)
        return failed;
    put_word(text, sizeof text, "-D", options->data_directory);
    put_word(text, sizeof text, "-h", source.host[0] ? source.host : source.hostaddr);
    put_word(text, sizeof text, "-p", source.port);
    put_word(text, sizeof text, "-U", options->replication_user[0] ? options->replication_user : clone->facts.user);
    put_word(text, sizeof text, "-c", options->fast_checkpoint ? "fast" : "");
    put_word(text, sizeof text, "-X", "stream");
    put_word(text, sizeof text, "-S", options->slot);
    say(SAY_INFO, "%s\n  %s/pg_basebackup -l \"repmgr base backup\" %s ", before, bindir, text);
    return 0;
}

static int dry_run(struct clone *clone, struct err *err)
{
    say(SAY_INFO, "replication slots will be created by user \"%s\"", clone->facts.user);
    say(SAY_NOTICE, "standby will attach to upstream node %d", (int)clone->facts.primary_id);
    if (!clone->options.fast_checkpoint)
        say(SAY_HINT, "consider using the -c/--fast-checkpoint option");
    int failed = show_command(clone, "would execute:", err);
    if (!failed)
        say(SAY_INFO, "all prerequisites for \"standby clone\" are met");
    return failed;
}

/* pg_basebackup's progress: a line that writes itself over on a terminal, nothing elsewhere unless wanted. */
static void show_progress(void *context, const char *line)
{
    const struct clone *clone = context;

    if (clone->cli->options.verbose)
        fprintf(stderr, "%s\n", line);
    else if (!clone->cli->options.quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s", line);
}

static void note_signal(int number)
{
    (void)number;
}

/* What ends the whole job (control-C, a lost terminal) ends pg_basebackup, which cleans up behind itself; then rmctl
 * drops the slot. A signal to rmctl alone waits for the end of the copy. */
static void outlive_signals(void)
{
    struct sigaction action = { .sa_handler = note_signal, .sa_flags = SA_RESTART };

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

static int move_aside(struct clone *clone, struct err *err)
{
    char suffix[32];
    char aside[PATH_SIZE];

    if (clone->directory != CLONE_DIRECTORY_POSTGRES)
        return 0;
    (void)snprintf(suffix, sizeof suffix, "%lld", (long long)time(NULL));
    int failed = clone_set_aside(clone->options.data_directory, suffix, aside, err);
    if (!failed)
        say(SAY_NOTICE, "the data directory that was there is now \"%s\"", aside);
    return failed;
}

static void make_config(const struct clone *clone, struct pg_config *config)
{
    const struct settings *settings = &clone->cli->settings;

    *config = (struct pg_config){ .node_id = settings->node_id, .start_latch = false };
    (void)text_copy(config->node_name, sizeof config->node_name, settings->node_name);
    (void)text_copy(config->data_directory, sizeof config->data_directory, clone->options.data_directory);
    (void)text_copy(config->config_directory, sizeof config->config_directory, settings->config_directory);
    (void)text_copy(config->bindir, sizeof config->bindir, clone->options.bindir);
    (void)text_copy(config->conninfo, sizeof config->conninfo, settings->conninfo);
    (void)text_copy(config->passfile, sizeof config->passfile, settings->passfile);
    (void)text_copy(config->replication_user, sizeof config->replication_user, settings->replication_user);
    (void)text_copy(config->runtime_directory, sizeof config->runtime_directory, settings->runtime_directory);
    (void)text_copy(config->state_directory, sizeof config->state_directory, settings->state_directory);
}

/*
 * The standby is pointed at nobody: its daemon does that, when it knows what the cluster has agreed. The start latch is
 * raftmgrd's to set as well, in a directory that need not be there yet; until then standby.signal is what protects.
 */
static int finish(const struct clone *clone, struct err *err)
{
    struct pg_config config;
    struct pg_conf conf = { .upstream = 0 };

    make_config(clone, &config);
    int failed = clone_finish(&config, &conf, err);
    if (!failed)
        failed = place_clear_unfinished(&config, err);
    if (failed)
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "the copy is complete but not usable yet: when the reason is gone, clone again with -F");
    return failed;
}

/* What lies above the data directory, as pg_basebackup would make it. What cannot be made shows a step later. */
static void make_parents(const char *directory)
{
    char path[PATH_SIZE];

    (void)text_copy(path, sizeof path, directory);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

/*
 * Until the copy is finished a mark says so, as with the daemon's own clones: should this host die meanwhile, files
 * that look whole may lack what was never written to the disk, and whoever starts raftmgrd next does not know.
 */
static int begin(const struct clone *clone, struct err *err)
{
    struct pg_config config;
    struct token token = { 0 }; /* of what the daemon had begun: it has kept this node's files under it */
    char what[16];
    const char *state = clone->cli->settings.state_directory;

    make_config(clone, &config);
    if (mkdir(state, 0700) < 0 && errno != EEXIST) {
        say(SAY_WARNING, "state_directory '%s' cannot be made: %s", state, strerror(errno));
        say(SAY_DETAIL, "should this clone be cut short, raftmgrd will not know that the copy is not whole");
        return 0;
    }
    (void)place_unfinished(&config, what, &token);
    make_parents(config.data_directory);
    int failed = leftover_begin(&config, token, err);
    if (failed)
        (void)snprintf(
            clone->cli->hint, sizeof clone->cli->hint,
            "this user must be able to write to data_directory and state_directory, or to what is above them");
    return failed;
}

/* Where pg_basebackup has cleaned up behind itself, so do we; otherwise the mark stays beside what it speaks of. */
static void give_up(const struct clone *clone)
{
    struct pg_config config;
    const char *directory = clone->options.data_directory;

    make_config(clone, &config);
    enum clone_directory left = CLONE_DIRECTORY_OTHER;
    if (clone_directory(directory, &left, NULL) < 0)
        return;
    if (left == CLONE_DIRECTORY_EMPTY && clone->directory != CLONE_DIRECTORY_EMPTY)
        (void)rmdir(directory); /* as before */
    if (left == CLONE_DIRECTORY_EMPTY || left == CLONE_DIRECTORY_ABSENT)
        (void)place_clear_unfinished(&config, NULL);
    else
        (void)snprintf(clone->cli->hint, sizeof clone->cli->hint,
                       "\"%.400s\" holds what was copied: remove it, or clone again with -F, which moves it aside",
                       directory);
}

static int copy(struct clone *clone, struct err *err)
{
    say(SAY_INFO, "creating directory \"%s\"...", clone->options.data_directory);
    say(SAY_NOTICE, "starting backup (using pg_basebackup)...");
    say(SAY_HINT, clone->options.fast_checkpoint
                      ? "this may take some time"
                      : "this may take some time; consider using the -c/--fast-checkpoint option");
    int failed = show_command(clone, "executing:", err);
    if (!failed)
        failed = begin(clone, err);
    if (failed)
        return failed;
    failed = clone_run(&clone->options, show_progress, clone, err);
    if (isatty(STDERR_FILENO) && !clone->cli->options.verbose)
        fputc('\n', stderr);
    if (failed)
        give_up(clone);
    return failed ? failed : finish(clone, err);
}

/* A raftmgrd that runs would start the copy as soon as it looks whole. Its lock is held from here to our end, so none
 * starts meanwhile either; on a host that never had one there is no lock, and nothing to keep away. */
static int keep_daemon_away(const struct clone *clone, struct err *err)
{
    const struct settings *settings = &clone->cli->settings;
    char path[PATH_SIZE + 16];

    (void)snprintf(path, sizeof path, "%s/lock", settings->state_directory);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, errno, "could not open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0; /* the descriptor is left to the end of the process */
    (void)close(fd);
    (void)snprintf(clone->cli->hint, sizeof clone->cli->hint, "stop raftmgrd, clone, and start it again");
    return err_set(err, ERR_REFUSED, "raftmgrd runs on this host with state_directory '%s'", settings->state_directory);
}

static int make_clone(struct clone *clone, struct err *err)
{
    struct err dropping;

    outlive_signals();
    int failed = clone_slot_create(&clone->options, &clone->slot_made, err);
    if (failed)
        return failed;
    failed = move_aside(clone, err);
    if (!failed)
        failed = copy(clone, err);
    if (failed && clone->slot_made && clone_slot_drop(&clone->options, &dropping) < 0) {
        say(SAY_WARNING, "slot \"%s\" is left at the source node: %s", clone->options.slot, dropping.text);
        say(SAY_HINT, "drop it, or clone again: it holds back WAL");
    }
    if (failed)
        return failed;
    say(SAY_NOTICE, "standby clone (using pg_basebackup) complete");
    say(SAY_NOTICE, "you can now start raftmgrd, which starts your PostgreSQL server");
    say(SAY_HINT, "for example: raftmgrd -f %s", clone->cli->config_path);
    say(SAY_HINT, "after starting it, you need to register this standby with \"rmctl standby register\"");
    return 0;
}

int run_standby_clone(struct cli *cli, struct err *err)
{
    struct clone *clone;

    if (geteuid() == 0) {
        (void)snprintf(cli->hint, sizeof cli->hint, "run it as the user that is to own the data directory");
        return err_set(err, ERR_REFUSED, "standby clone cannot be run as root");
    }
    int failed = cli_load_settings(cli, err);
    if (failed)
        return failed;
    clone = calloc(1, sizeof *clone);
    if (!clone)
        return err_set(err, ERR_MEMORY, "out of memory");
    clone->cli = cli;
    failed = make_options(clone, err);
    if (!failed)
        failed = check_directory(clone, err);
    if (!failed)
        failed = check_source(clone, err);
    if (!failed)
        failed = keep_daemon_away(clone, err);
    if (!failed)
        failed = cli->options.dry_run ? dry_run(clone, err) : make_clone(clone, err);
    free(clone);
    return failed;
}
