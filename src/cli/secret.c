/* secret.c - rmctl secret create. */
#include "base/secret.h"

#include "cli/command.h"
#include "cli/say.h"

int run_secret_create(struct cli *cli, struct err *err)
{
    const char *path = cli->options.arguments[0];

    if (!path) {
        int failed = cli_load_settings(cli, err);
        if (failed)
            return failed;
        path = cli->settings.secret_file;
    }
    if (!*path)
        return err_set(err, ERR_USAGE, "name the file to make: '%s' does not set secret_file", cli->config_path);
    int failed = secret_create(path, err);
    if (failed == -(int)ERR_REFUSED)
        (void)snprintf(cli->hint, sizeof cli->hint,
                       "a secret is never overwritten: copy it to the other nodes as it is");
    if (failed)
        return failed;
    say(SAY_NOTICE, "secret created in '%s'", path);
    say(SAY_HINT, "copy it to every other node, owned by the user of raftmgrd and with mode 0600");
    return 0;
}
