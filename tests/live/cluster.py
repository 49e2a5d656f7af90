"""A raftmgr cluster of real daemons and real PostgreSQL on the hosts of a place."""

import glob
import json
import os
import shutil
import signal
import socket

from place import alive, process_state, send
from shell import Failure, Hopeless, now_us, run, wait_for, write_file

PEER_PORT = 7654
PG_PORT = 5432
CLONE_S = 60
REGISTER_S = 60
START_S = 30
ASK_S = 5
SETTLE_S = 60

LOCAL_CONF = """# What differs between the hosts of a test; the data directory of each includes its own.
listen_addresses = '{listen}'
port = {port}
unix_socket_directories = '{sockets}'
log_directory = '{log}'
"""

POSTGRESQL_CONF = """
# added by the live tests
include_if_exists = '../local.conf'
logging_collector = on
log_filename = 'postgresql.log'
log_line_prefix = '%m [%p] %q%u@%d/%a '
log_file_mode = 0644
shared_buffers = 32MB
max_connections = 60
max_wal_size = 256MB
timezone = 'UTC'
log_timezone = 'UTC'
password_encryption = 'scram-sha-256'
"""


def bindirs():
    """The programs of each major version: the system's, or those that `make pgN` has built."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = {}
    for pattern in (f"{top}/build/deps/postgresql-*/bin/postgres", "/usr/lib/postgresql/*/bin/postgres"):
        for path in glob.glob(pattern):
            directory = os.path.dirname(os.path.realpath(path))
            found[server_major(directory)] = directory
    return found


def bindir_of_major(major):
    found = bindirs().get(int(major))
    if not found:
        raise Failure(f"there is no PostgreSQL {major} here: run 'make pg{major}' (13 or 17), or set PG_BINDIR")
    return found


def pg_bindir():
    """The newest PostgreSQL of this machine, or what PG_BINDIR says."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    directory = os.environ.get("PG_BINDIR") or (os.path.dirname(found[-1]) if found else None)
    if not directory:
        raise Failure("there is no PostgreSQL server under /usr/lib/postgresql: run 'make deps', or set PG_BINDIR")
    return directory


def server_version(bindir=None):
    """What the server of a directory, or the one that is used, says of itself."""
    return run([os.path.join(bindir or pg_bindir(), "postgres"), "--version"]).stdout.strip()


def server_major(bindir=None):
    """15 for "postgres (PostgreSQL) 15.18 (Debian ...)"."""
    return int(server_version(bindir).split(") ")[1].split(".")[0])


def free_ports(count):
    """A number after which `count` ports, and as many 50 further on, are free on loopback."""
    for base in range(20000 + os.getpid() % 100 * 100, 32000, 100):
        try:
            for port in (base + offset + number for offset in (0, 50) for number in range(1, count + 1)):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise Failure("there are no free ports between 20000 and 32000")


class Node:
    """One member: a host, its daemon, and its PostgreSQL unless it is a witness."""

    def __init__(self, cluster, number, name, kind):
        self.cluster = cluster
        self.number = number
        self.name = name
        self.kind = kind
        self.host = cluster.place.host(name)
        shared = not cluster.place.several_addresses
        self.pg_port = cluster.base_port + number if shared else PG_PORT
        self.peer_port = cluster.base_port + 50 + number if shared else PEER_PORT
        self.daemon = None
        for directory in ("state", "run", "sockets", "log"):
            self.host.mkdir(directory, 0o700 if directory in ("state", "run") else 0o755)
        self.data = self.host.path("data")
        self.conf = self.host.path("raftmgr.conf")
        self.settings = {}

    @property
    def is_data(self):
        return self.kind == "data"

    @property
    def peer(self):
        return f"{self.host.address}:{self.peer_port}"

    @property
    def conninfo(self):
        return f"host={self.host.address} port={self.pg_port} user=repmgr dbname=repmgr connect_timeout=2"

    # --- configuration ---

    def configure(self, join=(), **settings):
        """Writes raftmgr.conf; later settings replace and add to those of before. join: nodes, or host:port."""
        self.settings.update(settings)
        lines = {
            "node_id": self.number, "node_name": self.name, "node_kind": self.kind,
            "peer_listen": self.peer, "peer_advertise": self.peer,
            "state_directory": self.host.path("state"), "runtime_directory": self.host.path("run"),
            "secret_file": self.host.path("secret"), "log_level": "DEBUG" if self.cluster.debug else "INFO",
        }
        if join:
            lines["join"] = ",".join(node if isinstance(node, str) else node.peer for node in join)
        if self.is_data:
            lines.update(conninfo=self.conninfo, data_directory=self.data, pg_bindir=self.cluster.pg,
                         replication_user="repmgr", passfile=self.host.path("passfile"))
            write_file(self.host.path("passfile"), f"*:*:*:repmgr:{self.cluster.password}\n", 0o600,
                       self.host.place.owner)
            self.write_local_conf()
        lines.update(self.cluster.settings)
        lines.update(self.settings)
        write_file(self.conf, "".join(f"{name}='{value}'\n" for name, value in lines.items() if value is not None),
                   0o644, self.host.place.owner)

    def write_local_conf(self, more=""):
        """PostgreSQL's settings of this host, and more of them."""
        write_file(self.host.path("local.conf"), LOCAL_CONF.format(
            listen=self.host.address, port=self.pg_port, sockets=self.host.path("sockets"),
            log=self.host.path("log")) + more, 0o644, self.host.place.owner)

    # --- programs ---

    def rmctl(self, *words, check=True, timeout_s=30, **kwargs):
        """Runs rmctl -f FILE WORDS on this node's host; returns the CompletedProcess."""
        return self.host.run([self.cluster.program("rmctl"), "-f", self.conf, *words], check, timeout_s, **kwargs)

    def start_daemon(self):
        self.host.reap()
        self.daemon = self.host.start([self.cluster.program("raftmgrd"), "-f", self.conf], "daemon.log")

    def daemon_runs(self):
        return self.daemon is not None and self.daemon.poll() is None

    def stop_daemon(self, number=signal.SIGTERM):
        """Ends the daemon alone and waits for its end; returns the moment of the signal."""
        moment = now_us()
        self.daemon.send_signal(number)
        wait_for(f"the end of {self.name}'s daemon", lambda: self.daemon.poll() is not None, 15, 0.005)
        return moment

    def boot(self):
        """What happens when the machine starts: /run is empty, and the daemon comes up."""
        shutil.rmtree(self.host.path("run"), ignore_errors=True)
        self.host.mkdir("run", 0o700)
        self.start_daemon()

    def status(self):
        """The status object, or None while the daemon cannot be asked."""
        if not self.daemon_runs() or self.host.frozen or process_state(self.daemon.pid) == "T":
            return None
        try:
            return self.ask("status")
        except (OSError, Failure):
            return None

    def ask(self, command, **arguments):
        """One request over the control socket, without rmctl; returns the result."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(ASK_S)
            stream.connect(self.host.path("run", "control.sock"))
            stream.sendall(json.dumps({"command": command, "protocol": 1, **arguments}).encode() + b"\n")
            for line in stream.makefile("r", encoding="utf-8"):
                answer = json.loads(line)
                if "ok" in answer:
                    if not answer["ok"]:
                        raise Failure(f"{command} {arguments}: {answer}")
                    return answer.get("result")
        raise Failure(f"{command} {arguments}: the daemon hung up")

    def pg_ctl(self, *words, **kwargs):
        return self.host.run([os.path.join(self.cluster.pg, "pg_ctl"), "-D", self.data, *words], **kwargs)

    def psql(self, database):
        """The command line of a superuser's psql over the node's own socket."""
        return [os.path.join(self.cluster.pg, "psql"), "-X", "-h", self.host.path("sockets"), "-p", str(self.pg_port),
                "-U", "postgres", "-d", database]

    def sql(self, query, database="repmgr", timeout_s=10):
        """Rows of a query as lists of text, asked as the superuser over the node's own socket."""
        done = self.host.run(self.psql(database) + ["-Atq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", query],
                             timeout_s=timeout_s)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, query, **kwargs):
        return self.sql(query, **kwargs)[0][0]

    def in_recovery(self):
        """True for a standby, False for a primary, None when the server does not answer."""
        try:
            return self.value("SELECT pg_is_in_recovery()") == "t"
        except Failure:
            return None

    # --- processes ---

    def postmaster(self):
        """The postmaster's pid, or None."""
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as file:
                pid = int(file.readline())
            return pid if alive(pid) and os.readlink(f"/proc/{pid}/cwd") == self.data else None
        except (OSError, ValueError):
            return None

    def postgres_pids(self):
        """Every PostgreSQL process that works in the data directory."""
        found = []
        for pid in self.host.pids():
            try:
                if os.readlink(f"/proc/{pid}/cwd") == self.data and \
                        os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "postgres" and alive(pid):
                    found.append(pid)
            except OSError:
                pass
        return found

    def guard_pids(self):
        found = []
        for pid in self.host.pids():
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "raftmgr-guard" and alive(pid):
                    found.append(pid)
            except OSError:
                pass
        return found

    def kill_postmaster(self, number=signal.SIGKILL):
        pid = self.postmaster()
        if pid is None:
            raise Failure(f"{self.name} has no postmaster to send a signal to")
        moment = now_us()
        send(pid, number)
        return moment

    def log_tail(self, lines=15):
        try:
            with open(self.host.path("daemon.log"), encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""


class Cluster:
    """Founds a cluster of data nodes and witnesses, and says what state it is in."""

    def __init__(self, place, build, data=2, witnesses=1, debug=False, **settings):
        self.place = place
        self.pg = pg_bindir()
        self.bin = place.install(build)
        self.password = "live"
        self.debug = debug
        self.settings = settings
        self.base_port = None if place.several_addresses else free_ports(data + witnesses)
        self.nodes = []
        for number in range(1, data + witnesses + 1):
            is_data = number <= data
            name = f"n{number}" if is_data else f"w{number - data}"
            self.nodes.append(Node(self, number, name, "data" if is_data else "witness"))
        self.client = place.host("client")

    def stranger(self, number, name, kind="data"):
        """A further host that is no member: to be joined, or turned away."""
        return Node(self, number, name, kind)

    @property
    def durability(self):
        return self.settings.get("durability", "quorum")

    @property
    def data_nodes(self):
        return [node for node in self.nodes if node.is_data]

    @property
    def witnesses(self):
        return [node for node in self.nodes if not node.is_data]

    def program(self, name):
        return os.path.join(self.bin, name)

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]

    def node(self, key):
        """The node of this number or name, None for 0 and what is unknown."""
        return next((node for node in self.nodes if key in (node.number, node.name)), None)

    # --- founding ---

    def initdb(self, node):
        """Makes and starts an ordinary PostgreSQL server with a user and a database repmgr, as an operator would."""
        node.host.run([os.path.join(self.pg, "initdb"), "-D", node.data, "-k", "-U", "postgres", "--auth-local=trust",
                       "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C"], timeout_s=60)
        with open(os.path.join(node.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(POSTGRESQL_CONF)
        subnet = node.host.address.rsplit(".", 1)[0] + ".0/24"
        with open(os.path.join(node.data, "pg_hba.conf"), "a", encoding="utf-8") as file:
            file.write(f"host all writer {subnet} trust\nhost all,replication repmgr {subnet} scram-sha-256\n")
        self.drop_default_hba(node)
        self.start_plain(node)
        node.sql(f"CREATE ROLE repmgr SUPERUSER LOGIN PASSWORD '{self.password}'", database="postgres")
        node.sql("CREATE ROLE writer LOGIN", database="postgres")
        node.sql("CREATE DATABASE repmgr OWNER repmgr", database="postgres")
        node.sql("CREATE DATABASE app OWNER writer", database="postgres")
        node.sql("CREATE TABLE live_rows (id bigint PRIMARY KEY, sent_us bigint NOT NULL, host text NOT NULL);"
                 " ALTER TABLE live_rows OWNER TO writer", database="app")

    @staticmethod
    def drop_default_hba(node):
        """initdb's own line for 127.0.0.1 would stand before ours."""
        path = os.path.join(node.data, "pg_hba.conf")
        with open(path, encoding="utf-8") as file:
            lines = [line for line in file if "127.0.0.1/32" not in line]
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines)

    def start_plain(self, node):
        """Starts PostgreSQL without raftmgr."""
        node.pg_ctl("-w", "-l", node.host.path("log", "start.log"), "start", timeout_s=START_S)

    def start_replica(self, node, source):
        """An ordinary asynchronous standby, without raftmgr."""
        node.host.run(["env", f"PGPASSFILE={node.host.path('passfile')}", os.path.join(self.pg, "pg_basebackup"), "-D",
                       node.data, "-R", "-X", "stream", "-c", "fast", "-d", source.conninfo])
        self.start_plain(node)

    def found(self):
        """The whole way from nothing to a cluster of all nodes."""
        first = self.nodes[0]
        for node in self.nodes:
            node.configure(join=[] if node is first else [first])
        self.initdb(first)
        self.make_secret()
        first.start_daemon()
        self.wait_control(first)
        first.rmctl("primary", "register", timeout_s=REGISTER_S)
        for node in self.nodes[1:]:
            self.join(node)
        self.wait_settled()

    def make_secret(self):
        """One secret for all, made by rmctl; none where certificates take its place."""
        if "secret_file" in self.nodes[0].settings:
            return
        self.nodes[0].rmctl("secret", "create")
        self.share_secret()

    def share_secret(self):
        """Copies the first node's secret to the others, as the operator does."""
        for node in self.nodes[1:]:
            self.share_secret_with(node)

    def share_secret_with(self, node):
        with open(self.nodes[0].host.path("secret"), encoding="ascii") as file:
            write_file(node.host.path("secret"), file.read(), 0o600, self.place.owner)

    def wait_control(self, node):
        def answers():
            if not node.daemon_runs():
                raise Hopeless(f"{node.name}'s daemon ended:\n{node.log_tail()}")
            return node.status()
        return wait_for(f"{node.name}'s daemon to answer rmctl", answers, START_S)

    def clone(self, node, source, *options, check=True):
        """Runs rmctl standby clone on the node's host."""
        where = ["-h", source.host.address, "-p", str(source.pg_port), "-U", "repmgr", "-d", "repmgr"]
        return node.host.run([self.program("rmctl"), *where, "-f", node.conf, "standby", "clone", *options], check,
                             timeout_s=CLONE_S)

    def join(self, node):
        """Clones (a data node), starts the daemon and registers the node."""
        if node.is_data:
            self.clone(node, self.primary() or self.nodes[0], "--fast-checkpoint")
        node.start_daemon()
        self.wait_control(node)
        return node.rmctl("standby" if node.is_data else "witness", "register", timeout_s=REGISTER_S)

    # --- what state it is in ---

    def statuses(self):
        """The status objects of all nodes whose daemons answer."""
        found = [node.status() for node in self.nodes]
        return [status for status in found if status]

    def status(self):
        """The status that knows most: that of the highest applied index."""
        known = [status for status in self.statuses() if status.get("raft")]
        return max(known, key=lambda status: status["raft"].get("applied_index") or 0, default=None)

    def primary(self):
        """The node that the cluster calls its primary, or None."""
        status = self.status()
        return self.node((status.get("primary") or {}).get("node_id")) if status else None

    def leader(self):
        """The node that leads Raft, or None."""
        status = self.status()
        return self.node((status.get("raft") or {}).get("leader")) if status else None

    def writable_nodes(self):
        """The data nodes whose server says that it is no standby."""
        return [node for node in self.data_nodes if node.in_recovery() is False]

    def settled(self, nodes=None):
        """Raises Failure with the first thing that is amiss; True when all is well with these nodes."""
        nodes = nodes or self.nodes
        status = self.status()
        if not status:
            raise Failure("no daemon tells the cluster's state")
        if status.get("operation"):
            raise Failure(f"an operation is open: {json.dumps(status['operation'])}")
        primary = self.node((status.get("primary") or {}).get("node_id"))
        if primary is None:
            raise Failure("there is no primary")
        writable = self.writable_nodes()
        if writable != [primary]:
            raise Failure(f"{primary.name} is to be primary, but writable are {[node.name for node in writable]}")
        wanted = {node.name for node in nodes if node.is_data and node is not primary}
        rows = primary.sql("SELECT application_name, state, sync_state FROM pg_stat_replication")
        streaming = {row[0] for row in rows if row[1] == "streaming"}
        if not wanted <= streaming:
            raise Failure(f"streaming are {sorted(streaming)} and not {sorted(wanted)}: {rows}")
        self.check_synchronous(status, rows, wanted)
        for member in status.get("members") or []:
            if self.node(member["node_id"]) in nodes:
                self.check_member(member, primary, status["primary"]["timeline"])
        return True

    @staticmethod
    def check_member(member, primary, timeline):
        """What the cluster says of a member must be as good as what its server says."""
        if not member.get("reachable"):
            raise Failure(f"{member['node_name']} is unreachable: {member.get('state')}")
        if member["kind"] == "data" and member.get("timeline") != timeline:
            raise Failure(f"{member['node_name']} is said to be on timeline {member.get('timeline')}, not {timeline}")
        if member["kind"] != "data" or member["node_id"] == primary.number:
            return
        if not member.get("streaming") or member.get("attached") != "streaming":
            raise Failure(f"{member['node_name']} is said not to stream: {member.get('state')}, {member.get('attached')}")

    def check_synchronous(self, status, rows, wanted):
        """With quorum or strict durability a standby must have become synchronous again; with async, none is."""
        synchronous = any(row[2] in ("sync", "quorum") for row in rows)
        if wanted and synchronous != (self.durability != "async"):
            raise Failure(f"durability is {self.durability}, but pg_stat_replication shows {rows},"
                          f" demands {json.dumps(status.get('demands'))}")

    def wait_settled(self, deadline_s=SETTLE_S, nodes=None):
        """Waits until one node is primary, every standby streams and no operation is open."""
        wait_for("a settled cluster", lambda: self.settled(nodes), deadline_s, 0.2)
        return self.primary()

    def wait_primary(self, not_node=None, deadline_s=20):
        """Waits until a node (another than not_node) is primary and takes writes."""
        def found():
            for node in self.data_nodes:
                if node is not not_node and node.in_recovery() is False:
                    return node
            return None
        return wait_for("a primary" + (f" other than {not_node.name}" if not_node else ""), found, deadline_s)

    def config_set(self, name, value):
        """Changes a setting of the cluster, unless it has that value already."""
        (self.primary() or self.nodes[0]).rmctl("config", "set", name, str(value))
        self.settings[name] = value
