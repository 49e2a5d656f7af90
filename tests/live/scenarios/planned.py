"""Switchovers, and what can go wrong in the middle of one."""

from shell import Failure, now_us, wait_for
from trial import BOTH, scenario

SWITCHOVER_S = 90
ATTACH_S = 10


@scenario(quick=True, durability=BOTH)
def switchover(trial):
    """propose-switchover there and back: no acknowledged row is lost, the old primary follows without a rewind"""
    cluster = trial.cluster
    target = trial.standbys[0]
    dry = target.rmctl("propose-switchover", "--to", target.name, "--dry-run", timeout_s=SWITCHOVER_S)
    if cluster.primary() is not trial.primary:
        raise Failure(f"a dry run switched over: {dry.stderr}")
    outages = []
    for to in (target, trial.primary):
        # The primary looks at its standbys once a second: it may not have seen yet that this one is back.
        wait_for(f"{to.name} to be seen streaming", lambda: to.rmctl(
            "propose-switchover", "--to", to.name, "--dry-run", check=False).returncode == 0, ATTACH_S, 0.2)
        begun_us = now_us()
        trial.fault_us = trial.fault_us or begun_us
        to.rmctl("propose-switchover", "--to", to.name, timeout_s=SWITCHOVER_S)
        now_primary = cluster.wait_settled()
        if now_primary is not to:
            raise Failure(f"{now_primary.name} is primary after a switchover to {to.name}")
        trial.writes_again()
        outages.append(trial.load.outage_us(begun_us) // 1000)
    trial.note(f"outages {outages} ms")


def open_operation(trial):
    """The operation that some daemon shows, as long as one is open."""
    return next((status["operation"] for status in trial.cluster.statuses() if status.get("operation")), None)


def propose(trial, target):
    """Begins a switchover and returns its process once the cluster shows the operation, or it ended before."""
    process = trial.primary.host.start([trial.cluster.program("rmctl"), "-f", trial.primary.conf, "propose-switchover",
                                        "--to", target.name], "switchover.log", group="clients")
    wait_for("the switchover to begin", lambda: open_operation(trial) or process.poll() is not None, 30, 0.005)
    return process


@scenario(durability=BOTH)
def switchover_target_dies(trial):
    """the target's host dies in the middle: it completes, or the old primary goes on"""
    target = trial.standbys[0]
    trial.fault(now_us())
    process = propose(trial, target)
    target.host.kill()
    trial.writes_again(deadline_s=60)
    wait_for("rmctl to end", lambda: process.poll() is not None, SWITCHOVER_S)
    trial.note(f"rmctl ended with {process.returncode}")


@scenario(durability=BOTH)
def switchover_source_dies(trial):
    """the old primary's host dies in the middle: one of both is primary, and nothing is lost"""
    trial.fault(now_us())
    process = propose(trial, trial.standbys[0])
    trial.primary.host.kill()
    trial.writes_again(deadline_s=60)
    wait_for("rmctl to end", lambda: process.poll() is not None, SWITCHOVER_S)
    trial.note(f"rmctl ended with {process.returncode}")


@scenario()
def paused(trial):
    """while paused nothing fails over; unpaused, it does"""
    trial.primary.rmctl("pause")
    trial.fault(trial.primary.kill_postmaster())
    trial.silence(8)
    if any(row.host != trial.primary.name for row in trial.main.acks() if row.sent_us > trial.fault_us):
        raise Failure("a paused cluster failed over")
    trial.standbys[0].rmctl("unpause")
    trial.writes_again()
