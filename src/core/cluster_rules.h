/*
 * cluster_rules.h - one function a command: the rules behind cluster_apply(). For cluster*.c alone.
 *
 * Each returns APPLY_OK with the state changed, or APPLY_NOTHING or APPLY_REFUSED with the state untouched (but for
 * cluster->version, which cluster_apply() counts). `reason` may be NULL.
 */
#ifndef RAFTMGR_CLUSTER_RULES_H
#define RAFTMGR_CLUSTER_RULES_H

#include "core/cluster.h"

/* Shared by the rules. */
struct member *rules_member(struct cluster *cluster, int32_t node_id);
enum apply_result rules_refuse(char *reason, const char *format, ...) PRINTF_LIKE(2, 3);
void rules_record(struct cluster *cluster, const struct command *command, int32_t node_id, const char *event,
                  const char *format, ...) PRINTF_LIKE(5, 6);

/* cluster_members.c */
enum apply_result rules_found(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_hello(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_join(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_register(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_voter(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_directory(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_policy(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_lease_max(struct cluster *cluster, const struct command *command, char *reason);

/* cluster_operations.c */
enum apply_result rules_fence(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_elect(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_promoted(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_restart(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_switchover(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_pause(struct cluster *cluster, const struct command *command, char *reason);

/* cluster_timelines.c */
enum apply_result rules_reserve(struct cluster *cluster, const struct command *command, char *reason);
/* The next timeline, for this winner, whose last record is of `parent`. */
struct timeline rules_give_timeline(struct cluster *cluster, int32_t node_id, struct timeline parent);
/* The winner has reported where it begins. */
void rules_timeline_begins(struct cluster *cluster, struct timeline timeline, struct lsn begin);

/* cluster_demands.c */
enum apply_result rules_add(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_end(struct cluster *cluster, const struct command *command, char *reason);
/* Two demands become {union of S, least k}, in the older one's place, which is then the only one. */
void rules_merge_demands(struct cluster *cluster);

/* cluster_words.c */
enum apply_result rules_write_off(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_accept_loss(struct cluster *cluster, const struct command *command, char *reason);
enum apply_result rules_host_off(struct cluster *cluster, const struct command *command, char *reason);
/* This member has said HELLO: an operator's word that its host is off is over. */
void rules_words_hello(struct cluster *cluster, int32_t node_id);

#endif
