/*
 * api.h - shared between the files of the control socket: api.c (connections), api_request.c (what was asked), and
 * api_register.c, api_switchover.c, api_failover.c, api_settings.c, api_ask.c (the answers). The protocol:
 * docs/reference/control.md.
 *
 * A request is a small state machine: its turn is called after every turn of the crank until it has answered. It waits
 * for the agreed state and never for anything else, so a slow client or a slow cluster holds nobody up.
 */
#ifndef RAFTMGR_API_H
#define RAFTMGR_API_H

#include <jansson.h>

#include "base/buf.h"
#include "daemon/daemon.h"

#define API_CLIENTS_MAX 32
#define API_REQUEST_BYTES_MAX (64u << 10) /* one line */
#define API_READ_BYTES 4096
#define API_UNSENT_BYTES_MAX (4096u << 10) /* of a client that does not read: it is dropped */
#define API_QUICK_MS 10000                 /* for requests without a timeout of their own */
#define API_KEEP_ALIVE_US 8000000          /* a sign of life at least this often */
#define API_RESUBMIT_US 500000
#define API_TURN_MS 100

enum api_kind {
    API_STATUS,
    API_PRIMARY_REGISTER,
    API_STANDBY_REGISTER,
    API_WITNESS_REGISTER,
    API_CLUSTER_EVENT,
    API_SWITCHOVER,
    API_FAILOVER_STATUS,
    API_WRITE_OFF,
    API_ACCEPT_LOSS,
    API_HOST_OFF,
    API_PAUSE,
    API_UNPAUSE,
    API_CONFIG_SHOW,
    API_CONFIG_SET,
    API_KIND_COUNT
};

/* One request, checked; arguments that were not given have their defaults. */
struct api_request {
    enum api_kind kind;
    bool force;
    bool dry_run;
    int64_t timeout_ms;
    int32_t limit;
    int32_t node_id;
    char to[NAME_SIZE];
    char event[NAME_SIZE];
    char node_name[NAME_SIZE];
    char name[NAME_SIZE];
    char value[SETTING_TEXT_SIZE];
    char word[NAME_SIZE]; /* what the same request without it gave: it is meant */
};

/* Takes one line apart. ERR_USAGE says what is wrong with it. Members that nobody knows are passed over. */
int api_parse(const char *line, size_t length, struct api_request *ret_request, struct err *err);

/* What a request remembers from turn to turn. */
struct api_task {
    bool open;
    struct api_request request;
    int step;
    int64_t begun_us;
    int64_t deadline_us;
    int64_t told_us;             /* when a line was sent last */
    int64_t submitted_us;        /* when its command was proposed last; 0: never */
    char waits[TEXT_SIZE];       /* for what: the sign of life, and the error at the deadline */
    char problem[TEXT_SIZE * 2]; /* newest one told */
    int64_t problem_since_us;
    bool updated;
    bool changed;
    uint64_t expect; /* policy_version, or version of the cluster, that the command was made for */
    struct policy policy;
    char old[SETTING_TEXT_SIZE];
    int32_t from, to;   /* switchover: node ids */
    struct token token; /* under which it began */
    uint32_t shown_phase;
    int64_t stopped_us;     /* switchover: the old primary was seen to stop */
    struct command command; /* failover: as it was decided upon */
    int64_t promoted_us;
};

struct api_client {
    uv_pipe_t pipe;
    struct api *api;
    struct daemon *daemon;
    struct api_client *next;
    struct buf in;
    char room[API_READ_BYTES];
    bool closing;
    struct api_task task;
};

struct api {
    uv_pipe_t pipe;
    uv_timer_t timer; /* runs while a request waits: deadlines are met even where nothing else happens */
    struct daemon *daemon;
    struct api_client *clients;
    uint32_t client_count;
    uint32_t handles;               /* open ones; the memory goes with the last */
    struct hook *hook;              /* of hook.c; it begins and ends with the rest of the outside */
    char schema_problem[TEXT_SIZE]; /* why the newest publication failed; "": it did not */
};

/* -- answering: the last one ends the request -----------------------------------------------------------------------
 */

void api_progress(struct api_client *client, const char *level, const char *format, ...) PRINTF_LIKE(3, 4);
/* Takes result over. */
void api_answer(struct api_client *client, json_t *result);
/* hint may be NULL. */
void api_refuse(struct api_client *client, enum err_code code, const char *hint, const char *format, ...)
    PRINTF_LIKE(4, 5);
void api_fail(struct api_client *client, const struct err *err, const char *hint);

/* Notes what the request waits for. */
void api_waits(struct api_client *client, const char *format, ...) PRINTF_LIKE(2, 3);

/* The state as known here would accept this command, which is completed. False: the request is answered with why not.
 */
bool api_try(struct api_client *client, struct command *command);

/*
 * Proposes the command, again every API_RESUBMIT_US for as long as it is called. A command that the state as known here
 * would refuse is not proposed: the request is answered with the reason and false is returned.
 */
bool api_propose(struct api_client *client, struct command *command, int64_t now_us);

/* True once the state knows this daemon's present life. Otherwise notes what is waited for, or answers a request to a
 * daemon that is no member. */
bool api_ready(struct api_client *client);

/* {"node_id": 1, "node_name": "node1"}; the name is "" for a number that is no member's. */
json_t *api_node(const struct cluster *cluster, int32_t node_id);
/* The newest report of a member that has been heard within failure_timeout (a second at least); NULL otherwise. */
const struct report *api_report(const struct daemon *daemon, int32_t node_id, int64_t now_us);

/* By name, or by number as text; NULL: there is none. */
const struct member *api_member(const struct cluster *cluster, const char *text);

/* From publish.c: how the newest publication of the schema ended. True for a failure that was not told yet. */
bool api_published(struct daemon *daemon, int code, const char *text);

/* -- the turns --------------------------------------------------------------------------------------------------------
 */

void api_turn_status(struct api_client *client, int64_t now_us);
void api_turn_cluster_event(struct api_client *client, int64_t now_us);
void api_turn_primary_register(struct api_client *client, int64_t now_us);
void api_turn_member_register(struct api_client *client, int64_t now_us);
void api_turn_switchover(struct api_client *client, int64_t now_us);
void api_turn_failover(struct api_client *client, int64_t now_us);
void api_turn_pause(struct api_client *client, int64_t now_us);
void api_turn_config_show(struct api_client *client, int64_t now_us);
void api_turn_config_set(struct api_client *client, int64_t now_us);

#endif
