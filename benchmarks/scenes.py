"""What the benchmarks work on: scenes drawn by `sightline.sample`, the same at every run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sightline.console import console
from sightline.learning.pixels import Item, Size
from sightline.sample import make_dataset

SEED = 42
FRAME: Size = (720, 1280)
"""Height and width of a dash camera's frame."""


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder; Sightline tells nothing meanwhile."""
    console().quiet = True
    with TemporaryDirectory(prefix="sightline-bench-") as folder:
        yield Path(folder)


def draw(folder: Path, drives: int, frames: int, size: Size = FRAME) -> list[Item]:
    """`drives` × `frames` scenes in `folder`: JPEG and PNG mask of `size`, in the order of their names."""
    make_dataset(folder, drives=drives, frames=frames, size=size, seed=SEED)
    images = sorted((folder / "images").glob("*.jpg"))
    return [Item(image, folder / "labels" / f"{image.stem}_mask.png", size) for image in images]
