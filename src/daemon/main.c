/* main.c - raftmgrd: command line, configuration file, signals, the loop. */
#include "base/clock.h"
#include "base/log.h"
#include "daemon/again.h"
#include "daemon/run.h"
#include "guard/launch.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef RAFTMGR_VERSION
#define RAFTMGR_VERSION "unknown"
#endif

static void usage(FILE *to)
{
    (void)fputs("usage: raftmgrd -f FILE [--check-config]\n"
                "\n"
                "Runs in the foreground; events go to standard error as one line each.\n"
                "\n"
                "  -f, --config-file FILE   the configuration, raftmgr.conf\n"
                "      --check-config       read and check the configuration, then end\n"
                "  -V, --version            print the version\n"
                "  -?, --help               print this\n"
                "\n"
                "SIGHUP reads the file again; SIGTERM ends the daemon, PostgreSQL and guard stay.\n",
                to);
}

static const char *const note_levels[] = { "ERROR", "WARNING", "NOTICE" };

/* Reads the file. Errors are all told, on stderr; notes only as events of a daemon that goes on. */
static int read_settings(const char *path, struct settings *settings, bool tell, struct err *err)
{
    struct settings_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return err_set(err, ERR_MEMORY, "out of memory");
    settings_begin(reader, settings);
    int failed = ini_load(path, settings_accept, reader, err);
    int unsound = failed ? failed : settings_finish(reader, err);
    if (failed && tell)
        (void)fprintf(stderr, "ERROR: %s\n", err->text);
    for (uint32_t i = 0; i < reader->note_count && tell; i++)
        (void)fprintf(stderr, "%s: %s\n", note_levels[reader->notes[i].level], reader->notes[i].text);
    free(reader);
    return unsound;
}

static enum log_level level_of(const struct settings *settings)
{
    static const enum log_level levels[] = { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

    return settings->log_level < ARRAY_LEN(levels) ? levels[settings->log_level] : LOG_INFO;
}

static int use_log(const struct settings *settings, struct err *err)
{
    int failed = log_set_file(settings->log_file[0] ? settings->log_file : NULL);
    if (failed)
        return err_set_errno(err, -failed, "could not open log_file '%s'", settings->log_file);
    log_set_level(level_of(settings));
    return 0;
}

static void reload(struct daemon *daemon)
{
    struct settings *fresh = calloc(1, sizeof *fresh);
    struct err err = { 0 };
    char names[TEXT_SIZE];
    char text[ERR_TEXT_MAX];

    if (!fresh)
        return;
    if (read_settings(daemon->config_path, fresh, false, &err) < 0 || use_log(fresh, &err) < 0) {
        daemon_event(daemon, EVENT_CONFIG_NOTICE, "text=%s", log_quoted(text, sizeof text, err.text));
        free(fresh);
        return;
    }
    if (settings_need_restart(&daemon->settings, fresh, names, sizeof names))
        daemon_event(daemon, EVENT_CONFIG_NOTICE, "text=\"waits for a restart of raftmgrd: %s\"", names);
    daemon->settings.log_level = fresh->log_level;
    memcpy(daemon->settings.log_file, fresh->log_file, sizeof fresh->log_file);
    memcpy(daemon->settings.event_notification_command, fresh->event_notification_command,
           sizeof fresh->event_notification_command);
    memcpy(daemon->settings.event_notifications, fresh->event_notifications, sizeof fresh->event_notifications);
    daemon_event(daemon, EVENT_DAEMON_RELOAD, "file=\"%s\"", daemon->config_path);
    free(fresh);
}

static void signalled(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;

    if (number == SIGHUP)
        reload(daemon);
    else
        daemon_stop(daemon);
}

static void watch_signals(struct daemon *daemon)
{
    uv_signal_init(&daemon->loop, &daemon->sigterm);
    uv_signal_init(&daemon->loop, &daemon->sigint);
    uv_signal_init(&daemon->loop, &daemon->sighup);
    daemon->sigterm.data = daemon->sigint.data = daemon->sighup.data = daemon;
    uv_signal_start(&daemon->sigterm, signalled, SIGTERM);
    uv_signal_start(&daemon->sigint, signalled, SIGINT);
    uv_signal_start(&daemon->sighup, signalled, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Comes back only if that failed. */
static void start_again(const struct daemon *daemon, char *const *argv)
{
    unsigned count = again_counted(daemon->again_count, clock_boot_us() - daemon->begun_us);

    log_line(event_level(EVENT_DAEMON_AGAIN), event_name(EVENT_DAEMON_AGAIN), "node=%d in_ms=%u time=%u",
             daemon->settings.node_id, again_pause_ms(count), count + 1);
    again_execute(argv, count);
}

static int run(struct daemon *daemon, char *const *argv)
{
    struct err err = { 0 };

    if (uv_loop_init(&daemon->loop) != 0)
        return err_exit_status(ERR_SYSTEM);
    watch_signals(daemon);
    daemon_event(daemon, EVENT_DAEMON_START, "node=%d name=\"%s\" version=%s", daemon->settings.node_id,
                 daemon->settings.node_name, RAFTMGR_VERSION);
    if (daemon_open(daemon, &err) < 0) {
        daemon->again = again_after_start(daemon->again_count, err.code);
        daemon_fail(daemon, &err);
    }
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    join_free(daemon);
    uv_close((uv_handle_t *)&daemon->timer, NULL);
    uv_run(&daemon->loop, UV_RUN_NOWAIT);
    uv_loop_close(&daemon->loop);
    if (daemon->again && !daemon->stopping)
        start_again(daemon, argv);
    return daemon->exit_status;
}

static const struct option long_options[] = {
    { "config-file", required_argument, NULL, 'f' },
    { "check-config", no_argument, NULL, 'c' },
    { "version", no_argument, NULL, 'V' },
    { "help", no_argument, NULL, '?' },
    { NULL, 0, NULL, 0 },
};

/* Returns -1 to go on, else the exit status. */
static int read_arguments(int argc, char **argv, const char **ret_path, bool *ret_check)
{
    int option;

    while ((option = getopt_long(argc, argv, "f:V?", long_options, NULL)) != -1) {
        switch (option) {
        case 'f':
            *ret_path = optarg;
            break;
        case 'c':
            *ret_check = true;
            break;
        case 'V':
            (void)printf("raftmgrd %s\n", RAFTMGR_VERSION);
            return 0;
        default:
            usage(optopt ? stderr : stdout);
            return optopt ? err_exit_status(ERR_USAGE) : 0;
        }
    }
    if (!*ret_path || optind < argc) {
        usage(stderr);
        return err_exit_status(ERR_USAGE);
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    const char *path = NULL;
    bool check = false;
    struct err err = { 0 };

    daemon.again_count = again_count();
    daemon.begun_us = clock_boot_us();
    int status = read_arguments(argc, argv, &path, &check);
    if (status >= 0)
        return status;
    char *absolute = realpath(path, NULL);
    (void)text_copy(daemon.config_path, sizeof daemon.config_path, absolute ? absolute : path);
    free(absolute);
    if (read_settings(path, &daemon.settings, true, &err) < 0)
        return err_exit_status(err.code);
    if (check) {
        (void)printf("%s: configuration of node '%s' (ID: %d) is sound\n", path, daemon.settings.node_name,
                     daemon.settings.node_id);
        return 0;
    }
    if (geteuid() == 0 && daemon.settings.node_kind == NODE_DATA) {
        (void)fputs("ERROR: raftmgrd must not run as root on a node with PostgreSQL: run it as the owner of "
                    "data_directory\n",
                    stderr);
        return err_exit_status(ERR_CONFIG);
    }
    if (use_log(&daemon.settings, &err) < 0) {
        (void)fprintf(stderr, "ERROR: %s\n", err.text);
        return err_exit_status(err.code);
    }
    launch_keep_privileges();
    return run(&daemon, argv);
}
