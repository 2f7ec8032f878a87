"""Decoded images and masks at training size, in memory-mapped files that outlive the training. Needs no torch.

    {folder}/{key}/images.npy   N×h×w×3 uint8
    {folder}/{key}/masks.npy    N×h×w uint8
    {folder}/{key}/cache.json   their digests; written last, so a cache without it is none

The key covers the dataset's digest, the files' names and the size: another dataset or size is another cache.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL

from sightline.console import say, track
from sightline.learning.pixels import Item, Pixels, Size, canvas_of, fitted, read_image, read_mask

FORMAT = 1
"""Goes up when the same files give other pixels."""
MANIFEST, PARTS = "cache.json", ("images.npy", "masks.npy")
THREADS = 4
GIGABYTE = 10**9
SPARE = 2**28
"""Bytes of the disk that a new cache leaves to others: the checkpoint and the model that are to come."""


@dataclass(frozen=True)
class Canvas:
    """How images are laid onto one size: fitted into `box`, undistorted, at the top left of `size`; the rest is black,
    and `ignore_index` in masks."""

    box: Size
    size: Size
    ignore_index: int

    @classmethod
    def of(cls, items: Sequence[Item], box: Size, ignore_index: int) -> Canvas:
        """The smallest one that holds all the items."""
        return cls(box, canvas_of((item.size for item in items), box), ignore_index)

    def image(self, item: Item) -> Pixels:
        """h×w×3 uint8."""
        return self._laid(read_image(item.image, self.box), 0)

    def mask(self, item: Item) -> Pixels:
        """h×w uint8 class indices."""
        return self._laid(read_mask(item.mask, fitted(item.size, self.box)), self.ignore_index)

    def _laid(self, pixels: Pixels, fill: int) -> Pixels:
        if pixels.shape[:2] == self.size:
            return pixels
        board = np.full((*self.size, *pixels.shape[2:]), fill, np.uint8)
        board[: pixels.shape[0], : pixels.shape[1]] = pixels
        return board


class Source(Protocol):
    """Images and masks on one canvas, by number."""

    def __len__(self) -> int: ...

    def take(self, indices: Sequence[int]) -> tuple[Pixels, Pixels]:
        """Images n×h×w×3 and masks n×h×w, both uint8 and the caller's own."""
        ...


@dataclass(frozen=True)
class Mapped:
    """A `Source` read from the cache's files as memory maps."""

    images: Pixels
    masks: Pixels

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Pixels, Pixels]:
        """See `Source`."""
        return self.images[list(indices)], self.masks[list(indices)]


class Decoded:
    """A `Source` that reads the files anew each time, in threads: for sets too large to be kept decoded."""

    def __init__(self, items: Sequence[Item], canvas: Canvas) -> None:
        self.items, self.canvas = items, canvas
        self.threads = ThreadPoolExecutor(THREADS)

    def __len__(self) -> int:
        return len(self.items)

    def take(self, indices: Sequence[int]) -> tuple[Pixels, Pixels]:
        """See `Source`."""
        chosen = [self.items[index] for index in indices]
        images, masks = self.threads.map(self.canvas.image, chosen), self.threads.map(self.canvas.mask, chosen)
        return np.stack(list(images)), np.stack(list(masks))


def open_source(items: Sequence[Item], canvas: Canvas, folder: Path | None, digest: str, limit: float) -> Source:
    """The items as a `Source`: from their cache, which is made when it is not there, damaged or of other files.

    A set that has no room is decoded anew each time, and that is said.

    Args:
        items: images and masks as files.
        canvas: the size they are brought to.
        folder: where caches lie; None for none at all.
        digest: of the artifact that the files belong to.
        limit: gigabytes (10⁹ bytes) that all caches together may take. Those used longest ago make room.
    """
    if folder is None:
        return Decoded(items, canvas)
    needed = len(items) * canvas.size[0] * canvas.size[1] * 4
    if needed > limit * GIGABYTE:
        return _without(items, canvas, needed, f"more than --cache-gb {limit:g}")
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    place = folder / _key(items, canvas, digest)
    with FileLock(folder / "lock"):
        if not _intact(place):
            shutil.rmtree(place, ignore_errors=True)
            _make_room(folder, limit * GIGABYTE - needed)
            free = shutil.disk_usage(folder).free
            if needed > free - SPARE:  # a memory map on a full disk ends the process without a word
                return _without(items, canvas, needed, f"and its disk has {free / GIGABYTE:.1f} GB left")
            _build(items, canvas, place)
        (place / MANIFEST).touch()
        return Mapped(*(np.load(place / part, mmap_mode="r") for part in PARTS))


def _without(items: Sequence[Item], canvas: Canvas, needed: int, why: str) -> Decoded:
    height, width = canvas.size
    say(
        f"{len(items)} images at {height}×{width} would take {needed / GIGABYTE:.1f} GB decoded, {why}: they are "
        "decoded anew in every epoch."
    )
    return Decoded(items, canvas)


def _key(items: Sequence[Item], canvas: Canvas, digest: str) -> str:
    names = [[item.image.name, item.mask.name, item.size] for item in items]
    told = [FORMAT, PIL.__version__, digest, names, canvas.box, canvas.size, canvas.ignore_index]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def _intact(place: Path) -> bool:
    """Whether the cache is whole and its bytes are those that were written."""
    try:
        digests = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        return all(_digest(place / part) == digests[part] for part in PARTS)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _build(items: Sequence[Item], canvas: Canvas, place: Path) -> None:
    """Decode everything into `place`, under another name until it is whole."""
    partial_place = place.with_name("partial")
    shutil.rmtree(partial_place, ignore_errors=True)
    partial_place.mkdir()
    try:
        _fill(items, canvas, partial_place)
        digests = {part: _digest(partial_place / part) for part in PARTS}
        (partial_place / MANIFEST).write_text(json.dumps(digests) + "\n", encoding="utf-8")
        partial_place.replace(place)
    finally:
        shutil.rmtree(partial_place, ignore_errors=True)


def _fill(items: Sequence[Item], canvas: Canvas, place: Path) -> None:
    shape = (len(items), *canvas.size)
    images = np.lib.format.open_memmap(place / PARTS[0], "w+", np.uint8, (*shape, 3))
    masks = np.lib.format.open_memmap(place / PARTS[1], "w+", np.uint8, shape)
    with ThreadPoolExecutor(THREADS) as threads:
        work = threads.map(partial(_decode, items, canvas, images, masks), range(len(items)))
        for _ in track(work, "decoding images", len(items)):
            pass
    images.flush()
    masks.flush()


def _decode(items: Sequence[Item], canvas: Canvas, images: Pixels, masks: Pixels, index: int) -> None:
    images[index], masks[index] = canvas.image(items[index]), canvas.mask(items[index])


def _make_room(folder: Path, allowed: float) -> None:
    """Delete the caches used longest ago until the others take no more than `allowed` bytes; partial ones first."""
    there = [place for place in folder.iterdir() if place.is_dir()]
    used = {place: _used(place) for place in there}
    sizes = {place: sum(file.stat().st_size for file in place.iterdir()) for place in there}
    for place in sorted(there, key=lambda place: used[place]):
        if sum(sizes.values()) <= allowed and used[place]:
            return
        shutil.rmtree(place, ignore_errors=True)
        del sizes[place]


def _used(place: Path) -> float:
    """When a cache was last opened, in seconds; 0 for a partial one."""
    manifest = place / MANIFEST
    return manifest.stat().st_mtime if manifest.exists() else 0.0
