"""Servers that cannot be started, or may not: each has a way out, and what is set aside stays."""

import glob
import os
import struct

from shell import Failure, wait_for
from trial import scenario

SAY_S = 40


def crc32c(data):
    """The checksum at the end of pg_control."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def control_value(node, name):
    """A line of pg_controldata."""
    text = node.host.run([os.path.join(node.cluster.pg, "pg_controldata"), node.data]).stdout
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name))


def move_minimum(node):
    """Makes pg_control of a stopped standby ask for a position on the first timeline that lies on a later one."""
    high, low = (int(part, 16) for part in control_value(node, "Minimum recovery ending location").split("/"))
    timeline = int(control_value(node, "Min recovery ending loc's timeline"))
    path = os.path.join(node.data, "global", "pg_control")
    with open(path, "rb") as file:
        data = bytearray(file.read())
    end = next(at for at in range(200, 500, 4) if struct.unpack_from("<I", data, at)[0] == crc32c(data[:at]))
    at = data.index(struct.pack("<QI", high << 32 | low, timeline))
    struct.pack_into("<I", data, at + 8, 1)
    struct.pack_into("<I", data, end, crc32c(data[:end]))
    with open(path, "r+b") as file:
        file.write(data)


def member(node, name):
    """What a node's status says of a member."""
    return next((entry for entry in (node.status() or {}).get("members", []) if entry.get("node_name") == name), {})


@scenario(fresh=True)
def standby_unstartable(trial):
    """a standby whose server ends in recovery at each start: says so and keeps all; with rejoin=clone it clones itself"""
    node = trial.primary
    node.rmctl("propose-switchover", "--to", trial.standbys[0].name, timeout_s=60)
    trial.primary = trial.cluster.wait_settled()
    trial.standbys = [node]
    token = trial.token = trial.primary_token()
    node.sql("CHECKPOINT")  # of its own: it starts from there
    trial.writes_again()
    trial.fault(node.host.kill())
    move_minimum(node)
    node.boot()

    def says():
        text = str(member(node, node.name))
        return "ends in recovery" in text and "minimum recovery point" in text and "rejoin=rewind" in text
    wait_for(f"{node.name} to say what is wrong and what to do", says, SAY_S)
    if glob.glob(node.data + ".old-*"):
        raise Failure("the data directory was set aside, which rejoin=rewind does not allow")
    trial.writes_again()
    trial.note("said with rejoin=rewind")

    node.stop_daemon()
    node.configure(rejoin="clone")
    node.start_daemon()
    trial.cluster.wait_settled(SAY_S)
    if glob.glob(node.data + ".old-*") != [f"{node.data}.old-{token}"]:
        raise Failure(f"the old data directory should be kept once: {glob.glob(node.data + '.old-*')}")
    trial.note("cloned with rejoin=clone")
    trial.no_failover()


def other_system(node):
    """Puts a fresh database of another system where the node's data was; returns its system identifier."""
    os.rename(node.data, node.data + ".mounted")
    node.host.run([os.path.join(node.cluster.pg, "initdb"), "-D", node.data, "-k", "-U", "postgres"], timeout_s=60)
    return control_value(node, "Database system identifier")


@scenario(fresh=True)
def other_systems_data(trial):
    """another system's database lies where a standby's data was: not started nor used, named; rejoin=clone sets it aside"""
    node = trial.standbys[0]
    token = trial.primary_token()
    trial.fault(node.host.kill())
    system = other_system(node)
    node.boot()

    def says():
        return "another PostgreSQL system" in node.rmctl("status", check=False).stdout and system in str(
            member(trial.cluster.nodes[-1], node.name))
    wait_for(f"the cluster to say what lies in {node.name}'s data directory", says, SAY_S)
    trial.writes_again()
    if node.postgres_pids() or glob.glob(node.data + ".old-*") or os.path.exists(os.path.join(node.data, "raftmgr.id")):
        raise Failure("the other system's data was used or moved")
    # Somebody starts it: it must not stay, least of all as a primary.
    node.host.run([os.path.join(node.cluster.pg, "pg_ctl"), "-D", node.data, "-o",
                   f"-k {node.host.path('sockets')} -h ''", "-l", node.host.path("log", "other.log"), "start"],
                  check=False)
    trial.all_silent(node)
    if control_value(node, "Database system identifier") != system:
        raise Failure("the other system's data was written over")
    trial.writes_again()
    trial.note("named and left alone with rejoin=rewind")

    node.stop_daemon()
    node.configure(rejoin="clone")
    node.start_daemon()
    trial.cluster.wait_settled(SAY_S)
    aside = glob.glob(node.data + ".old-*")
    if aside != [f"{node.data}.old-{token}"] or not os.path.exists(os.path.join(aside[0], "PG_VERSION")):
        raise Failure(f"the other system's data should be kept: {aside}")
    trial.note("set aside and cloned with rejoin=clone")
    trial.no_failover()


@scenario(fresh=True)
def wal_gone(trial):
    """the WAL that a standby needs is gone from the primary: its status says so, and what to do"""
    node = trial.standbys[0]
    trial.fault(node.host.kill())
    trial.writes_again()
    slot = f"repmgr_slot_{node.number}"
    wait_for("the slot to be free", lambda: trial.primary.value(
        f"SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'") == "f", SAY_S)
    trial.primary.sql(f"SELECT pg_drop_replication_slot('{slot}')")
    for _ in range(2):  # further than what a checkpoint leaves
        trial.primary.sql("SELECT pg_switch_wal()")
        trial.writes_again()
        trial.primary.sql("CHECKPOINT")
    node.boot()
    wait_for(f"{node.name} to say that it has to be cloned",
             lambda: "has to be cloned" in str(member(node, node.name)), SAY_S)
    trial.writes_again()
    node.host.kill()
    node.host.run(["mv", node.data, node.data + ".gone"])
    trial.cluster.clone(node, trial.primary)
    node.boot()
    trial.no_failover()
