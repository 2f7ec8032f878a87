"""Which processes are there, for the tests that end some."""

import subprocess
import time
from pathlib import Path


def alive(pid):
    """Whether a process is there, and no zombie."""
    return any(pid == known for known, _ in _living())


def group(leader):
    """Pids of the living processes of a process group."""
    return {pid for pid, pgid in _living() if pgid == leader}


def wait_until(true, seconds=20.0):
    """Return when `true()` holds; fail when it does not come about."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _living():
    """(pid, process group) of every process that is no zombie."""
    if not Path("/proc/self/stat").is_file():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
        rows = (line.split() for line in listed.stdout.splitlines())
        return [(int(pid), int(pgid)) for pid, pgid, state in rows if not state.startswith("Z")]
    return [row for path in Path("/proc").glob("[0-9]*/stat") if (row := _row(path))]


def _row(path):
    try:
        state, _, pgid = path.read_text().rpartition(") ")[2].split()[:3]
    except OSError:  # it has just ended
        return None
    return None if state == "Z" else (int(path.parent.name), int(pgid))
