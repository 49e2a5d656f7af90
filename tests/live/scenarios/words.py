"""What only an operator can say while a failover waits: gone for good, loss accepted, host off."""

import json
import os

from acks import acknowledged, lost_rows
from shell import Failure, now_us, wait_for
from trial import scenario

IN_FLIGHT_US = 1_000_000    # what was sent so long before the cut has arrived


def told(node, *words, check=True):
    """rmctl failover WORDS --json on this node: its result, or None where it was refused."""
    done = node.rmctl("failover", *words, "--json", check=check)
    return json.loads(done.stdout) if done.returncode == 0 else None


def waits(node, *texts):
    """The open failover, once what it waits for and the reasons name all of these."""
    def found():
        operation = (node.status() or {}).get("operation") or {}
        said = " ".join([operation.get("waiting_for") or ""] + (operation.get("why") or []))
        return operation.get("kind") == "failover" and all(text in said for text in texts) and said
    return wait_for(f"a failover that names {texts}", found, 30, 0.1)


def lose_two(trial):
    """
    One standby is cut off from the primary until the other alone is synchronous; then that one and the primary die at
    once. Returns (who is left, who is synchronous and dead, the moment of the cut).
    """
    cluster = trial.cluster
    left, dead = trial.standbys
    cut_us = left.host.cut([trial.primary.host])

    def alone():
        demands = (cluster.witnesses[0].status() or {}).get("demands") or []
        return len(demands) == 1 and demands[0]["members"] == [dead.number]
    wait_for(f"{dead.name} alone to be synchronous", alone, 30, 0.1)
    trial.writes_again()
    dead.host.kill()
    trial.fault(trial.primary.host.kill())
    left.host.heal()
    return left, dead, cut_us


def only_named_loss(trial, cut_us):
    """Nothing is lost that was acknowledged while the node that goes on was synchronous itself."""
    lost = lost_rows(trial.cluster, trial.load)
    sent = {row.id: row.sent_us for row in acknowledged(trial.load.rows())}
    ids = sorted({number for rows in lost.values() for number in rows})
    early = [number for number in ids if sent[number] < cut_us - IN_FLIGHT_US]
    late = [number for number in ids if sent[number] > trial.fault_us]
    trial.note(f"{len(ids)} acknowledged rows lost, as accepted")
    if early or late or not ids:
        raise Failure(f"lost are {ids[:5]} ({len(ids)}), of these from before {early[:5]}, from after {late[:5]}")
    kept = [node.name for node in trial.cluster.data_nodes if os.path.isdir(node.host.path("state", "diverged"))]
    if not kept:
        raise Failure("nobody kept the WAL that was lost")
    trial.check_loss = lambda: None  # the harness knows of no accepted loss


def give_up(trial, words, name):
    """Two are gone: this word, said with what it names, makes the cluster writable, and they come back without harm."""
    left, dead, cut_us = lose_two(trial)
    asked = trial.cluster.witnesses[0]
    waits(asked, "waits for members", "rmctl failover")
    shown = told(asked, *words(dead))
    if not shown["word"] or not shown["loss"] or shown["kept_by"]["node_id"] != left.number:
        raise Failure(f"what would be lost is not named: {shown}")
    if trial.cluster.writable_nodes():
        raise Failure("a word that was not given was acted upon")
    if told(asked, *words(dead), "--accept-loss=00000000", check=False):
        raise Failure("a word of another situation was accepted")
    told(asked, *words(dead), f"--accept-loss={shown['word']}")
    trial.failover()
    trial.writes_again()
    if told(asked, *words(dead), f"--accept-loss={shown['word']}", check=False):
        raise Failure("a word was accepted twice")
    trial.note(f"{name}: {shown['loss']}")
    trial.heal()
    trial.cluster.wait_settled()
    only_named_loss(trial, cut_us)


@scenario(data=3, witnesses=2, fresh=True, root=True)
def written_off(trial):
    """primary and synchronous standby are gone for good: one is written off, and does no harm when it comes back"""
    give_up(trial, lambda dead: ("write-off", dead.name), "written off")


@scenario(data=3, witnesses=2, fresh=True, root=True)
def loss_accepted(trial):
    """primary and synchronous standby are gone for good: the loss is accepted, and they come back without harm"""
    give_up(trial, lambda dead: ("accept-loss",), "accepted")


@scenario()
def host_off(trial):
    """a paused primary's host dies: the failover waits for its end until an operator says that it is off"""
    standby = trial.standbys[0]
    primary = trial.primary
    primary.rmctl("pause")
    if told(standby, "host-off", primary.name, check=False):
        raise Failure("a host was declared off while nothing waits for it")
    trial.fault(primary.host.kill())
    trial.silence(8)
    standby.rmctl("unpause")
    waits(standby, "rmctl failover host-off " + primary.name)
    trial.silence(6)
    if trial.cluster.writable_nodes():
        raise Failure("the end of a lease without end was assumed")
    if told(standby, "host-off", standby.name, check=False):
        raise Failure("a host was declared off that nothing waits for")
    shown = told(standby, "host-off", primary.name)
    begun_us = now_us()
    told(standby, "host-off", primary.name, f"--is-off={shown['word']}")
    trial.failover()
    trial.note(f"writes again {(now_us() - begun_us) / 1e6:.1f} s after the word")
