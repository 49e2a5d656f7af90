/*
 * settings.h - raftmgr.conf as values, and the cluster's settings as text.
 *
 * The rows stand in settings.def. A node's settings live in its file; the cluster's (struct policy) live in the log and
 * are only taken from the founder's file. Reading a file is three steps, so that this part stays pure:
 *
 *     settings_begin(&reader, &settings);
 *     ini_load(path, settings_accept, &reader, &err);
 *     settings_finish(&reader, &err);
 *
 * after which reader.notes holds what is worth telling besides, errors first.
 */
#ifndef RAFTMGR_SETTINGS_H
#define RAFTMGR_SETTINGS_H

#include "base/err.h"
#include "base/ini.h"
#include "core/policy.h"
#include "core/types.h"

#define PEER_PORT_DEFAULT 7654
#define SETTINGS_NOTES_MAX 96
#define SETTING_TEXT_SIZE CONNINFO_SIZE /* any value as text fits */

enum rejoin { REJOIN_FOLLOW, REJOIN_REWIND, REJOIN_CLONE };
enum failover_mode { FAILOVER_AUTOMATIC, FAILOVER_MANUAL };

/* The node's settings, each under its name in the file; choices as the place of their word (node_kind: enum node_kind,
 * rejoin: enum rejoin, log_level: enum log_level, start_latch: bool, failover: enum failover_mode). */
struct settings {
#define SETTING_FIELD_INT(name) int32_t name;
#define SETTING_FIELD_NAME(name) char name[NAME_SIZE];
#define SETTING_FIELD_TEXT(name) char name[CONNINFO_SIZE];
#define SETTING_FIELD_PATH(name) char name[PATH_SIZE];
#define SETTING_FIELD_ADDRESS(name) char name[ADDRESS_SIZE];
#define SETTING_FIELD_ADDRESSES(name) char name[CONNINFO_SIZE];
#define SETTING(name, type, fallback, min, max, reload, text) SETTING_FIELD_##type(name)
#define CHOICE(name, fallback, words, reload, text) uint32_t name;
#include "core/settings.def"
    struct policy policy;
};

enum setting_scope { SCOPE_NODE, SCOPE_CLUSTER };

/* A row of settings.def, for those who list them all. */
struct setting {
    const char *name;
    const char *fallback; /* as text; "" = not set */
    const char *words;    /* of a choice, as in settings.def; NULL for others */
    const char *text;     /* what it does */
    int64_t min, max;
    size_t offset; /* in struct settings */
    uint8_t type;  /* known to settings.c alone */
    uint8_t scope; /* enum setting_scope */
    bool reload;   /* a change takes effect by SIGHUP; others wait for a restart. Node scope only */
};

enum note_level { NOTE_ERROR, NOTE_WARNING, NOTE_NOTICE };

struct settings_note {
    enum note_level level;
    char text[2 * TEXT_SIZE];
};

struct settings_reader {
    struct settings *settings;
    uint32_t error_count;
    uint32_t note_count; /* more than fit are only counted as errors */
    struct settings_note notes[SETTINGS_NOTES_MAX];
};

/* Fills *settings with the defaults. Required ones are empty. */
void settings_init(struct settings *settings);

/* Starts with the defaults and no note. The reader borrows settings until settings_finish. */
void settings_begin(struct settings_reader *reader, struct settings *settings);
/* An ini_accept whose context is the reader: takes one line of the file. Bad values become error notes and 0 is
 * returned, so that all are told. */
int settings_accept(void *context, const struct ini_entry *entry, struct err *err);
/* Fills in what follows from other settings (peer_advertise, control_socket, ports left out), checks what must hold
 * between them. ERR_CONFIG when there is any error note; err tells the first one, and how many more. */
int settings_finish(struct settings_reader *reader, struct err *err);

/* Takes one value from text; bounds are checked, relations to other settings are not. ERR_CONFIG. */
int settings_put(struct settings *settings, const struct setting *row, const char *value, struct err *err);
/* The bounds of a value that is there already; numbers and choices only. ERR_CONFIG. */
int settings_within(const struct settings *settings, const struct setting *row, struct err *err);
/* Fills in what follows from others: peer_advertise, control_socket. */
void settings_derive(struct settings *settings);

/* What must hold between the settings of a node. ERR_CONFIG with reason and way out. */
int settings_check(const struct settings *settings, struct err *err);

/* What must hold between the settings of the cluster, bounds included (design 5.2). ERR_CONFIG. */
int settings_policy_check(const struct policy *policy, struct err *err);
/* What is allowed and unwise; false and "" when nothing is. */
bool settings_policy_warning(const struct policy *policy, char *ret_text, size_t size);
/* The defaults. */
void settings_policy_init(struct policy *policy);
/* Changes one setting of the cluster by name and checks the whole; *policy is untouched on failure. ERR_NOT_FOUND for a
 * name that is none, ERR_REFUSED for a node's setting, ERR_CONFIG. */
int settings_policy_set(struct policy *policy, const char *name, const char *value, struct err *err);
/* One setting of the cluster as text ("2s"); size SETTING_TEXT_SIZE is always enough. ERR_NOT_FOUND. */
int settings_policy_get(const struct policy *policy, const char *name, char *ret_text, size_t size);
/* "failure_timeout is 2s in the cluster and 5s in the file, ..."; false and "" when both are the same. */
bool settings_policy_diff(const struct policy *agreed, const struct policy *file, char *ret_text, size_t size);

/* Names, blank separated, of the node's settings that differ and wait for a restart; false and "" when none. */
bool settings_need_restart(const struct settings *running, const struct settings *file, char *ret_names, size_t size);

/* All rows, in the order of the file, then NULL. */
const struct setting *settings_row(size_t index);
const struct setting *settings_find(const char *name);
/* The heading that stands above the row of this index; NULL where it belongs to the one before. */
const char *settings_heading(size_t index);
/* A setting's value as text, as it could stand in the file, without quotes. */
void settings_get(const struct settings *settings, const struct setting *row, char *ret_text, size_t size);
/* "2s", "0", "1MB": what stands in the unit of the row; "" where that is no bound of the row. For manual and errors. */
void settings_bound_text(const struct setting *row, int64_t bound, char *ret_text, size_t size);
/* The parameters of repmgr that do nothing here, then NULL; *ret_why gets the reason ("" for names repmgr gave up). */
const char *settings_repmgr_row(size_t index, const char **ret_why);

/* Takes "host", "host:port", "[v6]:port" apart and writes it with a port (PEER_PORT_DEFAULT where it has none); false
 * when it is none of these or does not fit. */
bool settings_address(const char *text, char *ret_address, size_t size);
/* Copies the next address of a list such as `join` and moves *at behind it; false at the end. */
bool settings_next_address(const char **at, char *ret_address, size_t size);

#endif
