"""Directories that vanish or fill up under a running member."""

import os
import shutil

from shell import Failure, now_us, wait_for
from trial import scenario

LEASE_S = 4


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
