/* schema.c - makes the repmgr schema equal to the committed state. See schema.h. */
#include "pg/adapter.h"

static void later(uv_timer_t *timer)
{
    struct pg *pg = timer->data;

    pg->schema.running = false;
    pg->callbacks.schema_done(pg->callbacks.ctx, -ERR_REFUSED, "not possible yet");
}

void pg_schema(struct pg *pg, const struct pg_schema *schema)
{
    (void)schema;
    pg->schema.running = true;
    (void)uv_timer_start(&pg->schema.later, later, 0, 0);
}

static void closed(uv_handle_t *handle)
{
    struct pg *pg = handle->data;
    pool_remove(&pg->pool);
}

void schema_begin(struct pg *pg)
{
    (void)uv_timer_init(pg->pool.loop, &pg->schema.later);
    pg->schema.later.data = pg;
    pool_add(&pg->pool);
}

void schema_end(struct pg *pg)
{
    uv_close((uv_handle_t *)&pg->schema.later, closed);
}
