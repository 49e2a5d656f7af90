/*
 * secret.h - the cluster's secret: a small file with mode 0600 whose text every node of the cluster shares.
 *
 * The content is 32 random bytes in hexadecimal and a newline; text put there by an operator is taken as well, if it is
 * long enough. Blanks around it do not count. Nobody uses the text as a key as it is: see net/.
 */
#ifndef RAFTMGR_SECRET_H
#define RAFTMGR_SECRET_H

#include "base/err.h"

#define SECRET_TEXT_MIN 32  /* characters: 128 bits where they are hexadecimal */
#define SECRET_TEXT_MAX 512 /* with the terminator */

/* Makes a new secret at path, durably, with mode 0600. Never overwrites: ERR_REFUSED when something is there. */
int secret_create(const char *path, struct err *err);

/* Reads the secret's text into ret_text (size SECRET_TEXT_MAX). ERR_CONFIG when the file is not a regular file, is open
 * to group or others, belongs to somebody else than us or root, or is too short, too long or not printable text. */
int secret_read(const char *path, char *ret_text, struct err *err);

/* The same for a TLS private key's file, but that root's may be readable to its group, as PostgreSQL has it (ssl-cert).
 * ERR_CONFIG, or ERR_SYSTEM when it cannot be opened. */
int secret_check_key(const char *path, struct err *err);

/* Overwrites it in a way that no compiler leaves out. */
void secret_wipe(char *text, size_t size);

#endif
