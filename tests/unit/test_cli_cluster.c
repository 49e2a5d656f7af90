/*
 * test_cli_cluster.c - cluster show. Scripts in the field parse repmgr's table and CSV: the text must be repmgr's to
 * the blank, and every state of a node must have repmgr's words and be counted as an issue where repmgr counts it.
 */
#include "cli/cluster_view.h"

#include <stdlib.h>

#include "unit.h"

static struct cluster_view view;

/* A status object with these members; node 3 is left out of `registered`. */
static json_t *members(const char *text)
{
    json_error_t problem;
    json_t *list = json_loads(text, 0, &problem);

    if (!list)
        printf("\n  test: %s\n", problem.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    return json_pack("{s:o}", "members", list);
}

static char *table_of(json_t *status, bool compact, bool csv)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    cluster_view_make(status, &view);
    if (csv)
        cluster_view_csv(&view, out);
    else
        cluster_view_table(&view, compact, out);
    CU_ASSERT_EQUAL(fclose(out), 0);
    return text;
}

#define CONNINFO(port) "host=127.0.0.1 port=" port " user=repmgr dbname=repmgr connect_timeout=2"
#define COMMON(id, name, role)                                                                                         \
    "{\"node_id\":" id ",\"node_name\":\"" name "\",\"role\":\"" role "\",\"location\":\"default\",\"priority\":100,"  \
    "\"registered\":true,\"active\":true,\"reachable\":true,\"answering\":true,\"timeline\":1,"
#define PRIMARY COMMON("1", "node1", "primary") "\"pg\":\"primary\",\"conninfo\":\"" CONNINFO("7401") "\"}"
#define STANDBY(id, port)                                                                                              \
    COMMON(id, "node" id, "standby")                                                                                   \
    "\"pg\":\"standby\",\"upstream\":1,\"attached\":\"streaming\",\"conninfo\":\"" CONNINFO(port) "\"}"
#define WITNESS COMMON("4", "node4", "witness") "\"pg\":null,\"conninfo\":\"" CONNINFO("7404") "\"}"

/* What the real repmgr printed for such a cluster. */
static void literal(void)
{
    json_t *status = members("[" PRIMARY "," STANDBY("2", "7402") "," STANDBY("3", "7403") "," WITNESS "]");
    char *text = table_of(status, false, false);

    CU_ASSERT_STRING_EQUAL(
        text, " ID | Name  | Role    | Status    | Upstream | Location | Priority | Timeline | Connection string"
              "                                                   \n"
              "----+-------+---------+-----------+----------+----------+----------+----------+----------------------"
              "------------------------------------------------\n"
              " 1  | node1 | primary | * running |          | default  | 100      | 1        | " CONNINFO(
                  "7401") "\n"
                          " 2  | node2 | standby |   running | node1    | default  | 100      | 1        | " CONNINFO(
                              "7402") "\n"
                                      " 3  | node3 | standby |   running | node1    | default  | 100      | 1        "
                                      "| " CONNINFO("7403") "\n"
                                                            " 4  | node4 | witness | * running | node1    | default  | "
                                                            "0        | n/a      | " CONNINFO("7404") "\n");
    free(text);
    CU_ASSERT_EQUAL(view.issue_count, 0);
    CU_ASSERT_FALSE(view.wrong);
    text = table_of(status, true, false);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " ID | Name  | Role    | Status    | Upstream | Location | Prio. | TLI\n"
                                        "----+-------+---------+-----------+----------+----------+-------+-----\n"
                                        " 1  | node1 | primary | * running |          | default  | 100   | 1   \n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " 4  | node4 | witness | * running | node1    | default  | 0     | n/a \n"));
    free(text);
    text = table_of(status, false, true);
    CU_ASSERT_STRING_EQUAL(text, "1,0,0\n2,0,1\n3,0,1\n4,0,0\n");
    free(text);
    json_decref(status);
}

struct state {
    int64_t id;
    const char *change; /* merged into the member of that id */
    const char *status;
    const char *upstream;
    const char *issue; /* NULL: none */
    const char *csv;
};

static const struct state states[] = {
    { 1, "{\"pg\":\"standby\"}", "! running as standby", "",
      "node \"node1\" (ID: 1) is registered as primary but running as standby", "1,0,1" },
    { 1, "{\"active\":false}", "! running", "",
      "node \"node1\" (ID: 1) is running but the repmgr node record is inactive", "1,0,0" },
    { 1, "{\"active\":false,\"pg\":\"standby\"}", "! running as standby", "",
      "node \"node1\" (ID: 1) is registered as an inactive primary but running as standby", "1,0,1" },
    { 1, "{\"pg\":\"stopped\"}", "? unreachable", "",
      "node \"node1\" (ID: 1) is registered as an active primary but is unreachable", "1,-1,-1" },
    { 1, "{\"answering\":false}", "? running", "", "unable to connect to node \"node1\" (ID: 1)", "1,-1,-1" },
    { 1, "{\"active\":false,\"reachable\":false}", "- failed", "", "unable to connect to node \"node1\" (ID: 1)",
      "1,-1,-1" },
    { 2, "{\"pg\":\"primary\"}", "! running as primary", "node1",
      "node \"node2\" (ID: 2) is registered as standby but running as primary", "2,0,0" },
    { 2, "{\"pg\":\"primary\",\"active\":false}", "! running as primary", "node1",
      "node \"node2\" (ID: 2) is running as primary but the repmgr node record is inactive", "2,0,0" },
    { 2, "{\"active\":false}", "! running", "node1",
      "node \"node2\" (ID: 2) is running but the repmgr node record is inactive", "2,0,1" },
    { 2, "{\"reachable\":false}", "? unreachable", "? node1",
      "node \"node2\" (ID: 2) is registered as an active standby but is unreachable", "2,-1,-1" },
    { 2, "{\"pg\":\"starting\"}", "? unreachable", "? node1",
      "node \"node2\" (ID: 2) is registered as an active standby but is unreachable", "2,-1,-1" },
    { 2, "{\"attached\":null}", "  running", "! node1",
      "node \"node2\" (ID: 2) is not attached to its upstream node \"node1\" (ID: 1)", "2,0,1" },
    { 2, "{\"attached\":\"catchup\"}", "  running", "? node1",
      "node \"node2\" (ID: 2) attached to its upstream node \"node1\" (ID: 1) in state \"catchup\"", "2,0,1" },
    { 2, "{\"upstream\":0}", "  running", "!",
      "node \"node2\" (ID: 2) reports it has no upstream (expected: \"node1\")", "2,0,1" },
    { 2, "{\"upstream\":4}", "  running", "! node4",
      "node \"node2\" (ID: 2) reports a different upstream (reported: \"node4\", expected \"node1\")", "2,0,1" },
    { 2, "{\"replay_paused\":true}", "  running", "node1",
      "WAL replay is paused on node \"node2\" (ID: 2) with WAL replay pending; this node cannot be manually promoted "
      "until WAL replay is resumed",
      "2,0,1" },
    { 4, "{\"reachable\":false}", "? unreachable", "? node1", "unable to connect to node \"node4\" (ID: 4)",
      "4,-1,-1" },
    { 4, "{\"active\":false}", "! running", "node1", NULL, "4,0,0" },
};

static bool has_issue(const char *text)
{
    for (size_t i = 0; i < view.issue_count; i++)
        if (!strcmp(view.issues[i], text))
            return true;
    return false;
}

static void each_state(void)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        const struct state *state = &states[i];
        json_t *status = members("[" PRIMARY "," STANDBY("2", "7402") "," WITNESS "]");
        json_t *list = json_object_get(status, "members");
        json_t *change = json_loads(state->change, 0, NULL);
        size_t place = state->id == 4 ? 2 : (size_t)state->id - 1;
        char *csv;

        CU_ASSERT_EQUAL(json_object_update(json_array_get(list, place), change), 0);
        csv = table_of(status, false, true);
        CU_ASSERT_STRING_EQUAL(view.rows[place].status, state->status);
        CU_ASSERT_STRING_EQUAL(view.rows[place].upstream, state->upstream);
        CU_ASSERT_PTR_NOT_NULL(strstr(csv, state->csv));
        CU_ASSERT(view.wrong);
        CU_ASSERT(!state->issue || has_issue(state->issue));
        if (strcmp(view.rows[place].status, state->status) != 0 || (state->issue && !has_issue(state->issue)))
            printf("\n  %s: '%s' '%s'\n", state->change, view.rows[place].status,
                   view.issue_count ? view.issues[0] : "");
        free(csv);
        json_decref(change);
        json_decref(status);
    }
}

static void primary_gone(void)
{
    json_t *status = members("[" PRIMARY "," STANDBY("2", "7402") "," WITNESS "]");
    json_t *primary = json_array_get(json_object_get(status, "members"), 0);

    (void)json_object_set_new(primary, "reachable", json_false());
    free(table_of(status, false, false));
    CU_ASSERT_EQUAL(view.issue_count, 5);
    CU_ASSERT(has_issue("unable to connect to node \"node1\" (ID: 1)"));
    CU_ASSERT(has_issue("unable to connect to node \"node2\" (ID: 2)'s upstream node \"node1\" (ID: 1)"));
    CU_ASSERT(has_issue("unable to determine if node \"node2\" (ID: 2) is attached to its upstream node \"node1\" "
                        "(ID: 1)"));
    CU_ASSERT(has_issue("unable to connect to node \"node4\" (ID: 4)'s upstream node \"node1\" (ID: 1)"));
    CU_ASSERT_STRING_EQUAL(view.rows[1].upstream, "? node1");
    CU_ASSERT_STRING_EQUAL(view.rows[0].timeline, "");
    CU_ASSERT(view.unreachable);
    json_decref(status);
}

static void registered_only(void)
{
    json_t *status = members("[" PRIMARY "," STANDBY("2", "7402") "]");

    (void)json_object_set_new(json_array_get(json_object_get(status, "members"), 1), "registered", json_false());
    free(table_of(status, false, false));
    CU_ASSERT_EQUAL(view.count, 1);
    CU_ASSERT_EQUAL(view.issue_count, 0);
    json_decref(status);
}

static const struct unit_test tests[] = {
    { "table and CSV are repmgr's", literal },
    { "each state of a node has repmgr's words", each_state },
    { "a lost primary is an issue of everyone below it", primary_gone },
    { "who is not registered is not shown", registered_only },
};

const struct unit_suite suite_cli_cluster = UNIT_SUITE("cli_cluster", tests);
