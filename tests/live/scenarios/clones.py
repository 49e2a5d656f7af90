"""Clones that are cut short: nothing that is not whole is started, and there is a way on."""

import glob
import os
import shutil
import signal

from cluster import Cluster
from place import send
from shell import Failure, now_us, wait_for, write_file
from trial import Trial, scenario

RATE = "2M"         # a second: a copy takes about 15 s
BEGIN_S = 30
FILES = 200         # so many files of a copy are there when it is killed
BACKUP_FAILED = 14  # rmctl's exit status


class Programs:
    """PostgreSQL's programs, of which pg_basebackup is made slow, or to linger when all is copied."""

    def __init__(self, cluster):
        self.real = os.path.realpath(os.path.join(cluster.pg, "pg_basebackup"))
        self.directory = os.path.join(cluster.place.directory, "programs")
        os.mkdir(self.directory, 0o755)
        for name in os.listdir(cluster.pg):
            if name != "pg_basebackup":
                os.symlink(os.path.join(cluster.pg, name), os.path.join(self.directory, name))
        self.hurry()

    def write(self, text):
        write_file(os.path.join(self.directory, "pg_basebackup"), f"#!/bin/sh\n{text}\n", 0o755)

    def hurry(self):
        self.write(f'exec {self.real} "$@"')

    def crawl(self):
        self.write(f'exec {self.real} --max-rate={RATE} "$@"')

    def linger(self):
        self.write(f'{self.real} "$@" && sleep 600')

    def pids(self, node):
        """pg_basebackup and the child that receives WAL beside it."""
        found = []
        for pid in node.host.pids():
            try:
                if os.readlink(f"/proc/{pid}/exe") == self.real:
                    found.append(pid)
            except OSError:
                pass
        return found

    def half_way(self, node):
        """The pids once the copy is well under way, and not at its end."""
        def found():
            files = sum(len(names) for _, _, names in os.walk(node.data))
            return self.pids(node) if files > FILES else None
        pids = wait_for(f"a copy to be under way on {node.name}", found, BEGIN_S, 0.02)
        if os.path.exists(control_file(node)):
            raise Failure("the copy was faster than this test")
        return pids


def control_file(node):
    """pg_basebackup copies it last."""
    return os.path.join(node.data, "global", "pg_control")


def kill(pids):
    """The program before its child, which would tell it."""
    for pid in sorted(pids):
        send(pid, signal.SIGKILL)


def text_of(node, name):
    with open(node.host.path(name), encoding="utf-8", errors="replace") as file:
        return file.read()


def clone_beside(cluster, node, source, log):
    """rmctl standby clone, while the test goes on."""
    return node.host.start([cluster.program("rmctl"), "-h", source.host.address, "-p", str(source.pg_port), "-U",
                            "repmgr", "-d", "repmgr", "-f", node.conf, "standby", "clone", "--fast-checkpoint"], log)


def killed_alone(cluster, programs, node, source):
    """pg_basebackup dies under rmctl: one error, with a way on, and the slot is gone."""
    programs.crawl()
    rmctl = clone_beside(cluster, node, source, "killed.log")
    kill(programs.half_way(node))
    wait_for("rmctl to end", lambda: rmctl.poll() is not None, BEGIN_S)
    said = text_of(node, "killed.log")
    if rmctl.returncode != BACKUP_FAILED or said.count("ERROR:") != 1 or "killed by signal 9" not in said:
        raise Failure(f"rmctl ended with {rmctl.returncode}: {said}")
    if f'HINT: "{node.data}" holds what was copied' not in said:
        raise Failure(f"rmctl does not say what to do with what is left: {said}")
    if source.value("SELECT count(*) FROM pg_replication_slots") != "0":
        raise Failure("the slot of a clone that failed is left")


def killed_with_its_host(cluster, programs, node, source):
    """All files are there, but nobody has said that they are on the disk: the daemon that comes next must not use them."""
    programs.linger()
    clone_beside(cluster, node, source, "host.log")
    wait_for("the last file", lambda: os.path.exists(control_file(node)) and not programs.pids(node), BEGIN_S, 0.02)
    node.host.kill()
    node.start_daemon()
    cluster.wait_control(node)
    wait_for("the daemon to say that the copy is not whole",
             lambda: "no complete PostgreSQL data directory" in str(node.status().get("waiting_for")), BEGIN_S)
    if node.postgres_pids() or len((source.status() or {}).get("members")) != 1:
        raise Failure("a copy that may not be whole was used")
    node.stop_daemon()


@scenario(durability=())
def clone_killed(stage, note):
    """pg_basebackup is killed in the middle of `rmctl standby clone`, alone and with its host: nothing is half done"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    programs = Programs(cluster)
    first, second, witness = cluster.nodes
    first.configure()
    cluster.initdb(first)
    cluster.make_secret()
    first.start_daemon()
    cluster.wait_control(first)
    first.rmctl("primary", "register")
    second.configure(join=[first], pg_bindir=programs.directory)
    witness.configure(join=[first])

    killed_alone(cluster, programs, second, first)
    shutil.rmtree(second.data)
    killed_with_its_host(cluster, programs, second, first)
    programs.hurry()
    cluster.clone(second, first, "--fast-checkpoint", "--force")
    if len(glob.glob(second.data + ".old-*")) != 1:
        raise Failure("what the killed clone has left was not moved aside")
    second.start_daemon()
    cluster.wait_control(second)
    second.rmctl("standby", "register", timeout_s=60)
    cluster.join(witness)
    cluster.wait_settled()
    note("refused, named, cloned again")


@scenario(durability=(), root=True)
def daemons_clone_killed(stage, note):
    """pg_basebackup is killed in the middle of the daemon's own clones: said, not started, tried again, nothing left"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    programs = Programs(cluster)
    for node in cluster.data_nodes:
        node.settings.update(pg_bindir=programs.directory, rejoin="clone")
    cluster.found()
    trial = Trial(cluster, "quorum", note)
    try:
        node = trial.standbys[0]
        programs.crawl()
        trial.fault(node.host.kill())
        shutil.rmtree(node.data)
        node.boot()
        for number in range(3):
            pids = programs.half_way(node)
            kill(pids)
            wait_for("the daemon to say so", lambda count=number + 1: text_of(node, "daemon.log").count(
                "killed by signal 9") >= count, BEGIN_S)
            wait_for("their end", lambda gone=pids: not set(gone) & set(node.host.pids()), BEGIN_S, 0.01)
            if node.postgres_pids():
                raise Failure("a copy that is not whole was started")
        trial.writes_again()
        programs.hurry()
        trial.no_failover()
        left = glob.glob(node.data + ".*")
        if left:
            raise Failure(f"left beside the data directory: {left}")
        trial.finish()
    finally:
        trial.stop()
