/* standby_clone.c - rmctl standby clone. */
#include "cli/command.h"

int run_standby_clone(struct cli *cli, struct err *err)
{
    (void)snprintf(cli->hint, sizeof cli->hint, "use pg_basebackup");
    return err_set(err, ERR_REFUSED, "this build cannot clone");
}
