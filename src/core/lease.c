/* lease.c - all lease arithmetic. The argument stands in lease.h. */
#include "core/lease.h"

#define FIRST_AGAIN_US                                                                                                 \
    ((int64_t)10000) /* after the first round under a token; doubled each time: replies take time                      \
                      */
#define TRIES_SOON 4

void lease_voter_init(struct lease_voter *voter, int64_t now_us)
{
    *voter = (struct lease_voter){ .start_us = now_us };
}

static bool may_grant(const struct cluster *cluster, bool hello, const struct lease_ask *ask)
{
    if (!hello || ask->length_us <= 0 || ask->length_us > (int64_t)cluster->lease_max_ms * 1000)
        return false;
    return cluster->primary.phase != PRIMARY_NONE && cluster->primary.node_id == ask->node_id &&
           token_is(cluster->primary.token, ask->token) && token_is(cluster->token, ask->token);
}

struct lease_reply lease_voter_answer(struct lease_voter *voter, const struct cluster *cluster, int32_t self_node_id,
                                      bool hello, const struct lease_ask *ask, int64_t now_us)
{
    struct lease_reply reply = {
        .node_id = self_node_id,
        .incarnation = ask->incarnation,
        .round = ask->round,
        .granted = may_grant(cluster, hello, ask),
        .token = cluster->token,
    };

    if (reply.granted && now_us + ask->length_us > voter->granted_until_us)
        voter->granted_until_us = now_us + ask->length_us;
    return reply;
}

int64_t lease_voter_over_at(const struct lease_voter *voter, const struct cluster *cluster)
{
    int64_t forgotten_us = voter->start_us + (int64_t)cluster->lease_max_ms * 1000;

    return voter->granted_until_us > forgotten_us ? voter->granted_until_us : forgotten_us;
}

bool lease_voter_over(const struct lease_voter *voter, const struct cluster *cluster, int64_t now_us)
{
    return now_us >= lease_voter_over_at(voter, cluster);
}

void lease_drop(struct lease_holder *holder)
{
    uint64_t round = holder->round;

    *holder = (struct lease_holder){ .round = round };
}

void lease_begin(struct lease_holder *holder, const struct cluster *cluster, int32_t self_node_id, uint64_t incarnation,
                 bool healthy, int64_t now_us, struct lease_ask *ret_ask)
{
    assert(cluster_is_primary(cluster, self_node_id));
    if (!token_is(holder->token, cluster->token)) {
        lease_drop(holder);
        holder->token = cluster->token;
    }
    holder->round++;
    holder->tries++;
    holder->sent_us = now_us;
    holder->length_us = (int64_t)cluster->policy.lease_ttl_ms * 1000;
    holder->kill_time_us = (int64_t)cluster->policy.guard_kill_time_ms * 1000;
    holder->config_version = cluster->config_version;
    holder->grant_count = 0;
    *ret_ask = (struct lease_ask){
        .token = holder->token,
        .node_id = self_node_id,
        .incarnation = incarnation,
        .round = holder->round,
        .length_us = holder->length_us,
        .healthy = healthy,
    };
}

static bool counted(const struct lease_holder *holder, int32_t node_id)
{
    for (uint32_t i = 0; i < holder->grant_count; i++)
        if (holder->grants[i] == node_id)
            return true;
    return false;
}

/* Counts the grants of those who are voters now; an open round survives no change of the voters. */
static bool by_majority(const struct lease_holder *holder, const struct cluster *cluster)
{
    uint32_t grants = 0;

    for (uint32_t i = 0; i < holder->grant_count; i++) {
        const struct member *member = cluster_member(cluster, holder->grants[i]);
        grants += member && member->voter;
    }
    return holder->config_version == cluster->config_version && grants >= cluster_majority(cluster);
}

void lease_take(struct lease_holder *holder, const struct cluster *cluster, uint64_t incarnation,
                const struct lease_reply *reply)
{
    if (holder->token.no == 0 || reply->incarnation != incarnation)
        return;
    if (!reply->granted && token_is_newer(reply->token, holder->token))
        holder->refused = true;
    if (!reply->granted || reply->round != holder->round || counted(holder, reply->node_id))
        return;
    if (holder->grant_count >= MEMBERS_MAX)
        return;
    holder->grants[holder->grant_count++] = reply->node_id;
    if (!by_majority(holder, cluster))
        return;
    int64_t end_us = holder->sent_us + holder->length_us - holder->length_us / LEASE_DRIFT;
    if (end_us > holder->end_us)
        holder->end_us = end_us;
    holder->held_length_us = holder->length_us;
    holder->held_kill_time_us = holder->kill_time_us;
    holder->held_config = holder->config_version;
}

bool lease_valid(const struct lease_holder *holder, const struct cluster *cluster, int64_t now_us)
{
    return holder->token.no != 0 && !holder->refused && token_is(holder->token, cluster->token) &&
           token_is(holder->token, cluster->primary.token) && now_us < holder->end_us;
}

int64_t lease_due_us(const struct lease_holder *holder, const struct cluster *cluster)
{
    if (!token_is(holder->token, cluster->token) || holder->config_version != cluster->config_version ||
        holder->length_us != (int64_t)cluster->policy.lease_ttl_ms * 1000 ||
        holder->kill_time_us != (int64_t)cluster->policy.guard_kill_time_ms * 1000)
        return 0;
    /* A round without its majority yet is repeated sooner: one lost message must not cost a fifth of the lease. */
    int64_t every_us = (int64_t)cluster->policy.lease_ttl_ms * 1000 / LEASE_RENEWALS;
    int64_t sign_us = (int64_t)cluster->policy.failure_timeout_ms * 1000 / LEASE_SIGNS;
    every_us = sign_us < every_us ? sign_us : every_us;
    bool complete = holder->grant_count > 0 && by_majority(holder, cluster);
    /* The first lease under a token is what a promotion waits for, and voters may apply the election a moment later. */
    int64_t again_us =
        holder->end_us == 0 && holder->tries < TRIES_SOON ? FIRST_AGAIN_US << holder->tries : every_us / 4;
    return holder->sent_us + (complete ? every_us : again_us);
}

int64_t lease_kill_at_us(const struct lease_holder *holder)
{
    return holder->end_us - holder->held_kill_time_us;
}

int64_t lease_give_up_at_us(const struct lease_holder *holder)
{
    return lease_kill_at_us(holder) - holder->held_length_us / 8;
}
