"""Bad input: each gets one clear error that says what to do, and nothing is lost or half done."""

import glob
import os
import re
import shutil

from cluster import Cluster, bindirs, server_major
from shell import Failure, now_us, run, wait_for, write_file
from trial import Trial, scenario

REFUSE_S = 15
PAUSE_S = 5
STATE_MB = 64


def refused(done, *words):
    """Holds that a program ended in an error that names these words, told once."""
    text = done.stderr + done.stdout
    if done.returncode == 0:
        raise Failure(f"{' '.join(done.args)} was accepted: {text}")
    for word in words:
        if word not in text:
            raise Failure(f"the error does not say '{word}': {text}")
    errors = [line for line in text.splitlines() if "ERROR" in line or " error " in line]
    if len(errors) > 1:
        raise Failure(f"more than one error: {text}")


def start_refused(node, *words):
    """Starts a daemon that must end with such an error."""
    refused(node.host.run([node.cluster.program("raftmgrd"), "-f", node.conf], check=False, timeout_s=REFUSE_S), *words)


def waits(node, *words):
    """Holds that the daemon runs, is no member, and says what it waits for."""
    def says():
        if not node.daemon_runs():
            raise Failure(f"the daemon ended: {node.log_tail(5)}")
        status = node.status() or {}
        text = str(status.get("waiting_for"))
        if status.get("state") == "member":
            raise Failure("it became a member")
        missing = [word for word in words if word not in text]
        if missing:
            raise Failure(f"it waits for '{text}', which says nothing of {missing}")
        return True
    wait_for(f"{node.name} to say why it is not admitted", says, REFUSE_S)


def turned_away(trial, node, *words):
    """Starts a stranger that must neither be admitted nor disturb the cluster, and removes it."""
    trial.fault_us = trial.load.begun_us
    node.start_daemon()
    waits(node, *words)
    status = trial.cluster.status()
    if node.peer in [member.get("address") for member in status["members"]]:
        raise Failure(f"the stranger is a member: {status['members']}")
    trial.no_failover()
    trial.cluster.place.remove(node.host)


@scenario(durability=())
def bad_configuration(stage, note):
    """unreadable, wrong and contradictory configuration files: the daemon refuses to start with a reason"""
    cluster = Cluster(stage.new_place(), stage.build, data=1, witnesses=0)
    node = cluster.nodes[0]
    node.configure()
    write_file(node.host.path("secret"), "0" * 64 + "\n", 0o600, cluster.place.owner)
    cases = [
        ({"lease_ttl": "500ms", "guard_kill_time": "600ms"}, "guard_kill_time"),
        ({"failure_timeout": "1h"}, "failure_timeout"),
        ({"durability": "sometimes"}, "durability"),
        ({"node_id": "zero"}, "node_id"),
        ({"node_name": None}, "node_name"),
        ({"conninfo": None}, "conninfo"),
        ({"raft_heartbeat": "2s"}, "raft_heartbeat"),
        ({"secret_file": "/does/not/exist"}, "/does/not/exist"),
        ({"state_directory": "/proc/nothing"}, "/proc/nothing"),
    ]
    for settings, word in cases:
        node.settings = {}
        node.configure(**settings)
        start_refused(node, word)
    # A name that nobody knows is told and passed over, as repmgr does.
    node.settings = {}
    node.configure(lease_tll="4s")
    checked = node.host.run([cluster.program("raftmgrd"), "-f", node.conf, "--check-config"])
    if "WARNING" not in checked.stderr or "lease_tll" not in checked.stderr:
        raise Failure(f"an unknown name is not told: {checked.stderr}")
    os.chmod(node.host.path("secret"), 0o644)
    node.settings = {}
    node.configure()
    start_refused(node, "secret")
    node.conf = node.host.path("missing.conf")
    start_refused(node, "missing.conf")
    refused(node.rmctl("secret", "create", check=False), "missing.conf")
    note(f"{len(cases) + 3} cases")


@scenario(durability=())
def foreign_data(stage, note):
    """a data directory of another system, one that is in use, one that a cluster has: nothing is written over"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=0)
    first, second = cluster.nodes
    first.configure()
    cluster.initdb(first)
    cluster.make_secret()
    first.start_daemon()
    cluster.wait_control(first)
    first.rmctl("primary", "register")

    second.configure(join=[first])
    cluster.initdb(second)
    system = control_value(second, "Database system identifier")
    refused(cluster.clone(second, first, check=False), "server runs in")
    second.pg_ctl("-m", "fast", "-w", "stop")
    refused(cluster.clone(second, first, check=False), "holds the data")
    second.start_daemon()
    waits(second, "another PostgreSQL system")
    if control_value(second, "Database system identifier") != system:
        raise Failure("the foreign data directory was overwritten")
    second.host.run(["rm", "-rf", second.data])
    refused(cluster.clone(second, first, check=False), "raftmgrd runs on this host")
    second.host.kill()

    # Another cluster's founder on a database that names the first one.
    second.host.run(["rm", "-rf", second.data])
    cluster.start_replica(second, first)
    second.sql("SELECT pg_promote()")
    second.configure()
    shutil.rmtree(second.host.path("state"))
    second.host.mkdir("state", 0o700)
    second.start_daemon()
    cluster.wait_control(second)
    refused(second.rmctl("primary", "register", check=False), "cluster")
    note("clone, join and register refused")


@scenario(durability=(), majors=2)
def other_major(stage, note):
    """a host whose programs are of another major version: neither cloned by hand, nor by the daemon, nor started"""
    other = next(path for major, path in sorted(bindirs().items()) if major != server_major())
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    first, second, _ = cluster.nodes
    first.configure()
    cluster.initdb(first)
    cluster.make_secret()
    first.start_daemon()
    cluster.wait_control(first)
    first.rmctl("primary", "register")
    second.configure(join=[first], pg_bindir=other)
    refused(cluster.clone(second, first, check=False), f"PostgreSQL {server_major()}", f"PostgreSQL {server_major(other)}")
    slots = int(first.value("SELECT count(*) FROM pg_replication_slots"))
    if os.path.exists(second.data) or slots:
        raise Failure(f"a refused clone left {slots} slots, or the data directory")

    second.configure(join=[first], pg_bindir=cluster.pg)
    cluster.join(second)
    second.host.kill()
    second.configure(join=[first], pg_bindir=other, rejoin="clone")
    start_refused(second, "pg_bindir", f"is of PostgreSQL {server_major()}")
    shutil.rmtree(second.data)
    second.boot()
    wait_for("the daemon to say why it does not clone", lambda: "STANDBY_MAJOR" in second.log_tail(50), REFUSE_S)
    if os.path.exists(second.data):
        raise Failure("the daemon cloned another major version")
    note(f"{server_major(other)} refused beside {server_major()}")


def control_value(node, name):
    """A line of pg_controldata."""
    text = node.host.run([os.path.join(node.cluster.pg, "pg_controldata"), node.data]).stdout
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name))


@scenario()
def wrong_secret(trial):
    """a witness with another secret is not admitted, and says so"""
    node = trial.cluster.stranger(9, "w9", "witness")
    node.configure(join=trial.cluster.nodes)
    write_file(node.host.path("secret"), "0" * 64 + "\n", 0o600, trial.cluster.place.owner)
    turned_away(trial, node, "secret")


def count_in(node, name, text):
    with open(node.host.path(*name), encoding="utf-8", errors="replace") as file:
        return file.read().count(text)


@scenario(fresh=True)
def wrong_password(trial):
    """a returning node's daemon has a wrong password: said, not tried without pause; with the right one it comes back"""
    node = trial.primary
    trial.fault(node.host.kill())
    trial.failover()
    write_file(node.host.path("passfile"), "*:*:*:repmgr:wrong\n", 0o600, trial.cluster.place.owner)
    node.boot()
    wait_for("its server", lambda: node.in_recovery() is not None, 30)
    node.stop_daemon()
    node.start_daemon()  # finds a server that it cannot ask
    wait_for("the status to say why", lambda: "password authentication failed" in
             trial.cluster.witnesses[0].rmctl("status", check=False).stdout, REFUSE_S)
    trial.silence(PAUSE_S)  # at first it may be a matter of a moment
    tries = count_in(node, ("daemon.log",), "pg.action")
    refusals = count_in(node, ("log", "postgresql.log"), "password authentication failed")
    trial.silence(PAUSE_S)
    tries = count_in(node, ("daemon.log",), "pg.action") - tries
    refusals = count_in(node, ("log", "postgresql.log"), "password authentication failed") - refusals
    trial.note(f"{tries} actions, {refusals} refused connections in {PAUSE_S} s")
    if tries > PAUSE_S or refusals > 12 * PAUSE_S:
        raise Failure("what cannot succeed is tried again and again")
    trial.writes_again()
    node.configure()  # the right password
    trial.cluster.wait_settled()


@scenario()
def unreachable_join(trial):
    """a join address where nobody answers is named, and asked again"""
    node = trial.cluster.stranger(9, "w9", "witness")
    nobody = f"{node.host.address}:1"
    node.configure(join=[nobody])
    trial.cluster.share_secret_with(node)
    turned_away(trial, node, nobody)


@scenario()
def node_id_twice(trial):
    """a second node with a number that is taken is not admitted, and says so"""
    node = trial.cluster.stranger(2, "w9", "witness")
    node.configure(join=trial.cluster.nodes)
    trial.cluster.share_secret_with(node)
    turned_away(trial, node, "node id 2 belongs to")


@scenario()
def node_id_twice_by_force(trial):
    """the same with --force: a member that is alive keeps its number"""
    node = trial.cluster.stranger(2, "n9", "witness")
    node.configure(join=trial.cluster.nodes)
    trial.cluster.share_secret_with(node)
    node.start_daemon()
    trial.cluster.wait_control(node)
    trial.fault(now_us())
    refused(node.rmctl("witness", "register", "--force", check=False, timeout_s=90))
    trial.no_failover()
    trial.cluster.place.remove(node.host)


@scenario()
def wiped_witness(trial):
    """a witness whose state directory is lost: it does not vote under its old id until it is registered by force"""
    wiped(trial, trial.cluster.witnesses[0])


@scenario()
def wiped_standby(trial):
    """a standby whose state directory is lost: the same; its data directory is used again"""
    wiped(trial, trial.standbys[0])


def wiped(trial, node):
    trial.fault(node.host.kill())
    node.host.run(["rm", "-rf", node.host.path("state")])
    node.host.mkdir("state", 0o700)
    node.configure(join=trial.cluster.others(node))
    node.boot()
    waits(node, "register --force")
    trial.writes_again()
    node.rmctl("standby" if node.is_data else "witness", "register", "--force", timeout_s=60)
    trial.no_failover()


@scenario(fresh=True)
def renamed_and_readdressed(trial):
    """the primary's conninfo and the standby's node_name change in their files: the one is taken over, the other is not"""
    primary, standby = trial.primary, trial.standbys[0]
    trial.fault(now_us())
    primary.configure(trial.cluster.others(primary), conninfo=primary.conninfo + " sslmode=disable")
    primary.stop_daemon()
    primary.start_daemon()
    wait_for("the standby to use the new conninfo", lambda: "sslmode=disable" in standby.value("SHOW primary_conninfo"),
             REFUSE_S)
    standby.configure(trial.cluster.others(standby), node_name="renamed")
    standby.stop_daemon()
    standby.start_daemon()
    primary.configure(trial.cluster.others(primary), conninfo=primary.conninfo + " sslmode=prefer")
    primary.stop_daemon()
    primary.start_daemon()  # so that the standby is pointed anew
    wait_for("the standby to be pointed anew", lambda: "sslmode=prefer" in standby.value("SHOW primary_conninfo"),
             REFUSE_S)
    wait_for("the status to name the other name",
             lambda: "renamed" in trial.cluster.nodes[-1].rmctl("status", check=False).stdout, REFUSE_S)
    trial.no_failover()
    trial.writes_again()


@scenario(fresh=True, root=True)
def replaced_host_returns(trial):
    """a standby's host is lost and replaced; it comes back and streams no more, and nothing is acknowledged by it"""
    old = trial.standbys[0]
    cluster = trial.cluster
    trial.fault(now_us())
    old.host.cut([node.host for node in cluster.others(old)])
    new = cluster.stranger(old.number, "n2b")
    new.name = old.name
    new.configure(join=cluster.others(old))
    cluster.share_secret_with(new)
    trial.writes_again(deadline_s=30)
    wait_for("the lost standby's slot to be free", lambda: trial.primary.value(
        "SELECT count(*) FROM pg_replication_slots WHERE active") == "0", 90)
    cluster.clone(new, trial.primary, "--fast-checkpoint")
    new.start_daemon()
    cluster.wait_control(new)
    waits(new, "register --force")
    new.rmctl("standby", "register", "--force", timeout_s=90)
    cluster.nodes[cluster.nodes.index(old)] = new
    trial.standbys = [new]
    cluster.wait_settled()
    slot = trial.primary.value("SELECT string_agg(slot_name, ' ') FROM pg_replication_slots")
    if not re.fullmatch(rf"repmgr_slot_{old.number}_\d+", slot):
        raise Failure(f"the slots are: {slot}")

    # The old host is back, its server with the settings that it had, and the new one is away for a moment.
    old.host.heal()
    if not old.postgres_pids():
        raise Failure("the old server is gone: this proves nothing")
    new.host.cut([node.host for node in cluster.others(new)])
    wait_for("the old server to be refused", lambda: f'slot "repmgr_slot_{old.number}" does not exist' in log_of(old),
             REFUSE_S)
    rows = trial.primary.sql("SELECT client_addr, state FROM pg_stat_replication")
    if old.host.address in [row[0] for row in rows]:
        raise Failure(f"the old server streams: {rows}")
    new.host.heal()
    trial.no_failover()
    trial.note(f"streams through {slot}; the old server is refused")
    old.host.kill()


def log_of(node):
    """What PostgreSQL's own log on a host says."""
    text = ""
    for path in glob.glob(os.path.join(node.host.path("log"), "*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            text += file.read()
    return text


@scenario(durability=(), root=True)
def full_state_directory(stage, note):
    """no room below the Raft log of the standby's member: the cluster goes on, and the member too once there is room"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    node = cluster.nodes[1]
    state = node.host.path("state")
    run(["mount", "-t", "tmpfs", "-o", f"size={STATE_MB}m,mode=700", "raftmgr-live", state])
    trial = None
    try:
        os.chown(state, *cluster.place.owner)
        cluster.found()
        trial = Trial(cluster, "quorum", note)
        trial.fault(now_us())
        fill(os.path.join(state, "filler"))
        churn(trial, 50)
        trial.writes_again()
        node.stop_daemon()
        fill(os.path.join(state, "more"))  # what closing the Raft log has set free
        node.start_daemon()
        wait_for("the member to say that there is no room", lambda: "space" in node.log_tail(50).lower(), REFUSE_S)
        trial.writes_again()
        for name in ("filler", "more"):
            os.unlink(os.path.join(state, name))
        note("the member went on by itself" if node.daemon_runs() else "the member had stopped")
        if not node.daemon_runs():
            node.start_daemon()
        trial.finish()
    finally:
        if trial:
            trial.stop()
        node.host.kill()
        run(["umount", "-l", state])


def fill(path):
    """Takes all room that is left."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


def churn(trial, count):
    """Commits many small changes."""
    for number in range(count):
        trial.primary.ask("config_set", name="maximum_lag_on_failover", value=f"{2 - number % 2}MB")
