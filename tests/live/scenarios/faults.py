"""What befalls the primary, its host, its daemon and its guard, and what must come of it."""

import signal

from shell import Failure, now_us, wait_for
from trial import BOTH, scenario

LEASE_S = 4                # the default
CUT_S = 12                 # long enough for lease, fence and promotion
FROZEN_S = 30


@scenario(quick=True, durability=BOTH)
def postmaster_killed(trial):
    """SIGKILL of the primary's postmaster: a standby takes over, the old primary comes back by itself"""
    trial.fault(trial.primary.kill_postmaster())
    if trial.durability == "quorum":
        trial.failover()
    trial.writes_again()


@scenario(durability=BOTH)
def postmaster_hung(trial):
    """SIGSTOP of the primary's postmaster, whose sessions go on: it is stopped, and another takes over"""
    trial.fault(trial.primary.kill_postmaster(signal.SIGSTOP))
    trial.failover()
    trial.writes_again()


@scenario(quick=True, durability=BOTH)
def host_killed(trial):
    """every process of the primary's host is killed at once; the host boots after the failover"""
    trial.fault(trial.primary.host.kill())
    trial.failover()


@scenario(durability=BOTH, root=True)
def host_lost(trial):
    """link down, then SIGKILL of everything, as when the power goes"""
    trial.fault(trial.primary.host.link(False))
    trial.primary.host.kill()
    trial.failover()


@scenario(durability=BOTH, root=True)
def host_frozen(trial):
    """the primary's host stands still for 30 s and goes on: its server must not acknowledge what nobody will keep"""
    frozen_us = trial.fault(trial.primary.host.freeze())
    trial.failover()
    trial.silence(FROZEN_S - (now_us() - frozen_us) / 1e6)
    trial.thawed = True
    trial.primary.host.thaw()


@scenario(quick=True, durability=BOTH, root=True)
def partitioned(trial):
    """the primary is cut off from everybody: it stops before its lease ends, and never promotes"""
    cluster = trial.cluster
    peers = [node.host for node in cluster.others(trial.primary)] + [cluster.client]
    cut_us = trial.fault(trial.primary.host.cut(peers))
    trial.failover()
    trial.all_silent(trial.primary)
    trial.silence(max(0, CUT_S - (now_us() - cut_us) / 1e6))
    if any(row.sent_us > cut_us + 2 * LEASE_S * 1_000_000 for row in trial.load.pinned(trial.primary).acks()):
        raise Failure(f"{trial.primary.name} acknowledged writes long after its lease")


@scenario(durability=BOTH, root=True)
def deaf(trial):
    """the primary sends but receives nothing"""
    one_way(trial, inbound=True, outbound=False)


@scenario(durability=BOTH, root=True)
def mute(trial):
    """the primary receives but nothing that it sends arrives"""
    one_way(trial, inbound=False, outbound=True)


def one_way(trial, inbound, outbound):
    cluster = trial.cluster
    peers = [node.host for node in cluster.others(trial.primary)] + [cluster.client]
    trial.fault(trial.primary.host.cut(peers, inbound, outbound))
    trial.failover()
    trial.all_silent(trial.primary)


@scenario(durability=BOTH, root=True)
def standby_cut(trial):
    """the standby's side is the minority: it never promotes, and the primary goes on"""
    standby = trial.standbys[0]
    peers = [node.host for node in trial.cluster.others(standby)] + [trial.cluster.client]
    cut_us = trial.fault(standby.host.cut(peers))
    trial.writes_again()
    trial.silence(max(0, CUT_S - (now_us() - cut_us) / 1e6))
    if standby.in_recovery() is False:
        raise Failure(f"{standby.name} promoted itself on the minority's side")
    trial.heal()
    trial.no_failover()


@scenario(durability=BOTH)
def daemon_killed(trial):
    """SIGKILL of the primary's daemon, which stays away: the guard stops PostgreSQL, another takes over"""
    trial.fault(now_us())
    trial.primary.stop_daemon(signal.SIGKILL)
    trial.failover()
    trial.all_silent(trial.primary)


@scenario(quick=True, durability=BOTH)
def daemon_stopped(trial):
    """SIGSTOP of the primary's daemon with PostgreSQL healthy: the guard stops it, another takes over"""
    trial.fault(now_us())
    trial.primary.daemon.send_signal(signal.SIGSTOP)
    trial.failover()
    trial.all_silent(trial.primary)
    trial.primary.daemon.send_signal(signal.SIGCONT)


@scenario(durability=BOTH)
def daemon_gone(trial):
    """SIGTERM of the primary's daemon, which does not come back: PostgreSQL is stopped by the lease's end"""
    trial.fault(trial.primary.stop_daemon())
    trial.failover()
    trial.all_silent(trial.primary)


@scenario(quick=True)
def daemon_restarted(trial):
    """SIGTERM of the primary's daemon, back within the lease: no failover, and no error at a client"""
    events = len(trial.main.events())
    trial.fault(trial.primary.stop_daemon())
    trial.primary.start_daemon()
    trial.silence(2 * LEASE_S)
    trial.no_failover()
    failed = [row for row in trial.main.rows() if row.sent_us > trial.fault_us and row.outcome != "ok"]
    if failed or len(trial.main.events()) != events:
        raise Failure(f"a client noticed the restart: {failed[:3]} {trial.main.events()[events:][:3]}")


@scenario()
def daemon_crashed(trial):
    """SIGKILL of the primary's daemon, back within the lease: no failover, and no error at a client"""
    events = len(trial.main.events())
    trial.fault(now_us())
    trial.primary.stop_daemon(signal.SIGKILL)
    trial.primary.start_daemon()
    trial.silence(2 * LEASE_S)
    trial.no_failover()
    if len(trial.main.events()) != events:
        raise Failure(f"a client noticed the restart: {trial.main.events()[events:][:3]}")


@scenario(durability=BOTH)
def guard_killed(trial):
    """SIGKILL of the primary's guard: a new one takes its place before the primary goes on"""
    before = trial.primary.guard_pids()
    if len(before) != 1:
        raise Failure(f"{trial.primary.name} should have one guard, and has {before}")
    trial.fault(now_us())
    for pid in before:
        trial.primary.host.signal(pid, signal.SIGKILL)
    trial.writes_again()

    def guarded():
        status = trial.cluster.status() or {}
        member = next((member for member in status.get("members") or []
                       if member["node_id"] == status["primary"]["node_id"]), {})
        return member.get("guard_armed")
    wait_for("the primary's guard to be armed again", guarded, 20)


@scenario(durability=BOTH)
def witness_lost(trial):
    """the witness dies: nothing else happens"""
    trial.fault(trial.cluster.witnesses[0].host.kill())
    trial.silence(LEASE_S + 2)
    trial.writes_again()
    trial.outage_below(1_000_000)
    trial.heal()
    trial.no_failover()


@scenario(durability=BOTH)
def leader_lost(trial):
    """the Raft leader's host dies: the primary, when it is another's, goes on"""
    leader = trial.cluster.leader()
    if leader is None:
        raise Failure("nobody leads")
    trial.note(f"leader {leader.name}, primary {trial.primary.name}")
    trial.fault(leader.host.kill())
    trial.silence(LEASE_S + 2)
    trial.writes_again()
    trial.heal()
    if leader is not trial.primary:
        trial.no_failover()


@scenario(durability=BOTH)
def all_killed(trial):
    """every process of every host is killed, and all hosts boot: the cluster comes back by itself"""
    trial.fault(now_us())
    for node in trial.cluster.nodes:
        node.host.kill()
    trial.heal()
    trial.writes_again(deadline_s=60)


@scenario(durability=BOTH)
def standby_killed(trial):
    """the only standby's host dies: with quorum, writes wait for the failure timeout and go on; it comes back"""
    trial.fault(trial.standbys[0].host.kill())
    trial.writes_again()
    trial.heal()
    trial.no_failover()
