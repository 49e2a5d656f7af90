/* agenda.c - a binary heap. See agenda.h. */
#include "agenda.h"

void agenda_clear(struct agenda *agenda)
{
    agenda->order = 0;
    agenda->count = 0;
}

static bool before(const struct moment *left, const struct moment *right)
{
    return left->at_us != right->at_us ? left->at_us < right->at_us : left->order < right->order;
}

void agenda_put(struct agenda *agenda, struct moment moment)
{
    assert(agenda->count < AGENDA_MAX);
    moment.order = ++agenda->order;
    uint32_t at = agenda->count++;
    while (at > 0 && before(&moment, &agenda->heap[(at - 1) / 2])) {
        agenda->heap[at] = agenda->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    agenda->heap[at] = moment;
}

bool agenda_take(struct agenda *agenda, struct moment *ret_moment)
{
    if (agenda->count == 0)
        return false;
    *ret_moment = agenda->heap[0];
    struct moment last = agenda->heap[--agenda->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= agenda->count)
            break;
        if (child + 1 < agenda->count && before(&agenda->heap[child + 1], &agenda->heap[child]))
            child++;
        if (!before(&agenda->heap[child], &last))
            break;
        agenda->heap[at] = agenda->heap[child];
        at = child;
    }
    agenda->heap[at] = last;
    return true;
}
