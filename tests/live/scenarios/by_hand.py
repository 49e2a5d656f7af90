"""A standby that somebody promotes by hand while it is cut off, and a failover of the others meanwhile."""

import glob
import os
import signal

from shell import Failure, wait_for
from trial import scenario


def history(node, timeline):
    """The history file of a timeline in a node's pg_wal."""
    return os.path.join(node.data, "pg_wal", f"{timeline:08X}.history")


def promote_cut_off(trial, node, unseen):
    """Cuts a standby off and promotes it, with pg_ctl; returns the timeline that it took."""
    took = int(trial.cluster.status()["primary"]["timeline"]) + 1
    node.host.cut([other.host for other in trial.cluster.others(node)] + [trial.cluster.client])
    if unseen:
        node.stop_daemon(signal.SIGKILL)
    node.pg_ctl("-W", "promote")
    wait_for(f"{node.name} to begin timeline {took}", lambda: os.path.exists(history(node, took)), 20, 0.02)
    if unseen:
        wait_for(f"{node.name} to be writable", lambda: node.in_recovery() is False, 20, 0.05)
        node.sql("SET synchronous_commit = local; CREATE TABLE by_hand AS SELECT generate_series(1, 1000)",
                 database="app")
    else:
        wait_for(f"{node.name} to be writable no more", lambda: node.in_recovery() is not False, 20, 0.05)
    return took


def comes_back(trial, unseen):
    """The others fail over; then the cable is mended, and the one that was promoted by hand ends as a standby."""
    node = trial.standbys[1]
    # A rewind needs the WAL since the last checkpoint that both have.
    trial.primary.sql("CHECKPOINT")
    trial.writes_again()
    node.sql("CHECKPOINT")
    took = promote_cut_off(trial, node, unseen)

    def without_it():
        return all(node.number not in demand["members"] for demand in trial.cluster.status()["demands"])
    wait_for(f"commits to go on without {node.name}", without_it, 20)
    trial.fault(trial.primary.kill_postmaster())
    winner = trial.failover()
    given = next(row.timeline for row in reversed(trial.main.acks()) if row.host == winner.name)
    trial.note(f"{node.name} took timeline {took}, {winner.name} got {given}")
    if given <= took:
        raise Failure(f"timeline {given} was given to {winner.name} and taken by {node.name}")
    trial.heal()
    trial.cluster.wait_settled()
    saved = glob.glob(node.host.path("state", "diverged", "*", "*")) + glob.glob(node.data + ".old-*")
    if not saved:
        raise Failure(f"what {node.name} had written on timeline {took} was not kept")
    trial.note(f"came back by a {'clone' if saved[-1].startswith(node.data) else 'rewind'}")
    if unseen and node.value("SELECT count(*) FROM pg_class WHERE relname = 'by_hand'", database="app") != "0":
        raise Failure(f"{node.name} still has what was written on timeline {took}")


@scenario(data=3, root=True, rejoin="clone")
def promoted_by_hand(trial):
    """a standby is promoted by hand while it is cut off, the others fail over: it comes back, and nothing is lost"""
    comes_back(trial, unseen=False)


@scenario(data=3, root=True, rejoin="clone")
def promoted_by_hand_unseen(trial):
    """the same with its daemon killed before, and rows written there"""
    comes_back(trial, unseen=True)
