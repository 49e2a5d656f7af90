"""Several things at once, and less usual ones."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from shell import Failure, now_us, run, wait_for
from trial import Trial, scenario
from cluster import Cluster

LEASE_S = 4
STOPPED_S = 10
COMMANDS = 10_000
CLERKS = 8                 # who send them at the same time


@scenario(data=3)
def leader_stopped(trial):
    """the Raft leader, not on the primary's host, stands still for 10 s: no outage at the writer"""
    leader = wait_for("a leader elsewhere", lambda: trial.cluster.leader() not in (None, trial.primary) and
                      trial.cluster.leader(), 15, 0.2)
    trial.fault(now_us())
    leader.daemon.send_signal(signal.SIGSTOP)
    trial.silence(STOPPED_S)
    leader.daemon.send_signal(signal.SIGCONT)
    trial.outage_below(1_000_000)
    trial.no_failover()


@scenario()
def orphans(trial):
    """daemon and postmaster killed together during a long procedure: nothing of the server is left by the deadline"""
    primary = trial.primary
    primary.sql("CREATE TABLE IF NOT EXISTS loops (n bigint); CREATE OR REPLACE PROCEDURE forever() LANGUAGE plpgsql AS"
                " $$ BEGIN FOR n IN 1 .. 100000000 LOOP INSERT INTO loops VALUES (n); COMMIT; END LOOP; END $$",
                database="app")
    primary.host.start(primary.psql("app") + ["-c", "SET synchronous_commit = local", "-c", "CALL forever()"],
                       "procedure.log", group="clients")
    wait_for("the procedure to run", lambda: int(primary.value("SELECT count(*) FROM loops", database="app")) > 100, 10)
    trial.fault(now_us())
    primary.daemon.send_signal(signal.SIGKILL)
    primary.kill_postmaster()
    deadline_us = trial.fault_us + (LEASE_S + 1) * 1_000_000
    trial.all_silent(primary)
    if now_us() > deadline_us:
        raise Failure(f"PostgreSQL processes were left for {(now_us() - trial.fault_us) / 1e6:.1f} s")
    trial.note(f"the last process ended after {(now_us() - trial.fault_us) / 1e6:.1f} s")
    trial.failover()


@scenario(data=3)
def replay_paused(trial):
    """replay is paused on a standby, then a failover: it reports its WAL without its receiver, and nothing is lost"""
    paused = trial.standbys[0]
    paused.sql("SELECT pg_wal_replay_pause()")
    trial.writes_again()
    trial.fault(trial.primary.host.kill())
    trial.failover()
    if paused.in_recovery():
        receivers = paused.value("SELECT count(*) FROM pg_stat_wal_receiver")
        trial.note(f"{paused.name} stays a standby, {receivers} receiver")
        paused.sql("SELECT pg_wal_replay_resume()")


@scenario(data=3)
def winner_killed(trial):
    """the winner dies in the middle of its promotion: the next one gets a timeline of its own"""
    cluster = trial.cluster
    before = int(cluster.status()["primary"]["timeline"])
    trial.fault(trial.primary.host.kill())

    def elected():
        for node in trial.standbys:
            status = node.status() or {}
            if status and status["primary"]["node_id"] != trial.primary.number:
                return cluster.node(status["primary"]["node_id"])
        return None
    winner = wait_for("a winner", elected, 20, 0.001)
    winner.host.kill()
    trial.primary.boot()  # for a majority

    def next_one():
        return next((row for row in reversed(trial.main.acks())
                     if row.host != winner.name and row.timeline > before and row.sent_us > trial.fault_us), None)
    row = wait_for(f"a primary other than {winner.name}", next_one, 60)
    trial.note(f"timeline {before}, {winner.name} died, then {row.timeline} on {row.host}")
    if row.timeline < before + 2:
        raise Failure(f"{row.host} got timeline {row.timeline}, which was {winner.name}'s")


@scenario()
def rewound_far_back(trial):
    """a server is rewound to a checkpoint whose WAL the new primary has no more: it starts from its own"""
    old = trial.primary
    old.sql("CHECKPOINT")
    name = old.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    old.sql("SELECT pg_switch_wal()")
    trial.writes_again()
    # The standby's slot for it holds WAL from about now on: raftmgrd moves it along, from time to time.
    trial.standbys[0].sql(f"SELECT pg_replication_slot_advance('repmgr_slot_{old.number}', pg_last_wal_replay_lsn())")
    trial.fault(old.stop_daemon(signal.SIGKILL))  # the server goes on until its guard stops it
    winner = trial.failover()
    trial.all_silent(old)

    def recycled():
        winner.sql("CHECKPOINT")
        return not os.path.exists(os.path.join(winner.data, "pg_wal", name))
    wait_for(f"{winner.name} to recycle {name}", recycled, 20, 0.5)
    trial.heal()
    trial.cluster.wait_settled()
    with open(old.host.path("daemon.log"), encoding="utf-8") as file:
        if f' pg.done node={old.number} action="rewind" ' not in file.read():
            raise Failure(f"{old.name} came back without the rewind that was to be tried")


@scenario(root=True)
def amnesia(trial):
    """a voter's daemon restarts while it cannot reach the leader: it grants nothing"""
    witness = trial.cluster.witnesses[0]
    others = trial.cluster.others(witness)
    trial.fault(witness.host.cut([node.host for node in others]))
    wait_for("the standby to lead", lambda: trial.standbys[0].status()["raft"]["leader"] == trial.standbys[0].number, 20)
    witness.stop_daemon()
    witness.start_daemon()
    trial.cluster.wait_control(witness)
    witness.host.heal()
    witness.host.cut([node.host for node in others if node is not trial.primary])
    status = witness.status()
    if (status.get("node") or {}).get("hello_applied"):
        raise Failure("the witness says that it knows what is agreed, cut off from the leader")
    trial.silence(LEASE_S)
    grants = [grant for grant in ((trial.primary.status() or {}).get("lease") or {}).get("grants") or []
              if grant["node_id"] == witness.number and grant["granted"]]
    if grants and not (witness.status()["node"] or {}).get("hello_applied"):
        raise Failure(f"the witness granted before it knew what is agreed: {grants}")
    trial.writes_again()


@scenario(root=True)
def peer_port(trial):
    """old TLS, TLS without the secret, and raw bytes on the peer port: not a byte of protocol in answer"""
    script = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "probe_port.py")
    for node in trial.cluster.nodes:
        done = run(["nsenter", f"--net=/run/netns/{trial.cluster.client.namespace}", "/usr/bin/python3", "-B", script,
                    node.host.address, str(node.peer_port)])
        trial.note(f"{node.name}: {done.stdout.strip()}")
    trial.no_failover()


@scenario(durability=())
def join_by_snapshot(stage, note):
    """10,000 commands, then a witness joins: by a snapshot"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    late = cluster.nodes.pop()
    cluster.found()
    primary = cluster.nodes[0]
    begin = cluster.status()["raft"]["applied_index"]

    def send(number):
        try:
            primary.ask("config_set", name="maximum_lag_on_failover", value=f"{1 + number % 100}MB")
        except Failure as failure:  # two at a time: the later one is in the log too, and is refused when applied
            if "REFUSED" not in str(failure):
                raise
    with ThreadPoolExecutor(CLERKS) as clerks:
        list(clerks.map(send, range(COMMANDS)))
    note(f"{cluster.status()['raft']['applied_index'] - begin} entries")
    late.configure(join=cluster.nodes)
    cluster.share_secret_with(late)
    cluster.join(late)
    cluster.nodes.append(late)
    cluster.wait_settled()
    with open(late.host.path("daemon.log"), encoding="utf-8") as file:
        applied = file.read().count(" cluster.applied ")
    note(f"the new member applied {applied} one by one")
    if applied > COMMANDS // 2:
        raise Failure(f"the new member got no snapshot: it applied {applied} entries one by one")


@scenario(durability=())
def certificates(stage, note):
    """a cluster on certificates alone"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    directory = cluster.place.directory
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=live", "-keyout", f"{directory}/ca.key", "-out", f"{directory}/ca.pem"])
    for node in cluster.nodes:
        key, request, certificate = (node.host.path(name) for name in ("tls.key", "tls.csr", "tls.pem"))
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             f"/CN={node.name}", "-keyout", key, "-out", request])
        run(["openssl", "x509", "-req", "-days", "2", "-in", request, "-CA", f"{directory}/ca.pem", "-CAkey",
             f"{directory}/ca.key", "-CAcreateserial", "-out", certificate])
        os.chmod(key, 0o600)
        for path in (key, certificate):
            os.chown(path, *cluster.place.owner)
        node.settings = {"secret_file": None, "tls_key_file": key, "tls_cert_file": certificate,
                         "tls_ca_file": f"{directory}/ca.pem"}
    cluster.found()
    trial = Trial(cluster, "quorum", note)
    try:
        trial.fault(trial.primary.host.kill())
        trial.failover()
        trial.finish()
    finally:
        trial.stop()
