"""Directories that vanish or fill up under a running member."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

from cluster import Cluster
from shell import Failure, now_us, run, wait_for
from trial import Trial, scenario

LEASE_S = 4
STATE_MB = 24
DATA_MB = 300
WAL_MB = 256
SEGMENTS = 12
WAL_CONF = "max_wal_size = '64MB'\nmin_wal_size = '32MB'\n"
TINY_MB = 2
FILLER_BYTES = 1_300_000
ENTRIES = 1300      # more than the log keeps between two snapshots
CLERKS = 8          # who send them at the same time


@scenario(durability=("quorum",))
def runtime_emptied(trial):
    """the primary's runtime directory is emptied and its daemon restarted: one guard, no outage, control answers"""
    primary = trial.primary
    guards = primary.guard_pids()
    trial.fault(now_us())
    shutil.rmtree(primary.host.path("run"))
    primary.host.mkdir("run", 0o700)
    primary.stop_daemon()
    primary.start_daemon()
    trial.cluster.wait_control(primary)
    trial.silence(2 * LEASE_S)
    trial.outage_below(LEASE_S * 1_000_000 // 2)
    if primary.guard_pids() != guards:
        raise Failure(f"the guards were {guards} and are {primary.guard_pids()}")
    trial.no_failover()
    # Settings can be changed: what PostgreSQL includes from there is back.
    trial.cluster.config_set("durability", "async")
    wait_for("the start latch", lambda: os.path.exists(primary.host.path("run", f"latch-{primary.number}.conf")), 20)
    trial.cluster.config_set("durability", "quorum")


class SmallDisks:
    """Gives a directory of each node a small file system of its own."""

    def __init__(self, nodes, owner, name="state", size_mb=STATE_MB):
        self.paths = []
        for node in nodes:
            path = node.host.path(name)
            os.makedirs(path, exist_ok=True)
            run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=700", "raftmgr-live", path])
            os.chown(path, *owner)
            self.paths.append(path)

    def close(self):
        """Also where something still uses them."""
        for path in self.paths:
            run(["umount", "-l", path], check=False)


def fill(path):
    """Takes all room that is left."""
    with open(path, "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


def churn(node, count):
    """Commits many small changes, several at a time: enough for a snapshot."""
    def send(number):
        try:
            node.ask("config_set", name="maximum_lag_on_failover", value=f"{1 + number % 100}MB")
        except Failure as failure:  # the later of two at a time is in the log too, and refused when it is applied
            if "REFUSED" not in str(failure):
                raise
    with ThreadPoolExecutor(CLERKS) as clerks:
        list(clerks.map(send, range(count)))


def log_has(node, text):
    with open(node.host.path("daemon.log"), encoding="utf-8", errors="replace") as file:
        return text in file.read()


def fill_and_work(trial, node):
    """No room for new segments and snapshots while the others go on committing."""
    filler = node.host.path("state", "filler")
    for _ in range(2):  # again: a snapshot sets some free
        fill(filler)
        churn(trial.cluster.others(node)[0], ENTRIES)
    trial.writes_again()
    os.unlink(filler)


def fill_and_fall_behind(trial, node):
    """No room for the snapshot by which it would catch up: it says so, and goes on once there is."""
    filler = node.host.path("state", "filler")
    node.daemon.send_signal(signal.SIGSTOP)
    churn(trial.primary, ENTRIES)
    fill(filler)
    node.daemon.send_signal(signal.SIGCONT)
    wait_for(f"{node.name} to say that its log cannot be written",
             lambda: "cannot be written" in str((node.status() or {}).get("problems")), 30)
    trial.writes_again()
    os.unlink(filler)


@scenario(durability=(), root=True)
def state_disk_full(stage, note):
    """each member's state directory fills up while it works: the cluster goes on; with room again the member does too"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    disks = SmallDisks(cluster.nodes, cluster.place.owner)
    trial = None
    try:
        cluster.found()
        trial = Trial(cluster, "quorum", note)
        trial.fault(now_us())
        witness, standby = cluster.witnesses[0], trial.standbys[0]
        for harm, node in ((fill_and_work, witness), (fill_and_work, standby), (fill_and_work, trial.primary),
                           (fill_and_fall_behind, witness), (fill_and_fall_behind, standby)):
            note(f"{node.name}{' (the leader)' if node is cluster.leader() else ''}")
            harm(trial, node)
            cluster.wait_settled(60)
        trial.no_failover()
        trial.finish()
    finally:
        if trial:
            trial.stop()
        for node in cluster.nodes:
            node.host.kill()
        disks.close()


@scenario(root=True)
def state_read_only(trial):
    """a member can write no term any more: it starts itself anew until it can, and the cluster goes on meanwhile"""
    cluster = trial.cluster
    leader = wait_for("a leader elsewhere", lambda: cluster.leader() not in (None, trial.primary) and cluster.leader(), 20)
    node = cluster.others(trial.primary, leader)[0]
    state = node.host.path("state")
    pid = node.daemon.pid
    run(["mount", "--bind", state, state])
    try:
        run(["mount", "-o", "remount,bind,ro", state])
        trial.fault(now_us())
        leader.stop_daemon()  # another term begins
        leader.start_daemon()
        wait_for(f"{node.name} to start itself anew in vain", lambda: log_has(node, "time=3"), 30)
        trial.writes_again()
    finally:
        run(["umount", "-l", state])
    cluster.wait_settled(60)
    if node.daemon.pid != pid or not node.daemon_runs():
        raise Failure(f"{node.name}'s daemon should be the process that it was")
    trial.no_failover()


@scenario(durability=(), root=True)
def data_disk_full(stage, note):
    """no room in the primary's data directory: it panics, another takes over; with room again it comes back by itself"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    disks = SmallDisks(cluster.nodes[:1], cluster.place.owner, "data", DATA_MB)
    trial = None
    try:
        cluster.found()
        trial = Trial(cluster, "quorum", note)
        node = trial.primary
        filler = os.path.join(node.data, "filler")
        trial.fault(now_us())
        fill(filler)
        trial.failover()
        fill(filler)  # what the crash has set free
        trial.silence(2 * LEASE_S)
        trial.writes_again()
        os.unlink(filler)
        trial.finish()
    finally:
        if trial:
            trial.stop()
        for node in cluster.nodes:
            node.host.kill()
        disks.close()


class WalCluster(Cluster):
    """pg_wal is a link to a small file system of its own on each host, as operators make it."""

    def own_disk(self, node):
        wal = node.host.path("wal", "pg_wal")  # what else lies there, pg_rewind leaves alone
        node.write_local_conf(WAL_CONF)
        node.host.run(["sh", "-c", f"mv {node.data}/pg_wal {wal} && ln -s {wal} {node.data}/pg_wal"])

    def start_plain(self, node):
        self.own_disk(node)
        super().start_plain(node)

    def clone(self, node, source, *options, check=True):
        done = super().clone(node, source, *options, check=check)
        self.own_disk(node)
        return done


def use_up_wal(primary, over):
    """Asks a primary for new segments until what must come of it has come, or for more than the recycled ones."""
    primary.sql("SET synchronous_commit = local; CREATE TABLE IF NOT EXISTS public.used (n serial)")
    for _ in range(SEGMENTS):
        try:
            primary.sql("SET synchronous_commit = local; INSERT INTO public.used DEFAULT VALUES; SELECT pg_switch_wal()")
        except Failure:
            pass  # it has died
        if over():
            return
    raise Failure(f"{SEGMENTS} segments found room")


def says_full(cluster, node):
    """Somebody's status gives the reason."""
    return any("No space left" in str(member) for status in cluster.statuses()
               for member in status.get("members") or [] if member["node_id"] == node.number)


@scenario(durability=(), root=True)
def wal_disk_full(stage, note):
    """pg_wal alone, on its own file system, is full: on the primary, then on the standby; each comes back by itself"""
    cluster = WalCluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    disks = SmallDisks(cluster.data_nodes, cluster.place.owner, "wal", WAL_MB)
    trial = None
    try:
        cluster.found()
        trial = Trial(cluster, "quorum", note)
        first, second = trial.primary, trial.standbys[0]
        fillers = {node: node.host.path("wal", "filler") for node in cluster.data_nodes}

        trial.fault(now_us())
        fill(fillers[first])
        use_up_wal(first, lambda: first.postmaster() is None)
        os.unlink(fillers[first])  # a rewind that finds no room leaves nothing but a clone
        trial.failover()
        trial.primary, trial.standbys, trial.token = cluster.wait_settled(60), [first], trial.primary_token()
        note(f"{first.name}: replaced, and back")

        fill(fillers[first])
        use_up_wal(second, lambda: second.value("SELECT count(*) FROM pg_stat_replication") == "0")
        wait_for(f"the status to say what ails {first.name}", lambda: says_full(cluster, first), 30)
        trial.writes_again(200)
        os.unlink(fillers[first])
        trial.no_failover()
        note(f"{first.name} as standby: dropped, and back")
        trial.finish()
    finally:
        if trial:
            trial.stop()
        for node in cluster.nodes:
            node.host.kill()
        disks.close()


@scenario(durability=(), root=True)
def log_and_runtime_full(stage, note):
    """no room for the log files and in the runtime directories: nobody notices, and a daemon can be restarted"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    owner = cluster.place.owner
    disks = [SmallDisks(cluster.nodes, owner, "run", 1), SmallDisks(cluster.nodes, owner, "events", 1)]
    trial = None
    try:
        for node in cluster.nodes:
            node.settings = {"log_file": node.host.path("events", "raftmgrd.log")}
        cluster.found()
        trial = Trial(cluster, "quorum", note)
        trial.fault(now_us())
        for node in cluster.nodes:
            fill(node.host.path("run", "filler"))
            fill(node.host.path("events", "filler"))
        trial.primary.stop_daemon()
        trial.primary.start_daemon()
        cluster.wait_control(trial.primary)
        trial.silence(2 * LEASE_S)
        trial.outage_below(LEASE_S * 1_000_000 // 2)
        trial.no_failover()
        to = trial.standbys[0]
        to.rmctl("propose-switchover", "--to", to.name, timeout_s=60)
        trial.writes_again()
        for node in cluster.nodes:
            os.unlink(node.host.path("run", "filler"))
            os.unlink(node.host.path("events", "filler"))
        trial.finish()
    finally:
        if trial:
            trial.stop()
        for node in cluster.nodes:
            node.host.kill()
        for disk in disks:
            disk.close()


@scenario(durability=(), root=True)
def tiny_state_directory(stage, note):
    """a witness with too little room for a Raft log: its registration and status name the reason, and it goes on later"""
    cluster = Cluster(stage.new_place(), stage.build, data=1, witnesses=1, debug=stage.debug)
    witness = cluster.nodes.pop()
    disks = SmallDisks([witness], cluster.place.owner, size_mb=TINY_MB)
    try:
        cluster.found()
        witness.configure(join=cluster.nodes)
        cluster.share_secret_with(witness)
        filler = witness.host.path("state", "filler")
        with open(filler, "wb") as file:
            file.write(b"\0" * FILLER_BYTES)
        witness.start_daemon()
        cluster.wait_control(witness)
        done = witness.rmctl("witness", "register", check=False, timeout_s=90)
        said = done.stdout + done.stderr
        if done.returncode == 0 or "KiB free" not in said:
            raise Failure(f"rmctl does not say that there is no room: {said}")
        status = witness.status() or {}
        if "KiB free" not in f"{status.get('waiting_for')} {status.get('problems')}":
            raise Failure(f"the status does not say that there is no room: {status}")
        note("said by rmctl and status")
        os.unlink(filler)
        run(["mount", "-o", f"remount,size={STATE_MB}m", witness.host.path("state")])
        cluster.nodes.append(witness)
        wait_for("the witness to know what is agreed", lambda: witness.status()["node"]["hello_applied"], 60)
        witness.rmctl("witness", "register", "--force", timeout_s=60)
        cluster.wait_settled(60)
    finally:
        for node in (*cluster.nodes, witness):
            node.host.kill()
        disks.close()
