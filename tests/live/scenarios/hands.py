"""What people do beside raftmgr: servers stopped and started by hand, daemons ended in the middle of something."""

import glob
import os
import signal

from shell import Failure, now_us, run, wait_for
from trial import scenario

SETTLE_S = 60


def pg_ctl(node, *words):
    """As an operator would type it; what comes of it is not ours to judge."""
    node.host.run([os.path.join(node.cluster.pg, "pg_ctl"), "-D", node.data, "-t", "20", "-l",
                   node.host.path("log", "by-hand.log"), *words], check=False, timeout_s=60)


@scenario()
def servers_by_hand(trial):
    """pg_ctl stop and restart on standby and primary: a standby comes back, a stopped primary is replaced"""
    cluster = trial.cluster
    for words in (("-m", "fast", "stop"), ("-m", "immediate", "stop"), ("-m", "fast", "restart"),
                  ("-m", "immediate", "restart")):
        trial.fault(now_us())
        pg_ctl(trial.standbys[0], *words)
        trial.no_failover()
    for words in (("-m", "fast", "stop"), ("-m", "fast", "restart"), ("-m", "immediate", "restart")):
        primary = cluster.wait_settled(SETTLE_S)
        begun_us = trial.fault(now_us())
        pg_ctl(primary, *words)
        trial.writes_again()
        now = cluster.wait_settled(SETTLE_S)
        trial.note(f"{' '.join(words[1:])}: {primary.name} to {now.name} in {trial.load.outage_us(begun_us) // 1000} ms")


def actions(node, action):
    """How often a daemon has begun this."""
    with open(node.host.path("daemon.log"), encoding="utf-8", errors="replace") as file:
        return sum(f'pg.action node={node.number} action="{action}"' in line for line in file)


def interrupt(node, action, begin, number=signal.SIGTERM):
    """Ends the daemon as soon as the action has begun, and starts it again."""
    before = actions(node, action)
    begin()
    wait_for(f"{node.name} to {action}", lambda: actions(node, action) > before, SETTLE_S, 0.002)
    node.stop_daemon(number)
    node.start_daemon()


@scenario(fresh=True, root=True, rejoin="clone")
def interrupted(trial):
    """the daemon is ended in the middle of start, clone, rewind and promotion, by SIGTERM and SIGKILL: all goes on"""
    cluster = trial.cluster
    trial.fault(now_us())
    for number in (signal.SIGTERM, signal.SIGKILL):
        standby = trial.standbys[0]
        interrupt(standby, "start as standby", standby.kill_postmaster, number)
        cluster.wait_settled(SETTLE_S)

        def wiped(standby=standby):
            standby.host.kill()
            run(["rm", "-rf", standby.data])
            standby.boot()
        interrupt(standby, "clone", wiped, number)
        cluster.wait_settled(SETTLE_S)
        for path in glob.glob(standby.data + ".old-*"):  # what the first try had copied
            run(["rm", "-rf", path])
        trial.no_failover()

    for number in (signal.SIGTERM, signal.SIGKILL):
        primary = cluster.wait_settled(SETTLE_S)
        trial.writes_again()
        winner = next(node for node in cluster.data_nodes if node is not primary)
        trial.fault(now_us())
        primary.host.cut([winner.host])  # so that it has what nobody else has
        primary.sql("SET synchronous_commit = local; CREATE TABLE IF NOT EXISTS mine AS SELECT 1 AS n;"
                    " INSERT INTO mine VALUES (2)")
        interrupt(winner, "promote", primary.host.kill, number)
        primary.host.heal()
        interrupt(primary, "rewind", primary.boot, number)
        trial.note(f"the primary is {cluster.wait_settled(SETTLE_S).name}")
    trial.primary = primary
