/* pause.c - rmctl pause and unpause. */
#include "cli/control.h"
#include "cli/say.h"

static int set_pause(struct cli *cli, bool paused, struct err *err)
{
    json_t *result = NULL;
    int failed = control_command(cli, paused ? "pause" : "unpause", NULL, CONTROL_WAIT_MS, &result, err);

    if (failed)
        return failed;
    if (json_is_false(json_object_get(result, "changed")))
        say(SAY_NOTICE, paused ? "failover was paused already" : "failover was not paused");
    else
        say(SAY_NOTICE, paused ? "failover is paused: nothing is failed over until \"rmctl unpause\""
                               : "failover is no longer paused");
    json_decref(result);
    return 0;
}

int run_pause(struct cli *cli, struct err *err)
{
    return set_pause(cli, true, err);
}

int run_unpause(struct cli *cli, struct err *err)
{
    return set_pause(cli, false, err);
}
