/* failover.c - rmctl failover: status, accept-loss, write-off, host-off. */
#include "cli/control.h"
#include "cli/say.h"

static int ask(struct cli *cli, const char *name, const char *word, json_t **ret_result, struct err *err)
{
    const struct options *options = &cli->options;
    const char *node = options->argument_count > 0 ? options->arguments[0] : "";
    json_t *arguments =
        json_pack("{s:s, s:s, s:b}", "node_name", node, "word", word ? word : "", "dry_run", options->dry_run);

    if (!arguments)
        return err_set(err, ERR_USAGE, "the arguments are not valid text (UTF-8)");
    return control_command(cli, name, arguments, CONTROL_WAIT_MS, ret_result, err);
}

/* Nothing was changed: how to say that it is meant. */
static void print_word(const struct cli *cli, const json_t *result, const char *option)
{
    char path[128];

    command_path(cli->command, path, sizeof path);
    say(SAY_NOTICE, "nothing was changed");
    say(SAY_HINT, "if this is what you want: %s%s%s --%s=%s", path, cli->options.argument_count > 0 ? " " : "",
        cli->options.argument_count > 0 ? cli->options.arguments[0] : "", option, result_text(result, "word"));
}

static int run_word(struct cli *cli, const char *name, const char *option, const char *word, const char *done,
                    struct err *err)
{
    json_t *result = NULL;
    int failed = ask(cli, name, word, &result, err);

    if (failed)
        return failed;
    if (result_true(result, "committed")) {
        say(SAY_NOTICE, "node \"%s\" %s", result_text(json_object_get(result, "node"), "node_name"), done);
        say(SAY_HINT, "\"rmctl status --watch\" shows how it goes on");
    } else {
        print_word(cli, result, option);
    }
    json_decref(result);
    return 0;
}

int run_failover_status(struct cli *cli, struct err *err)
{
    json_t *result = NULL;
    int failed = ask(cli, "failover_status", NULL, &result, err);

    if (failed)
        return failed;
    if (!result_true(result, "open"))
        say(SAY_NOTICE, "no failover waits for anything");
    else if (result_text(result, "loss")[0])
        say(SAY_HINT, "start the daemons of the missing nodes; if they are gone for good: rmctl failover accept-loss, "
                      "or rmctl failover write-off NODE");
    json_decref(result);
    return 0;
}

int run_write_off(struct cli *cli, struct err *err)
{
    return run_word(cli, "write_off", "accept-loss", cli->options.word, "is written off", err);
}

int run_accept_loss(struct cli *cli, struct err *err)
{
    return run_word(cli, "accept_loss", "accept-loss", cli->options.word,
                    "is elected, or who holds more by now: the loss is accepted", err);
}

int run_host_off(struct cli *cli, struct err *err)
{
    return run_word(cli, "host_off", "is-off", cli->options.off_word,
                    "is taken to be off: nothing waits for its end any more", err);
}
