"""Tables of any number of images, drawn from a fixed seed, and the viewer's server on them in its own process."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sightline.classes import ROAD_SCENE
from sightline.config import load_config
from sightline.table import Table
from sightline.tracking import open_tracker
from sightline.tracking.dashboard import run
from sightline.viewer.app import build
from sightline.viewer.guard import LOOPBACK, Guard
from sightline.viewer.rows import Rows, Sources
from sightline.viewer.viewer import Viewer

FRAMES = 50
"""Images of a drive."""
DATA = "drawn:v0"
SPECS = {"data": DATA, "a": "drawn_eval:v0", "b": "drawn_eval:v1"}


class NoFlags:
    """The flags of a dataset on which there are none."""

    def all(self) -> list[Any]:
        return []


class Drawn(Viewer):
    """A viewer that knows one dataset: tables that are in no store."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        config = load_config(None, {"store": str(folder)})
        super().__init__(config, open_tracker(config))
        self._drawn = rows

    def rows(self, data: str, a: str, b: str) -> Rows:
        return self._drawn


def eda_table(images: int, rng: np.random.Generator) -> Table:
    """An EDA table, with every column that `ingest` writes."""
    names = [f"{at // FRAMES:08x}-{at % FRAMES:05d}.jpg" for at in range(images)]
    drives = [name[:8] for name in names]
    shares = rng.dirichlet(np.full(len(ROAD_SCENE) + 1, 0.5), images)
    shares[rng.random(shares.shape) < 0.3] = 0
    columns: dict[str, Any] = {
        "File_Name": names, "Image": [f"images/{name}" for name in names],
        "Mask": [f"labels/{name[:-4]}_mask.png" for name in names], "Group": drives, "Drive": drives,
        "Frame": np.arange(images) % FRAMES, "Width": np.full(images, 1280, np.int32),
        "Height": np.full(images, 720, np.int32), "Split": ["None"] * images, "PHash": ["0" * 16] * images,
        "Brightness": rng.random(images) * 255,
    }  # fmt: skip
    columns |= {name: (shares[:, at] > 0).astype(np.int8) for at, name in enumerate(ROAD_SCENE.names)}
    columns |= {f"{name}_share": shares[:, at] for at, name in enumerate((*ROAD_SCENE.names, "ignored"))}
    return Table(pa.table(columns), ROAD_SCENE)


def pred_table(eda: Table, rng: np.random.Generator) -> Table:
    """A prediction table of the same images; a fifth of the IoU of each class is undefined."""
    images, cells = len(eda), len(ROAD_SCENE) ** 2
    columns: dict[str, Any] = {"File_Name": eda.data["File_Name"]}
    columns |= {name: rng.random(images) for name in ("loss", "miou", "pixel_accuracy")}
    for name in ROAD_SCENE.names:
        columns[f"{name}_iou"] = np.where(rng.random(images) < 0.2, np.nan, rng.random(images))
    counts = pa.array(rng.integers(0, 1000, cells * images))
    offsets = pa.array(np.arange(images + 1, dtype=np.int32) * cells)
    columns["confusion"] = pa.ListArray.from_arrays(offsets, counts)
    return Table(pa.table(columns), ROAD_SCENE)


def drawn(images: int) -> Rows:
    """The rows of the viewer for so many images, with runs A and B of all of them."""
    rng = np.random.default_rng(42)
    eda = eda_table(images, rng)
    a, b = pred_table(eda, rng), pred_table(eda, rng)
    stages = np.array(["train", "valid", "test"])[rng.integers(0, 3, images)]
    named = dict(zip(eda.data["File_Name"].to_pylist(), stages.tolist(), strict=True))
    return Rows(Sources(ROAD_SCENE, eda, named, a, b, NoFlags()))


@contextmanager
def server(images: int, folder: Path) -> Iterator[tuple[int, int]]:
    """The viewer on so many images; (port, process id) once it answers."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(images, folder, there), daemon=True)
    process.start()
    try:
        port: int = here.recv()
        yield port, int(process.pid or 0)
    finally:
        process.terminate()
        process.join(20)


def _serve(images: int, folder: Path, ready: Any) -> None:
    viewer = Drawn(folder, drawn(images))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready.send(listener.getsockname()[1])
        run(Guard(build(viewer), LOOPBACK), listener)
