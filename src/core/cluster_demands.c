/*
 * cluster_demands.c - the durability demands: every change is joint (design 5.6; R1, R2, model/).
 *
 * ADD makes a demand the newest; two older ones merge into {union of S, least k}, which is met only where both are. END
 * leaves the newest alone and is refused when a newer one has come. ADD is never refused but for an S that names the
 * token's own primary, or a FENCE or ELECT that was applied since.
 */
#include "core/cluster_rules.h"

void rules_merge_demands(struct cluster *cluster)
{
    struct demand *older = &cluster->demands[0];
    const struct demand *newer = &cluster->demands[1];

    for (uint32_t i = 0; i < newer->count; i++) {
        if (demand_names(older, newer->directories[i]))
            continue;
        assert(older->count < DIRECTORIES_MAX);
        older->directories[older->count++] = newer->directories[i];
    }
    if (newer->k < older->k)
        older->k = newer->k;
    cluster->demand_count = 1;
}

/* What they all name and the primary fit into one demand, as a later merge, or an ELECT, needs it. */
static bool fits(const struct cluster *cluster, const struct demand *demand)
{
    uint32_t count = 1 + demand->count;

    for (uint32_t i = 0; i < cluster->demand_count; i++)
        for (uint32_t j = 0; j < cluster->demands[i].count; j++) {
            struct directory_id directory = cluster->demands[i].directories[j];
            bool counted = demand_names(demand, directory) || (i > 0 && demand_names(&cluster->demands[0], directory));
            count += !counted;
        }
    return count <= DIRECTORIES_MAX;
}

enum apply_result rules_add(struct cluster *cluster, const struct command *command, char *reason)
{
    const struct demand *demand = &command->demand;

    if (!token_is(command->token, cluster->token) || !token_is(command->token, cluster->primary.token))
        return rules_refuse(reason, "token %" PRIu64 " is fenced or replaced", command->token.no);
    if (demand_names(demand, cluster->primary.directory))
        return rules_refuse(reason, "the primary cannot be its own synchronous standby");
    if (!demand_sound(demand))
        return rules_refuse(reason, "%" PRIu32 " of %" PRIu32 " directories is no demand", demand->k, demand->count);
    if (!fits(cluster, demand))
        return rules_refuse(reason, "too many data directories in one demand");
    if (cluster->demand_count == DEMANDS_MAX)
        rules_merge_demands(cluster);
    struct demand *newest = &cluster->demands[cluster->demand_count++];
    *newest = *demand;
    newest->version = ++cluster->demand_version;
    newest->token = cluster->token;
    return APPLY_OK;
}

enum apply_result rules_end(struct cluster *cluster, const struct command *command, char *reason)
{
    if (!token_is(command->token, cluster->token) || !token_is(command->token, cluster->primary.token))
        return rules_refuse(reason, "token %" PRIu64 " is fenced or replaced", command->token.no);
    if (command->expect != cluster->demand_version)
        return rules_refuse(reason, "a newer demand has come");
    if (cluster->demand_count < DEMANDS_MAX)
        return APPLY_NOTHING;
    cluster->demands[0] = cluster->demands[1];
    cluster->demand_count = 1;
    return APPLY_OK;
}
