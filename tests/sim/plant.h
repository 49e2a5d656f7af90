/*
 * plant.h - planted bugs: proof that each checker can fail. They tamper with what passes between the manager and the
 * world, or with the world itself; the product has no switch for them.
 *
 * PLANT(NAME, "name", "checkers that may find it", "what is wrong")
 */
#ifndef RAFTMGR_SIM_PLANT_H
#define RAFTMGR_SIM_PLANT_H

#include "core/report.h"

#define PLANTS                                                                                                         \
    PLANT(LEASE_TOO_LONG, "lease-too-long", "G1", "the holder counts its lease twice as long as granted")              \
    PLANT(VOTER_FORGETS, "voter-forgets", "G1", "a voter says at once that its grants have ended (R12)")               \
    PLANT(NO_GUARD, "no-guard", "G1", "the guard does nothing")                                                        \
    PLANT(STALE_START, "stale-start", "G1 G2", "a restarted daemon acts before its HELLO is applied (R10)")            \
    PLANT(ROGUE_PROMOTE, "rogue-promote", "G2", "a standby promotes that nobody elected")                              \
    PLANT(NO_PLACEHOLDERS, "no-placeholders", "G2", "a promotion takes the next number that it knows of (R9)")         \
    PLANT(NO_DETACH, "no-fence-detach", "G3", "a fenced standby goes on receiving and says that it does not (R4)")     \
    PLANT(FORGED_REPORTS, "elect-ignores-demand", "G3", "silent members count as having reported")                     \
    PLANT(FOLLOW_DIVERGED, "follow-without-compare", "G3", "a diverged standby is pointed at the primary (R6)")        \
    PLANT(FOREIGN_PASSES, "foreign-passes", "G3 LIVE", "WAL made by hand passes for the newest given out (R36)")       \
    PLANT(NO_CHECKPOINT, "no-checkpoint", "G3", "a new primary says that it has a checkpoint, and has none (R6)")      \
    PLANT(FORMER_PASSES, "former-passes", "G3", "who was left behind streams on as if it were its successor (R7)")     \
    PLANT(OTHER_PASSES, "other-system-passes", "G7", "another system's data passes for the cluster's own")             \
    PLANT(EARLY_ACK, "early-ack", "G3", "PostgreSQL acknowledges without waiting")                                     \
    PLANT(SHORT_MEMORY, "short-memory", "G4", "voters forget how far the primary had come")                            \
    PLANT(MUTE_SWITCHOVER, "mute-switchover", "G5", "nothing ends a switchover")                                       \
    PLANT(START_UNFINISHED, "start-unfinished", "G7", "an unfinished data directory passes for a whole one")           \
    PLANT(NO_SIGNAL, "no-standby-signal", "G1", "nothing makes a standby of a primary that somebody else starts")      \
    PLANT(MUTE_FENCE, "mute-fence", "LIVE", "nobody is ever fenced")                                                   \
    PLANT(STATE_DIFFERS, "state-differs", "STATE", "one node applies an entry in its own way")                         \
    PLANT(NOT_OFF, "host-is-not-off", "G1", "an operator says of a host that runs that it is off (R17)")               \
    PLANT(NO_FLOOR, "word-keeps-nothing", "G3", "a word does not say what is kept")                                    \
    PLANT(WIDE_WORD, "word-too-wide", "G3", "who writes one member off gives all up (R30)")                            \
    PLANT(DOUBLE_VOTE, "double-vote", "RAFT", "a Raft server votes twice in a term")

enum plant {
    PLANT_NONE,
#define PLANT(name, text, finders, what) PLANT_##name,
    PLANTS
#undef PLANT
        PLANT_COUNT
};

struct host;
struct pg_action;
struct pg_seen;
struct world;
struct command;

/* By name; PLANT_NONE when there is no such plant. */
enum plant plant_by_name(const char *name);
const char *plant_name(enum plant plant);
const char *plant_finders(enum plant plant);

void plant_before_crank(struct host *host);
void plant_message(struct host *host, uint64_t from_raft_id, const struct message *message);
void plant_action(struct host *host, struct pg_action *action);
void plant_look(struct host *host, struct pg_seen *seen);
/* An operator's word about data, about to be said. */
void plant_word(const struct world *world, struct command *command);
/* This proposal is lost. */
bool plant_drops(struct host *host, const uint8_t *bytes, size_t length);

#endif
