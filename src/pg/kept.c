/* kept.c - saves and restores configuration files around a rewind or clone. See kept.h. */
#include "pg/kept.h"

#include "base/file.h"
#include "pg/programs.h"

void kept_directory(const struct pg *pg, struct token token, char *path)
{
    (void)snprintf(path, PLACE_PATH_SIZE, "%s/kept-%" PRIu64, pg->config.state_directory, token.no);
}

int kept_save(struct pg *pg, const char *what, struct token *ret_token, struct err *err)
{
    char path[PLACE_PATH_SIZE];
    char marked[16];
    struct token token = pg->act.what.token;

    if (place_unfinished(&pg->config, marked, ret_token))
        return 0;
    kept_directory(pg, token, path);
    if (!pg->act.what.strange && programs_major(pg->config.data_directory) > 0) {
        int failed = place_copy_confs(pg->config.data_directory, path, err);
        if (failed)
            return failed;
    }
    *ret_token = token;
    return place_mark_unfinished(&pg->config, what, token, err);
}

int kept_restore(struct pg *pg, struct token token, struct err *err)
{
    char path[PLACE_PATH_SIZE];

    kept_directory(pg, token, path);
    int failed = file_exists(path) ? place_copy_confs(path, pg->config.data_directory, err) : 0;
    return failed ? failed : place_no_stand_in(&pg->config, err); /* a rewind's was kept with the rest */
}
