/* register.c - rmctl primary register, standby register, witness register: repmgr's words around the daemon's work. */
#include "cli/control.h"
#include "cli/say.h"

static json_t *arguments_of(const struct cli *cli)
{
    return json_pack("{s:b, s:i}", "force", cli->options.force, "timeout_ms", cli->options.timeout_s * 1000);
}

static int check_kind(struct cli *cli, enum node_kind kind, const char *instead, struct err *err)
{
    int failed = cli_load_settings(cli, err);

    if (failed || cli->settings.node_kind == (uint32_t)kind)
        return failed;
    (void)snprintf(cli->hint, sizeof cli->hint, "use \"rmctl %s register\", or set node_kind", instead);
    return err_set(err, ERR_CONFIG, "configuration file '%s' is that of a %s node", cli->config_path,
                   cli->settings.node_kind == NODE_WITNESS ? "witness" : "data");
}

static int ask(struct cli *cli, const char *name, json_t **ret_result, struct err *err)
{
    int wait_ms = cli->options.timeout_s * 1000 + CONTROL_WAIT_EXTRA_MS;

    return control_command(cli, name, arguments_of(cli), wait_ms, ret_result, err);
}

int run_primary_register(struct cli *cli, struct err *err)
{
    json_t *result = NULL;
    int failed = check_kind(cli, NODE_DATA, "witness", err);

    if (failed)
        return failed;
    say(SAY_INFO, "connecting to primary database...");
    failed = ask(cli, "primary_register", &result, err);
    if (failed)
        return failed;
    const char *schema = result_text(result, "schema");
    if (!strcmp(schema, "created"))
        say(SAY_NOTICE, "schema \"repmgr\" created");
    else if (!strcmp(schema, "extension"))
        say(SAY_NOTICE, "the tables of the installed \"repmgr\" extension are used");
    say(SAY_NOTICE, "primary node record (ID: %" PRId64 ") %s", result_number(result, "node_id", cli->settings.node_id),
        result_true(result, "updated") ? "updated" : "registered");
    json_decref(result);
    return 0;
}

int run_standby_register(struct cli *cli, struct err *err)
{
    json_t *result = NULL;
    int failed = check_kind(cli, NODE_DATA, "witness", err);

    if (failed)
        return failed;
    say(SAY_INFO, "connecting to local node \"%s\" (ID: %d)", cli->settings.node_name, (int)cli->settings.node_id);
    say(SAY_INFO, "connecting to primary database");
    failed = ask(cli, "standby_register", &result, err);
    if (failed)
        return failed;
    say(SAY_WARNING, "--upstream-node-id not supplied, assuming upstream node is primary (node ID: %" PRId64 ")",
        result_number(json_object_get(result, "upstream"), "node_id", 0));
    say(SAY_INFO, "standby registration complete");
    say(SAY_NOTICE, "standby node \"%s\" (ID: %d) successfully registered", cli->settings.node_name,
        (int)cli->settings.node_id);
    json_decref(result);
    return 0;
}

int run_witness_register(struct cli *cli, struct err *err)
{
    json_t *result = NULL;
    int failed = check_kind(cli, NODE_WITNESS, "standby", err);

    if (failed)
        return failed;
    say(SAY_INFO, "connecting to witness node \"%s\" (ID: %d)", cli->settings.node_name, (int)cli->settings.node_id);
    say(SAY_INFO, "connecting to primary node");
    failed = ask(cli, "witness_register", &result, err);
    if (failed)
        return failed;
    say(SAY_INFO, "witness registration complete");
    say(SAY_NOTICE, "witness node \"%s\" (ID: %d) successfully registered", cli->settings.node_name,
        (int)cli->settings.node_id);
    json_decref(result);
    return 0;
}
