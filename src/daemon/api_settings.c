/* api_settings.c - pause, unpause, config show, config set. See api.h. */
#include "daemon/api.h"

#define ARMED_PATIENCE_US 2000000

/* -- pause -------------------------------------------------------------------------------------------------------- */

static void answer_pause(struct api_client *client, bool paused)
{
    api_answer(client, json_pack("{s:b, s:b}", "paused", paused, "changed", client->task.changed));
}

/* The primary's daemon has applied the pause, and with it given its guard the order to stand by. */
static bool primary_knows(struct api_client *client)
{
    const struct manager *manager = &client->daemon->manager;
    const struct cluster *cluster = &manager->cluster;
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);

    if (!primary || primary->raft_id == manager->node.raft_id)
        return true;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (manager->heard[i].at_us != 0 && manager->heard[i].raft_id == primary->raft_id)
            return manager->heard[i].report.applied >= cluster->version;
    return false;
}

void api_turn_pause(struct api_client *client, int64_t now_us)
{
    const struct cluster *cluster = &client->daemon->manager.cluster;
    struct api_task *task = &client->task;
    bool pause = task->request.kind == API_PAUSE;

    if (!api_ready(client))
        return;
    if (task->step == 0) {
        task->expect = cluster->pause_version;
        task->step = 1;
    }
    if (cluster->pause == (pause ? PAUSE_ON : PAUSE_OFF)) {
        if (pause && !primary_knows(client)) {
            api_waits(client, "the primary's guard to stand by");
            return;
        }
        answer_pause(client, pause);
        return;
    }
    if (!pause && cluster->pause == PAUSE_ENDING) {
        /* Lifted. That the primary's guard is armed again takes a moment, or the primary is gone. */
        task->problem_since_us = task->problem_since_us ? task->problem_since_us : now_us;
        api_waits(client, "the primary's guard to be armed");
        if (now_us - task->problem_since_us >= ARMED_PATIENCE_US)
            answer_pause(client, false);
        return;
    }
    if (cluster->pause_version != task->expect) {
        api_refuse(client, ERR_REFUSED, "look at \"rmctl status\", then try again",
                   "somebody else paused or unpaused the cluster at the same time");
        return;
    }
    struct command command = { .kind = COMMAND_PAUSE,
                               .number = pause ? PAUSE_ON : PAUSE_ENDING,
                               .expect = task->expect };
    task->changed = true;
    api_waits(client, pause ? "the pause to be committed" : "the end of the pause to be committed");
    (void)api_propose(client, &command, now_us);
}

/* -- config show -------------------------------------------------------------------------------------------------- */

/* Secrets do not stand in settings, only the names of files that hold them. */
static json_t *node_settings(const struct settings *settings)
{
    json_t *object = json_object();
    char text[SETTING_TEXT_SIZE];

    for (size_t i = 0; settings_row(i); i++) {
        const struct setting *row = settings_row(i);
        if (row->scope != SCOPE_NODE)
            continue;
        settings_get(settings, row, text, sizeof text);
        (void)json_object_set_new(object, row->name, json_string(text));
    }
    return object;
}

void api_turn_config_show(struct api_client *client, int64_t now_us)
{
    const struct daemon *daemon = client->daemon;
    const struct cluster *cluster = &daemon->manager.cluster;
    bool founded = cluster->cluster_id != 0;
    json_t *agreed = json_object();
    json_t *differs = json_object();
    char own[SETTING_TEXT_SIZE];
    char text[SETTING_TEXT_SIZE];

    (void)now_us;
    for (size_t i = 0; settings_row(i); i++) {
        const struct setting *row = settings_row(i);
        if (row->scope != SCOPE_CLUSTER ||
            settings_policy_get(&daemon->settings.policy, row->name, own, sizeof own) < 0)
            continue;
        if (!founded || settings_policy_get(&cluster->policy, row->name, text, sizeof text) < 0)
            (void)text_copy(text, sizeof text, own);
        (void)json_object_set_new(agreed, row->name, json_string(text));
        if (strcmp(own, text) != 0)
            (void)json_object_set_new(differs, row->name, json_string(own));
    }
    api_answer(client, json_pack("{s:o, s:o, s:o}", "cluster", agreed, "file", differs, "node",
                                 node_settings(&daemon->settings)));
}

/* -- config set --------------------------------------------------------------------------------------------------- */

/* The name and value make a policy; false when the request was answered. */
static bool make_policy(struct api_client *client)
{
    struct daemon *daemon = client->daemon;
    struct api_task *task = &client->task;
    const struct cluster *cluster = &daemon->manager.cluster;
    const struct setting *row = settings_find(task->request.name);
    char hint[2 * PATH_SIZE] = "\"rmctl config show\" lists the settings";
    char warning[TEXT_SIZE * 2];
    struct err err = { 0 };

    if (row && row->scope == SCOPE_NODE)
        (void)snprintf(hint, sizeof hint, "it is a setting of this node: change it in '%s' and %s raftmgrd",
                       daemon->config_path, row->reload ? "reload" : "restart");
    else if (row)
        hint[0] = '\0';
    task->policy = cluster->policy;
    if (settings_policy_set(&task->policy, task->request.name, task->request.value, &err) < 0) {
        api_fail(client, &err, hint);
        return false;
    }
    (void)settings_policy_get(&cluster->policy, task->request.name, task->old, sizeof task->old);
    if (settings_policy_warning(&task->policy, warning, sizeof warning))
        api_progress(client, "WARNING", "%s", warning);
    task->expect = cluster->policy_version;
    task->step = 1;
    return true;
}

static void answer_set(struct api_client *client)
{
    const struct api_task *task = &client->task;
    char value[SETTING_TEXT_SIZE] = "";

    (void)settings_policy_get(&client->daemon->manager.cluster.policy, task->request.name, value, sizeof value);
    api_answer(client, json_pack("{s:s, s:s, s:s}", "name", task->request.name, "value", value, "old", task->old));
}

void api_turn_config_set(struct api_client *client, int64_t now_us)
{
    const struct cluster *cluster = &client->daemon->manager.cluster;
    struct api_task *task = &client->task;
    char value[SETTING_TEXT_SIZE] = "";
    char differs[TEXT_SIZE];

    if (!api_ready(client) || (task->step == 0 && !make_policy(client)))
        return;
    if (!settings_policy_diff(&cluster->policy, &task->policy, differs, sizeof differs)) {
        answer_set(client);
        return;
    }
    if (cluster->policy_version != task->expect) {
        api_refuse(client, ERR_REFUSED, "look at \"rmctl config show\", then try again",
                   "somebody else changed the settings of the cluster at the same time");
        return;
    }
    struct command command = { .kind = COMMAND_POLICY, .policy = task->policy, .expect = task->expect };
    (void)settings_policy_get(&task->policy, task->request.name, value, sizeof value);
    (void)snprintf(command.text, sizeof command.text, "%s: %.90s -> %.90s", task->request.name, task->old, value);
    api_waits(client, "the change to be committed");
    (void)api_propose(client, &command, now_us);
}
