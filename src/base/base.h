/*
 * base.h - what every file may rely on: standard headers, scoped release, and the names of the things that are banned.
 *
 * AUTO(type) declares a struct whose type##_release() runs on every way out of the scope; release functions accept
 * zeroed storage.
 */
#ifndef RAFTMGR_BASE_H
#define RAFTMGR_BASE_H

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define AUTO(type) __attribute__((cleanup(type##_release))) struct type
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Copies text into storage of the given size, always terminated. Returns false where it had to be cut. */
static inline bool text_copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    size_t take = length < size ? length : size - 1;

    assert(size > 0);
    memcpy(to, from, take);
    to[take] = '\0';
    return take == length;
}

/* Unbounded or unsafe functions; the compiler refuses them in every file that includes this header. Where the C library
 * makes macros of them, those go first. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok

#endif
