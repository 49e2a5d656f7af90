/*
 * err.h - one error value for the whole program.
 *
 * A function that can fail returns 0 or a negative enum err_code and takes struct err *err last. The deepest caller
 * sets, each layer above wraps with what it was trying to do. Libraries never log; daemon/ and cli/ log an error once.
 */
#ifndef RAFTMGR_ERR_H
#define RAFTMGR_ERR_H

#include "base/base.h"

#define ERR_TEXT_MAX 1024

enum err_code {
    ERR_OK = 0,
#define ERR(name, status, text) ERR_##name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

struct err {
    enum err_code code;
    char text[ERR_TEXT_MAX];
};

/* Fills *err (which may be NULL) and returns -code, to be returned by the caller. */
int err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same, with ": " and the text of the system's error number appended. ENOSPC and EDQUOT become ERR_NO_SPACE. */
int err_set_errno(struct err *err, int number, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "text: " before what *err already says; keeps and returns -err->code. */
int err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* The process exit status for a code (repmgr's numbering). */
int err_exit_status(enum err_code code);

/* The standing text of a code. */
const char *err_text(enum err_code code);

#endif
