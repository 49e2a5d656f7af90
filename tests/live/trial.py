"""One scenario on one cluster: the load, the fault, what must hold, and what to print."""

import glob
import signal
import time

from acks import Load, longest_gap, lost_rows, outcomes, overlap_us
from shell import Failure, ms, now_us, wait_for

FAILOVER_S = 20     # far above what is measured: a failover that takes longer has gone wrong
SETTLE_S = 60       # the promise: so long after a fault's end all is as it was
THAW_OVERLAP_US = 500_000   # asynchronous: a thawed server may acknowledge until its guard is scheduled
LAG_BYTES = 1_000_000       # maximum_lag_on_failover
ROW_BYTES = 250             # of WAL, for one row of a writer

SCENARIOS = {}
BOTH = ("quorum", "async")


class Scenario:
    """What `run` knows of a scenario."""

    def __init__(self, function, quick, durability, data, witnesses, fresh, root, majors, settings):
        self.name = function.__name__.replace("_", "-")
        self.function = function
        self.quick = quick
        self.durability = durability
        self.shape = (data, witnesses, tuple(sorted(settings.items())))
        self.fresh = fresh
        self.root = root
        self.majors = majors        # so many major versions of PostgreSQL have to be there
        self.brief = (function.__doc__ or "").strip().splitlines()[0]


def scenario(quick=False, durability=("quorum",), data=2, witnesses=1, fresh=False, root=False, majors=1,
             **settings):
    """Makes a function a scenario. Without `durability` it gets the stage, not a trial, and founds what it needs."""
    def register(function):
        entry = Scenario(function, quick, durability, data, witnesses, fresh, root, majors, settings)
        SCENARIOS[entry.name] = entry
        return function
    return register


class Trial:
    """A settled cluster under load. The scenario brings about a fault; finish() holds the records to the promises."""

    serial = 0

    def __init__(self, cluster, durability, note):
        self.cluster = cluster
        self.durability = durability
        self.note = note
        self.thawed = False
        self.fault_us = 0
        self.lost_bound = 0
        if cluster.durability != durability:
            cluster.config_set("durability", durability)
        self.primary = cluster.wait_settled()
        self.standbys = [node for node in cluster.data_nodes if node is not self.primary]
        self.token = self.primary_token()
        self.load = Load(cluster, Trial.serial)
        Trial.serial += len(self.load.writers)
        self.main = self.load.main
        self.main.wait_acks(100)

    # --- what happens ---

    def primary_token(self):
        return ((self.cluster.status() or {}).get("primary") or {}).get("token")

    def fault(self, moment):
        """Notes the moment of the fault, from which the outage counts."""
        self.fault_us = moment
        return moment

    def failover(self, deadline_s=FAILOVER_S):
        """Waits until the writer is acknowledged by another node than the old primary; returns that node."""
        def other():
            return next((row.host for row in reversed(self.main.acks())
                         if row.host != self.primary.name and row.sent_us > self.fault_us), None)
        return self.cluster.node(wait_for(f"writes to go on elsewhere than on {self.primary.name}", other, deadline_s))

    def no_failover(self):
        """Holds that the primary is the same, under the same token."""
        now = self.cluster.wait_settled(SETTLE_S)
        if now is not self.primary or self.primary_token() != self.token:
            raise Failure(f"{self.primary.name} with token {self.token} should still be primary, but it is {now.name} "
                          f"with token {self.primary_token()}")

    def writes_again(self, count=20, deadline_s=FAILOVER_S):
        """Waits until rows sent from now on are acknowledged."""
        self.main.wait_acks(count, now_us(), deadline_s)

    def silence(self, duration_s):
        """Lets time pass under the fault: the condition of the test is that it lasts."""
        time.sleep(duration_s)

    def outage_below(self, limit_us):
        """Holds that the writer was never longer without an acknowledgement, from the fault to now."""
        gap = longest_gap(self.main.rows(), self.fault_us, now_us())[0]
        if gap > limit_us:
            raise Failure(f"the writer waited {ms(gap)} for an acknowledgement, more than {ms(limit_us)}")

    def heal(self):
        """Ends every fault that a scenario may have left: what an operator does who repairs hosts and network only."""
        self.check_crashes()
        for node in self.cluster.nodes:
            if hasattr(node.host, "thaw"):
                node.host.thaw()
                node.host.heal()
                node.host.link(True)
            if node.daemon_runs():
                node.daemon.send_signal(signal.SIGCONT)
            elif node.host.pids():
                node.start_daemon()
            else:
                node.boot()
        return now_us()

    def check_crashes(self):
        """Holds that no daemon has ended but by our signals or by its own decision to end well."""
        for node in self.cluster.nodes:
            if node.daemon.poll() not in (None, 0, -signal.SIGKILL, -signal.SIGTERM):
                raise Failure(f"{node.name}'s daemon ended with {node.daemon.returncode}:\n{node.log_tail()}")

    def all_silent(self, node):
        """Holds that no PostgreSQL process of a node is left by a deadline that leaves lease and guard their time."""
        def nobody():
            left = node.postgres_pids()
            if left:
                raise Failure(f"{node.name} still runs {len(left)} PostgreSQL processes")
            return True
        wait_for(f"the end of {node.name}'s PostgreSQL", nobody, FAILOVER_S, 0.02)

    # --- what must hold ---

    def finish(self):
        """Settled within 60 s of the fault's end; nothing acknowledged is lost; never two that acknowledge."""
        healed_us = self.heal()
        self.cluster.wait_settled(SETTLE_S)
        settled_s = (now_us() - healed_us) / 1e6
        self.writes_again()
        self.check_crashes()
        self.load.stop()
        self.note(f"outage {ms(self.load.outage_us(self.fault_us))}")
        self.note(f"settled {settled_s:.1f} s after")
        self.check_loss()
        self.check_overlap()
        self.note(f"{outcomes(self.load.rows()).get('ok', 0)} acknowledged")

    def check_loss(self):
        lost = lost_rows(self.cluster, self.load)
        count = max((len(ids) for ids in lost.values()), default=0)
        if self.durability != "async":
            if lost:
                raise Failure(f"acknowledged rows are lost: { {name: ids[:5] for name, ids in lost.items()} }, "
                              f"at most {count} on a node")
            return
        lease_rows = len([row for row in self.load.rows() if row.outcome == "ok" and
                          self.fault_us <= row.sent_us <= self.fault_us + 5_000_000 and row.host == self.primary.name])
        bound = LAG_BYTES // ROW_BYTES + lease_rows
        self.note(f"lost {count} of at most {bound} rows")
        if count > bound:
            raise Failure(f"{count} acknowledged rows are lost, more than the stated bound of {bound}")
        if count and not glob.glob(self.primary.host.path("state", "diverged", "*")):
            raise Failure(f"{self.primary.name} threw away the WAL of {count} lost rows, which it was to keep")

    def check_overlap(self):
        certain, seen, witness = overlap_us(self.load.rows())
        if certain and self.durability == "async" and self.thawed and certain < THAW_OVERLAP_US:
            self.note(f"two acknowledged for {ms(certain)} after the thaw")
        elif certain:
            raise Failure(f"two nodes acknowledged writes for {ms(certain)}: {witness}")
        elif seen:
            self.note(f"an answer was read {ms(seen)} late")

    def stop(self):
        """Ends the load, whatever happened."""
        for writer in self.load.writers:
            if writer.process.poll() is None:
                writer.process.kill()
                writer.process.wait()

