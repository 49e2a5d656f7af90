/* status.c - rmctl status. */
#include <unistd.h>

#include "cli/control.h"
#include "cli/say.h"
#include "cli/status_text.h"

#define CLEAR "\033[H\033[2J"

static int show_once(struct cli *cli, struct err *err)
{
    json_t *status = NULL;
    int failed = control_command(cli, "status", NULL, CONTROL_WAIT_MS, &status, err);

    if (failed)
        return failed;
    if (!cli->options.json)
        status_text(status, cli->options.verbose, stdout);
    int result = status_exit(status);
    json_decref(status);
    return result;
}

int run_status(struct cli *cli, struct err *err)
{
    bool terminal = isatty(STDOUT_FILENO) && !cli->options.json;

    for (;;) {
        if (cli->options.watch_s && terminal)
            fputs(CLEAR, stdout);
        int status = show_once(cli, err);
        if (!cli->options.watch_s)
            return status;
        /* The daemon may be on its way back: goes on, says why. */
        if (status < 0 && status != -(int)ERR_DAEMON && status != -(int)ERR_TIMEOUT)
            return status;
        if (status < 0 && cli->options.json)
            say(SAY_ERROR, "%s", err->text);
        else if (status < 0)
            printf("%s\n", err->text);
        if (!terminal)
            putchar('\n');
        if (fflush(stdout) != 0)
            return 0;
        (void)sleep((unsigned)cli->options.watch_s);
    }
}
