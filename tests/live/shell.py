"""Small things that every part of the live tests needs: a clock, waiting with a deadline, running a command."""

import os
import subprocess
import time

POLL_S = 0.05


class Failure(Exception):
    """What a live test says when the cluster did not do what it must."""


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


def run(argv, check=True, timeout_s=60, **kwargs):
    """Runs a command to its end; returns the CompletedProcess with stdout and stderr as text."""
    try:
        done = subprocess.run(argv, stdin=kwargs.pop("stdin", subprocess.DEVNULL) if "input" not in kwargs else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                              timeout=timeout_s, **kwargs)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{' '.join(map(str, argv))}: did not end within {timeout_s} s") from late
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit status {done.returncode}: "
                      f"{(done.stderr or done.stdout).strip()[-2000:]}")
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
