/* switchover.c - rmctl propose-switchover. */
#include "cli/control.h"
#include "cli/say.h"
#include "cli/status_text.h"

static void print_done(const json_t *result)
{
    char token[32];
    char outage[48];
    const json_t *from = json_object_get(result, "from");
    const json_t *to = json_object_get(result, "to");

    token_text(result_number(result, "token", 0), token, sizeof token);
    say(SAY_NOTICE, "node \"%s\" (ID: %" PRId64 ") is primary now: token %s, timeline %" PRId64,
        result_text(to, "node_name"), result_number(to, "node_id", 0), token, result_number(result, "timeline", 0));
    if (result_has(from, "node_name"))
        say(SAY_DETAIL, "node \"%s\" (ID: %" PRId64 ") is its standby", result_text(from, "node_name"),
            result_number(from, "node_id", 0));
    if (result_has(result, "outage_ms")) {
        duration_text(result_number(result, "outage_ms", 0), outage, sizeof outage);
        say(SAY_DETAIL, "there was no primary for %s", outage);
    }
    say(SAY_NOTICE, "STANDBY SWITCHOVER has completed successfully");
}

int run_switchover(struct cli *cli, struct err *err)
{
    const struct options *options = &cli->options;
    json_t *result = NULL;
    json_t *arguments = json_pack("{s:s, s:b, s:i}", "to", options->to ? options->to : "", "dry_run", options->dry_run,
                                  "timeout_ms", options->timeout_s * 1000);

    if (!arguments)
        return err_set(err, ERR_USAGE, "the arguments are not valid text (UTF-8)");
    int failed =
        control_command(cli, "switchover", arguments, options->timeout_s * 1000 + CONTROL_WAIT_EXTRA_MS, &result, err);
    if (options->dry_run && (failed == -(int)ERR_REFUSED || failed == -(int)ERR_NOT_FOUND))
        return err_wrap(err, "prerequisites for executing STANDBY SWITCHOVER are *not* met");
    if (failed)
        return failed;
    if (options->dry_run)
        say(SAY_INFO, "prerequisites for executing STANDBY SWITCHOVER are met");
    else
        print_done(result);
    json_decref(result);
    return 0;
}
