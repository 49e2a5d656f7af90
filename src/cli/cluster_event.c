/* cluster_event.c - rmctl cluster event. */
#include "cli/control.h"
#include "cli/table.h"

static void print_csv(const json_t *events)
{
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        printf("%" PRId64 ",%s,%s,%s,%s\n", result_number(event, "node_id", 0), result_text(event, "node_name"),
               result_text(event, "event"), result_true(event, "successful") ? "t" : "f",
               result_text(event, "timestamp"));
    }
}

static void print_table(const json_t *events, bool compact)
{
    static const char *const full[] = { "Node ID", "Name", "Event", "OK", "Timestamp", "Details", NULL };
    static const char *const small[] = { "Node ID", "Name", "Event", "OK", "Timestamp", NULL };
    AUTO(table) table;

    table_init(&table, compact ? small : full);
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        table_put(&table, "%" PRId64, result_number(event, "node_id", 0));
        table_put(&table, "%s", result_text(event, "node_name"));
        table_put(&table, "%s", result_text(event, "event"));
        table_put(&table, "%s", result_true(event, "successful") ? "t" : "f");
        table_put(&table, "%s", result_text(event, "timestamp"));
        if (!compact)
            table_put(&table, "%s", result_text(event, "details"));
    }
    table_draw(&table, compact ? TABLE_TRAILING : TABLE_PLAIN, stdout);
    putchar('\n');
}

int run_cluster_event(struct cli *cli, struct err *err)
{
    const struct options *options = &cli->options;
    json_t *result = NULL;
    /* A given --limit beats --all, as with repmgr. */
    int limit = options->all && !(options->given & TAKES(LIMIT)) ? 0 : options->limit;

    if (options->csv + options->json + options->compact > 1)
        return err_set(err, ERR_USAGE, "only one of --csv, --compact and --json can be used");
    if (limit == 0 && !options->all)
        return err_set(err, ERR_USAGE, "--limit must be at least 1; --all lists all events");
    json_t *arguments =
        json_pack("{s:i, s:s, s:i, s:s}", "limit", limit, "event", options->event ? options->event : "", "node_id",
                  (int)options->node_id, "node_name", options->node_name ? options->node_name : "");
    if (!arguments)
        return err_set(err, ERR_USAGE, "the arguments are not valid text (UTF-8)");
    int failed = control_command(cli, "cluster_event", arguments, CONTROL_WAIT_MS, &result, err);
    if (failed)
        return failed;
    const json_t *events = json_object_get(result, "events");
    if (!options->json && !json_array_size(events))
        puts("no matching events found");
    else if (options->csv)
        print_csv(events);
    else if (!options->json)
        print_table(events, options->compact);
    json_decref(result);
    return 0;
}
