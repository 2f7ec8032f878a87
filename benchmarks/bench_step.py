"""How much faster does the default recipe train than the W&B course's? A whole step, batches of 8 at 180×320.

    python benchmarks/bench_step.py           2 turns, two to three minutes on 2 cores
    python benchmarks/bench_step.py --full    6 turns

A step is what `sightline train` does: a batch is fetched and augmented, forward, loss, backward, optimiser. Both go
through fastai's `fit_one_cycle` and learn from scratch, all layers. With ImageNet weights the course keeps its encoder
still, and its step is shorter; that is told as well, against the default with all layers learning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scenes import SEED, draw, workplace
from timing import Seconds, Work, alternate, ratios, tell_circumstances, tell_ratio, tell_seconds, turns_wanted

from sightline.classes import IGNORE, ROAD_SCENE
from sightline.config import Train
from sightline.learning.cache import Canvas, Source, open_source
from sightline.learning.device import precision_of
from sightline.learning.learner import make_learner
from sightline.learning.libraries import vision
from sightline.learning.losses import class_weights
from sightline.learning.pixels import Item

BATCH, STEPS, VALID = 8, 4, 8
"""Images a step; steps of the default in its turn, where the course does one; images that are held back."""
GOAL = 15.0


class Steps(vision.Callback):  # type: ignore[misc]
    """Keeps what went through the network, and leaves out validation."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()
        self.losses: list[float] = []

    def after_batch(self) -> None:
        self.shapes.add(tuple(self.xb[0].shape))
        self.losses.append(float(self.learn.loss.detach()))  # `train` looks at each loss too

    def before_validate(self) -> None:
        raise vision.CancelValidException


@dataclass(frozen=True)
class Training:
    """A recipe in a precision, ready to be gone on with."""

    learner: Any
    steps: Steps
    last: Any
    """The weights of the last layer as they were at the beginning."""

    def go_on(self) -> None:
        self.learner.fit_one_cycle(1, Train.lr)

    def go_on_frozen(self) -> None:
        """With the encoder still, as fastai has it for pretrained ones."""
        self.learner.freeze()
        self.go_on()
        self.learner.unfreeze()


def prepare(items: Sequence[Item], recipe: str, precision: str, source: Source, weights: Sequence[float]) -> Training:
    """The Learner that `sightline train` would fit; the course's has one batch an epoch, the default's has `STEPS`."""
    settings = Train(recipe=recipe, precision=precision, pretrained=False, device="cpu", batch_size=BATCH)
    course = recipe == "course"
    train = items[:BATCH] if course else items[:-VALID]
    given = {} if course else {"source": source, "weights": weights}
    learner, _ = make_learner(train, items[-VALID:], ROAD_SCENE, settings, SEED, **given)
    steps = Steps()
    learner.add_cb(steps)
    return Training(learner, steps, list(learner.model.parameters())[-1].detach().clone())


def pixels_of(items: Sequence[Item], folder: Path) -> tuple[Source, list[float]]:
    """The decoded images in their cache, and the weights of the classes."""
    source = open_source(items, Canvas.of(items, Train.image_size, IGNORE), folder, "benchmark", Train.cache_gb)
    _, masks = source.take(range(len(items)))
    return source, class_weights(np.bincount(masks.ravel(), minlength=256)[: len(ROAD_SCENE)].tolist())


def check(name: str, training: Training) -> None:
    """Batches of one size went through, the loss is a number, and the network learned; say what it is."""
    now = list(training.learner.model.parameters())[-1].detach()
    assert training.steps.shapes == {(BATCH, 3, *Train.image_size)}, training.steps.shapes
    assert all(map(math.isfinite, training.steps.losses)), training.steps.losses
    assert not now.equal(training.last), "the last layer has not changed"
    size = sum(part.numel() for part in training.learner.model.parameters()) / 1e6
    print(f"  {name}: {len(training.steps.losses)} steps, {size:.1f} million parameters, "
          f"loss {training.steps.losses[0]:.2f} at first, {training.steps.losses[-1]:.2f} at last")  # fmt: skip


def works(trainings: dict[str, Training]) -> list[Work]:
    """The default does several steps in its turn, the course one."""
    listed = [
        Work(name, training.go_on, BATCH if name.startswith("course") else BATCH * STEPS)
        for name, training in trainings.items()
    ]
    return [*listed, Work("course fp32, encoder still", trainings["course fp32"].go_on_frozen, BATCH, warm_up=False)]


def tell(spent: Seconds, auto: str) -> None:
    default = spent[f"default {auto}"]
    tell_seconds(spent, "image")
    tell_ratio(f"course fp32 / default {auto} (as it chooses)", ratios(spent["course fp32"], default), at_least=GOAL)
    still = ratios(spent["course fp32, encoder still"], default)
    tell_ratio(f"course fp32, encoder still / default {auto}, all layers learning", still)
    for precision in sorted({"fp32", auto}):
        pair = ratios(spent[f"course {precision}"], spent[f"default {precision}"])
        tell_ratio(f"equal precision, course {precision} / default {precision}", pair)


def main() -> None:
    turns = turns_wanted(__doc__, quick=2, full=6)
    auto = precision_of("auto", "cpu")
    with workplace() as folder:
        items = draw(folder / "scenes", drives=5, frames=BATCH)  # four drives to learn from, one held back
        pixels = pixels_of(items, folder / "cache")
        trainings = {
            f"{recipe} {precision}": prepare(items, recipe, precision, *pixels)
            for precision in sorted({"fp32", auto})
            for recipe in ("default", "course")
        }
        spent = alternate(works(trainings), turns)
    print(f"Training step, batches of {BATCH} at 180x320 from 1280x720 files, from scratch, on the CPU")
    tell(spent, auto)
    print("The same: images a batch and their size, classes, fastai's Learner. Different, as the recipes are: network,")
    print("loss (cross-entropy + Dice / cross-entropy), augmentation (flip / aug_transforms), optimiser (fused AdamW /")
    print("Adam), pixels (cached / read anew), layout in memory (channels last / first).")
    for name, training in trainings.items():
        check(name, training)
    tell_circumstances()


if __name__ == "__main__":
    main()
