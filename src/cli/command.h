/*
 * command.h - rmctl's commands as a tree, its options as a table, and what a command gets to run with.
 *
 * Parsing, --help and the manual's synopsis come from the tables. A command that gets an option which it does not take
 * is refused before anything is done: repmgr only warned, and then did for real what was meant as --dry-run.
 */
#ifndef RAFTMGR_CLI_COMMAND_H
#define RAFTMGR_CLI_COMMAND_H

#include "core/settings.h"

#define ARGUMENTS_MAX 4
#define HINT_SIZE 512
#define SWITCHOVER_TIMEOUT_S 60
#define EVENTS_SHOWN 20

enum option_id {
#define OPTION(id, name, letter, kind, field, arg, text) OPTION_##id,
#include "cli/options.def"
#undef OPTION
    OPTION_COUNT
};

#define TAKES(id) (1ull << OPTION_##id)
/* What every command takes, and what every one takes that reads raftmgr.conf. */
#define TAKES_ALWAYS (TAKES(TERSE) | TAKES(QUIET) | TAKES(VERBOSE) | TAKES(LOG_LEVEL) | TAKES(HELP) | TAKES(VERSION))
#define TAKES_CONFIG (TAKES(CONFIG_FILE) | TAKES(JSON))

#define OPTION_FIELD_FLAG(field) bool field;
#define OPTION_FIELD_TEXT(field) const char *field;
#define OPTION_FIELD_NUMBER(field) int32_t field;
#define OPTION_FIELD_SECONDS(field) int32_t field;
#define OPTION_FIELD_MAYBE(field) int32_t field;

struct options {
#define OPTION(id, name, letter, kind, field, arg, text) OPTION_FIELD_##kind(field)
#include "cli/options.def"
#undef OPTION
    uint64_t given; /* TAKES() of those that were given */
    const char *arguments[ARGUMENTS_MAX];
    int argument_count;
};

/* One call of rmctl. */
struct cli {
    struct options options;
    const struct command *command;
    struct settings settings;
    char config_path[PATH_SIZE]; /* of the file that was read */
    char hint[HINT_SIZE];        /* what to do, printed after an error */
};

struct command {
    const char *name;
    const char *alias; /* or NULL */
    const char *args;  /* "NAME VALUE"; NULL = none */
    int args_min, args_max;
    uint64_t takes;    /* besides TAKES_ALWAYS */
    const char *brief; /* one line */
    const char *more;  /* paragraph of the help, or NULL */
    bool hidden;       /* for developers: not in the help */
    /* Does it. The exit status, or a negative code with err and perhaps cli->hint filled. NULL for a group. */
    int (*run)(struct cli *cli, struct err *err);
    const struct command *children; /* ended by one without a name; NULL for a command */
};

/* The tree's top. */
extern const struct command command_top;

/* Reads the command line into *cli (options with defaults, command). ERR_USAGE. argv is permuted. */
int command_parse(struct cli *cli, int argc, char **argv, struct err *err);

/* The general help, a group's, or a command's. */
void command_help(const struct command *command, FILE *out);

/* "rmctl standby clone": the path of names from the top. */
void command_path(const struct command *command, char *text, size_t size);

/* Everything but exit(): parses, runs, prints errors. Returns the exit status. */
int cli_main(int argc, char **argv);

/* Fills cli->settings from -f FILE or from the first of ./raftmgr.conf, /etc/raftmgr/raftmgr.conf, /etc/raftmgr.conf.
 * Prints warnings. Once: does nothing when they are there. ERR_CONFIG, ERR_NOT_FOUND. */
int cli_load_settings(struct cli *cli, struct err *err);

/* The commands, one a file. */
int run_primary_register(struct cli *cli, struct err *err);
int run_standby_clone(struct cli *cli, struct err *err);
int run_standby_register(struct cli *cli, struct err *err);
int run_witness_register(struct cli *cli, struct err *err);
int run_status(struct cli *cli, struct err *err);
int run_cluster_show(struct cli *cli, struct err *err);
int run_cluster_event(struct cli *cli, struct err *err);
int run_switchover(struct cli *cli, struct err *err);
int run_failover_status(struct cli *cli, struct err *err);
int run_write_off(struct cli *cli, struct err *err);
int run_accept_loss(struct cli *cli, struct err *err);
int run_host_off(struct cli *cli, struct err *err);
int run_pause(struct cli *cli, struct err *err);
int run_unpause(struct cli *cli, struct err *err);
int run_config_show(struct cli *cli, struct err *err);
int run_config_set(struct cli *cli, struct err *err);
int run_secret_create(struct cli *cli, struct err *err);
int run_debug_sample(struct cli *cli, struct err *err);
int run_debug_manual(struct cli *cli, struct err *err);
int run_debug_manual_postgresql(struct cli *cli, struct err *err);
int run_debug_status(struct cli *cli, struct err *err);

#endif
