/*
 * timelines.h - which timelines the log gave out, and which WAL is the cluster's own (R9, R36; decision 0013).
 */
#ifndef RAFTMGR_TIMELINES_H
#define RAFTMGR_TIMELINES_H

#include "core/types.h"

#define GIVEN_MAX 32 /* timelines given out that are remembered */

struct cluster;

/* A timeline that the log gave out. A server of the cluster gets WAL of it from that promotion alone (R9). */
struct given {
    struct timeline timeline;
    int32_t node_id;        /* to whom: nobody else's server is a primary on it */
    struct timeline parent; /* of the last record before it; 0: the founder's own */
    struct lsn begin;       /* where it begins, once PROMOTED said so; 0: not known to the log */
};

/* What is remembered of a timeline that was given out; NULL for any other. */
const struct given *cluster_given(const struct cluster *cluster, struct timeline timeline);
/* This number is the founder's or was given out by an ELECT. One that was not was made by hand, or is not known yet. */
bool cluster_gave_out(const struct cluster *cluster, struct timeline timeline);
/*
 * This number may be taken out of use (RESERVE). One far beyond all others is no promotion's of this cluster: the next
 * winner, and every later one, would have to fill the row up to it (G6).
 */
bool cluster_may_reserve(const struct cluster *cluster, struct timeline timeline);
/*
 * WAL whose last record is of `timeline`, with this history (of that timeline), is the cluster's own as far as the log
 * can tell: each timeline in it was given out, came from the parent it was given out for, and begins where its winner
 * reported. Other WAL is foreign: it counts and ranks nowhere, follows nobody, and may be written over (R36). Only
 * meaningful for a timeline up to timeline_max; of timeline 0, which is not known, nothing is said against.
 */
bool cluster_owns_wal(const struct cluster *cluster, const struct history *history, struct timeline timeline);

#endif
