"""What `bench_wandb.py` starts, each in a process of its own: the EDA stage, and the W&B course's code for the same.

    python benchmarks/wandb_peers.py WORK SCENES FOLDER

Prints, as JSON, what the process and all that it started took: CPU seconds, bytes written, resident memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

NAME, PROJECT = "scenes", "bench"
QUIET = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true", "WANDB_CONSOLE": "off"}


def course(scenes: Path, folder: Path) -> None:
    """As lesson 1 of the course has it: both folders and a table of decoded images in one artifact."""
    import numpy as np
    import wandb
    from PIL import Image

    from sightline.classes import ROAD_SCENE

    labels = dict(enumerate(ROAD_SCENE.names))
    run = wandb.init(project=PROJECT, job_type="upload")
    artifact = wandb.Artifact(NAME, type="raw_data")
    artifact.add_file(str(scenes / "LICENSE.txt"), name="LICENSE.txt")
    artifact.add_dir(str(scenes / "images"), name="images")
    artifact.add_dir(str(scenes / "labels"), name="labels")
    table = wandb.Table(columns=["File_Name", "Images", "Split", *labels.values()])
    for file in sorted((scenes / "images").iterdir()):
        mask = np.array(Image.open(scenes / "labels" / f"{file.stem}_mask.png"))
        present = set(np.unique(mask).tolist())
        masks = {"predictions": {"mask_data": mask, "class_labels": labels}}
        shown = wandb.Image(Image.open(file), masks=masks)
        table.add_data(file.name, shown, "None", *(int(index in present) for index in labels))
    artifact.add(table, "eda_table")
    run.log_artifact(artifact)
    run.finish()


def ingest(scenes: Path, folder: Path, tracker: str) -> None:
    """`sightline ingest`, in this process alone."""
    import sightline
    from sightline.config import load_config
    from sightline.console import console

    console().quiet = True
    told = {"data": str(scenes), "name": NAME, "store": str(folder / "store"), "project": PROJECT, "workers": 0}
    sightline.ingest(load_config(None, {**told, "tracker": tracker}))


WORKS: dict[str, Callable[[Path, Path], None]] = {
    "course": course,
    "alone": lambda scenes, folder: ingest(scenes, folder, "trackio"),
    "imported": lambda scenes, folder: ingest(scenes, folder, "trackio"),
    "mirrored": lambda scenes, folder: ingest(scenes, folder, "wandb"),
}
"""All but `alone` import wandb first, so that memory can be compared."""


def resident(which: str) -> float:
    """Megabytes of this process: `VmRSS` now, `VmHWM` at its most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) / 1024


def written() -> float:
    """Megabytes that this process and its children that have ended wrote."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["wchar"]) / 2**20


def main() -> None:
    name, scenes, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    places = {f"WANDB_{place}": str(folder / place) for place in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR")}
    os.environ.update({**QUIET, **places})
    (folder / "DIR").mkdir()
    if name != "alone":
        import wandb
    imported, before = resident("VmRSS"), written()
    WORKS[name](scenes, folder)
    if name != "alone":
        wandb.teardown()  # waits for its service, so that what that took counts as well
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    told = {
        "cpu": sum(usage.ru_utime + usage.ru_stime for usage in ended),
        "children": ended[1].ru_utime + ended[1].ru_stime,
        "written": written() - before,
        "imported": imported,
        "resident": resident("VmHWM"),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
