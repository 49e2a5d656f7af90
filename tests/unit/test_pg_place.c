/* test_pg_place.c - what raftmgr puts into a data directory depends on the version that it is of. */
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/conf.h"
#include "pg/place.h"

static struct pg_config config;

static void path_of(const char *directory, const char *name, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/%s", directory, name);
}

static void make(const char *directory, const char *name, const char *text)
{
    char path[PLACE_PATH_SIZE];

    path_of(directory, name, path);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static bool there(const char *directory, const char *name)
{
    char path[PLACE_PATH_SIZE];

    path_of(directory, name, path);
    return file_exists(path);
}

/* True when a file has this text in it. */
static bool says(const char *directory, const char *name, const char *text)
{
    char path[PLACE_PATH_SIZE];
    AUTO(buf) file;

    buf_init(&file, CONF_BYTES_MAX);
    path_of(directory, name, path);
    CU_ASSERT_EQUAL_FATAL(file_read(path, &file, NULL), 0);
    buf_put_u8(&file, 0);
    return strstr((const char *)file.bytes, text) != NULL;
}

static void remove_all(const char *const *names, size_t count)
{
    char path[PLACE_PATH_SIZE];

    for (size_t i = 0; i < count; i++) {
        path_of(config.data_directory, names[i], path);
        (void)remove(path);
    }
    CU_ASSERT_EQUAL(remove(config.data_directory), 0);
}

/* A data directory with its configuration beside it: below it here, so that one call removes both. */
static void begin(void)
{
    char directory[] = "/tmp/raftmgr-unit-XXXXXX";

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    config = (struct pg_config){ .node_id = 2 };
    (void)text_copy(config.data_directory, sizeof config.data_directory, directory);
    (void)snprintf(config.config_directory, sizeof config.config_directory, "%s/etc", directory);
    CU_ASSERT_EQUAL_FATAL(mkdir(config.config_directory, 0700), 0);
    make(config.config_directory, "postgresql.conf", "port = 1\n");
}

static void end(void)
{
    static const char *const names[] = { "PG_VERSION", "postgresql.conf", CONF_FILE, "etc/postgresql.conf", "etc" };
    remove_all(names, ARRAY_LEN(names));
}

static void pg_rewind_finds_the_configuration(void)
{
    char wanted[PLACE_PATH_SIZE + 16];
    struct err err;

    begin();
    (void)snprintf(wanted, sizeof wanted, "\ninclude '%s/postgresql.conf'\n", config.config_directory);
    CU_ASSERT_EQUAL(place_stand_in(&config, &err), 0);
    CU_ASSERT_TRUE(says(config.data_directory, "postgresql.conf", wanted));
    CU_ASSERT_EQUAL(place_no_stand_in(&config, &err), 0);
    CU_ASSERT_FALSE(there(config.data_directory, "postgresql.conf"));
    CU_ASSERT_EQUAL(place_no_stand_in(&config, &err), 0);
    end();
}

static void somebody_elses_file_stays(void)
{
    struct err err;

    begin();
    make(config.data_directory, "postgresql.conf", "# mine\n");
    CU_ASSERT_EQUAL(place_stand_in(&config, &err), 0);
    CU_ASSERT_EQUAL(place_no_stand_in(&config, &err), 0);
    CU_ASSERT_TRUE(says(config.data_directory, "postgresql.conf", "# mine\n"));
    end();
}

/* By PG_VERSION: an attached standby of 13 has no archive, one of 17 names the database. */
static void settings_go_by_the_data_directorys_version(void)
{
    struct pg_conf conf = { .upstream = 1, .upstream_conninfo = "host=a dbname=repmgr", .slot = "repmgr_slot_2" };
    uint64_t written;
    struct err err;

    begin();
    make(config.data_directory, "PG_VERSION", "13\n");
    CU_ASSERT_EQUAL_FATAL(place_conf(&config, &conf, &written, &err), 0);
    CU_ASSERT_TRUE(says(config.data_directory, CONF_FILE, "\nrestore_command = ''\n"));
    CU_ASSERT_FALSE(says(config.data_directory, CONF_FILE, "dbname"));
    make(config.data_directory, "PG_VERSION", "17\n");
    CU_ASSERT_EQUAL_FATAL(place_conf(&config, &conf, &written, &err), 0);
    CU_ASSERT_FALSE(says(config.data_directory, CONF_FILE, "restore_command"));
    CU_ASSERT_TRUE(says(config.data_directory, CONF_FILE, "dbname=repmgr"));
    end();
}

/* PostgreSQL counts acknowledgements by this name, which the log gives, whatever the file says since. */
static void a_standby_goes_by_the_logs_name(void)
{
    struct pg_conf conf = { .upstream = 1, .upstream_conninfo = "host=a", .slot = "s", .name = "as-admitted" };
    uint64_t written;
    struct err err;

    begin();
    make(config.data_directory, "PG_VERSION", "15\n");
    CU_ASSERT_EQUAL_FATAL(place_conf(&config, &conf, &written, &err), 0);
    CU_ASSERT_TRUE(says(config.data_directory, CONF_FILE, "application_name=as-admitted"));
    end();
}

/* A rewind or clone must be able to keep whatever PostgreSQL reads, and leave it to those who may read it. */
static void copies_keep_length_and_mode(void)
{
    char path[PLACE_PATH_SIZE];
    char to[PATH_SIZE];
    struct stat file;
    struct err err;

    begin();
    path_of(config.config_directory, "postgresql.conf", path);
    CU_ASSERT_EQUAL(truncate(path, 1 << 20), 0);
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    (void)snprintf(to, sizeof to, "%.900s/kept", config.data_directory);
    CU_ASSERT_EQUAL(place_copy_confs(config.config_directory, to, &err), 0);
    CU_ASSERT_EQUAL(place_copy_confs(to, config.data_directory, &err), 0);
    path_of(config.data_directory, "postgresql.conf", path);
    CU_ASSERT_EQUAL(stat(path, &file), 0);
    CU_ASSERT_EQUAL(file.st_size, 1 << 20);
    CU_ASSERT_EQUAL(file.st_mode & 0777, 0640);
    path_of(to, "postgresql.conf", path);
    CU_ASSERT_EQUAL(remove(path), 0);
    CU_ASSERT_EQUAL(remove(to), 0);
    end();
}

static void leads(const char *top, const char *name, const char *to)
{
    char path[PATH_SIZE];
    char wanted[PATH_SIZE];

    (void)snprintf(path, sizeof path, "%.900s%s", top, name);
    (void)snprintf(wanted, sizeof wanted, "%.900s%s", top, to);
    place_follow(path);
    CU_ASSERT_STRING_EQUAL(path, wanted);
}

/* What is put beside "data/" would lie in it, and a clone in the place of a link on another file system. */
static void a_data_directory_is_where_it_leads(void)
{
    char top[PATH_SIZE];
    char link[PATH_SIZE];
    char target[PATH_SIZE + 16];

    (void)unit_path(top, sizeof top, "follow");
    CU_ASSERT_EQUAL_FATAL(mkdir(top, 0700), 0);
    leads(top, "/data", "/data");
    leads(top, "/data//", "/data");
    leads(top, "/data/./", "/data");
    (void)snprintf(link, sizeof link, "%.900s/near", top);
    CU_ASSERT_EQUAL(symlink("sub/data/", link), 0); /* to nothing: a clone has moved it away */
    leads(top, "/near/", "/sub/data");
    (void)snprintf(link, sizeof link, "%.900s/far", top);
    (void)snprintf(target, sizeof target, "%s/near", top);
    CU_ASSERT_EQUAL(symlink(target, link), 0);
    leads(top, "/far", "/sub/data");
    (void)snprintf(link, sizeof link, "%.900s/circle", top);
    CU_ASSERT_EQUAL(symlink("circle", link), 0);
    leads(top, "/circle", "/circle");
}

static const struct unit_test tests[] = {
    { "before 15: pg_rewind finds a configuration that is elsewhere", pg_rewind_finds_the_configuration },
    { "before 15: a postgresql.conf that is there is not touched", somebody_elses_file_stays },
    { "a standby goes by the log's name", a_standby_goes_by_the_logs_name },
    { "copies keep length and mode", copies_keep_length_and_mode },
    { "a data directory is where its link leads", a_data_directory_is_where_it_leads },
    { "settings go by PG_VERSION", settings_go_by_the_data_directorys_version },
};

const struct unit_suite suite_pg_place = UNIT_SUITE("pg_place", tests);
