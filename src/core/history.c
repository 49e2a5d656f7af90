/* history.c - timeline arithmetic. See history.h. */
#include "core/history.h"

#include <stdlib.h>

#define NUMBER_TEXT_MAX 16 /* longer words are no numbers */

/* The next word of a line; false at its end. Moves *at behind the word. */
static bool next_word(const char **at, const char *end, const char **ret_word, size_t *ret_length)
{
    const char *start = *at;

    while (start < end && (*start == ' ' || *start == '\t' || *start == '\r'))
        start++;
    const char *stop = start;
    while (stop < end && *stop != ' ' && *stop != '\t' && *stop != '\r')
        stop++;
    *at = stop;
    *ret_word = start;
    *ret_length = (size_t)(stop - start);
    return stop > start;
}

static bool digits_only(const char *text, size_t length, int base)
{
    const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";

    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0' || !strchr(digits, text[i]))
            return false;
    return length > 0;
}

static bool read_number(const char *text, size_t length, int base, uint32_t *ret_number)
{
    char copy[NUMBER_TEXT_MAX];

    if (length >= sizeof copy || !digits_only(text, length, base))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    unsigned long long number = strtoull(copy, NULL, base);
    if (number > UINT32_MAX)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

static bool read_lsn(const char *text, size_t length, struct lsn *ret_lsn)
{
    const char *slash = memchr(text, '/', length);
    uint32_t high, low;

    if (!slash || !read_number(text, (size_t)(slash - text), 16, &high) ||
        !read_number(slash + 1, length - (size_t)(slash - text) - 1, 16, &low))
        return false;
    ret_lsn->at = (uint64_t)high << 32 | low;
    return true;
}

/* Reads one line. Returns true with *ret_row->timeline 0 for a line without a row, false for one that is wrong. */
static bool read_row(const char *line, size_t length, struct history_row *ret_row)
{
    const char *at = line, *end = line + length, *word;
    size_t word_length;

    *ret_row = (struct history_row){ 0 };
    if (!next_word(&at, end, &word, &word_length) || word[0] == '#')
        return true;
    if (!read_number(word, word_length, 10, &ret_row->timeline.no) || ret_row->timeline.no == 0)
        return false;
    return next_word(&at, end, &word, &word_length) && read_lsn(word, word_length, &ret_row->end);
}

static bool row_fits(const struct history *history, const struct history_row *row, struct timeline timeline)
{
    if (row->timeline.no >= timeline.no)
        return false;
    if (history->count == 0)
        return true;
    const struct history_row *last = &history->rows[history->count - 1];
    return row->timeline.no > last->timeline.no && lsn_cmp(row->end, last->end) >= 0;
}

static void add_row(struct history *history, const struct history_row *row)
{
    if (history->count == HISTORY_MAX) {
        memmove(&history->rows[0], &history->rows[1], (HISTORY_MAX - 1) * sizeof history->rows[0]);
        history->count--;
    }
    history->rows[history->count++] = *row;
}

int history_parse(const char *text, size_t length, struct timeline timeline, struct history *ret_history,
                  struct err *err)
{
    struct history history = { 0 };
    const char *end = text + length;

    for (unsigned line_no = 1; text < end; line_no++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line_length = stop ? (size_t)(stop - text) : (size_t)(end - text);
        struct history_row row;

        if (!read_row(text, line_length, &row))
            return err_set(err, ERR_CORRUPT, "history of timeline %" PRIu32 ", line %u: cannot be read", timeline.no,
                           line_no);
        if (row.timeline.no != 0 && !row_fits(&history, &row, timeline))
            return err_set(err, ERR_CORRUPT,
                           "history of timeline %" PRIu32 ", line %u: timeline %" PRIu32 " is out of order",
                           timeline.no, line_no, row.timeline.no);
        if (row.timeline.no != 0)
            add_row(&history, &row);
        text += stop ? line_length + 1 : line_length;
    }
    *ret_history = history;
    return 0;
}

bool history_contains(const struct history *target, struct timeline target_timeline, struct timeline timeline,
                      struct lsn end)
{
    if (timeline.no == 0)
        return false;
    if (timeline.no == target_timeline.no)
        return true;
    for (uint32_t i = 0; i < target->count; i++)
        if (target->rows[i].timeline.no == timeline.no)
            return lsn_cmp(end, target->rows[i].end) <= 0;
    return false;
}

static uint32_t row_count(struct lineage lineage)
{
    return lineage.timeline.no == 0 ? 0 : lineage.history->count + 1;
}

/* The rows of the history, then the present timeline up to the server's end. */
static struct history_row row_at(struct lineage lineage, uint32_t index)
{
    if (index < lineage.history->count)
        return lineage.history->rows[index];
    struct lsn without_limit = { UINT64_MAX };
    return (struct history_row){ lineage.timeline, lineage.end.at == 0 ? without_limit : lineage.end };
}

/* Skips the rows that the other history may have dropped as too old: they are common by construction. */
static uint32_t first_row(struct lineage lineage, struct lineage other)
{
    uint32_t index = 0;

    if (row_count(other) <= HISTORY_MAX)
        return 0;
    while (index < row_count(lineage) && row_at(lineage, index).timeline.no < row_at(other, 0).timeline.no)
        index++;
    return index;
}

struct fork history_fork(struct lineage server, struct lineage target)
{
    uint32_t i = first_row(server, target), j = first_row(target, server);
    struct fork fork = { .diverged = row_count(server) > 0 };

    for (; i < row_count(server) && j < row_count(target); i++, j++) {
        struct history_row left = row_at(server, i), right = row_at(target, j);
        if (left.timeline.no != right.timeline.no)
            break;
        fork.timeline = left.timeline;
        fork.at = lsn_cmp(left.end, right.end) < 0 ? left.end : right.end;
        fork.diverged = i + 1 < row_count(server) || lsn_cmp(left.end, fork.at) > 0;
        /* The next timeline, where both have one of the same number, began at the same place or is another. */
        if (lsn_cmp(left.end, right.end) != 0)
            break;
    }
    if (fork.at.at == UINT64_MAX)
        fork.at.at = 0;
    return fork;
}
