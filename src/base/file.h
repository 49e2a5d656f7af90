/* file.h - small files read whole and replaced durably: temporary file, fsync, rename, fsync of the directory. */
#ifndef RAFTMGR_FILE_H
#define RAFTMGR_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the whole file to *ret_text (initialised by the caller with a maximum). ERR_NOT_FOUND when there is none. */
int file_read(const char *path, struct buf *ret_text, struct err *err);

/* Replaces the file by length bytes, durably and atomically; mode as open(2). The old file stays when this fails, but
 * where no more than the sync of the directory failed: then the new one is there, and after a crash either may be. */
int file_replace(const char *path, const void *bytes, size_t length, unsigned mode, struct err *err);

/* fsync of a directory, so that a file made, renamed or removed in it stays so. */
int file_sync_dir(const char *path, struct err *err);

/* True when something exists at path. */
bool file_exists(const char *path);

#endif
