"""A training with a mirror in W&B that is broken off in a process of its own, and gone on with."""

import subprocess
import sys

from sightline.config import load_config
from sightline.tracking import open_tracker

BROKEN_OFF = """
import os, signal, sys
from sightline.config import load_config
from sightline.tracking import open_tracker

tracker = open_tracker(load_config(None, {"store": sys.argv[1], "tracker": "wandb"}))
with tracker.run("training", config={}, fingerprint="f", resume=True) as run:
    for step in (run.last_step + 1, run.last_step + 2):
        run.log({"miou": step / 8}, step)
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""
"""Two epochs more, then a signal to itself. What a killed process had told the SDK offline is lost."""


def broken_off(store, signal):
    """Train two epochs more in a store, until the signal of that name; gives the exit code."""
    return subprocess.run([sys.executable, "-c", BROKEN_OFF, store, signal], check=False).returncode


def gone_on_with(store):
    """One epoch more, and the end: (tracker, the last epoch)."""
    tracker = open_tracker(load_config(None, {"store": str(store), "tracker": "wandb"}))
    with tracker.run("training", config={}, fingerprint="f", resume=True) as run:
        last = run.last_step + 1
        run.log({"miou": last / 8}, last)
    return tracker, last
