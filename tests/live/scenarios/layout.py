"""Debian's layout: configuration outside the data directory, as pg_createcluster makes it, and an archive."""

import os
import shutil

from cluster import Cluster, server_major
from shell import Failure, now_us, wait_for, write_file
from trial import Trial, scenario

FILES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
ARCHIVE = """archive_mode = on
archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f.new && mv {archive}/%f.new {archive}/%f'
restore_command = 'cp {archive}/%f %p'
"""
PLACES = """data_directory = '{data}'
hba_file = '{etc}/pg_hba.conf'
ident_file = '{etc}/pg_ident.conf'
"""
SLOT_SYNC = """wal_level = logical
hot_standby_feedback = on
sync_replication_slots = on
"""
INCLUDE_MAJOR = 16         # the first that lets pg_hba.conf include files
SLOT_SYNC_MAJOR = 17       # the first whose standbys copy logical slots
MINE = "# of this host"


class DebianCluster(Cluster):
    """Servers whose postgresql.conf and pg_hba.conf are in a directory of their own on each host."""

    def __init__(self, place, *args, **kwargs):
        super().__init__(place, *args, **kwargs)
        self.archive = os.path.join(place.directory, "archive")
        os.mkdir(self.archive, 0o700)
        os.chown(self.archive, *place.owner)
        for node in self.data_nodes:
            node.settings.update(config_directory=node.host.mkdir("etc"), rejoin="clone")

    def start_plain(self, node):
        """As Debian starts it, with the files where Debian has them."""
        etc = node.host.path("etc")
        for name in FILES:
            shutil.move(os.path.join(node.data, name), os.path.join(etc, name))
        self.own_places(node)
        with open(os.path.join(etc, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(ARCHIVE.format(archive=self.archive))
            file.write(SLOT_SYNC if server_major() >= SLOT_SYNC_MAJOR else "")
        if server_major() >= INCLUDE_MAJOR:
            self.include_rules(etc)
        node.pg_ctl("-w", "-l", node.host.path("log", "start.log"), "-o", f"-c config_file={etc}/postgresql.conf",
                    "start")

    def include_rules(self, etc):
        """Moves the rules into a file that pg_hba.conf includes by a relative name."""
        with open(os.path.join(etc, "pg_hba.conf"), encoding="utf-8") as file:
            write_file(os.path.join(etc, "rules.conf"), file.read(), 0o640, self.place.owner)
        write_file(os.path.join(etc, "pg_hba.conf"), "include rules.conf\n", 0o640, self.place.owner)

    def own_places(self, node):
        """Names the node's own directories in its postgresql.conf, instead of those of the host it was copied from."""
        path = node.host.path("etc", "postgresql.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read().split(f"{MINE}\n")[-1]
        places = PLACES.format(data=node.data, etc=node.host.path("etc"))
        write_file(path, f"{places}{MINE}\n{text}", 0o644, self.place.owner)

    def join(self, node):
        """The operator puts the same configuration onto the new host first."""
        if node.is_data:
            etc = self.nodes[0].host.path("etc")
            for name in os.listdir(etc):
                shutil.copy2(os.path.join(etc, name), node.host.path("etc", name))
                os.chown(node.host.path("etc", name), *self.place.owner)
            self.own_places(node)
        return super().join(node)


def went_well(node, action):
    """How often an action of a node's daemon has ended well."""
    with open(node.host.path("daemon.log"), encoding="utf-8") as file:
        return sum(f' pg.done node={node.number} action="{action}" ' in line for line in file)


def in_the_data_directory(node):
    """Holds that nothing has put configuration where it would be taken for the server's."""
    left = [name for name in FILES if os.path.exists(os.path.join(node.data, name))]
    if left:
        raise Failure(f"{node.name} has {left} in its data directory")


def one_trial(cluster, note, what):
    """A trial of its own on the same cluster; returns the node that was primary."""
    trial = Trial(cluster, "quorum", note)
    try:
        what(trial)
        trial.finish()
    finally:
        trial.stop()
    for node in cluster.data_nodes:
        in_the_data_directory(node)
    return trial.primary


def lose_daemon(trial):
    """The server goes on until its guard stops it: what it wrote meanwhile is nobody's, and is rewound."""
    trial.fault(trial.primary.stop_daemon(9))
    trial.failover()
    trial.all_silent(trial.primary)


def lose_everything(trial):
    """All hosts at once, the standby's boots late: the primary starts in its place, at first for raftmgrd alone."""
    trial.fault(now_us())
    for node in trial.cluster.nodes:
        node.host.kill()
    for node in [trial.primary] + trial.cluster.witnesses:
        node.boot()
    wait_for("the start in place", lambda: went_well(trial.primary, "start in place"), 30)
    trial.heal()
    trial.writes_again(deadline_s=60)


def lose_data(trial):
    """The standby's data directory is lost, its configuration is not."""
    standby = trial.standbys[0]
    trial.fault(standby.host.kill())
    shutil.rmtree(standby.data)
    standby.boot()
    wait_for("the clone", lambda: went_well(standby, "clone"), 60)


def logical_slot(primary, standby):
    """A standby copies the primary's logical slots, over primary_conninfo."""
    primary.sql("SELECT pg_create_logical_replication_slot('app', 'pgoutput', false, false, true)", database="app")

    def copied():
        primary.sql("SELECT pg_replication_slot_advance('app', pg_current_wal_lsn())", database="app")
        return standby.sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = 'app' AND synced AND NOT temporary")
    wait_for("the standby to copy the logical slot", copied, 60, 0.2)


@scenario(durability=())
def debian_layout(stage, note):
    """configuration outside the data directories, and an archive: clone, switchover, rewind, start in place, clone"""
    cluster = DebianCluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    cluster.found()
    first, second = cluster.data_nodes
    if server_major() >= SLOT_SYNC_MAJOR:
        logical_slot(first, second)
    second.rmctl("propose-switchover", "--to", second.name, timeout_s=90)
    cluster.wait_settled()
    rewound = one_trial(cluster, note, lose_daemon)
    if not went_well(rewound, "rewind"):
        raise Failure(f"{rewound.name} came back without the rewind that was to be tried")
    one_trial(cluster, note, lose_everything)
    one_trial(cluster, note, lose_data)
