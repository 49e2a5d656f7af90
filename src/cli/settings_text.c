/* settings_text.c - the sample file and the manual's list of settings. See settings_text.h. */
#include "cli/settings_text.h"

#include "core/settings.h"

#define WIDTH 96

/* Prints words, each line behind `before` and not longer than WIDTH where words allow. */
static void print_wrapped(const char *text, const char *before, FILE *out)
{
    size_t column = 0;

    while (*text) {
        size_t length = strcspn(text, " ");
        if (column && column + 1 + length > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (!column)
            column = (size_t)fprintf(out, "%s", before);
        else
            column += (size_t)fprintf(out, " ");
        column += (size_t)fprintf(out, "%.*s", (int)length, text);
        text += length + strspn(text + length, " ");
    }
    fputc('\n', out);
}

/* "a, b or c" of "a|b=x|c". */
static void words_text(const char *words, char *text, size_t size)
{
    text[0] = '\0';
    while (words) {
        const char *next = strchr(words, '|');
        size_t used = strlen(text);
        (void)snprintf(text + used, size - used, "%s%.*s",
                       !used  ? ""
                       : next ? ", "
                              : " or ",
                       (int)strcspn(words, "|="), words);
        words = next ? next + 1 : NULL;
    }
}

/* "200ms to 1min", "off or on"; "" for texts. */
static void range_text(const struct setting *row, char *text, size_t size)
{
    char low[32];
    char high[32];

    settings_bound_text(row, row->min, low, sizeof low);
    settings_bound_text(row, row->max, high, sizeof high);
    if (row->words)
        words_text(row->words, text, size);
    else if (!low[0])
        text[0] = '\0';
    else if (row->max == INT32_MAX)
        (void)snprintf(text, size, "from %s", low);
    else
        (void)snprintf(text, size, "%s to %s", low, high);
}

static bool plain(const char *value)
{
    return *value && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(value);
}

static void sample_row(const struct setting *row, FILE *out)
{
    char range[TEXT_SIZE];
    char facts[2 * TEXT_SIZE];

    range_text(row, range, sizeof range);
    (void)snprintf(facts, sizeof facts, "%s%s%s", range, range[0] ? "; " : "",
                   row->scope == SCOPE_CLUSTER ? "of the cluster: later changes by rmctl config set"
                   : row->reload               ? "changes by a reload (SIGHUP)"
                                               : "changes by a restart of raftmgrd");
    fputc('\n', out);
    print_wrapped(row->text, "# ", out);
    fprintf(out, "# (%s)\n", facts);
    fprintf(out, plain(row->fallback) ? "#%s = %s\n" : "#%s = '%s'\n", row->name, row->fallback);
}

void settings_sample(FILE *out)
{
    const struct setting *row;
    const char *why;
    const char *name;

    fputs("# raftmgr.conf - settings of one node. See raftmgr.conf(5).\n"
          "#\n"
          "# name = value; values with anything but letters and digits in single quotes. Each setting stands here\n"
          "# with its default. The syntax and the common names are repmgr.conf's.\n",
          out);
    for (size_t i = 0; (row = settings_row(i)); i++) {
        if (settings_heading(i))
            fprintf(out, "\n\n# --- %s ---\n", settings_heading(i));
        sample_row(row, out);
    }
    fputs("\n\n# --- Parameters of repmgr that may stay here and do nothing ---\n#\n", out);
    for (size_t i = 0; (name = settings_repmgr_row(i, &why)); i++)
        if (*why)
            fprintf(out, "# %s: %s\n", name, why);
}

/* mdoc wants each sentence on a line of its own. */
static void print_sentences(const char *text, FILE *out)
{
    for (const char *end; (end = strstr(text, ". ")); text = end + 2)
        fprintf(out, "%.*s\n", (int)(end + 1 - text), text);
    fprintf(out, "%s\n", text);
}

static void manual_row(const struct setting *row, FILE *out)
{
    char range[TEXT_SIZE];

    range_text(row, range, sizeof range);
    fprintf(out, ".It Ic %s\n", row->name);
    print_sentences(row->text, out);
    if (row->fallback[0] || range[0])
        fputs(".br\n", out);
    if (range[0])
        fprintf(out, "Values: %s.\n", range);
    if (row->fallback[0])
        fprintf(out, "Default: %s.\n", row->fallback);
    if (row->scope == SCOPE_NODE && row->reload)
        fputs("Changes by a reload.\n", out);
}

void settings_manual(FILE *out)
{
    const struct setting *row;
    const char *why;
    const char *name;

    for (size_t i = 0; (row = settings_row(i)); i++) {
        if (settings_heading(i))
            fprintf(out, "%s.Ss %s\n.Bl -tag -width Ds\n", i ? ".El\n" : "", settings_heading(i));
        manual_row(row, out);
    }
    fputs(".El\n.Ss Parameters of repmgr that do nothing\n.Bl -tag -width Ds -compact\n", out);
    for (size_t i = 0; (name = settings_repmgr_row(i, &why)); i++)
        if (*why)
            fprintf(out, ".It Ic %s\n%s\n", name, why);
    fputs(".El\n", out);
}

/* Those with a fixed value; raftmgr.conf(5) itself tells of the others. */
void settings_manual_postgresql(FILE *out)
{
    fputs(".Bl -tag -width Ds -compact\n", out);
#define CONF(name, value, why) fprintf(out, ".It Ic %s No = Li \"'%s'\"\n%s\n", name, value, why);
#include "pg/conf.def"
#undef CONF
    fputs(".El\n", out);
}
