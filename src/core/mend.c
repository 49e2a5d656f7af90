/* mend.c - a server that ends in its recovery. See mend.h. */
#include "core/mend.h"

bool mend_due(const struct mend *mend)
{
    return mend->ended >= MEND_TRIES;
}

static void note_start(struct mend *mend, const struct pg_result *result)
{
    if (result->code == 0)
        *mend = (struct mend){ 0 };
    else if (result->ended_in_recovery && mend->ended < MEND_TRIES)
        mend->ended++;
}

static void note_rework(struct mend *mend, enum act_kind kind, struct token under)
{
    *mend = (struct mend){ .ended = mend->ended, .under = under, .tried = kind };
}

static void note_rewind(struct mend *mend, const struct pg_result *result, struct token under)
{
    /* One that was made because WAL had diverged is not counted: after it another may help. */
    bool mending = mend_due(mend);

    if (result->code == 0) {
        mend->ended = 0;
        if (mending)
            note_rework(mend, ACT_REWIND, under);
    } else if (mending && ++mend->rewind_failed >= MEND_REWINDS) {
        note_rework(mend, ACT_REWIND, under);
    }
}

static void note_clone(struct mend *mend, const struct pg_result *result, struct token under)
{
    if (result->code == 0)
        mend->ended = 0;
    /* ERR_REJOIN: there has been one under this token already. */
    if (result->code == 0 || result->code == -(int)ERR_REJOIN)
        note_rework(mend, ACT_CLONE, under);
}

void mend_note(struct mend *mend, const struct pg_result *result, struct token under)
{
    if (result->code == -(int)ERR_CANCELED)
        return;
    switch (result->kind) {
    case ACT_START_STANDBY:
        note_start(mend, result);
        break;
    case ACT_REWIND:
        note_rewind(mend, result, under);
        break;
    case ACT_CLONE:
        note_clone(mend, result, under);
        break;
    default:
        break;
    }
}

enum act_kind mend_next(const struct mend *mend, struct token under, enum rejoin rejoin, bool can_rewind)
{
    enum act_kind tried = token_is(mend->under, under) ? mend->tried : ACT_NONE;

    if (rejoin == REJOIN_FOLLOW || tried == ACT_CLONE)
        return ACT_NONE;
    if (tried == ACT_NONE && can_rewind)
        return ACT_REWIND;
    return rejoin == REJOIN_CLONE ? ACT_CLONE : ACT_NONE;
}
