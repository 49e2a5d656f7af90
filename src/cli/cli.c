/* cli.c - one call of rmctl: parse, run, tell. */
#include <errno.h>
#include <stdlib.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/say.h"

#include <unistd.h>

static const char *const search[] = { "./raftmgr.conf", "/etc/raftmgr/raftmgr.conf", "/etc/raftmgr.conf" };

/* Errors and warnings each; repmgr's parameters, of which a migrated file has many, in one line. */
static void print_notes(const struct settings_reader *reader, const char *path)
{
    unsigned unused = 0;

    for (uint32_t i = 0; i < reader->note_count; i++) {
        if (reader->notes[i].level == NOTE_NOTICE)
            unused++;
        else
            say(reader->notes[i].level == NOTE_ERROR ? SAY_ERROR : SAY_WARNING, "%s", reader->notes[i].text);
    }
    if (unused)
        say(SAY_NOTICE, "%u of repmgr's parameters in '%s' are not used; \"raftmgrd --check-config\" lists them",
            unused, path);
}

static int find_config(struct cli *cli, struct err *err)
{
    const char *path = cli->options.config_file;

    for (size_t i = 0; !path && i < ARRAY_LEN(search); i++)
        if (file_exists(search[i]))
            path = search[i];
    if (!path) {
        (void)snprintf(cli->hint, sizeof cli->hint, "name one with -f FILE");
        return err_set(err, ERR_CONFIG, "no configuration file: there is no %s, %s or %s", search[0], search[1],
                       search[2]);
    }
    /* Absolute: it is told to the user and must mean the same elsewhere. */
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return err_set(err, ERR_CONFIG, "configuration file '%s' cannot be found: %s", path, strerror(errno));
    bool fits = text_copy(cli->config_path, sizeof cli->config_path, resolved);
    free(resolved);
    return fits ? 0 : err_set(err, ERR_CONFIG, "the path of configuration file '%s' is too long", path);
}

int cli_load_settings(struct cli *cli, struct err *err)
{
    if (cli->config_path[0])
        return 0;
    int failed = find_config(cli, err);
    if (failed)
        return failed;
    struct settings_reader *reader = malloc(sizeof *reader);
    if (!reader)
        return err_set(err, ERR_MEMORY, "out of memory");
    settings_begin(reader, &cli->settings);
    failed = ini_load(cli->config_path, settings_accept, reader, err);
    if (!failed)
        failed = settings_finish(reader, err);
    if (!failed || reader->error_count > 1)
        print_notes(reader, cli->config_path);
    free(reader);
    return failed ? err_wrap(err, "configuration file '%s'", cli->config_path) : 0;
}

static int configure_messages(const struct options *options, struct err *err)
{
    enum say_level least = options->quiet ? SAY_ERROR : SAY_INFO;

    if (options->log_level && (!say_level_of(options->log_level, &least) || least > SAY_ERROR))
        return err_set(err, ERR_USAGE, "there is no log level '%s'", options->log_level);
    if (options->dry_run && least > SAY_INFO && !options->quiet)
        least = SAY_INFO;
    say_configure(least, options->terse);
    return 0;
}

/* The command line is at fault: tell where help is. */
static int usage_failed(const struct cli *cli, const struct err *err)
{
    char path[64];

    command_path(cli->command, path, sizeof path);
    say(SAY_ERROR, "%s", err->text);
    say(SAY_HINT, "try \"%s --help\"", path);
    return err_exit_status(ERR_USAGE);
}

int cli_main(int argc, char **argv)
{
    static struct cli cli; /* larger than a stack should hold */
    struct err err = { .code = ERR_OK };

    int failed = command_parse(&cli, argc, argv, &err);
    if (!failed)
        failed = configure_messages(&cli.options, &err);
    if (failed)
        return usage_failed(&cli, &err);
    if (cli.options.version) {
        printf("rmctl (raftmgr) %s\n", RAFTMGR_VERSION);
        return 0;
    }
    if (cli.options.help) {
        command_help(cli.command, stdout);
        return 0;
    }
    if (cli.command->children) {
        command_help(cli.command, stderr);
        return err_exit_status(ERR_USAGE);
    }
    int status = cli.command->run(&cli, &err);
    if (status >= 0 && fflush(stdout) == 0)
        return status;
    if (status >= 0)
        status = err_set_errno(&err, errno, "could not write to standard output");
    if (status == -(int)ERR_USAGE && !cli.hint[0])
        return usage_failed(&cli, &err);
    say(SAY_ERROR, "%s", err.text);
    if (cli.hint[0])
        say(SAY_HINT, "%s", cli.hint);
    return err_exit_status((enum err_code) - status);
}
