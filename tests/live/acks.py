#!/usr/bin/python3
"""The writers of a test, and what their records prove.

As a program: acks.py FILE [FROM_US [TO_US]] prints the acknowledgements in that window of a writer's record and the
longest time without one, in milliseconds.
"""

import os
import signal
import sys
from collections import Counter, namedtuple

from shell import Failure, now_us, wait_for

WRITER_SPAN = 10 ** 9  # ids of one writer
STOP_S = 10

Row = namedtuple("Row", "id sent_us done_us outcome host server timeline code")


def read_rows(path):
    """(rows, events) of a writer's record; a last line that is not complete yet is left out."""
    rows, events = [], []
    try:
        with open(path, encoding="ascii") as file:
            text = file.read()
    except FileNotFoundError:
        return rows, events
    for line in text[:text.rfind("\n") + 1].splitlines():
        number, sent, done, outcome, host, server, timeline, code = line.split(" ")
        row = Row(int(number), int(sent), int(done), outcome, host, server, int(timeline), code)
        (rows if row.id else events).append(row)
    return rows, events


def acknowledged(rows):
    return [row for row in rows if row.outcome == "ok"]


def longest_gap(rows, from_us=None, to_us=None):
    """(length_us, begin_us) of the longest time without an acknowledgement, the window's ends counting as such."""
    moments = sorted(row.done_us for row in acknowledged(rows)
                     if (from_us is None or row.done_us >= from_us) and (to_us is None or row.done_us <= to_us))
    moments = ([from_us] if from_us is not None else []) + moments + ([to_us] if to_us is not None else [])
    return max(((after - before, before) for before, after in zip(moments, moments[1:])), default=(0, 0))


class Writer:
    """One running writer.c and its record."""

    def __init__(self, cluster, serial, nodes, pinned=False, pause_ms=5, limit_ms=200):
        self.first = serial * WRITER_SPAN + 1
        self.pinned = pinned
        self.nodes = list(nodes)
        self.name = f"writer-{serial}" + (f"-{nodes[0].name}" if pinned else "")
        host = nodes[0].host if pinned else cluster.client
        self.record = host.path(f"{self.name}.acks")
        argv = [cluster.program("writer"), "--out", self.record, "--first", str(self.first),
                "--pause-ms", str(pause_ms), "--limit-ms", str(limit_ms)]
        for node in nodes:
            where = node.host.path("sockets") if pinned else node.host.address
            argv += ["--host", f"{node.name}=host={where} port={node.pg_port} user=writer dbname=app"]
        self.process = host.start(argv + (["--pinned"] if pinned else []), f"{self.name}.log", group="clients")

    def rows(self):
        return read_rows(self.record)[0]

    def events(self):
        return read_rows(self.record)[1]

    def acks(self):
        return acknowledged(self.rows())

    def wait_acks(self, count=1, after_us=0, deadline_s=20):
        """Waits until so many rows that were sent after a moment are acknowledged; returns the first of them."""
        def enough():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended by itself with {self.process.returncode}")
            late = [row for row in self.acks() if row.sent_us > after_us]
            return late if len(late) >= count else None
        return wait_for(f"{count} acknowledgements at {self.name}", enough, deadline_s)[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            wait_for(f"{self.name} to end", lambda: self.process.poll() is not None, STOP_S, 0.01)


class Load:
    """A writer that knows all data nodes, and one pinned to each of them."""

    def __init__(self, cluster, serial, pinned=True, pause_ms=5):
        self.cluster = cluster
        self.main = Writer(cluster, serial, cluster.data_nodes, pause_ms=pause_ms)
        self.writers = [self.main]
        if pinned:
            self.writers += [Writer(cluster, serial + 1 + index, [node], pinned=True, pause_ms=10)
                             for index, node in enumerate(cluster.data_nodes)]
        self.begun_us = now_us()

    def pinned(self, node):
        """The writer that is pinned to this node."""
        return next(writer for writer in self.writers if writer.pinned and writer.nodes == [node])

    def stop(self):
        for writer in self.writers:
            writer.stop()

    def rows(self):
        return [row for writer in self.writers for row in writer.rows()]

    def outage_us(self, from_us=None):
        """The longest time without an acknowledgement at the writer that knows all nodes."""
        moments = [row.done_us for row in self.main.acks()]
        if not moments:
            raise Failure("the writer got no acknowledgement at all")
        return longest_gap(self.main.rows(), max(from_us or 0, min(moments)), max(moments))[0]


def overlap_us(rows):
    """For how long two servers acknowledged at once: (certain_us, seen_us, witness).

    A server's reign is its name and timeline. What it acknowledged was sent before and read after the acknowledgement:
    the overlap is certain where a row was *sent* to the older reign after the newer one's first acknowledgement was
    read; it is merely seen where only the reading came later, as of an answer that lay in the socket of a frozen host.
    """
    reigns = {}
    for row in acknowledged(rows):
        reigns.setdefault((row.timeline, row.host), []).append(row)
    order = sorted(reigns, key=lambda reign: min(row.done_us for row in reigns[reign]))
    certain, seen, witness = 0, 0, None
    for index, older in enumerate(order):
        for newer in order[index + 1:]:
            first_us = min(row.done_us for row in reigns[newer])
            late = max(reigns[older], key=lambda row: row.sent_us)
            if late.sent_us - first_us > certain:
                certain = late.sent_us - first_us
                witness = f"row {late.id} was sent to {older} {certain} us after the first acknowledgement of {newer}"
            seen = max(seen, max(row.done_us for row in reigns[older]) - first_us)
    return certain, seen, witness


def stored_ids(node, writers):
    """The ids of these writers' rows in a node's table."""
    ranges = " OR ".join(f"id BETWEEN {writer.first} AND {writer.first + WRITER_SPAN - 1}" for writer in writers)
    return {int(row[0]) for row in node.sql(f"SELECT id FROM live_rows WHERE {ranges}", database="app", timeout_s=60)}


def wait_caught_up(cluster, nodes, deadline_s=30):
    """Waits until these standbys have replayed all that the primary has written so far; returns the primary."""
    primary = cluster.primary()
    position = primary.value("SELECT pg_current_wal_lsn()")

    def replayed():
        behind = [node.name for node in nodes if node is not primary and node.value(
            f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn") != "t"]
        if behind:
            raise Failure(f"{behind} have not replayed {position}")
        return True
    wait_for("standbys to catch up", replayed, deadline_s, 0.1)
    return primary


def lost_rows(cluster, load, nodes=None):
    """Acknowledged rows that the primary or a standby that has caught up does not have: {node name: sorted ids}."""
    nodes = nodes or cluster.data_nodes
    wait_caught_up(cluster, nodes)
    acked = {row.id for row in acknowledged(load.rows())}
    lost = {node.name: sorted(acked - stored_ids(node, load.writers)) for node in nodes}
    return {name: ids for name, ids in lost.items() if ids}


def outcomes(rows):
    return dict(Counter(row.outcome for row in rows))


def main():
    if len(sys.argv) < 2 or not os.path.exists(sys.argv[1]):
        sys.exit(__doc__)
    window = [int(text) for text in sys.argv[2:4]] + [None, None]
    rows, _ = read_rows(sys.argv[1])
    length, begin = longest_gap(rows, window[0], window[1])
    print(f"{outcomes(rows)}; longest gap {length / 1000:.1f} ms from {begin} us")


if __name__ == "__main__":
    main()
