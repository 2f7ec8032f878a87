"""Runs and artifacts: what each stage did, from what, and what came of it.

artifact.py  an artifact's version and its files
aliases.py   names that people let point at a version; best.py: the one that is worked out
blobs.py     files stored once, by their sha256, and checked when read
records.py   the run records: job type, status, summary; what a killed run left behind
lineage.py   which runs read and wrote which versions
plain.py     settings and numbers as plain JSON data
disk.py      what goes wrong with the disk, as errors
tracker.py   the tracker that stages talk to
trackio.py   metrics, artifact versions and lineage kept by trackio (the default)
library.py   the trackio library, pointed at the store's folder
dashboard.py trackio's dashboard, which the viewer shows
mirror.py    who else is told of every run, and may never be in its way
replay.py    a run told to a mirror after it is over
wandb.py     the mirror in W&B; wandb_run.py, wandb_tables.py, wandb_state.py: its parts
none.py      the same as trackio.py, kept in memory for tests and scripts
"""

from __future__ import annotations

import os
from pathlib import Path

from sightline.config import Config
from sightline.tracking.artifact import Artifact, StoredFile
from sightline.tracking.lineage import Link
from sightline.tracking.mirror import Careful, Mirror, NoMirror, check_wandb
from sightline.tracking.records import RunRecord
from sightline.tracking.tracker import Backend, Run, RunStopped, Tracker, fingerprint

__all__ = [
    "Artifact",
    "Backend",
    "Link",
    "Run",
    "RunRecord",
    "RunStopped",
    "StoredFile",
    "Tracker",
    "fingerprint",
    "open_tracker",
]


def open_tracker(config: Config) -> Tracker:
    """The tracker that the settings `store`, `project` and `tracker` name; makes the folder at the first run.

    Raises:
        ConfigError: `tracker` is wandb, and the extra that it needs is missing.
    """
    store = Path(config.store).resolve()
    if config.tracker == "none":
        from sightline.tracking.none import MemoryBackend

        return Tracker(store, config.project, MemoryBackend(config.project))
    from sightline.tracking.trackio import TrackioBackend

    backend = TrackioBackend(store / "trackio", config.project)
    return Tracker(store, config.project, backend, _mirror(config, store, backend))


def _mirror(config: Config, store: Path, backend: Backend) -> Mirror:
    """The mirror in W&B where the settings ask for one.

    Raises:
        ConfigError: the extra is missing.
    """
    if config.tracker != "wandb" or (config.wandb.mode or os.environ.get("WANDB_MODE")) == "disabled":
        return NoMirror()
    check_wandb()

    def make() -> Mirror:
        from sightline.tracking.wandb import WandbMirror

        return WandbMirror(store, config.project, backend, config.wandb)

    return Careful(make)
