/* hba.c - the rules of who may connect, narrowed to the agent. See hba.h. */
#include "pg/hba.h"

#include <stdlib.h>

void hba_release(struct hba *hba)
{
    free(hba->setting);
}

int hba_prepare(struct pg *pg, struct hba *hba, struct err *err)
{
    (void)pg;
    (void)hba;
    (void)err;
    return 0;
}

int hba_refresh(struct pg *pg, const struct pg_conf *conf, struct err *err)
{
    (void)pg;
    (void)conf;
    (void)err;
    return 0;
}
