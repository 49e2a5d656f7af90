/* settings_text.h - what settings.def and pg/conf.def say, for people: the sample file and a part of raftmgr.conf(5).
 */
#ifndef RAFTMGR_CLI_SETTINGS_TEXT_H
#define RAFTMGR_CLI_SETTINGS_TEXT_H

#include "base/base.h"

/* raftmgr.conf.sample: every setting as a comment with its default. */
void settings_sample(FILE *out);

/* The lists of settings and of repmgr's unused parameters, in mdoc. */
void settings_manual(FILE *out);

/* The list of PostgreSQL's settings that raftmgr fixes (pg/conf.def), in mdoc. */
void settings_manual_postgresql(FILE *out);

#endif
