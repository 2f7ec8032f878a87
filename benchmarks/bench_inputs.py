"""How much faster do batches come than from the W&B course's DataBlock? 1280×720 JPEG + PNG mask -> 8 at 180×320.

    python benchmarks/bench_inputs.py           5 turns, a minute on 2 cores
    python benchmarks/bench_inputs.py --full    15 turns

Sightline decodes images once, into a cache; the course in every epoch, in the process that trains, or in as many
others as there are cores, fastai's own default. Timed is the second epoch and each that follows, and besides it what
the first one costs: making the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import PIL
from scenes import draw, workplace
from timing import Seconds, Work, alternate, ratios, tell_circumstances, tell_ratio, tell_seconds, turns_wanted

from sightline.classes import IGNORE, ROAD_SCENE
from sightline.config import Train
from sightline.learning.cache import Canvas, Source, open_source
from sightline.learning.course import course_loaders
from sightline.learning.data import loaders
from sightline.learning.pixels import Item
from sightline.pool import cores

BATCH, TRAIN, EPOCHS = 8, 40, 4
"""Images a batch; images an epoch; epochs of ours in one turn, where the course does one."""
GOAL = 10.0
RECIPES = "as the recipes have it"
AUGMENTS = {RECIPES: (Train.augment, "full"), "aug_transforms for both": ("full", "full"), "none": ("none", "none")}
"""Augmentation, as it is printed -> ours, the course's."""
BUILD, REOPEN = "making the cache", "opening it again"
WORKERS = f"course, as the recipes have it, worker processes: {cores()}"


def cached(items: Sequence[Item], folder: Path) -> Source:
    """Their decoded images; made where they are not there."""
    return open_source(items, Canvas.of(items, Train.image_size, IGNORE), folder, "benchmark", Train.cache_gb)


def settings_of(augment: str) -> Train:
    return Train(augment=augment, batch_size=BATCH, pretrained=False, device="cpu")


def walk(loader: Any, epochs: int) -> None:
    """Take every batch."""
    for _ in range(epochs):
        for images, masks in loader:
            assert images.shape == (BATCH, 3, *Train.image_size), images.shape
            assert masks.shape == (BATCH, *Train.image_size), masks.shape


def works(items: Sequence[Item], folder: Path) -> list[Work]:
    source, fresh = cached(items, folder / "warm"), count()
    listed = []
    for name, (own, others) in AUGMENTS.items():
        ours = loaders(source, TRAIN, settings_of(own), "cpu").train
        theirs = course_loaders(items[:TRAIN], items[TRAIN:], ROAD_SCENE, settings_of(others), "cpu").train
        listed.append(Work(f"ours, {name}", partial(walk, ours, EPOCHS), TRAIN * EPOCHS))
        listed.append(Work(f"course, {name}", partial(walk, theirs, 1), TRAIN))
        if name == RECIPES:
            listed.append(Work(WORKERS, partial(walk, theirs.new(num_workers=cores()), 1), TRAIN))
    build = Work(BUILD, lambda: cached(items, folder / f"{next(fresh)}"), len(items))
    return [*listed, build, Work(REOPEN, lambda: cached(items, folder / "warm"), len(items))]


def tell(spent: Seconds) -> None:
    tell_seconds(spent, "image")
    for name in AUGMENTS:
        goal = GOAL if name == RECIPES else None
        tell_ratio(f"course / ours, augmentation {name}", ratios(spent[f"course, {name}"], spent[f"ours, {name}"]),
                   at_least=goal)  # fmt: skip
    tell_ratio(f"{WORKERS} / ours", ratios(spent[WORKERS], spent[f"ours, {RECIPES}"]), at_least=GOAL)
    first = [sum(pair) for pair in zip(spent[BUILD], spent[f"ours, {RECIPES}"], strict=True)]
    tell_ratio("first epoch, course / making the cache and ours", ratios(spent[f"course, {RECIPES}"], first))


def compare(items: Sequence[Item], folder: Path) -> None:
    """Say how far the same images differ without augmentation; masks must not."""
    ours = loaders(cached(items, folder / "warm"), TRAIN, settings_of("none"), "cpu").valid
    theirs = course_loaders(items[:TRAIN], items[TRAIN:], ROAD_SCENE, settings_of("none"), "cpu").valid
    (images, masks), (others, labels) = next(iter(ours)), next(iter(theirs))
    assert images.dtype == others.dtype, (images.dtype, others.dtype)
    same = (masks.long() == labels.as_subclass(type(masks)).long()).float().mean()
    apart = (images - others.as_subclass(type(images))).abs().mean() * 255
    print(f"The same images without augmentation: {same:.2%} of the masks' pixels are equal, and the pixels of images")
    print(
        f"differ by {apart:.2f} of 255 on average (ours are decoded at a fraction of their size, by JPEG's own means)."
    )
    assert same > 0.999 and apart < 3, "these are not the same images"


def main() -> None:
    turns = turns_wanted(__doc__, quick=5, full=15)
    with workplace() as folder:
        items = draw(folder / "scenes", drives=6, frames=BATCH)
        spent = alternate(works(items, folder), turns)
        print(
            f"Input pipeline: 1280x720 JPEG + PNG mask -> batches of {BATCH} at 180x320, {TRAIN} an epoch, on the CPU"
        )
        tell(spent)
        compare(items, folder)
    print("All files are in the system's memory, as they are from the second epoch on where the set fits into it.")
    tell_circumstances(pillow=PIL.__version__)


if __name__ == "__main__":
    main()
