"""Small things that every part of the live tests needs: a clock, waiting with a deadline, running a command."""

import os
import signal
import subprocess
import sys
import time

POLL_S = 0.05


class Failure(Exception):
    """What a live test says when the cluster did not do what it must."""


class Hopeless(Failure):
    """A failure that no waiting mends."""


def now_us():
    """The clock of the tests and of writer.c: CLOCK_BOOTTIME, in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def wait_for(what, condition, deadline_s, poll_s=POLL_S):
    """Returns condition()'s first true value; raises Failure, with its last complaint, after deadline_s.

    A condition complains by raising Failure or by returning something false.
    """
    end = time.monotonic() + deadline_s
    while True:
        complaint = ""
        try:
            value = condition()
            if value:
                return value
        except Hopeless:
            raise
        except Failure as failure:
            complaint = f": {failure}"
        if time.monotonic() >= end:
            raise Failure(f"waited {deadline_s:g} s in vain for {what}{complaint}")
        time.sleep(poll_s)


def stays(what, condition, duration_s, poll_s=POLL_S):
    """Holds that condition() is true for all of duration_s."""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        if not condition():
            raise Failure(f"{what} did not stay so for {duration_s:g} s")
        time.sleep(poll_s)


def run(argv, check=True, timeout_s=60, shown=None, **kwargs):
    """Runs a command to its end; returns the CompletedProcess with stdout and stderr as text.

    shown: the command as complaints name it.
    """
    name = " ".join(map(str, shown or argv))
    try:
        done = subprocess.run(argv, stdin=kwargs.pop("stdin", subprocess.DEVNULL) if "input" not in kwargs else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                              timeout=timeout_s, **kwargs)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{name}: did not end within {timeout_s} s") from late
    if check and done.returncode != 0:
        raise Failure(f"{name}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done


def write_file(path, text, mode=0o644, owner=None):
    """Writes a file with the given mode and owner (uid, gid)."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    if owner:
        os.chown(path, *owner)


def ms(duration_us):
    """Microseconds as text in milliseconds, or in seconds where it is long."""
    return f"{duration_us / 1000:.0f} ms" if duration_us < 10_000_000 else f"{duration_us / 1e6:.1f} s"


def build_directory():
    """Where the programs were built: $BUILD below the top of the source tree, as in the Makefile."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.path.join(top, os.environ.get("BUILD") or "build")


def under_reaper():
    """Starts this program again below `reaper`, so that killed servers do not stay zombies.

    Returns the build directory. SIGTERM and SIGHUP then raise KeyboardInterrupt as SIGINT does: everything is cleaned
    up.
    """
    build = build_directory()
    for name in ("raftmgrd", "rmctl", "raftmgr-guard", "writer", "reaper"):
        if not os.path.exists(os.path.join(build, "bin", name)):
            sys.exit(f"{build}/bin/{name} is missing: run 'make all helpers'")
    reaper = os.path.join(build, "bin", "reaper")
    if os.environ.get("RAFTMGR_LIVE_REAPER") != reaper:
        os.execve(reaper, [reaper, sys.executable, "-B"] + sys.argv, {**os.environ, "RAFTMGR_LIVE_REAPER": reaper})
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    return build
