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
#define FROM "# Written by raftmgrd from: " /* first line of our file; the operator's path follows */

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
        while (**at == ',' && !quoted && *at + 1 < end && isspace((unsigned char)(*at)[1]))
            (*at)++; /* a list goes on behind a comma */
    }
    text[used] = '\0';
    return used > 0;
}

/* True when a list of a rule has this name; a keyword ("all", "replication") is none in quotes. */
static bool lists(const char *list, const char *word, bool keyword)
{
    size_t length = strlen(word);

    while (*list) {
        size_t item = strcspn(list, ",");
        const char *at = list;
        size_t bare = item;
        if (bare >= 2 && *at == '"' && !keyword) {
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

static void put_rule(struct buf *ret, const char *kind, const char *databases, const char *users, const char *rest,
                     const char *end)
{
    put(ret, kind);
    put(ret, " ");
    put(ret, databases);
    put(ret, " ");
    put(ret, users);
    buf_put(ret, rest, (size_t)(end - rest));
    put(ret, "\n");
}

/* True when a rule for the user is left of it. */
static bool narrow_line(const char *line, size_t length, const char *user, struct buf *ret)
{
    char kind[HBA_FIELD_MAX];
    char databases[HBA_FIELD_MAX];
    char users[HBA_FIELD_MAX];
    char quoted[NAME_SIZE + 2];
    const char *at = line;
    const char *end = line + length;

    if (!hba_field(&at, end, kind) || !is_kind(kind) || !hba_field(&at, end, databases) || !hba_field(&at, end, users))
        return false;
    if (lists(databases, "replication", true))
        put_rule(ret, kind, "replication", users, at, end);
    if (strcmp(databases, "replication") == 0 || (!lists(users, "all", true) && !lists(users, user, false)))
        return false;
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", user);
    put_rule(ret, kind, databases, quoted, at, end);
    return true;
}

bool hba_narrow(const char *rules, const char *user, bool continues, struct buf *ret)
{
    bool any = false;
    AUTO(buf) line;

    buf_init(&line, CONF_BYTES_MAX);
    put(ret, "# At this moment only raftmgrd itself and standbys may connect.\n");
    while (*rules) {
        size_t length = strcspn(rules, "\n");
        bool more = continues && length > 0 && rules[length - 1] == '\\';
        buf_put(&line, rules, more ? length - 1 : length);
        rules += length + (rules[length] == '\n');
        if (more && *rules)
            continue;
        if (line.length > 0)
            any = narrow_line((const char *)line.bytes, line.length, user, ret) || any;
        line.length = 0;
    }
    return any;
}

static void hba_path(const struct pg_config *config, char *path)
{
    (void)snprintf(path, PATH_MAX_OURS, "%s/%s", config->data_directory, HBA_FILE);
}

/* The operator's file, as PostgreSQL said before the start: remembered, and after a restart of ours read from the first
 * line of the file that we wrote then. */
static bool operators_path(struct pg *pg, char *path)
{
    char ours[PATH_MAX_OURS];
    char line[PATH_MAX_OURS + sizeof FROM];

    if (!pg->hba_file[0]) {
        hba_path(&pg->config, ours);
        FILE *file = fopen(ours, "re");
        bool got = file && fgets(line, sizeof line, file) && strncmp(line, FROM, sizeof FROM - 1) == 0;
        if (file)
            (void)fclose(file);
        if (!got)
            return false;
        line[strcspn(line, "\n")] = '\0';
        (void)text_copy(pg->hba_file, sizeof pg->hba_file, line + sizeof FROM - 1);
    }
    (void)text_copy(path, PATH_MAX_OURS, pg->hba_file);
    return true;
}

static int put_agents(struct pg *pg, const char *rules, const char *path, struct buf *text, struct err *err)
{
    struct conninfo_facts facts;

    int failed = conninfo_read(pg->config.conninfo, &facts, err);
    if (failed)
        return failed;
    if (!facts.user[0])
        conninfo_default("user", facts.user, sizeof facts.user);
    if (hba_narrow(rules, facts.user, programs_major(pg->config.data_directory) >= CONTINUES_MAJOR, text))
        return 0;
    return err_set(
        err, ERR_REFUSED,
        "'%s' has no rule for user \"%s\" by name or for all, so raftmgrd could not get in: add one (rules for "
        "groups do not count here)",
        path, facts.user);
}

/* What our file is to say now. */
static int render(struct pg *pg, bool agent_only, struct buf *ret, struct err *err)
{
    char theirs[PATH_MAX_OURS];
    AUTO(buf) rules;

    buf_init(&rules, CONF_BYTES_MAX);
    if (!operators_path(pg, theirs))
        return err_set(err, ERR_NOT_FOUND, "'%s/" HBA_FILE "' does not say which file it was made from",
                       pg->config.data_directory);
    int failed = hba_read(theirs, &rules, err);
    if (failed)
        return failed;
    put(ret, FROM);
    put(ret, theirs);
    put(ret, "\n");
    if (agent_only) {
        buf_put_u8(&rules, 0);
        failed = put_agents(pg, (const char *)rules.bytes, theirs, ret, err);
    } else {
        buf_put(ret, rules.bytes, rules.length);
    }
    if (failed)
        return failed;
    return rules.failed || ret->failed ? err_set(err, ERR_TOO_BIG, "file '%s' is too large", theirs) : 0;
}

static int write_file(struct pg *pg, bool agent_only, struct err *err)
{
    char ours[PATH_MAX_OURS];
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    hba_path(&pg->config, ours);
    int failed = render(pg, agent_only, &text, err);
    return failed ? failed : file_replace(ours, text.bytes, text.length, 0600, err);
}

int hba_prepare(struct pg *pg, const char *operators, struct hba *hba, struct err *err)
{
    char ours[PATH_MAX_OURS];

    hba_path(&pg->config, ours);
    (void)text_copy(pg->hba_file, sizeof pg->hba_file, operators);
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
