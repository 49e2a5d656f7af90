/*
 * test_cli_command.c - rmctl's command line. An option that is passed over silently makes an operator do for real what
 * was meant otherwise, so each command takes its own options and refuses all others.
 */
#include "cli/command.h"

#include <stdlib.h>

#include "unit.h"

static struct cli cli;

/* Parses blank separated words. */
static int parse(const char *line, struct err *err)
{
    static char text[512];
    static char *words[32];
    int count = 0;

    (void)text_copy(text, sizeof text, line);
    words[count++] = (char *)"rmctl";
    for (char *at = text; *at && count < 31;) {
        at += strspn(at, " ");
        if (!*at)
            break;
        words[count++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    words[count] = NULL;
    return command_parse(&cli, count, words, err);
}

static void finds(const char *line, const char *path)
{
    struct err err = { .text = "" };
    char found[64];

    CU_ASSERT_EQUAL(parse(line, &err), 0);
    command_path(cli.command, found, sizeof found);
    CU_ASSERT_STRING_EQUAL(found, path);
    if (err.text[0])
        printf("\n  %s: %s\n", line, err.text);
}

static void refuses(const char *line, const char *reason)
{
    struct err err = { .text = "" };

    CU_ASSERT_EQUAL(parse(line, &err), -ERR_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, reason));
    if (!strstr(err.text, reason))
        printf("\n  %s: said '%s', not '%s'\n", line, err.text, reason);
}

static void words(void)
{
    finds("status", "rmctl status");
    finds("primary register", "rmctl primary register");
    finds("Master REGISTER", "rmctl primary register");
    finds("cluster events", "rmctl cluster event");
    finds("cluster", "rmctl cluster");
    finds("", "rmctl");
}

static void options_anywhere(void)
{
    finds("-h 127.0.0.1 -p 7401 -U repmgr -d repmgr -f raftmgr.conf standby clone --dry-run", "rmctl standby clone");
    CU_ASSERT_STRING_EQUAL(cli.options.host, "127.0.0.1");
    CU_ASSERT_STRING_EQUAL(cli.options.port, "7401");
    CU_ASSERT_STRING_EQUAL(cli.options.username, "repmgr");
    CU_ASSERT_STRING_EQUAL(cli.options.dbname, "repmgr");
    CU_ASSERT_STRING_EQUAL(cli.options.config_file, "raftmgr.conf");
    CU_ASSERT(cli.options.dry_run);
    CU_ASSERT_FALSE(cli.options.force);
    finds("standby clone otherhost -cF", "rmctl standby clone");
    CU_ASSERT_STRING_EQUAL(cli.options.host, "otherhost");
    CU_ASSERT(cli.options.fast_checkpoint && cli.options.force);
    finds("status --watch", "rmctl status");
    CU_ASSERT_EQUAL(cli.options.watch_s, 1);
    finds("status --watch=5", "rmctl status");
    CU_ASSERT_EQUAL(cli.options.watch_s, 5);
    finds("propose-switchover --to=node2 --timeout 90s", "rmctl propose-switchover");
    CU_ASSERT_STRING_EQUAL(cli.options.to, "node2");
    CU_ASSERT_EQUAL(cli.options.timeout_s, 90);
    finds("propose-switchover", "rmctl propose-switchover");
    CU_ASSERT_EQUAL(cli.options.timeout_s, 60);
    finds("config set lease_ttl 6s", "rmctl config set");
    CU_ASSERT_EQUAL(cli.options.argument_count, 2);
    CU_ASSERT_STRING_EQUAL(cli.options.arguments[1], "6s");
}

static void wrong_use(void)
{
    refuses("stats", "unknown command 'stats': there are status, primary");
    refuses("standby promote", "unknown command 'standby promote': there are clone, register");
    refuses("status --nonsense", "unknown option '--nonsense'");
    refuses("status -Z", "unknown option '-Z'");
    refuses("status -f", "option '-f' needs a value");
    refuses("propose-switchover --timeout", "option '--timeout' needs a value");
    refuses("propose-switchover --timeout 0", "--timeout takes a whole number of seconds");
    refuses("propose-switchover --timeout 1x", "--timeout takes a whole number of seconds");
    refuses("cluster event --limit -1", "--limit takes a whole number");
    refuses("status now", "too many arguments");
    refuses("config set lease_ttl", "too few arguments for \"set\": it takes NAME VALUE");
    refuses("config set a b c", "too many arguments");
    refuses("standby clone -h a b", "too many arguments");
}

static void foreign_options(void)
{
    refuses("primary register --dry-run", "\"rmctl primary register\" does not take --dry-run");
    refuses("standby register --dry-run", "does not take --dry-run");
    refuses("pause --force", "does not take --force");
    refuses("status -h x", "does not take --host");
    refuses("cluster event --watch", "does not take --watch");
}

static void help_wanted(void)
{
    finds("standby clone --help", "rmctl standby clone");
    CU_ASSERT(cli.options.help);
    finds("-? config set", "rmctl config set");
    CU_ASSERT(cli.options.help);
    finds("--version", "rmctl");
    CU_ASSERT(cli.options.version);
}

static void every_help(const struct command *command)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    command_help(command, out);
    CU_ASSERT_EQUAL(fclose(out), 0);
    CU_ASSERT_EQUAL(strncmp(text, "Usage: rmctl", 12), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "--config-file=FILE") ? strstr(text, "--help") : text);
    free(text);
    CU_ASSERT(command == &command_top || strlen(command->brief) > 5);
    CU_ASSERT(!command->run != !command->children);
    CU_ASSERT(command->args_max <= ARGUMENTS_MAX);
    for (const struct command *child = command->children; child && child->name; child++)
        every_help(child);
}

static void help_of_all(void)
{
    every_help(&command_top);
}

static const struct unit_test tests[] = {
    { "commands by their names and repmgr's other names", words },
    { "options stand anywhere and have their values", options_anywhere },
    { "wrong use is told as what it is", wrong_use },
    { "a command refuses the options of others", foreign_options },
    { "help and version go before everything", help_wanted },
    { "every command has a help", help_of_all },
};

const struct unit_suite suite_cli_command = UNIT_SUITE("cli_command", tests);
