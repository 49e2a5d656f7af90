/* command.c - the command line: options by table, the command by tree, and the help from both. See command.h. */
#include "cli/command.h"

#include <getopt.h>
#include <stdlib.h>

#define LETTER_BASE 1000 /* what getopt_long returns for the option of an id */
#define WORDS_MAX (2 + ARGUMENTS_MAX)
#define NUMBER_MAX 2147483647L
#define SECONDS_MAX 86400L
#define PATH_DEPTH_MAX 4

enum option_kind { FLAG, TEXT, NUMBER, SECONDS, MAYBE };

static const struct option_row {
    const char *name;
    const char *arg;
    const char *text;
    size_t offset;
    char letter;
    enum option_kind kind;
} option_rows[OPTION_COUNT] = {
#define OPTION(id, long_name, short_name, type, field, argument, what)                                                 \
    [OPTION_##id] = { .name = (long_name),                                                                             \
                      .arg = (argument),                                                                               \
                      .text = (what),                                                                                  \
                      .offset = offsetof(struct options, field),                                                       \
                      .letter = (short_name),                                                                          \
                      .kind = (type) },
#include "cli/options.def"
#undef OPTION
};

/* What getopt_long wants, made from the rows. */
struct getopt_tables {
    struct option longs[OPTION_COUNT + 1];
    char letters[2 * OPTION_COUNT + 2];
};

static void make_tables(struct getopt_tables *tables)
{
    size_t used = 0;

    memset(tables, 0, sizeof *tables);
    tables->letters[used++] = ':'; /* tells a missing value from an unknown option */
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_rows[id];
        bool has_value = row->kind != FLAG && row->kind != MAYBE;
        tables->longs[id].name = row->name;
        tables->longs[id].has_arg = row->kind == MAYBE ? optional_argument : has_value;
        tables->longs[id].val = LETTER_BASE + id;
        if (!row->letter || row->letter == '?')
            continue;
        tables->letters[used++] = row->letter;
        if (has_value)
            tables->letters[used++] = ':';
    }
}

static int option_of(int returned)
{
    if (returned >= LETTER_BASE)
        return returned - LETTER_BASE;
    for (int id = 0; id < OPTION_COUNT; id++)
        if (option_rows[id].letter == returned)
            return id;
    return -1;
}

static int take_number(const struct option_row *row, const char *text, int32_t *ret_number, struct err *err)
{
    char *end;
    bool seconds = row->kind != NUMBER;
    long number = strtol(text, &end, 10);

    if (seconds && !strcmp(end, "s"))
        end++;
    if (end == text || *end || text[0] == '-' || number < seconds || number > (seconds ? SECONDS_MAX : NUMBER_MAX))
        return err_set(err, ERR_USAGE, "--%s takes a whole number%s, not '%s'", row->name,
                       seconds ? " of seconds from 1 to 86400" : "", text);
    *ret_number = (int32_t)number;
    return 0;
}

static int take_option(struct options *options, int id, const char *value, struct err *err)
{
    const struct option_row *row = &option_rows[id];
    void *field = (char *)options + row->offset;

    options->given |= 1ull << id;
    switch (row->kind) {
    case FLAG:
        *(bool *)field = true;
        return 0;
    case TEXT:
        *(const char **)field = value;
        return 0;
    case MAYBE:
        if (!value) {
            *(int32_t *)field = 1;
            return 0;
        }
        break;
    case NUMBER:
    case SECONDS:
        break;
    }
    return take_number(row, value, field, err);
}

static int read_options(struct options *options, int argc, char **argv, struct err *err)
{
    struct getopt_tables tables;
    int returned;

    make_tables(&tables);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((returned = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
        const char *word = argv[optind > 1 ? optind - 1 : 1];
        if (returned == ':')
            return err_set(err, ERR_USAGE, "option '%s' needs a value", word);
        /* getopt's word for an unknown option, which it leaves in optopt; -? is one that we know. */
        if (returned == '?' && optopt != '?')
            return err_set(err, ERR_USAGE, "unknown option '%s'", word);
        int failed = take_option(options, option_of(returned), optarg, err);
        if (failed)
            return failed;
    }
    return 0;
}

static bool same_name(const char *left, const char *right)
{
    return right && strcasecmp(left, right) == 0;
}

static const struct command *child_of(const struct command *parent, const char *name)
{
    for (const struct command *child = parent->children; child->name; child++)
        if (same_name(name, child->name) || same_name(name, child->alias))
            return child;
    return NULL;
}

static void list_children(const struct command *parent, char *text, size_t size)
{
    text[0] = '\0';
    for (const struct command *child = parent->children; child->name; child++) {
        size_t used = strlen(text);
        if (!child->hidden)
            (void)snprintf(text + used, size - used, "%s%s", used ? ", " : "", child->name);
    }
}

/* Follows the words down the tree; the rest are arguments. */
static int find_command(struct cli *cli, char **words, int count, struct err *err)
{
    const struct command *at = &command_top;
    struct options *options = &cli->options;
    char list[512];
    int i = 0;

    for (; at->children && i < count; i++) {
        const struct command *child = child_of(at, words[i]);
        if (!child) {
            cli->command = at;
            list_children(at, list, sizeof list);
            return err_set(err, ERR_USAGE, "unknown command '%s%s%s': there are %s", at == &command_top ? "" : at->name,
                           at == &command_top ? "" : " ", words[i], list);
        }
        at = child;
    }
    cli->command = at;
    if (at->children || options->help)
        return 0;
    /* repmgr's old way to name the source: standby clone HOST. */
    if (at->run == run_standby_clone && count - i == 1 && !options->host) {
        options->host = words[i++];
        options->given |= TAKES(HOST);
    }
    if (count - i < at->args_min || count - i > at->args_max)
        return err_set(err, ERR_USAGE, "%s \"%s\": it takes %s",
                       count - i < at->args_min ? "too few arguments for" : "too many arguments for", at->name,
                       at->args ? at->args : "none");
    while (i < count)
        options->arguments[options->argument_count++] = words[i++];
    return 0;
}

static int refuse_foreign(const struct cli *cli, struct err *err)
{
    uint64_t foreign = cli->options.given & ~(cli->command->takes | TAKES_ALWAYS);
    char path[64];

    command_path(cli->command, path, sizeof path);
    for (int id = 0; id < OPTION_COUNT; id++)
        if (foreign & (1ull << id))
            return err_set(err, ERR_USAGE, "\"%s\" does not take --%s", path, option_rows[id].name);
    return 0;
}

int command_parse(struct cli *cli, int argc, char **argv, struct err *err)
{
    memset(&cli->options, 0, sizeof cli->options);
    cli->options.timeout_s = SWITCHOVER_TIMEOUT_S;
    cli->options.limit = EVENTS_SHOWN;
    cli->command = &command_top;
    cli->hint[0] = '\0';
    cli->config_path[0] = '\0';
    int failed = read_options(&cli->options, argc, argv, err);
    if (!failed)
        failed = find_command(cli, argv + optind, argc - optind, err);
    if (failed || cli->options.help || cli->options.version || cli->command->children)
        return failed;
    return refuse_foreign(cli, err);
}

static bool find_path(const struct command *at, const struct command *wanted, char *text, size_t size, int depth)
{
    size_t used = strlen(text);

    assert(depth < PATH_DEPTH_MAX);
    (void)snprintf(text + used, size - used, "%s%s", used ? " " : "", at->name);
    if (at == wanted)
        return true;
    for (const struct command *child = at->children; child && child->name; child++)
        if (find_path(child, wanted, text, size, depth + 1))
            return true;
    text[used] = '\0';
    return false;
}

void command_path(const struct command *command, char *text, size_t size)
{
    text[0] = '\0';
    (void)find_path(&command_top, command, text, size, 0);
}

static void help_options(uint64_t takes, FILE *out)
{
    char left[64];

    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_rows[id];
        if (!(takes & (1ull << id)))
            continue;
        bool maybe = row->kind == MAYBE;
        if (row->letter)
            (void)snprintf(left, sizeof left, "-%c, ", row->letter);
        else
            (void)snprintf(left, sizeof left, "    ");
        size_t used = strlen(left);
        (void)snprintf(left + used, sizeof left - used, "--%s%s%s%s", row->name,
                       maybe      ? "[="
                       : row->arg ? "="
                                  : "",
                       row->arg ? row->arg : "", maybe ? "]" : "");
        fprintf(out, "  %-28s %s\n", left, row->text);
    }
}

static void help_children(const struct command *parent, const char *prefix, FILE *out)
{
    char path[64];

    for (const struct command *child = parent->children; child->name; child++) {
        if (child->hidden)
            continue;
        (void)snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? " " : "", child->name);
        if (child->children)
            help_children(child, path, out);
        else
            fprintf(out, "  %-28s %s\n", path, child->brief);
    }
}

void command_help(const struct command *command, FILE *out)
{
    char path[64];

    command_path(command, path, sizeof path);
    if (command->children) {
        bool top = command == &command_top;
        fprintf(out, "Usage: %s %s\n\n", path, top ? "[OPTION...] COMMAND" : "COMMAND [OPTION...]");
        if (top)
            fprintf(out, "rmctl is the operator's tool of raftmgr, a failover manager for PostgreSQL.\n\n");
        fprintf(out, "Commands:\n");
        help_children(command, top ? "" : command->name, out);
        fprintf(out, "\nOptions of all commands:\n");
        help_options(TAKES_ALWAYS | TAKES(CONFIG_FILE), out);
        fprintf(out, "\n\"rmctl COMMAND --help\" tells a command's own.\n");
        return;
    }
    fprintf(out, "Usage: %s%s%s [OPTION...]\n\n%s.\n", path, command->args ? " " : "",
            command->args ? command->args : "", command->brief);
    if (command->more)
        fprintf(out, "%s\n", command->more);
    fprintf(out, "\nOptions:\n");
    help_options(command->takes | TAKES_ALWAYS, out);
}
