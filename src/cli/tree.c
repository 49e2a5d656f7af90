/* tree.c - the commands of rmctl and what each takes. */
#include "cli/command.h"

#define END                                                                                                            \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

static const struct command primary_commands[] = {
    { .name = "register",
      .takes = TAKES_CONFIG | TAKES(FORCE),
      .brief = "found a cluster on the running server of this host, and register it as the primary",
      .more =
          "The daemon of this host must run, with an empty state directory and no \"join\" in its configuration. The\n"
          "server goes on running. --force writes the record of a primary that is registered already again.",
      .run = run_primary_register },
    END,
};

static const struct command standby_commands[] = {
    { .name = "clone",
      .takes = TAKES(CONFIG_FILE) | TAKES(HOST) | TAKES(PORT) | TAKES(USERNAME) | TAKES(DBNAME) | TAKES(BINDIR) |
               TAKES(REPLUSER) | TAKES(FAST) | TAKES(FORCE) | TAKES(DRY_RUN),
      .brief = "copy a running server into this node's empty data directory",
      .more = "Needs -h (or a connection string in -d), not the daemon. Makes the replication slot of this node and "
              "leaves\n"
              "the server stopped: raftmgrd starts it. --force moves the data directory of a stopped server\n"
              "that is there aside. Run it as the owner of the data directory.",
      .run = run_standby_clone },
    { .name = "register",
      .takes = TAKES_CONFIG | TAKES(FORCE) | TAKES(TIMEOUT),
      .brief = "make this node a voter and a candidate",
      .more = "The daemon of this host must run and be admitted (\"join\"). --force registers a node again, and admits "
              "one\n"
              "that has lost its state directory.",
      .run = run_standby_register },
    END,
};

static const struct command witness_commands[] = {
    { .name = "register",
      .takes = TAKES_CONFIG | TAKES(FORCE) | TAKES(TIMEOUT),
      .brief = "make this witness a voter",
      .more = "The daemon of this host must run and be admitted (\"join\"). --force as in standby register.",
      .run = run_witness_register },
    END,
};

static const struct command cluster_commands[] = {
    { .name = "show",
      .takes = TAKES_CONFIG | TAKES(CSV) | TAKES(COMPACT),
      .brief = "list the registered nodes, as repmgr does",
      .more = "Exit status 25 where a node is not as it should be.",
      .run = run_cluster_show },
    { .name = "event",
      .alias = "events",
      .takes = TAKES_CONFIG | TAKES(CSV) | TAKES(COMPACT) | TAKES(LIMIT) | TAKES(ALL) | TAKES(EVENT) | TAKES(NODE_ID) |
               TAKES(NODE_NAME),
      .brief = "list events, newest first",
      .run = run_cluster_event },
    END,
};

static const struct command failover_commands[] = {
    { .name = "status",
      .takes = TAKES_CONFIG,
      .brief = "what an open failover waits for, who is missing, and what would be lost without them",
      .run = run_failover_status },
    { .name = "accept-loss",
      .takes = TAKES_CONFIG | TAKES(ACCEPT_LOSS) | TAKES(DRY_RUN),
      .brief = "elect the best of those who report, though acknowledged commits may be missing",
      .more = "Without --accept-loss it changes nothing: it names what would be lost, and the word that accepts this "
              "loss\n"
              "and no other.",
      .run = run_accept_loss },
    { .name = "write-off",
      .args = "NODE",
      .args_min = 1,
      .args_max = 1,
      .takes = TAKES_CONFIG | TAKES(ACCEPT_LOSS) | TAKES(DRY_RUN),
      .brief = "give a node's data up for good: no failover waits for it any more",
      .more =
          "Without --accept-loss it changes nothing, as above. The node's data directory counts for nothing from then\n"
          "on; when it comes back it is rewound or cloned.",
      .run = run_write_off },
    { .name = "host-off",
      .args = "NODE",
      .args_min = 1,
      .args_max = 1,
      .takes = TAKES_CONFIG | TAKES(IS_OFF) | TAKES(DRY_RUN),
      .brief = "say that the host of the old primary is switched off, so that nothing waits for its end",
      .more = "Without --is-off it changes nothing, and gives the word. Refused while that node's daemon is heard.",
      .run = run_host_off },
    END,
};

static const struct command config_commands[] = {
    { .name = "show",
      .takes = TAKES_CONFIG,
      .brief = "show the settings of the cluster and of this node",
      .run = run_config_show },
    { .name = "set",
      .args = "NAME VALUE",
      .args_min = 2,
      .args_max = 2,
      .takes = TAKES_CONFIG,
      .brief = "change a setting of the cluster, on all nodes at once",
      .more = "A setting of a node is changed in its raftmgr.conf.",
      .run = run_config_set },
    END,
};

static const struct command secret_commands[] = {
    { .name = "create",
      .args = "[FILE]",
      .args_max = 1,
      .takes = TAKES(CONFIG_FILE),
      .brief = "make the cluster's secret; never overwrites a file",
      .more = "Without FILE, secret_file of raftmgr.conf. Copy the file to every node, mode 0600, owned by the "
              "daemon's user.",
      .run = run_secret_create },
    END,
};

static const struct command debug_commands[] = {
    { .name = "settings-sample", .brief = "raftmgr.conf.sample", .run = run_debug_sample },
    { .name = "settings-manual", .brief = "the settings' part of raftmgr.conf(5)", .run = run_debug_manual },
    { .name = "postgresql-manual",
      .brief = "PostgreSQL's settings in raftmgr.conf(5)",
      .run = run_debug_manual_postgresql },
    { .name = "render-status",
      .args = "FILE",
      .args_min = 1,
      .args_max = 1,
      .brief = "the text of a status object",
      .run = run_debug_status },
    END,
};

static const struct command top_commands[] = {
    { .name = "status",
      .takes = TAKES_CONFIG | TAKES(WATCH),
      .brief = "who is primary, who leads, how everyone is, what is in progress and why",
      .more = "Exit status 0 where the cluster accepts writes, nothing is in progress and no node has a problem; 25\n"
              "otherwise.",
      .run = run_status },
    { .name = "primary", .alias = "master", .brief = "found a cluster", .children = primary_commands },
    { .name = "standby", .brief = "add a PostgreSQL node", .children = standby_commands },
    { .name = "witness", .brief = "add a witness", .children = witness_commands },
    { .name = "cluster", .brief = "nodes and events as repmgr shows them", .children = cluster_commands },
    { .name = "propose-switchover",
      .takes = TAKES_CONFIG | TAKES(TO) | TAKES(DRY_RUN) | TAKES(TIMEOUT),
      .brief = "make a standby the primary, losing nothing",
      .more =
          "Without --to, the best candidate. It either completes or returns to the old primary. --dry-run prints each\n"
          "check and changes nothing.",
      .run = run_switchover },
    { .name = "failover", .brief = "a failover that waits, and the ways out", .children = failover_commands },
    { .name = "pause", .takes = TAKES_CONFIG, .brief = "stop failing over, for maintenance", .run = run_pause },
    { .name = "unpause", .takes = TAKES_CONFIG, .brief = "fail over again", .run = run_unpause },
    { .name = "config", .brief = "settings", .children = config_commands },
    { .name = "secret", .brief = "the cluster's secret", .children = secret_commands },
    { .name = "debug", .brief = "inner steps", .hidden = true, .children = debug_commands },
    END,
};

const struct command command_top = { .name = "rmctl", .children = top_commands };
