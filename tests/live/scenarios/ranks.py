"""Who may lead, and who only holds what was acknowledged."""

from shell import Failure, wait_for
from trial import scenario


def flushed_by(primary, name):
    return int(primary.value("SELECT coalesce(max(flush_lsn - '0/0'), 0)::bigint FROM pg_stat_replication"
                             f" WHERE application_name = '{name}'"))


@scenario(data=3, fresh=True, root=True)
def furthest_may_not_lead(trial):
    """the standby that holds most has priority 0: another receives from it, and then leads; nothing is lost"""
    reserve, other = trial.standbys
    reserve.configure([trial.primary], priority=0)
    reserve.stop_daemon()
    reserve.start_daemon()
    wait_for("the new priority", lambda: any(
        member["node_id"] == reserve.number and member["priority"] == 0
        for status in trial.cluster.statuses() for member in status["members"]), 15, 0.1)
    trial.cluster.wait_settled()
    other.host.cut([trial.primary.host])
    behind = flushed_by(trial.primary, other.name)
    wait_for(f"{reserve.name} to hold more than {other.name}",
             lambda: flushed_by(trial.primary, reserve.name) > behind + 5_000, 3, 0.02)
    trial.fault(trial.primary.host.kill())
    other.host.heal()
    trial.failover()
    if trial.cluster.primary() is not other:
        raise Failure(f"{trial.cluster.primary().name} leads, and not {other.name}")
    trial.note(f"{other.name} leads, which was behind {reserve.name}")
