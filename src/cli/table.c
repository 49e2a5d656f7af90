/* table.c - text tables. See table.h. */
#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>

void table_init(struct table *table, const char *const *headings)
{
    memset(table, 0, sizeof *table);
    for (; headings[table->columns]; table->columns++) {
        assert(table->columns < TABLE_COLUMNS_MAX);
        table->headings[table->columns] = headings[table->columns];
    }
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    memset(table, 0, sizeof *table);
}

void table_put(struct table *table, const char *format, ...)
{
    char text[TABLE_CELL_SIZE];
    va_list args;

    if (table->failed)
        return;
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 64;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *cell = strdup(text);
    table->failed = !cell;
    if (cell)
        table->cells[table->count++] = cell;
}

static void draw_row(const struct table *table, const char *const *cells, const int *widths, enum table_style style,
                     FILE *out)
{
    for (size_t column = 0; column < table->columns; column++) {
        bool bare = style == TABLE_TRIMMED && column + 1 == table->columns;
        fputs(!column ? " " : bare && !cells[column][0] ? " |" : " | ", out);
        fprintf(out, "%-*s", bare ? 0 : widths[column], cells[column]);
    }
    fputs(style == TABLE_TRAILING ? " \n" : "\n", out);
}

void table_draw(const struct table *table, enum table_style style, FILE *out)
{
    int widths[TABLE_COLUMNS_MAX];

    if (table->failed) {
        fputs("out of memory\n", out);
        return;
    }
    assert(table->count % table->columns == 0);
    for (size_t column = 0; column < table->columns; column++) {
        size_t width = strlen(table->headings[column]);
        for (size_t i = column; i < table->count; i += table->columns)
            width = strlen(table->cells[i]) > width ? strlen(table->cells[i]) : width;
        widths[column] = (int)width;
    }
    draw_row(table, table->headings, widths, style == TABLE_TRIMMED ? TABLE_TRIMMED : TABLE_PLAIN, out);
    for (size_t column = 0; column < table->columns; column++) {
        fputs(column ? "-+-" : "-", out);
        for (int i = 0; i < widths[column]; i++)
            fputc('-', out);
    }
    fputs("-\n", out);
    for (size_t i = 0; i < table->count; i += table->columns)
        draw_row(table, (const char *const *)table->cells + i, widths, style, out);
}
