/*
 * pgdrive.c - drives the PostgreSQL adapter by hand: runs the words of its command line in order and prints what comes
 * back, with the time since the word began.
 *
 *   pgdrive DATA_DIRECTORY CONNINFO NAME WORK_DIRECTORY WORD...
 *
 * conf:KEY=VALUE   sets a field for later words: upstream, conninfo, slot, sync (K:NAME+NAME), version, token, agent,
 * config adopt start-standby start-primary stop[:FAST_MS] kill configure detach promote:TIMELINE rewind:CONNINFO
 * clone:CONNINFO slots:NAME+NAME checkpoint schema
 * expect-failure   the next action has to fail
 * cancel:MS        cancels the next action after so long
 * pace:LOOK,CONNECT  wait:MS  until:STATE  until:final  until:loaded  show
 *
 * PGDRIVE_CONFIG_DIRECTORY in the environment: where postgresql.conf is, when not in the data directory.
 * Ends with 0 when every action came out as expected.
 */
#include <stdlib.h>
#include <uv.h>

#include "base/clock.h"
#include "pg/pg.h"

struct drive {
    struct pg *pg;
    struct pg_config config;
    struct pg_conf conf;
    struct pg_seen seen;
    char **words;
    const char *until;
    bool expect_failure;
    bool failed;
    int64_t begun_us;
    uint64_t next_id;
    unsigned cancel_ms;
    uv_timer_t timer;
    uv_timer_t cancel;
};

static void next_word(struct drive *drive);

static double elapsed_ms(const struct drive *drive)
{
    return (double)(clock_boot_us() - drive->begun_us) / 1000.0;
}

static void show(const struct drive *drive)
{
    const struct pg_seen *seen = &drive->seen;

    printf("%8.1f ms  %s%s%s%s tl=%" PRIu32 " end=%" PRIX64 "%s replayed=%" PRIX64 "%s%s conf=%s%s up=%d v=%" PRIu64
           " token=%" PRIu64 " sync=%u restart='%s' rewindable=%d problem='%s' history=%u senders=%u",
           elapsed_ms(drive), pg_state_name(seen->state), seen->answering ? " answering" : "",
           seen->clean ? " clean" : "", seen->was_primary ? " was-primary" : "", seen->timeline.no, seen->end.at,
           seen->end_final ? "(final)" : "", seen->replayed.at, seen->receiver ? " receiver" : "",
           seen->receiver_streaming ? "+streaming" : "", seen->conf_present ? "present" : "none",
           seen->conf_loaded ? "+loaded" : "", seen->conf.upstream, seen->conf.demand_version, seen->conf.token.no,
           seen->conf.sync_count, seen->pending_restart, seen->can_rewind, seen->problem, seen->history.count,
           seen->walsender_count);
    for (uint32_t i = 0; i < seen->walsender_count; i++)
        printf(" [%s %s%s flushed=%" PRIX64 "]", seen->walsenders[i].name,
               seen->walsenders[i].streaming ? "streaming" : "-", seen->walsenders[i].synchronous ? " sync" : "",
               seen->walsenders[i].flushed.at);
    printf("\n");
}

static bool reached(const struct drive *drive)
{
    const struct pg_seen *seen = &drive->seen;

    if (strcmp(drive->until, "final") == 0)
        return seen->end_final;
    if (strcmp(drive->until, "loaded") == 0)
        return seen->conf_loaded;
    if (strcmp(drive->until, "streaming") == 0)
        return seen->receiver_streaming;
    if (strcmp(drive->until, "silent") == 0)
        return !seen->answering;
    return strcmp(drive->until, pg_state_name(seen->state)) == 0;
}

static void seen(void *ctx, const struct pg_seen *now)
{
    struct drive *drive = ctx;
    bool changed = now->state != drive->seen.state || now->answering != drive->seen.answering ||
                   now->receiver != drive->seen.receiver || now->conf_loaded != drive->seen.conf_loaded ||
                   now->end_final != drive->seen.end_final || now->timeline.no != drive->seen.timeline.no ||
                   strcmp(now->problem, drive->seen.problem) != 0;

    drive->seen = *now;
    if (changed)
        show(drive);
    if (drive->until && reached(drive)) {
        drive->until = NULL;
        next_word(drive);
    }
}

static void done(void *ctx, const struct pg_result *result)
{
    struct drive *drive = ctx;

    (void)uv_timer_stop(&drive->cancel);
    printf("%8.1f ms  %s: %s%s%s%s end=%" PRIX64 " tl=%" PRIu32 " switched=%" PRIX64 "\n", elapsed_ms(drive),
           act_name(result->kind), result->code ? "FAILED " : "done", result->code ? err_text(-result->code) : "",
           result->code ? ": " : "", result->text, result->end.at, result->timeline.no, result->switched_at.at);
    drive->failed = drive->failed || (result->code != 0) != drive->expect_failure;
    drive->expect_failure = false;
    next_word(drive);
}

static void schema_done(void *ctx, int code, const char *text)
{
    struct drive *drive = ctx;

    printf("%8.1f ms  schema: %d %s\n", elapsed_ms(drive), code, text);
    drive->failed = drive->failed || (code != 0) != drive->expect_failure;
    drive->expect_failure = false;
    next_word(drive);
}

static void waited(uv_timer_t *timer)
{
    next_word(timer->data);
}

static void cancel_now(uv_timer_t *timer)
{
    struct drive *drive = timer->data;
    pg_act_cancel(drive->pg);
}

static uint32_t names(const char *text, char (*list)[NAME_SIZE])
{
    uint32_t count = 0;

    while (*text && count < MEMBERS_MAX) {
        size_t length = strcspn(text, "+");
        (void)snprintf(list[count++], NAME_SIZE, "%.*s", (int)length, text);
        text += length + (text[length] == '+');
    }
    return count;
}

static void set_conf(struct pg_conf *conf, const char *word)
{
    const char *value = strchr(word, '=') + 1;

    if (strncmp(word, "upstream=", 9) == 0) {
        conf->upstream = atoi(value);
    } else if (strncmp(word, "conninfo=", 9) == 0) {
        (void)text_copy(conf->upstream_conninfo, sizeof conf->upstream_conninfo, value);
    } else if (strncmp(word, "slot=", 5) == 0) {
        (void)text_copy(conf->slot, sizeof conf->slot, value);
    } else if (strncmp(word, "version=", 8) == 0) {
        conf->demand_version = strtoull(value, NULL, 10);
    } else if (strncmp(word, "token=", 6) == 0) {
        conf->token.no = strtoull(value, NULL, 10);
    } else if (strncmp(word, "agent=", 6) == 0) {
        conf->agent_only = atoi(value) != 0;
    } else if (strncmp(word, "sync=", 5) == 0) {
        conf->sync_count = (uint32_t)atoi(value);
        conf->sync_name_count = names(strchr(value, ':') + 1, conf->sync_names);
    }
}

static const struct {
    const char *name;
    enum act_kind kind;
} verbs[] = {
    { "adopt", ACT_ADOPT },
    { "start-standby", ACT_START_STANDBY },
    { "start-primary", ACT_START_PRIMARY },
    { "stop", ACT_STOP },
    { "kill", ACT_KILL },
    { "configure", ACT_CONFIGURE },
    { "detach", ACT_DETACH },
    { "promote", ACT_PROMOTE },
    { "rewind", ACT_REWIND },
    { "clone", ACT_CLONE },
    { "slots", ACT_SLOTS },
    { "checkpoint", ACT_CHECKPOINT },
};

static bool act(struct drive *drive, const char *word)
{
    size_t length = strcspn(word, ":");
    const char *value = word[length] ? word + length + 1 : "";
    struct pg_action action = { .id = ++drive->next_id,
                                .timeout_us = 60000000,
                                .conf = drive->conf,
                                .stop_fast_us = 10000000,
                                .token = drive->conf.token };

    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strlen(verbs[i].name) == length && strncmp(verbs[i].name, word, length) == 0)
            action.kind = verbs[i].kind;
    }
    if (action.kind == ACT_NONE)
        return false;
    if (action.kind == ACT_STOP && value[0])
        action.stop_fast_us = atoll(value) * 1000;
    action.timeline.no = (uint32_t)strtoul(value, NULL, 10);
    (void)text_copy(action.source_conninfo, sizeof action.source_conninfo, value);
    action.slot_count = names(value, action.slots);
    if (drive->cancel_ms)
        (void)uv_timer_start(&drive->cancel, cancel_now, drive->cancel_ms, 0);
    drive->cancel_ms = 0;
    pg_act(drive->pg, &action);
    return true;
}

static void run_schema(struct drive *drive)
{
    static struct pg_schema schema = {
        .node_count = 2,
        .nodes = { { 1, 0, true, "a", "primary", "default", 100, "host=a", "repmgr", "", "/etc/repmgr.conf" },
                   { 2, 1, true, "b'c", "standby", "default", 90, "host=b", "repmgr", "repmgr_slot_2",
                     "/etc/r.conf" } },
        .event_count = 1,
        .events = { { 1, "failover", true, "it's done", 1700000000000001 } },
        .voting_term = 3,
    };
    pg_schema(drive->pg, &schema);
}

static void closed(void *ctx)
{
    struct drive *drive = ctx;

    uv_close((uv_handle_t *)&drive->timer, NULL);
    uv_close((uv_handle_t *)&drive->cancel, NULL);
}

static void next_word(struct drive *drive)
{
    unsigned look;
    unsigned connect;
    const char *word = *drive->words;

    if (!word || drive->failed) {
        pg_close(drive->pg, closed, drive);
        return;
    }
    drive->words++;
    if (strncmp(word, "conf:", 5) == 0) {
        set_conf(&drive->conf, word + 5);
        next_word(drive);
        return;
    }
    printf("--- %s\n", word);
    drive->begun_us = clock_boot_us();
    if (strcmp(word, "expect-failure") == 0) {
        drive->expect_failure = true;
        next_word(drive);
    } else if (sscanf(word, "cancel:%u", &drive->cancel_ms) == 1) {
        next_word(drive);
    } else if (sscanf(word, "pace:%u,%u", &look, &connect) == 2) {
        pg_pace(drive->pg, look, connect, connect);
        next_word(drive);
    } else if (strncmp(word, "wait:", 5) == 0) {
        (void)uv_timer_start(&drive->timer, waited, strtoull(word + 5, NULL, 10), 0);
    } else if (strncmp(word, "until:", 6) == 0) {
        drive->until = word + 6;
        pg_look(drive->pg);
    } else if (strcmp(word, "show") == 0) {
        show(drive);
        next_word(drive);
    } else if (strcmp(word, "schema") == 0) {
        run_schema(drive);
    } else if (!act(drive, word)) {
        (void)fprintf(stderr, "what is '%s'?\n", word);
        drive->failed = true;
        next_word(drive);
    }
}

static void first(uv_timer_t *timer)
{
    next_word(timer->data);
}

int main(int argc, char **argv)
{
    static struct drive drive;
    struct pg_callbacks callbacks = { &drive, seen, done, schema_done };
    struct err err;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 5) {
        (void)fprintf(stderr, "usage: pgdrive DATA_DIRECTORY CONNINFO NAME WORK_DIRECTORY WORD...\n");
        return 2;
    }
    drive.words = argv + 5;
    drive.config.node_id = 1;
    drive.config.start_latch = true;
    (void)text_copy(drive.config.data_directory, PATH_SIZE, argv[1]);
    (void)text_copy(drive.config.conninfo, CONNINFO_SIZE, argv[2]);
    (void)text_copy(drive.config.node_name, NAME_SIZE, argv[3]);
    (void)text_copy(drive.config.runtime_directory, PATH_SIZE, argv[4]);
    (void)text_copy(drive.config.state_directory, PATH_SIZE, argv[4]);
    if (getenv("PGDRIVE_CONFIG_DIRECTORY"))
        (void)text_copy(drive.config.config_directory, PATH_SIZE, getenv("PGDRIVE_CONFIG_DIRECTORY"));
    (void)uv_timer_init(uv_default_loop(), &drive.timer);
    (void)uv_timer_init(uv_default_loop(), &drive.cancel);
    drive.timer.data = drive.cancel.data = &drive;
    drive.begun_us = clock_boot_us();
    if (pg_open(&drive.pg, uv_default_loop(), &drive.config, &callbacks, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)uv_timer_start(&drive.timer, first, 0, 0);
    (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    if (uv_loop_close(uv_default_loop()) != 0)
        (void)fprintf(stderr, "something is still open\n");
    return drive.failed;
}
