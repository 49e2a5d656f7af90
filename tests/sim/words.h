/* words.h - an operator who speaks while a failover waits, and what was meant by it: words.c. */
#ifndef RAFTMGR_SIM_WORDS_H
#define RAFTMGR_SIM_WORDS_H

#include "server.h"

struct command;
struct host;

#define WORDS_MAX 64

/* What an operator meant by a word: words.c. */
struct meant {
    uint64_t token, expect;
    int32_t node_id;
    uint32_t timeline; /* of the primary that was replaced */
    struct wal kept;
    uint32_t asked; /* WRITE_OFF: hosts that the demands still ask for; all that they hold is kept */
};

struct words_said {
    uint32_t step, behind, said_count;
    int64_t next_us, waits_us;
    uint32_t meant_count;
    struct meant meant[WORDS_MAX];
    struct meant said[WORDS_MAX];
};

void words_moment(struct world *world);
void words_committed(struct world *world, const struct command *command); /* it has taken effect */
/* The newest word about data that took effect under this token; NULL: none did. */
const struct meant *words_under(const struct world *world, uint64_t token);
/* Some word has given this commit up. */
bool words_give_up(const struct world *world, struct wal commit);
/* Who has this commit of those whom the word still asked for; NULL: nobody. */
const struct host *words_keep(const struct world *world, const struct meant *word, struct wal commit);
/* A word before this one has given the commit up for good: nobody whom that one asked for has it. */
bool words_gave_up_before(const struct world *world, const struct meant *word, struct wal commit);

#endif
