/*
 * cluster_view.h - repmgr's `cluster show` worked out from the status object.
 *
 * Pure. repmgr connects to every node and compares; here the daemons have looked already, and the same words are found
 * for what they saw: marks, status, upstream, and the list of issues.
 */
#ifndef RAFTMGR_CLI_CLUSTER_VIEW_H
#define RAFTMGR_CLI_CLUSTER_VIEW_H

#include <jansson.h>

#include "core/types.h"

#define ISSUES_MAX (4 * MEMBERS_MAX)
#define ISSUE_SIZE 384

struct cluster_row {
    int64_t node_id;
    int64_t priority;
    int available;    /* repmgr's CSV: 0 connected, -1 not */
    int recovery;     /* 0 not in recovery, 1 in recovery, -1 unknown */
    const char *name; /* borrowed from the status object, as the next three */
    const char *role; /* primary, standby, witness */
    const char *location;
    const char *conninfo; /* never with a password: settings_check() */
    char status[32];      /* "* running" */
    char upstream[80];    /* "node1", "! node1", "" */
    char timeline[16];    /* number, "n/a", "?" or "" */
};

struct cluster_view {
    size_t count;
    struct cluster_row rows[MEMBERS_MAX];
    size_t issue_count;
    char issues[ISSUES_MAX][ISSUE_SIZE];
    bool unreachable; /* an issue is about a connection */
    bool wrong;       /* a node is not as it should be: repmgr's exit status 25 */
};

/* Works it out for the registered members, in the order of their numbers. The view borrows from status. */
void cluster_view_make(const json_t *status, struct cluster_view *ret_view);

/* repmgr's table, compact or not. */
void cluster_view_table(const struct cluster_view *view, bool compact, FILE *out);
/* A line a node: number, available, recovery. */
void cluster_view_csv(const struct cluster_view *view, FILE *out);

#endif
