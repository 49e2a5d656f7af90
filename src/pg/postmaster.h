/* postmaster.h - what postmaster.pid says, and the processes of the running instance. */
#ifndef RAFTMGR_PG_POSTMASTER_H
#define RAFTMGR_PG_POSTMASTER_H

#include <sys/types.h>

#include "core/types.h"

enum postmaster_status {
    POSTMASTER_STARTING,
    POSTMASTER_STOPPING,
    POSTMASTER_READY, /* accepts connections, primary or standby */
    POSTMASTER_CLOSED /* in recovery with hot_standby off: accepts none */
};

struct postmaster_file {
    pid_t pid;
    uint16_t port;
    char socket_directory[PATH_SIZE]; /* empty: none */
    char listen_address[ADDRESS_SIZE];
    enum postmaster_status status; /* line 8; STARTING while it is missing */
    bool recovering;               /* line 8 is there: recovery has been begun, or was not needed */
};

/* Takes the text of postmaster.pid apart. False when there is no process number. */
bool postmaster_parse(const char *text, struct postmaster_file *ret);

/* Reads it. False when there is none. */
bool postmaster_read(const char *data_directory, struct postmaster_file *ret);

/* Sends a signal to the WAL receivers among the children of this postmaster (0: only counts); returns how many there
 * are. They are known by their titles, which update_process_title does not switch off for them. */
int postmaster_receivers(pid_t postmaster, int signal);

#endif
