/*
 * table.h - text tables drawn as repmgr draws them: a leading blank, cells padded to the widest, " | " between, a rule
 * below the headings. Widths are bytes.
 */
#ifndef RAFTMGR_CLI_TABLE_H
#define RAFTMGR_CLI_TABLE_H

#include "base/base.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_SIZE 1280

enum table_style {
    TABLE_PLAIN,    /* a row ends behind its padded last cell */
    TABLE_TRAILING, /* and one more blank (repmgr's compact tables) */
    TABLE_TRIMMED,  /* the last cell is not padded */
};

struct table {
    size_t columns;
    size_t count; /* of cells */
    size_t capacity;
    const char *headings[TABLE_COLUMNS_MAX]; /* borrowed */
    char **cells;                            /* row by row */
    bool failed;                             /* memory ran out; nothing is drawn */
};

/* An empty table; headings end with NULL and are borrowed. */
void table_init(struct table *table, const char *const *headings);
void table_release(struct table *table);
/* Sets the next cell, from left to right, row after row. Cut at TABLE_CELL_SIZE - 1 bytes. */
void table_put(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
/* Draws it. An incomplete last row is an error of the program. */
void table_draw(const struct table *table, enum table_style style, FILE *out);

#endif
