/* cluster_show.c - rmctl cluster show. */
#include "cli/cluster_view.h"
#include "cli/control.h"
#include "cli/say.h"

static void print_issues(const struct cluster_view *view, const struct options *options)
{
    if (!view->issue_count || options->terse || options->csv)
        return;
    putchar('\n');
    (void)fflush(stdout);
    say(SAY_WARNING, "following issues were detected");
    if (options->quiet)
        return;
    for (size_t i = 0; i < view->issue_count; i++)
        fprintf(stderr, "  - %s\n", view->issues[i]);
    if (view->unreachable) {
        fputc('\n', stderr);
        say(SAY_HINT, "\"rmctl status\" tells what is known of each node");
    }
}

int run_cluster_show(struct cli *cli, struct err *err)
{
    struct cluster_view view;
    json_t *status = NULL;
    bool as_csv = cli->options.csv;

    if (cli->options.csv + cli->options.json + cli->options.compact > 1)
        return err_set(err, ERR_USAGE, "only one of --csv, --compact and --json can be used");
    int failed = control_command(cli, "status", NULL, CONTROL_WAIT_MS, &status, err);
    if (failed)
        return failed;
    cluster_view_make(status, &view);
    if (!view.count) {
        json_decref(status);
        (void)snprintf(cli->hint, sizeof cli->hint, "register the primary first: \"rmctl primary register\"");
        return err_set(err, ERR_CONFIG, "no node records were found");
    }
    if (as_csv)
        cluster_view_csv(&view, stdout);
    else if (!cli->options.json)
        cluster_view_table(&view, cli->options.compact, stdout);
    print_issues(&view, &cli->options);
    json_decref(status);
    return view.wrong ? err_exit_status(ERR_NODE_STATUS) : 0;
}
