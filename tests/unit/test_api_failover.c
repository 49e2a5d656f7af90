/*
 * test_api_failover.c - what an operator may say while a failover waits (design 5.2, 5.3 step 6): nothing without the
 * word that belongs to what was shown, and nothing that a look at the members contradicts.
 *
 * The daemon is the witness W of a cluster of A (primary), B and C whose commits waited for one of B and C. A is
 * fenced.
 */
#include "api_leads.h"

static struct manager_heard *heard_of(int32_t node_id)
{
    return &served.manager.heard[cluster_member(&served.manager.cluster, node_id) - served.manager.cluster.members];
}

/* Not heard for a minute. */
static void falls_silent(int32_t node_id)
{
    heard_of(node_id)->at_us = served_now_us - 60000000;
    manager_link_leader(&served.manager, served_now_us);
}

static void has_reported(int32_t node_id, uint64_t end)
{
    struct manager_heard *heard = heard_of(node_id);

    heard->at_us = served_now_us;
    heard->report.token = served.manager.cluster.token;
    heard->report.fence = (struct fence_report){ .token = served.manager.cluster.token,
                                                 .data = true,
                                                 .directory = heard->report.directory,
                                                 .timeline = { AGREED_TIMELINE },
                                                 .end = { end },
                                                 .grants_over = true };
    manager_link_leader(&served.manager, served_now_us);
}

/* A has stopped and is gone, so the writer is over; B has reported less than A and C were known to hold. */
static int open_fenced(void)
{
    open_leads();
    agreed_do_fence(&served.manager.cluster);
    heard_of(A)->report.fence = (struct fence_report){ .token = served.manager.cluster.token, .stopped = true };
    heard_of(A)->report.pg_state = PG_STOPPED;
    falls_silent(C);
    has_reported(B, 0x5000100);
    return dial();
}

/* The last line of the answer. */
static json_t *answer(int fd, const char *format, const char *one, const char *two)
{
    char request[512];

    (void)snprintf(request, sizeof request, format, one, two);
    say(fd, request);
    json_t *line = hear(fd);
    while (json_object_get(line, "progress")) {
        json_decref(line);
        line = hear(fd);
    }
    return line;
}

/* The word that this request gives, after naming what it is about. Nothing is proposed. */
static void ask_word(int fd, const char *command, const char *node, char word[NAME_SIZE])
{
    uint32_t before = proposed;
    json_t *line = answer(fd, "{\"command\":\"%s\",\"node_name\":\"%s\"}\n", command, node);
    const json_t *result = json_object_get(line, "result");

    CU_ASSERT_PTR_NOT_NULL_FATAL(result);
    (void)text_copy(word, NAME_SIZE, json_string_value(json_object_get(result, "word")));
    CU_ASSERT(word[0] != '\0' && !json_is_true(json_object_get(result, "committed")));
    if (strcmp(command, "host_off") != 0) {
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "kept_lsn")), "0/5000100");
        const char *loss = json_string_value(json_object_get(result, "loss"));
        CU_ASSERT(strstr(loss, "72 bytes") && strstr(loss, "0/5000100 to 0/5000148"));
    }
    json_decref(line);
    CU_ASSERT_EQUAL(proposed, before);
}

static void say_word(int fd, const char *command, const char *node, const char *word, const char *code)
{
    char request[256];

    (void)snprintf(request, sizeof request, "{\"command\":\"%s\",\"node_name\":\"%s\",\"word\":\"%s\"}\n", command,
                   node, word);
    say(fd, request);
    expect(fd, code);
}

static void nothing_waits(void)
{
    int fd = open_fenced();

    agreed_four(&served.manager.cluster, 1); /* not fenced */
    json_t *line = answer(fd, "{\"command\":\"%s\"}\n", "failover_status", "");
    CU_ASSERT(json_is_false(json_object_get(json_object_get(line, "result"), "open")));
    json_decref(line);
    say_word(fd, "accept_loss", "", "", "REFUSED");
    say_word(fd, "write_off", "node3", "", "REFUSED");
    say_word(fd, "host_off", "node1", "", "REFUSED");
    say_word(fd, "write_off", "", "", "USAGE");
    CU_ASSERT_EQUAL(proposed, 0);
    close_leads(fd);
}

static void a_loss_is_accepted_by_its_word(void)
{
    int fd = open_fenced();
    char word[NAME_SIZE], other[NAME_SIZE];

    ask_word(fd, "accept_loss", "", word);
    ask_word(fd, "write_off", "node3", other);
    CU_ASSERT_STRING_NOT_EQUAL(word, other);
    say_word(fd, "accept_loss", "", "00000000", "STALE");
    say_word(fd, "accept_loss", "", other, "STALE");
    /* B holds another position than was shown. */
    has_reported(B, 0x5000108);
    say_word(fd, "accept_loss", "", word, "STALE");
    has_reported(B, 0x5000100);
    CU_ASSERT_EQUAL(proposed, 0);
    say_word(fd, "accept_loss", "", word, "");
    CU_ASSERT(proposed == 1 && served.manager.cluster.operation.words.accepted);
    CU_ASSERT_EQUAL(served.manager.cluster.operation.words.lsn.at, 0x5000100);
    const struct record *record =
        &served.manager.cluster.records[(served.manager.cluster.record_count - 1) % RECORDS_MAX];
    CU_ASSERT_STRING_EQUAL(record->event, "raftmgr_accept_loss");
    CU_ASSERT(strstr(record->text, "kept to 0/5000100 by node2") && strstr(record->text, "72 bytes"));
    say_word(fd, "accept_loss", "", word, "REFUSED");
    CU_ASSERT_EQUAL(proposed, 1);
    close_leads(fd);
}

static void who_is_missing_is_written_off(void)
{
    int fd = open_fenced();
    char word[NAME_SIZE];

    say_word(fd, "write_off", "node2", "", "REFUSED"); /* has reported */
    say_word(fd, "write_off", "node9", "", "REFUSED"); /* a witness */
    say_word(fd, "write_off", "node7", "", "NOT_FOUND");
    ask_word(fd, "write_off", "node3", word);
    say_word(fd, "write_off", "node1", word, "REFUSED"); /* no demand asks for it */
    say_word(fd, "write_off", "3", word, "");
    CU_ASSERT(proposed == 1 && cluster_member(&served.manager.cluster, C)->written_off);
    CU_ASSERT(!demand_names(cluster_demand(&served.manager.cluster), agreed_directory(C)));
    close_leads(fd);
}

/* What is not known yet cannot be accepted. */
static void no_loss_is_named_while_somebody_writes(void)
{
    int fd = open_fenced();

    heard_of(A)->report.fence.stopped = false;
    falls_silent(A);
    say_word(fd, "accept_loss", "", "", "REFUSED");
    say_word(fd, "write_off", "node3", "", "REFUSED");
    close_leads(fd);
    fd = open_fenced();
    heard_of(B)->report.fence.data = false;
    manager_link_leader(&served.manager, served_now_us);
    say_word(fd, "accept_loss", "", "", "REFUSED"); /* nobody has reported */
    has_reported(B, 0x5000100);
    has_reported(C, 0x5000100);
    say_word(fd, "accept_loss", "", "", "REFUSED"); /* nothing is missing */
    CU_ASSERT_EQUAL(proposed, 0);
    close_leads(fd);
}

static void a_host_is_off_when_nothing_is_heard_of_it(void)
{
    int fd = open_fenced();
    char word[NAME_SIZE];

    say_word(fd, "host_off", "node1", "", "REFUSED"); /* its daemon answers */
    falls_silent(A);
    served.manager.cluster.pause = PAUSE_ENDING;
    say_word(fd, "host_off", "node2", "", "REFUSED");
    ask_word(fd, "host_off", "node1", word);
    say_word(fd, "host_off", "node1", "00000000", "STALE");
    served.manager.cluster.members[0].start_no++; /* it has said HELLO */
    say_word(fd, "host_off", "node1", word, "STALE");
    served.manager.cluster.members[0].start_no--;
    say_word(fd, "host_off", "node1", word, "");
    CU_ASSERT(proposed == 1 && served.manager.cluster.operation.words.host_off);
    say_word(fd, "host_off", "node1", word, "REFUSED");
    close_leads(fd);
}

static const struct unit_test tests[] = {
    { "where nothing waits nothing is said", nothing_waits },
    { "a loss is accepted by the word that was given for it", a_loss_is_accepted_by_its_word },
    { "who is missing may be written off, nobody else", who_is_missing_is_written_off },
    { "no loss is named while somebody may write, or nobody is left", no_loss_is_named_while_somebody_writes },
    { "a host is off when nothing is heard of its daemon", a_host_is_off_when_nothing_is_heard_of_it },
};
const struct unit_suite suite_api_failover = UNIT_SUITE("api_failover", tests);
