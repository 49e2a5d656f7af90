/* api_request.c - one line of a client as a request. Pure; nothing is trusted. See api.h. */
#include "daemon/api.h"

#define PROTOCOL 1
#define TIMEOUT_MS_MIN 1000
#define TIMEOUT_MS_MAX (24 * 3600 * 1000)

static const struct {
    const char *name;
    int64_t timeout_ms;
} kinds[API_KIND_COUNT] = {
    [API_STATUS] = { "status", API_QUICK_MS },
    [API_PRIMARY_REGISTER] = { "primary_register", 60000 },
    [API_STANDBY_REGISTER] = { "standby_register", 60000 },
    [API_WITNESS_REGISTER] = { "witness_register", 60000 },
    [API_CLUSTER_EVENT] = { "cluster_event", API_QUICK_MS },
    [API_SWITCHOVER] = { "switchover", 60000 },
    [API_FAILOVER_STATUS] = { "failover_status", API_QUICK_MS },
    [API_WRITE_OFF] = { "write_off", API_QUICK_MS },
    [API_ACCEPT_LOSS] = { "accept_loss", API_QUICK_MS },
    [API_HOST_OFF] = { "host_off", API_QUICK_MS },
    [API_PAUSE] = { "pause", API_QUICK_MS },
    [API_UNPAUSE] = { "unpause", API_QUICK_MS },
    [API_CONFIG_SHOW] = { "config_show", API_QUICK_MS },
    [API_CONFIG_SET] = { "config_set", API_QUICK_MS },
};

static int get_text(const json_t *line, const char *name, char *text, size_t size, struct err *err)
{
    const json_t *value = json_object_get(line, name);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return err_set(err, ERR_USAGE, "'%s' must be a text", name);
    const char *given = json_string_value(value);
    if (strlen(given) != json_string_length(value) || !text_copy(text, size, given))
        return err_set(err, ERR_USAGE, "'%s' is longer than %zu bytes, or no plain text", name, size - 1);
    return 0;
}

static int get_flag(const json_t *line, const char *name, bool *flag, struct err *err)
{
    const json_t *value = json_object_get(line, name);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_boolean(value))
        return err_set(err, ERR_USAGE, "'%s' must be true or false", name);
    *flag = json_is_true(value);
    return 0;
}

static int get_number(const json_t *line, const char *name, int64_t min, int64_t max, int64_t *number, struct err *err)
{
    const json_t *value = json_object_get(line, name);

    if (!value || json_is_null(value))
        return 0;
    int64_t given = json_integer_value(value);
    if (!json_is_integer(value) || given < min || given > max)
        return err_set(err, ERR_USAGE, "'%s' must be a number from %" PRId64 " to %" PRId64, name, min, max);
    *number = given;
    return 0;
}

static int get_kind(const json_t *line, enum api_kind *ret_kind, struct err *err)
{
    const char *command = json_string_value(json_object_get(line, "command"));
    int64_t protocol = PROTOCOL;

    if (get_number(line, "protocol", 0, INT32_MAX, &protocol, err) < 0)
        return -(int)err->code;
    if (protocol != PROTOCOL)
        return err_set(err, ERR_USAGE, "protocol %" PRId64 " is not spoken here, only %d", protocol, PROTOCOL);
    if (!command)
        return err_set(err, ERR_USAGE, "the request names no command");
    for (int i = 0; i < API_KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, command) == 0) {
            *ret_kind = (enum api_kind)i;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "there is no command '%.64s'", command);
}

static int get_arguments(const json_t *line, struct api_request *request, struct err *err)
{
    int64_t limit = 20;
    int64_t node_id = 0;
    int failed = get_flag(line, "force", &request->force, err);

    failed = failed ? failed : get_flag(line, "dry_run", &request->dry_run, err);
    failed =
        failed ? failed : get_number(line, "timeout_ms", TIMEOUT_MS_MIN, TIMEOUT_MS_MAX, &request->timeout_ms, err);
    failed = failed ? failed : get_number(line, "limit", 0, INT32_MAX, &limit, err);
    failed = failed ? failed : get_number(line, "node_id", 0, INT32_MAX, &node_id, err);
    failed = failed ? failed : get_text(line, "to", request->to, sizeof request->to, err);
    failed = failed ? failed : get_text(line, "event", request->event, sizeof request->event, err);
    failed = failed ? failed : get_text(line, "node_name", request->node_name, sizeof request->node_name, err);
    failed = failed ? failed : get_text(line, "name", request->name, sizeof request->name, err);
    failed = failed ? failed : get_text(line, "value", request->value, sizeof request->value, err);
    failed = failed ? failed : get_text(line, "word", request->word, sizeof request->word, err);
    request->limit = (int32_t)limit;
    request->node_id = (int32_t)node_id;
    if (!failed && request->kind == API_CONFIG_SET &&
        (request->name[0] == '\0' || !json_is_string(json_object_get(line, "value"))))
        return err_set(err, ERR_USAGE, "config_set needs 'name' and 'value'");
    if (!failed && (request->kind == API_WRITE_OFF || request->kind == API_HOST_OFF) && request->node_name[0] == '\0')
        return err_set(err, ERR_USAGE, "it needs 'node_name'");
    return failed;
}

int api_parse(const char *line, size_t length, struct api_request *ret_request, struct err *err)
{
    struct api_request request = { 0 };
    json_error_t where;
    struct err own = { 0 };
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &where);

    err = err ? err : &own;
    if (!json_is_object(object)) {
        json_decref(object);
        return err_set(err, ERR_USAGE, "the request is not one JSON object%s%s", object ? "" : ": ",
                       object ? "" : where.text);
    }
    int failed = get_kind(object, &request.kind, err);
    if (!failed) {
        request.timeout_ms = kinds[request.kind].timeout_ms;
        failed = get_arguments(object, &request, err);
    }
    json_decref(object);
    if (!failed)
        *ret_request = request;
    return failed;
}
