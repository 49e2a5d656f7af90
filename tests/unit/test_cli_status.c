/*
 * test_cli_status.c - what rmctl status prints. It is read at three in the morning: the files in tests/golden/status
 * hold it word for word for a healthy, a fenced, a waiting and an unfounded cluster.
 */
#include "cli/status_text.h"

#include <stdlib.h>

#include "base/file.h"
#include "unit.h"

static char *rendered(const json_t *status)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    status_text(status, false, out);
    CU_ASSERT_EQUAL(fclose(out), 0);
    return text;
}

static json_t *golden(const char *name)
{
    char path[256];
    json_error_t problem;

    (void)snprintf(path, sizeof path, "tests/golden/status/%s.json", name);
    json_t *status = json_load_file(path, 0, &problem);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status);
    return status;
}

static void compare(const char *name, int exit_status)
{
    char path[256];
    AUTO(buf) expected;
    struct err err;
    json_t *status = golden(name);
    char *text = rendered(status);

    buf_init(&expected, 1u << 20);
    (void)snprintf(path, sizeof path, "tests/golden/status/%s.txt", name);
    CU_ASSERT_EQUAL_FATAL(file_read(path, &expected, &err), 0);
    buf_put_u8(&expected, 0);
    CU_ASSERT_STRING_EQUAL(text, (char *)expected.bytes);
    if (strcmp(text, (char *)expected.bytes) != 0)
        printf("\n--- %s is not\n%s", path, text);
    CU_ASSERT_EQUAL(status_exit(status), exit_status);
    free(text);
    json_decref(status);
}

static void golden_files(void)
{
    compare("healthy", 0);
    compare("fenced", 25);
    compare("waiting", 25);
    compare("unfounded", 25);
}

/* Takes out each member of the object, and each of the objects below it, and prints what is left. */
static void without_each(json_t *status, json_t *part)
{
    const char *names[64];
    size_t count = 0;

    for (void *at = json_object_iter(part); at && count < ARRAY_LEN(names); at = json_object_iter_next(part, at))
        names[count++] = json_object_iter_key(at);
    for (size_t i = 0; i < count; i++) {
        char name[64];
        (void)text_copy(name, sizeof name, names[i]);
        json_t *value = json_incref(json_object_get(part, name));
        (void)json_object_set_new(part, name, json_null());
        free(rendered(status));
        (void)json_object_set_new(part, name, json_string("x"));
        free(rendered(status));
        (void)json_object_set(part, name, value);
        json_decref(value);
        if (json_is_object(json_object_get(part, name)))
            without_each(status, json_object_get(part, name));
        else if (json_is_object(json_array_get(json_object_get(part, name), 0)))
            without_each(status, json_array_get(json_object_get(part, name), 0));
    }
}

static void anything_missing(void)
{
    json_t *status = golden("fenced");
    json_t *nothing = json_object();

    without_each(status, status);
    free(rendered(nothing));
    CU_ASSERT_EQUAL(status_exit(nothing), 25);
    json_decref(nothing);
    json_decref(status);
}

static void exit_status(void)
{
    json_t *status = golden("healthy");
    json_t *problems = json_object_get(json_array_get(json_object_get(status, "members"), 1), "problems");

    CU_ASSERT_EQUAL(status_exit(status), 0);
    (void)json_array_append_new(problems, json_string("restart pending for max_connections"));
    CU_ASSERT_EQUAL(status_exit(status), 25);
    char *text = rendered(status);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nProblems:\n  node2: restart pending for max_connections\n"));
    free(text);
    (void)json_array_clear(problems);
    (void)json_object_set_new(json_array_get(json_object_get(status, "members"), 2), "reachable", json_false());
    CU_ASSERT_EQUAL(status_exit(status), 25);
    json_decref(status);
}

static void paused(void)
{
    json_t *status = golden("healthy");

    (void)json_object_set_new(status, "paused", json_true());
    (void)json_object_set_new(json_object_get(status, "lease"), "endless", json_true());
    char *text = rendered(status);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "FAILOVER IS PAUSED"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "node1's, valid, without end while paused"));
    free(text);
    json_decref(status);
}

static void numbers(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } durations[] = {
        { 0, "0 ms" },          { 999, "999 ms" },          { 1000, "1.0 s" },        { 59999, "59.9 s" },
        { 60000, "1 min 0 s" }, { 3599999, "59 min 59 s" }, { 3600000, "1 h 0 min" }, { 90000000, "1 d 1 h" },
    };
    static const struct {
        int64_t bytes;
        const char *text;
    } sizes[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1.0 kB" },
        { 10240, "10 kB" },
        { 1572864, "1.5 MB" },
        { 1099511627776, "1.0 TB" },
        { 1125899906842624000, "1024000 TB" },
    };
    char text[64];

    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        duration_text(durations[i].ms, text, sizeof text);
        CU_ASSERT_STRING_EQUAL(text, durations[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        bytes_text(sizes[i].bytes, text, sizeof text);
        CU_ASSERT_STRING_EQUAL(text, sizes[i].text);
    }
    token_text(17, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "17");
    token_text(((int64_t)2 << 48) + 17, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "2:17");
}

static const struct unit_test tests[] = {
    { "a healthy, a fenced, a waiting and an unfounded cluster, word for word", golden_files },
    { "whatever is missing or of another type, something is printed", anything_missing },
    { "25 for a problem or a lost member of a cluster that writes", exit_status },
    { "a pause is shouted", paused },
    { "durations, sizes and tokens", numbers },
};

const struct unit_suite suite_cli_status = UNIT_SUITE("cli_status", tests);
