/*
 * schema.h - the repmgr schema in the managed database, kept for everything that reads repmgr's tables.
 *
 * Tables and views are those of repmgr 5.3, column for column, made by plain SQL; where the real extension is installed
 * its own tables are used. The rows of repmgr.nodes are set to exactly what is given; events are appended once each.
 */
#ifndef RAFTMGR_PG_SCHEMA_H
#define RAFTMGR_PG_SCHEMA_H

#include "core/types.h"

#define SCHEMA_EVENTS_MAX 16

struct pg_schema_node {
    int32_t node_id;
    int32_t upstream_node_id; /* 0: none (NULL) */
    bool active;
    char node_name[NAME_SIZE];
    char type[16]; /* primary, standby, witness */
    char location[NAME_SIZE];
    int32_t priority;
    char conninfo[CONNINFO_SIZE];
    char repluser[NAME_SIZE];
    char slot_name[NAME_SIZE]; /* empty: NULL */
    char config_file[PATH_SIZE];
};

struct pg_schema_event {
    int32_t node_id;
    char event[NAME_SIZE];
    bool successful;
    char details[TEXT_SIZE]; /* empty: NULL */
    int64_t at_us;           /* wall clock; {node, event, at_us} names the event: it is not appended twice */
};

struct pg_schema {
    uint32_t node_count;
    struct pg_schema_node nodes[MEMBERS_MAX];
    uint32_t event_count;
    struct pg_schema_event events[SCHEMA_EVENTS_MAX];
    int32_t voting_term; /* repmgr.voting_term; readers show it, nobody compares it */
};

#endif
