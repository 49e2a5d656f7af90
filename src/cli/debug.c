/* debug.c - rmctl debug: inner steps, for developers and for making the documents. */
#include <jansson.h>

#include "cli/command.h"
#include "cli/settings_text.h"
#include "cli/status_text.h"

int run_debug_sample(struct cli *cli, struct err *err)
{
    (void)cli;
    (void)err;
    settings_sample(stdout);
    return 0;
}

int run_debug_manual(struct cli *cli, struct err *err)
{
    (void)cli;
    (void)err;
    settings_manual(stdout);
    return 0;
}

int run_debug_manual_postgresql(struct cli *cli, struct err *err)
{
    (void)cli;
    (void)err;
    settings_manual_postgresql(stdout);
    return 0;
}

int run_debug_status(struct cli *cli, struct err *err)
{
    json_error_t problem;
    json_t *status = json_load_file(cli->options.arguments[0], 0, &problem);

    if (!status)
        return err_set(err, ERR_USAGE, "'%s' is not a status object: %s", cli->options.arguments[0], problem.text);
    status_text(status, cli->options.verbose, stdout);
    int result = status_exit(status);
    json_decref(status);
    return result;
}
