/* hook_text.c - event_notification_command with its placeholders filled in. Pure. See hook.h. */
#include "daemon/hook.h"

#include <stdlib.h>

#include "base/clock.h"

struct text {
    char *at;
    size_t left; /* with the terminator */
    bool full;
};

static void put(struct text *text, char byte)
{
    if (text->left <= 1) {
        text->full = true;
        return;
    }
    *text->at++ = byte;
    *text->at = '\0';
    text->left--;
}

static void put_text(struct text *text, const char *from)
{
    for (; *from; from++)
        put(text, *from);
}

/* As repmgr does for ", and also for what a shell takes to heart within quotes: what a node says of itself must run
 * nothing on the leader's host. */
static void put_details(struct text *text, const char *from)
{
    for (; *from; from++) {
        if (strchr("\"\\$`", *from))
            put(text, '\\');
        put(text, *from);
    }
}

static void put_number(struct text *text, int64_t number)
{
    char digits[32];

    (void)snprintf(digits, sizeof digits, "%" PRId64, number);
    put_text(text, digits);
}

static bool is_one_of(const char *event, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(event, names[i]) == 0)
            return true;
    return false;
}

/* The node that this event is also about; 0: none. */
static int32_t other_node(const struct cluster *cluster, const struct record *record)
{
    static const char *const registered[] = { "standby_register", "standby_register_sync", "standby_follow" };
    static const char *const replaced[] = { "standby_switchover", "repmgrd_failover_promote" };
    static const char mark[] = "(ID: ";
    const char *found = NULL;

    if (is_one_of(record->event, registered, ARRAY_LEN(registered)))
        return cluster->primary.node_id;
    if (!is_one_of(record->event, replaced, ARRAY_LEN(replaced)))
        return 0;
    /* Both texts name the former primary last. */
    for (const char *at = strstr(record->text, mark); at; at = strstr(at + 1, mark))
        found = at;
    return found ? (int32_t)strtol(found + sizeof mark - 1, NULL, 10) : 0;
}

static void put_other(struct text *text, char what, const struct cluster *cluster, const struct record *record)
{
    int32_t node_id = other_node(cluster, record);
    const struct member *member = cluster_member(cluster, node_id);
    bool registered = strncmp(record->event, "standby_register", sizeof "standby_register" - 1) == 0 ||
                      strcmp(record->event, "standby_follow") == 0;

    if (what == 'p' && node_id != 0)
        put_number(text, node_id);
    else if (what == 'c' && member && registered)
        put_details(text, member->conninfo);
    else if (what == 'a' && member && registered)
        put_details(text, member->name);
}

/* What stands for this character behind %; false: nothing does. */
static bool put_placeholder(struct text *text, char what, const struct cluster *cluster, const struct record *record)
{
    char moment[48];

    switch (what) {
    case '%':
        put(text, '%');
        break;
    case 'n':
        put_number(text, record->node_id);
        break;
    case 'e':
        put_text(text, record->event);
        break;
    case 's':
        put(text, record->successful ? '1' : '0');
        break;
    case 't':
        clock_wall_text(record->wall_us, moment, sizeof moment);
        put_text(text, moment);
        break;
    case 'd':
        put_details(text, record->text);
        break;
    case 'p':
    case 'c':
    case 'a':
        put_other(text, what, cluster, record);
        break;
    default:
        return false;
    }
    return true;
}

bool hook_expand(const char *command, const struct cluster *cluster, const struct record *record, char *ret_text,
                 size_t size)
{
    struct text text = { .at = ret_text, .left = size };

    ret_text[0] = '\0';
    for (const char *at = command; *at; at++) {
        if (*at == '%' && at[1] && put_placeholder(&text, at[1], cluster, record))
            at++;
        else
            put(&text, *at);
    }
    return !text.full;
}

bool hook_wanted(const char *event_notifications, const char *event)
{
    size_t length = strlen(event);
    const char *at = event_notifications + strspn(event_notifications, ", ");

    if (*at == '\0')
        return true;
    while (*at) {
        size_t word = strcspn(at, ", ");
        if (word == length && memcmp(at, event, length) == 0)
            return true;
        at += word;
        at += strspn(at, ", ");
    }
    return false;
}
