"""Where the hosts of a test live.

A place gives hosts: each runs programs as an ordinary user, and all that runs on it can be killed at once. Two kinds:

Namespaces (root): each host is a network namespace on a bridge that no other network reaches, with a freezer cgroup
that holds everything it runs. So a host can lose its link, be cut off from others in one direction, be frozen and be
killed as a whole.

Loopback (anybody): the hosts share 127.0.0.1 and differ by their ports. What runs on a host is found by its working
directory, its arguments and a mark in its environment.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from shell import Failure, now_us, run, wait_for

FREEZER = "/sys/fs/cgroup/freezer"
MARK = "RAFTMGR_LIVE_HOST"
KILL_S = 10


def account():
    """(uid, gid, home) under which programs of a test run: postgres for root, else the caller's."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid(), os.path.expanduser("~")
    entry = pwd.getpwnam("postgres")
    return entry.pw_uid, entry.pw_gid, entry.pw_dir


def process_state(pid):
    """The letter of /proc/PID/stat, X for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(") ", 1)[1][0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def alive(pid):
    """True while the process exists and is no zombie."""
    return process_state(pid) not in "ZX"


def send(pid, number):
    """Sends a signal; a process that is gone already is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Host:
    """One machine of a test. Subclasses say how a program gets onto it and what can befall it."""

    frozen = False

    def __init__(self, place, name, address):
        self.place = place
        self.name = name
        self.address = address
        self.directory = os.path.join(place.directory, name)
        self.children = []
        os.mkdir(self.directory, 0o755)
        os.chown(self.directory, *place.owner)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def mkdir(self, name, mode=0o755):
        os.makedirs(self.path(name), mode, exist_ok=True)
        os.chmod(self.path(name), mode)
        os.chown(self.path(name), *self.place.owner)
        return self.path(name)

    def environment(self):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.place.home, "LANG": "C.UTF-8",
                "USER": self.place.user, "TZ": "UTC", MARK: self.directory}

    def wrap(self, argv, group="programs"):
        """The command line that runs argv on this host as the test's user."""
        raise NotImplementedError

    def run(self, argv, check=True, timeout_s=60, **kwargs):
        """Runs a program on the host to its end."""
        return run(self.wrap(argv), check, timeout_s, shown=argv, cwd=self.directory, env=self.environment(), **kwargs)

    def start(self, argv, log, group="programs"):
        """Starts a program on the host; its output is appended to the file log in the host's directory."""
        with open(self.path(log), "ab") as output:
            child = subprocess.Popen(self.wrap(argv, group), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                     cwd=self.directory, env=self.environment(), start_new_session=True)
        self.children.append(child)
        return child

    def reap(self):
        """Collects the ends of programs that were started here."""
        self.children = [child for child in self.children if child.poll() is None]

    def pids(self):
        """Everything that runs on the host, writers of the test not included."""
        raise NotImplementedError

    def kill(self):
        """Everything on the host is killed at one moment. Returns that moment."""
        raise NotImplementedError

    @staticmethod
    def signal(pid, number):
        """Signals one process of the host."""
        send(pid, number)

    def wait_dead(self, pids):
        def gone():
            self.reap()  # a process whose first thread is a zombie already may still have others
            return not any(alive(pid) for pid in pids) and not any(child.pid in pids for child in self.children)
        wait_for(f"the end of everything on {self.name}", gone, KILL_S, 0.005)


class NamespaceHost(Host):
    def __init__(self, place, name, address):
        super().__init__(place, name, address)
        self.namespace = f"{place.prefix}-{name}"
        self.cgroup = os.path.join(FREEZER, place.prefix, name)
        for group in ("programs", "clients"):
            os.makedirs(os.path.join(self.cgroup, group))
        run(["ip", "netns", "add", self.namespace])
        inside, outside = "eth0", f"v-{name}"
        run(["ip", "-n", place.switch, "link", "add", outside, "type", "veth", "peer", "name", inside,
             "netns", self.namespace])
        run(["ip", "-n", place.switch, "link", "set", outside, "master", "bridge0", "up"])
        run(["ip", "-n", self.namespace, "link", "set", "lo", "up"])
        run(["ip", "-n", self.namespace, "addr", "add", f"{address}/24", "dev", inside])
        run(["ip", "-n", self.namespace, "link", "set", inside, "up"])

    def wrap(self, argv, group="programs"):
        join = f'echo $$ > {self.cgroup}/{group}/cgroup.procs && exec "$@"'
        return ["sh", "-c", join, "sh", "nsenter", f"--net=/run/netns/{self.namespace}", "setpriv",
                f"--reuid={self.place.user}", f"--regid={self.place.owner[1]}", "--init-groups", "--"] + list(argv)

    def inside(self, argv, **kwargs):
        """Runs a command of the network's administration in the namespace, as root."""
        return run(["nsenter", f"--net=/run/netns/{self.namespace}"] + argv, **kwargs)

    def pids(self, group="programs"):
        with open(os.path.join(self.cgroup, group, "cgroup.procs"), encoding="ascii") as file:
            return [int(line) for line in file]

    @property
    def frozen(self):
        return self._state() != "THAWED"

    def _freezer(self, state):
        with open(os.path.join(self.cgroup, "freezer.state"), "w", encoding="ascii") as file:
            file.write(state)

    def _state(self):
        with open(os.path.join(self.cgroup, "freezer.state"), encoding="ascii") as file:
            return file.read().strip()

    def freeze(self):
        """Stops everything on the host, the test's pinned writer included, where it stands. Returns the moment."""
        self._freezer("FROZEN")
        wait_for(f"{self.name} to freeze", lambda: self._state() == "FROZEN", KILL_S, 0.001)
        return now_us()

    def thaw(self):
        self._freezer("THAWED")
        return now_us()

    def kill(self):
        self.freeze()
        pids = self.pids()
        for pid in pids:
            send(pid, signal.SIGKILL)
        moment = self.thaw()
        self.wait_dead(pids)
        return moment

    def link(self, up):
        """Plugs the host's network cable in or out, at the switch."""
        run(["ip", "-n", self.place.switch, "link", "set", f"v-{self.name}", "up" if up else "down"])
        return now_us()

    def cut(self, hosts, inbound=True, outbound=True):
        """Drops all packets from and to these hosts until heal()."""
        peers = ", ".join(host.address for host in hosts)
        rules = "table ip live {\nchain in { type filter hook input priority 0; %s }\n" \
                "chain out { type filter hook output priority 0; %s }\n}\n"
        self.inside(["nft", "-f", "-"], input=rules % (
            f"ip saddr {{ {peers} }} drop;" if inbound else "", f"ip daddr {{ {peers} }} drop;" if outbound else ""))
        return now_us()

    def heal(self):
        self.inside(["nft", "delete", "table", "ip", "live"], check=False)
        return now_us()

    def close(self):
        self.thaw()

        def emptied():
            """Again and again: a daemon that outlives its guard by a moment starts another."""
            left = self.pids() + self.pids("clients")
            for pid in left:
                send(pid, signal.SIGKILL)
            return not left
        wait_for(f"{self.name} to be empty", emptied, KILL_S, 0.01)
        self.reap()
        for group in ("programs", "clients", ""):
            os.rmdir(os.path.join(self.cgroup, group))
        run(["ip", "netns", "del", self.namespace], check=False)


class LoopbackHost(Host):
    def wrap(self, argv, group="programs"):
        if os.geteuid() != 0:
            return list(argv)
        return ["setpriv", f"--reuid={self.place.user}", f"--regid={self.place.owner[1]}", "--init-groups",
                "--"] + list(argv)

    def _is_mine(self, pid):
        """PostgreSQL overwrites its environment and arguments, but works in its data directory."""
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(self.path("data")):
                return True
            with open(f"/proc/{pid}/environ", "rb") as file:
                marked = f"{MARK}={self.directory}".encode() in file.read().split(b"\0")
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            # The guard keeps no environment: it shows the data directory that it guards as its argument.
            guard = words[0].startswith(b"raftmgr-guard") and f"{self.directory}/".encode() in b" ".join(words)
            return guard or (marked and b"writer" not in os.path.basename(words[0]))
        except OSError:
            return False

    def pids(self):
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_mine(int(name))]

    def kill(self):
        pids = set()
        while set(self.pids()) - pids:  # what is stopped starts nothing more
            for pid in set(self.pids()) - pids:
                send(pid, signal.SIGSTOP)
                pids.add(pid)
        for pid in pids:
            send(pid, signal.SIGKILL)
        moment = now_us()
        self.wait_dead(pids)
        return moment

    def close(self):
        end = time.monotonic() + KILL_S
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        while self.pids():
            self.kill()
            if time.monotonic() > end:
                raise Failure(f"could not end everything on {self.name}")


class Place:
    """Hosts and their common directory; close() removes every trace."""

    def __init__(self, prefix="raftmgr-live"):
        uid, gid, self.home = account()
        self.owner = (uid, gid)
        self.user = pwd.getpwuid(uid).pw_name
        self.hosts = []
        self.count = 0
        self.directory = tempfile.mkdtemp(prefix=f"{prefix}-", dir=os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.directory, 0o755)
        self.prefix = os.path.basename(self.directory).replace("raftmgr-", "")

    def host(self, name):
        """A new host."""
        self.count += 1
        host = self.host_type(self, name, self.address(self.count))
        self.hosts.append(host)
        return host

    def remove(self, host):
        """Ends a host and removes its directory."""
        host.close()
        self.hosts.remove(host)
        shutil.rmtree(host.directory, ignore_errors=True)

    def install(self, build):
        """Copies the programs to where the test's user can run them; returns that directory."""
        directory = os.path.join(self.directory, "bin")
        os.mkdir(directory, 0o755)
        for name in ("raftmgrd", "rmctl", "raftmgr-guard", "writer"):
            shutil.copy2(os.path.join(build, "bin", name), directory)
            os.chmod(os.path.join(directory, name), 0o755)
        return directory

    def close(self, keep=False):
        """Ends everything that runs, and removes the directory unless it is to be kept."""
        for host in self.hosts:
            host.close()
        self.hosts = []
        self.close_network()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def close_network(self):
        pass


class Namespaces(Place):
    host_type = NamespaceHost
    several_addresses = True

    def __init__(self, prefix="raftmgr-live"):
        super().__init__(prefix)
        if os.geteuid() != 0:
            raise Failure("network namespaces need root")
        self.switch = f"{self.prefix}-switch"
        os.makedirs(os.path.join(FREEZER, self.prefix))
        run(["ip", "netns", "add", self.switch])
        run(["ip", "-n", self.switch, "link", "add", "bridge0", "type", "bridge"])
        run(["ip", "-n", self.switch, "link", "set", "bridge0", "up"])

    @staticmethod
    def address(number):
        return f"10.79.0.{number}"

    def close_network(self):
        run(["ip", "netns", "del", self.switch], check=False)
        os.rmdir(os.path.join(FREEZER, self.prefix))


class Loopback(Place):
    host_type = LoopbackHost
    several_addresses = False

    @staticmethod
    def address(_number):
        return "127.0.0.1"
