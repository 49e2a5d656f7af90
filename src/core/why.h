/*
 * why.h - reasons of plans: why.def as numbers, names and texts.
 */
#ifndef RAFTMGR_WHY_H
#define RAFTMGR_WHY_H

enum why {
#define WHY(name, text) WHY_##name,
#include "core/why.def"
#undef WHY
    WHY_COUNT
};

const char *why_name(enum why why); /* "PRIMARY_NO_LEASE" */
const char *why_text(enum why why); /* "the old primary's lease may still be valid" */

#endif
