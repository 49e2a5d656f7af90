/* rewind.c - rewinds and clones. */
#include "pg/adapter.h"

static void refuse(struct pg *pg)
{
    struct err err = { 0 };
    act_finish(pg, err_set(&err, ERR_REFUSED, "%s: not possible yet", act_name(pg->act.what.kind)), &err);
}

void verb_rewind(struct pg *pg)
{
    refuse(pg);
}

void verb_clone(struct pg *pg)
{
    refuse(pg);
}
