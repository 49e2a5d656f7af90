/*
 * survive.h - would writes go on, or resume by themselves, after the loss of any one host more?
 *
 * The question is asked for each member whose daemon is heard: without it, is there a majority of the voters, and is
 * there a primary, or a standby that may be elected because the rest of the standbys meet the demands? Members that are
 * away already count for nothing. For people; nothing is decided by it.
 */
#ifndef RAFTMGR_SURVIVE_H
#define RAFTMGR_SURVIVE_H

#include "core/candidate.h"

#define SURVIVE_WHY_SIZE (4 * TEXT_SIZE)

/* heard[] goes by index in cluster->members, this node's own report included. When false, ret_why (size
 * SURVIVE_WHY_SIZE) says for which hosts, and why; otherwise it is empty. */
bool survive_one_more(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], char *ret_why);

#endif
