/* config.c - rmctl config show and config set. */
#include "cli/control.h"
#include "cli/say.h"
#include "cli/table.h"

/* A row a setting; file: the values of this node's file that differ, or NULL. */
static void put_settings(json_t *values, const char *scope, const json_t *file, struct table *table)
{
    for (void *at = json_object_iter(values); at; at = json_object_iter_next(values, at)) {
        const char *name = json_object_iter_key(at);
        table_put(table, "%s", name);
        table_put(table, "%s", scope);
        table_put(table, "%s", result_text(values, name));
        table_put(table, "%s", result_text(file, name));
    }
}

int run_config_show(struct cli *cli, struct err *err)
{
    static const char *const headings[] = { "Setting", "Scope", "Value", "This node's file", NULL };
    AUTO(table) table;
    json_t *result = NULL;

    table_init(&table, headings);
    int failed = control_command(cli, "config_show", NULL, CONTROL_WAIT_MS, &result, err);
    if (failed)
        return failed;
    put_settings(json_object_get(result, "cluster"), "cluster", json_object_get(result, "file"), &table);
    put_settings(json_object_get(result, "node"), "node", NULL, &table);
    if (!cli->options.json)
        table_draw(&table, TABLE_TRIMMED, stdout);
    json_decref(result);
    return 0;
}

int run_config_set(struct cli *cli, struct err *err)
{
    json_t *result = NULL;
    json_t *arguments = json_pack("{s:s, s:s}", "name", cli->options.arguments[0], "value", cli->options.arguments[1]);

    if (!arguments)
        return err_set(err, ERR_USAGE, "the arguments are not valid text (UTF-8)");
    int failed = control_command(cli, "config_set", arguments, CONTROL_WAIT_MS, &result, err);
    if (failed)
        return failed;
    say(SAY_NOTICE, "%s is %s on all nodes (was %s)", result_text(result, "name"), result_text(result, "value"),
        result_text(result, "old"));
    json_decref(result);
    return 0;
}
