"""Servers that cannot be started: each has a way out, and what is set aside stays."""

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
