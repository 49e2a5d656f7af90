/*
 * status.h - the status object (docs/reference/status.md): what this node knows, as one JSON value.
 *
 * status_look() gathers, status_json() writes down. The latter reads nothing but the facts, so that it can be tested.
 * What the Raft leader would decide is worked out from this node's own view; `seen_by` is therefore always this node.
 */
#ifndef RAFTMGR_STATUS_H
#define RAFTMGR_STATUS_H

#include <jansson.h>

#include "daemon/daemon.h"

struct status_facts {
    const struct settings *settings;
    const struct identity *identity;
    const struct manager *manager; /* cluster.cluster_id 0 until the log says more */
    bool member;                   /* consensus is open */
    bool down;                     /* consensus gave up: raft_problem says why */
    uint64_t term, commit_index, applied_index;
    const char *raft_problem; /* borrowed; "" where there is none */
    const char *join_problem;
    bool guard_attached, guard_armed;
    int32_t guard_pid;
    int64_t now_us;
    int64_t wall_us;
    char raft_text[512];
};

/* Borrows from daemon. */
void status_look(struct daemon *daemon, int64_t now_us, struct status_facts *ret_facts);

/* A new object, the caller's. */
json_t *status_json(const struct status_facts *facts);

/* -- shared between the files of the status -------------------------------------------------------------------------
 */

/* Puts a text, a number or null under a name. */
void status_put_text(json_t *object, const char *name, const char *text); /* NULL: null */
void status_put_number(json_t *object, const char *name, int64_t number);
void status_put_flag(json_t *object, const char *name, bool flag);
void status_put(json_t *object, const char *name, json_t *value); /* takes value over; NULL: null */
/* Appends a text to a list. */
void status_say(json_t *list, const char *format, ...) PRINTF_LIKE(2, 3);
/* "4.2 s", "12 min 33 s" */
const char *status_duration(int64_t us, char *text, size_t size);

/* The newest report of a member, its own for this node; NULL: never. *ret_age_us counts from receipt. */
const struct report *status_report(const struct status_facts *facts, const struct member *member, int64_t *ret_age_us);
/* The same, but NULL unless it is recent enough to be believed. */
const struct report *status_fresh(const struct status_facts *facts, const struct member *member);
/* The primary's lease is valid, or needs none while paused; as last said by it. *ret_left_us may be NULL. */
bool status_leased(const struct status_facts *facts, int64_t *ret_left_us);
/* The primary accepts writes as far as is known. */
bool status_writable(const struct status_facts *facts);

/* The members in the order of their node ids; returns how many. */
uint32_t status_order(const struct cluster *cluster, const struct member *ret_members[MEMBERS_MAX]);
json_t *status_members(const struct status_facts *facts);
json_t *status_lease(const struct status_facts *facts);
json_t *status_operation(const struct status_facts *facts, const struct lead_plan *plan);
json_t *status_candidates(const struct status_facts *facts, const struct lead_plan *plan);
json_t *status_survivable(const struct status_facts *facts);
/* What the leader decides, by this node's own view. */
void status_plan(const struct status_facts *facts, struct lead_plan *ret_plan);

#endif
