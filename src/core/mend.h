/*
 * mend.h - a server that ends by itself in its recovery whenever it is started as a standby.
 *
 * Starting it again does not mend it: its WAL, its control file or a page of it is not what recovery needs. After
 * MEND_TRIES such starts in a row it is rewound, and if it still ends so, cloned, each once under one token and as far
 * as `rejoin` allows; then only a person helps. What is counted is lost with the daemon, and then counted again: the
 * worst is one more rewind, which does nothing where nothing has diverged, and one more clone, which the adapter
 * refuses while the data directory that an earlier one set aside under this token is still there.
 */
#ifndef RAFTMGR_MEND_H
#define RAFTMGR_MEND_H

#include "core/instance.h"
#include "core/settings.h"

#define MEND_TRIES 3
#define MEND_REWINDS 2 /* a rewind that failed so often has been tried */

/* Zeroed: all is well. */
struct mend {
    uint32_t ended;         /* starts in a row that ended in recovery, since the last rewind or clone */
    uint32_t rewind_failed; /* rewinds in a row that failed while mending */
    struct token under;     /* the primary's token that `tried` is about */
    enum act_kind tried;    /* ACT_NONE, ACT_REWIND or ACT_CLONE */
};

/* An action that was begun under this token has ended. */
void mend_note(struct mend *mend, const struct pg_result *result, struct token under);

/* The server ends in recovery, and starting it again is no way out. */
bool mend_due(const struct mend *mend);

/* What to try under this token: ACT_REWIND, ACT_CLONE, or ACT_NONE where nothing is left that is allowed. */
enum act_kind mend_next(const struct mend *mend, struct token under, enum rejoin rejoin, bool can_rewind);

#endif
