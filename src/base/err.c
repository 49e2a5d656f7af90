/* err.c - filling and wrapping the one error value. See err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>

static const struct {
    int status;
    const char *text;
} rows[ERR_COUNT] = {
    [ERR_OK] = { 0, "no error" },
#define ERR(name, status, text) [ERR_##name] = { status, text },
#include "base/err.def"
#undef ERR
};

static void fill(struct err *err, enum err_code code, const char *format, va_list args)
{
    err->code = code;
    (void)vsnprintf(err->text, sizeof err->text, format, args);
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    assert(code > ERR_OK && code < ERR_COUNT);
    if (err) {
        va_list args;
        va_start(args, format);
        fill(err, code, format, args);
        va_end(args);
    }
    return -(int)code;
}

int err_set_errno(struct err *err, int number, const char *format, ...)
{
    enum err_code code = number == ENOSPC || number == EDQUOT ? ERR_NO_SPACE : ERR_SYSTEM;

    if (err) {
        char reason[128];
        const char *text = strerror_r(number, reason, sizeof reason);
        va_list args;
        va_start(args, format);
        fill(err, code, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s", text);
    }
    return -(int)code;
}

int err_wrap(struct err *err, const char *format, ...)
{
    char old[ERR_TEXT_MAX];
    va_list args;

    if (!err)
        return -(int)ERR_INTERNAL;
    assert(err->code > ERR_OK && err->code < ERR_COUNT);
    (void)text_copy(old, sizeof old, err->text);
    va_start(args, format);
    fill(err, err->code, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof err->text - used, ": %s", old);
    return -(int)err->code;
}

int err_exit_status(enum err_code code)
{
    assert(code < ERR_COUNT);
    return rows[code].status;
}

const char *err_text(enum err_code code)
{
    assert(code < ERR_COUNT);
    return rows[code].text;
}
