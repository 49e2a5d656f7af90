/* hba.c - the rules of who may connect, narrowed to the agent. See hba.h. */
#include "pg/hba.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/file.h"
#include "pg/conf.h"
#include "pg/conninfo.h"
#include "pg/programs.h"

#define CONTINUES_MAJOR 14 /* the first where a backslash joins lines */
#define PATH_MAX_OURS (2 * PATH_SIZE + 64)

static void put(struct buf *text, const char *string)
{
    buf_put(text, string, strlen(string));
}

bool hba_field(const char **at, const char *end, char *text)
{
    size_t used = 0;
    bool quoted = false;

    while (*at < end && isspace((unsigned char)**at))
        (*at)++;
    if (*at < end && **at == '#')
        return false;
    for (; *at < end && (quoted || (!isspace((unsigned char)**at) && **at != '#')) && used + 1 < HBA_FIELD_MAX;
         (*at)++) {
        quoted = quoted != (**at == '"');
        text[used++] = **at;
    }
    text[used] = '\0';
    return used > 0;
}

/* True when a list of a rule has this word, with or without quotes. */
static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (*list) {
        size_t item = strcspn(list, ",");
        const char *at = list;
        size_t bare = item;
        if (bare >= 2 && *at == '"') {
            at++;
            bare -= 2;
        }
        if (bare == length && strncmp(at, word, length) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

static bool is_kind(const char *word)
{
    static const char *const kinds[] = { "local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc" };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(word, kinds[i]) == 0)
            return true;
    }
    return false;
}

static void narrow_line(const char *line, size_t length, const char *user, struct buf *ret)
{
    char kind[HBA_FIELD_MAX];
    char databases[HBA_FIELD_MAX];
    char users[HBA_FIELD_MAX];
    const char *at = line;
    const char *end = line + length;

    if (!hba_field(&at, end, kind) || !is_kind(kind) || !hba_field(&at, end, databases) || !hba_field(&at, end, users))
        return;
    if (strcmp(databases, "replication") == 0) {
        buf_put(ret, line, length);
        put(ret, "\n");
        return;
    }
    if (!lists(users, "all") && !lists(users, user))
        return;
    put(ret, kind);
    put(ret, " ");
    put(ret, databases);
    put(ret, " \"");
    put(ret, user);
    put(ret, "\"");
    buf_put(ret, at, (size_t)(end - at));
    put(ret, "\n");
}

void hba_narrow(const char *rules, const char *user, bool continues, struct buf *ret)
{
    AUTO(buf) line;

    buf_init(&line, CONF_BYTES_MAX);
    put(ret, "# Written by raftmgrd: at this moment only raftmgrd itself and standbys may connect.\n");
    while (*rules) {
        size_t length = strcspn(rules, "\n");
        bool more = continues && length > 0 && rules[length - 1] == '\\';
        buf_put(&line, rules, more ? length - 1 : length);
        rules += length + (rules[length] == '\n');
        if (more && *rules)
            continue;
        if (line.length > 0)
            narrow_line((const char *)line.bytes, line.length, user, ret);
        line.length = 0;
    }
}

static void hba_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PATH_MAX_OURS, "%s/%s", config->data_directory, HBA_FILE);
}

/* The operator's file: what postgresql.conf says, as a path; by default beside it. */
static void operators_path(const struct pg_config *config, char *path)
{
    char main_conf[PLACE_PATH_SIZE];
    char value[PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    place_main_conf_path(config, main_conf);
    char *slash = strrchr(main_conf, '/');
    if (file_read(main_conf, &text, NULL) == 0)
        buf_put_u8(&text, 0);
    *slash = '\0';
    if (text.failed || text.length == 0 || !conf_value((const char *)text.bytes, "hba_file", value, sizeof value))
        (void)snprintf(path, PATH_MAX_OURS, "%s/pg_hba.conf", config->data_directory);
    else if (value[0] == '/')
        (void)text_copy(path, PATH_MAX_OURS, value);
    else
        (void)snprintf(path, PATH_MAX_OURS, "%s/%s", config->data_directory, value);
}

/* What our file is to say now. */
static int render(const struct pg *pg, bool agent_only, struct buf *ret, struct err *err)
{
    char theirs[PATH_MAX_OURS];
    struct conninfo_facts facts;
    AUTO(buf) rules;

    buf_init(&rules, CONF_BYTES_MAX);
    operators_path(&pg->config, theirs);
    int failed = hba_read(theirs, &rules, err);
    if (!failed)
        failed = conninfo_read(pg->config.conninfo, &facts, err);
    if (failed)
        return failed;
    if (agent_only) {
        buf_put_u8(&rules, 0);
        hba_narrow((const char *)rules.bytes, facts.user, programs_major(pg->config.data_directory) >= CONTINUES_MAJOR,
                   ret);
    } else {
        buf_put(ret, rules.bytes, rules.length);
    }
    return rules.failed || ret->failed ? err_set(err, ERR_TOO_BIG, "file '%s' is too large", theirs) : 0;
}

static int write_file(const struct pg *pg, bool agent_only, struct err *err)
{
    char ours[PATH_MAX_OURS];
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    hba_path(&pg->config, ours);
    int failed = render(pg, agent_only, &text, err);
    return failed ? failed : file_replace(ours, text.bytes, text.length, 0600, err);
}

int hba_prepare(struct pg *pg, struct hba *hba, struct err *err)
{
    char ours[PATH_MAX_OURS];

    hba_path(&pg->config, ours);
    if (!pg->act.what.conf.agent_only)
        return 0;
    int failed = write_file(pg, true, err);
    if (failed)
        return failed;
    (void)snprintf(hba->setting, sizeof hba->setting, "hba_file=%s", ours);
    hba->args[0] = "-c";
    hba->args[1] = hba->setting;
    return 0;
}

/* True when the running server was started with our file: its command line says so. */
static bool in_use(const struct pg *pg)
{
    char path[64];
    char text[8192];

    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pg->probe.life.pid);
    FILE *file = pg->probe.life.pid ? fopen(path, "re") : NULL;
    if (!file)
        return false;
    size_t got = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    for (size_t i = 0; i < got; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
    }
    text[got] = '\0';
    return strstr(text, HBA_FILE) != NULL;
}

int hba_refresh(struct pg *pg, const struct pg_conf *conf, struct err *err)
{
    if (!in_use(pg))
        return conf->agent_only ? err_set(err, ERR_REFUSED, "the server was not started for the agent only") : 0;
    return write_file(pg, conf->agent_only, err);
}

bool hba_follow(struct pg *pg)
{
    char ours[PATH_MAX_OURS];
    AUTO(buf) now = { 0 };
    AUTO(buf) wanted = { 0 };

    if (!in_use(pg))
        return false;
    buf_init(&now, CONF_BYTES_MAX);
    buf_init(&wanted, CONF_BYTES_MAX);
    hba_path(&pg->config, ours);
    if (render(pg, pg->probe.seen.conf.agent_only, &wanted, NULL) < 0)
        return false; /* the server would not load it either */
    if (file_read(ours, &now, NULL) == 0 && now.length == wanted.length &&
        memcmp(now.bytes, wanted.bytes, now.length) == 0)
        return false;
    return file_replace(ours, wanted.bytes, wanted.length, 0600, NULL) == 0;
}
