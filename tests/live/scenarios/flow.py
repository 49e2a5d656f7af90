"""Founding a cluster as people who know repmgr would, and the harness held against servers without raftmgr."""

import os
import re

from acks import Load, acknowledged, overlap_us, stored_ids
from cluster import Cluster
from shell import Failure, wait_for
from trial import scenario

ATTACH_S = 10

# Lines in their order, others may stand between them. From repmgr 5.3's own output, without what is on its extension
# and on starting PostgreSQL by hand.
PRIMARY_REGISTER = r"""INFO: connecting to primary database\.\.\.
NOTICE: primary node record \(ID: 1\) registered"""
DRY_RUN = r"""NOTICE: destination directory "{data}" provided
INFO: connecting to source node
DETAIL: connection string is: host={host} port={port} user=repmgr dbname=repmgr
DETAIL: current installation size is \d+ MB
INFO: parameter "max_replication_slots" set to \d+
INFO: parameter "max_wal_senders" set to \d+
NOTICE: checking for available walsenders on the source node \(2 required\)
INFO: sufficient walsenders available on the source node
DETAIL: 2 required, \d+ available
NOTICE: checking replication connections can be made to the source server \(2 required\)
INFO: required number of replication connections could be made to the source server
DETAIL: 2 replication connections required
INFO: replication slots will be created by user "repmgr"
NOTICE: standby will attach to upstream node 1
HINT: consider using the -c/--fast-checkpoint option
INFO: would execute:
  .*/pg_basebackup -l "repmgr base backup"  -D {data} -h {host} -p {port} -U repmgr .*-X stream.* -S repmgr_slot_2.*
INFO: all prerequisites for "standby clone" are met"""
CLONE = r"""NOTICE: destination directory "{data}" provided
INFO: connecting to source node
DETAIL: connection string is: host={host} port={port} user=repmgr dbname=repmgr
DETAIL: current installation size is \d+ MB
NOTICE: checking for available walsenders on the source node \(2 required\)
NOTICE: checking replication connections can be made to the source server \(2 required\)
INFO: creating directory "{data}"\.\.\.
NOTICE: starting backup \(using pg_basebackup\)\.\.\.
INFO: executing:
  .*/pg_basebackup -l "repmgr base backup"  -D {data} -h {host} -p {port} -U repmgr .*
NOTICE: standby clone \(using pg_basebackup\) complete"""
NO_SLOT = r"""ERROR: no free replication slot on the source node
HINT: drop slots of the source node that nobody uses, or increase "max_replication_slots" \(\d+\)"""
STANDBY_REGISTER = r"""INFO: connecting to local node "n2" \(ID: 2\)
INFO: connecting to primary database
WARNING: --upstream-node-id not supplied, assuming upstream node is primary \(node ID: 1\)
INFO: standby registration complete
NOTICE: standby node "n2" \(ID: 2\) successfully registered"""
SHOW_HEAD = r""" ID \| Name \| Role    \| Status    \| Upstream \| Location \| Priority \| Timeline \| Connection .*
----\+------\+---------\+-----------\+----------\+----------\+----------\+----------\+-+"""
SHOW_PRIMARY = r""" 1  \| n1   \| primary \| \* running \|          \| default  \| 100      \| 1        \| host=.*"""
SHOW_STANDBY = r""" 2  \| n2   \| standby \|   running \| n1       \| default  \| 100      \| 1        \| host=.*"""


def expect(what, text, patterns, **values):
    """Holds that the lines of text match the patterns in their order."""
    lines = iter(text.splitlines())
    for pattern in patterns.splitlines():
        pattern = re.sub(r"\{(\w+)\}", lambda found: re.escape(str(values[found[1]])), pattern)
        if not any(re.fullmatch(pattern, line) for line in lines):
            raise Failure(f"{what} printed no line like '{pattern}' where it was due:\n{text}")
    return True


def fill_slots(node):
    """Makes slots until there is room for no more."""
    node.sql("SELECT pg_create_physical_replication_slot('full_' || i) FROM generate_series(1,"
             " current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int) AS i")


@scenario(quick=True, durability=())
def register_and_clone(stage, note):
    """primary register, cluster show, standby clone, standby register: what people know from repmgr, line by line"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=1, debug=stage.debug)
    first, second, witness = cluster.nodes
    for node in cluster.nodes:
        node.configure(join=[] if node is first else [first])
    values = {"data": second.data, "host": first.host.address, "port": first.pg_port}
    cluster.initdb(first)
    cluster.make_secret()
    first.start_daemon()
    cluster.wait_control(first)
    expect("primary register", first.rmctl("primary", "register").stderr, PRIMARY_REGISTER)
    expect("cluster show", first.rmctl("cluster", "show").stdout, SHOW_HEAD + "\n" + SHOW_PRIMARY)
    fill_slots(first)
    refused = cluster.clone(second, first, "--dry-run", check=False)
    if refused.returncode != 1:
        raise Failure("a dry run of standby clone passed over the want of a replication slot")
    expect("standby clone without a free slot", refused.stderr, NO_SLOT)
    first.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '^full_'")
    expect("standby clone --dry-run", cluster.clone(second, first, "--dry-run").stderr, DRY_RUN, **values)
    if os.path.exists(second.data):
        raise Failure("a dry run of standby clone made the data directory")
    expect("standby clone", cluster.clone(second, first, "--fast-checkpoint").stderr, CLONE, **values)
    second.start_daemon()
    cluster.wait_control(second)
    expect("standby register", second.rmctl("standby", "register").stderr, STANDBY_REGISTER)
    show = "\n".join([SHOW_HEAD, SHOW_PRIMARY, SHOW_STANDBY])
    wait_for("the standby to be shown as running",
             lambda: expect("cluster show", second.rmctl("cluster", "show", check=False).stdout, show), ATTACH_S, 0.2)
    cluster.join(witness)
    cluster.wait_settled()
    wanted = [["1", "n1", "primary", "t"], ["2", "n2", "standby", "t"], ["3", "w1", "witness", "t"]]
    wait_for("repmgr.nodes to list all", lambda: wanted == first.sql(
        "SELECT node_id, node_name, type, active FROM repmgr.nodes ORDER BY node_id"), ATTACH_S, 0.2)
    note(f"{len(first.sql('SELECT 1 FROM repmgr.events'))} events in repmgr.events")


@scenario(quick=True, durability=())
def harness_control(stage, note):
    """two primaries on purpose, without raftmgr: the checks of these tests must notice both split and loss"""
    cluster = Cluster(stage.new_place(), stage.build, data=2, witnesses=0)
    first, second = cluster.nodes
    for node in cluster.nodes:
        node.configure()
    cluster.initdb(first)
    cluster.start_replica(second, first)
    load = Load(cluster, 0)
    load.main.wait_acks(50)
    second.sql("SELECT pg_promote()")
    load.pinned(second).wait_acks(50)
    load.stop()
    certain, _, _ = overlap_us(load.rows())
    acked = {row.id for row in acknowledged(load.rows())}
    lost = len(acked - stored_ids(second, load.writers))
    note(f"noticed: {certain / 1000:.0f} ms of two primaries, {lost} rows lost")
    if certain < 100_000 or lost < 10:
        raise Failure(f"two primaries went unnoticed: overlap {certain} us, {lost} rows lost")
