/*
 * hook.h - event_notification_command: repmgr's placeholders, run by the Raft leader for each record of the log.
 */
#ifndef RAFTMGR_HOOK_H
#define RAFTMGR_HOOK_H

#include "daemon/daemon.h"

#define HOOK_COMMAND_SIZE 2048

struct hook;

/* Ends what hook_turn() began; a command that runs is left to itself. Accepts NULL. */
void hook_close(struct hook *hook);

/* True when event_notifications (a comma separated list; "": all) names the event. */
bool hook_wanted(const char *event_notifications, const char *event);

/*
 * Writes the command for one record: %n node id, %e event, %s 1 or 0, %t time, %d details with " escaped by \, %p %c %a
 * id, conninfo and name of the node registered with (of a failover or switchover %p alone: the former primary), %%.
 * What is unknown expands to nothing; another character behind % stays as it is. False when it does not fit.
 */
bool hook_expand(const char *command, const struct cluster *cluster, const struct record *record, char *ret_text,
                 size_t size);

#endif
