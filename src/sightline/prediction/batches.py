"""Images and frames on their way to the network: read one by one, predicted together where their sizes are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.learning.pixels import Pixels, Size
from sightline.learning.trained import Network, view
from sightline.pairs import read_image
from sightline.prediction.sources import Source
from sightline.prediction.video import Frame, frames
from sightline.problems import PairError, Problem

WAITING = 4
"""Batches' worth of images that may wait for others of their size."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One image, or one frame of a video.

    Args:
        source: the file.
        state: of the file, when it was read.
        name: its key in the table.
        stem: where its predictions go, without suffix.
        size: its own (height, width).
        seen: h×w×3 uint8, what the network sees.
        picture: gives the whole image, H×W×3 uint8.
        frame: number and seconds, of a video.
    """

    source: Source
    state: Sequence[int]
    name: str
    stem: str
    size: Size
    seen: Pixels
    picture: Callable[[], Pixels]
    frame: Frame | None = None


def shots(
    sources: Iterable[Source],
    network: Network,
    every: int,
    done: Callable[[str, Sequence[int]], bool],
    problems: list[Problem],
) -> Iterator[Shot | None]:
    """Every image and frame; None for those that are done. Those that cannot be read go to `problems`."""
    for source in sources:
        try:
            state = source.state()
            if source.is_video:
                yield from _of_video(source, state, network, every, done)
            else:
                yield None if done(source.name, state) else _of_image(source, state, network)
        except PairError as error:
            problems += error.problems


def _of_image(source: Source, state: Sequence[int], network: Network) -> Shot:
    size, seen = read_image(source.path, lambda image: view(image, network), source.root)
    return Shot(source, state, source.name, source.stem, size, seen, partial(_whole, source.path))


def _of_video(
    source: Source, state: Sequence[int], network: Network, every: int, done: Callable[[str, Sequence[int]], bool]
) -> Iterator[Shot | None]:
    for frame in frames(source.path, source.name, every):
        number = f"{frame.number:06d}"
        if done(f"{source.name}/{number}", state):
            yield None
            continue
        size, seen = view(Image.fromarray(frame.pixels), network)
        picture = partial(np.asarray, frame.pixels)
        yield Shot(source, state, f"{source.name}/{number}", f"{source.stem}/{number}", size, seen, picture, frame)


def _whole(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def batches(shots: Iterable[Shot], limit: Callable[[Size], int]) -> Iterator[list[Shot]]:
    """The shots in batches of one size each.

    Args:
        shots: one after another.
        limit: how many of a size go together.
    """
    waiting: dict[Size, list[Shot]] = {}
    for shot in shots:
        group = waiting.setdefault(shot.size, [])
        group.append(shot)
        most = limit(shot.size)
        if len(group) >= most:
            yield waiting.pop(shot.size)
        elif sum(map(len, waiting.values())) > WAITING * most:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()
