"""What do validation metrics cost? Sightline's confusion matrix against the W&B course's eight metrics.

    python benchmarks/bench_metrics.py           5 turns, a minute on 2 cores
    python benchmarks/bench_metrics.py --full    15 turns

Both see the same logits 8×7×180×320 and end with the IoU of each class and their mean. The course's metrics are
fastai's `DiceMulti`, eight times: each takes the argmax again and counts all classes again. The default's network
gives logits whose channels are last in memory, the course's gives them first, and `argmax` is six times as fast on
the former, so both layouts are timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scenes import SEED, draw, workplace
from timing import Seconds, Work, alternate, ratios, tell_circumstances, tell_ratio, tell_seconds, turns_wanted
from torch.nn import functional

from sightline.classes import ROAD_SCENE
from sightline.config import Train
from sightline.learning.checkpoint import MeanIoU
from sightline.learning.libraries import vision
from sightline.learning.metrics import iou
from sightline.learning.pixels import read_mask

BATCH, BATCHES = 8, 4
GOAL, MOST = 10.0, 1.5
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
OURS, COURSE, ARGMAX, MAX = "ours", "course's eight", "argmax alone", "max alone"


class IOU(vision.DiceMulti):  # type: ignore[misc]
    """IoU of one class from what `DiceMulti` counts, whose `union` counts the intersection twice."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def of(self, index: int) -> float:
        both, together = self.inter[index], self.union[index]
        return both / (together - both) if together > 0 else math.nan

    @property
    def value(self) -> float:
        return self.of(self.index)


class MIOU(IOU):
    """Mean of all of them."""

    def __init__(self) -> None:
        super().__init__(0)

    @property
    def value(self) -> float:
        return float(np.nanmean([self.of(index) for index in self.inter]))


def batches(targets: torch.Tensor, layout: torch.memory_format) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(logits B×C×h×w, target B×h×w), the logits noise with the target showing through."""
    noise = torch.Generator().manual_seed(SEED)
    found = []
    for target in targets.split(BATCH):
        planes = functional.one_hot(target, len(ROAD_SCENE)).permute(0, 3, 1, 2).float()
        logits = torch.randn(planes.shape, generator=noise) + 2 * planes
        found.append((logits.to(memory_format=layout), target))
    return found


def seen_by(logits: torch.Tensor, target: torch.Tensor, course: bool) -> Any:
    """What a metric looks at of a Learner; the course's holds fastai's kinds of tensors."""
    if course:
        mask = vision.TensorMask(target)
        return SimpleNamespace(pred=vision.TensorImage(logits), yb=(mask,), y=mask)
    small = target.to(torch.uint8)
    return SimpleNamespace(pred=logits, yb=(small,), y=small)


def measure(metrics: Sequence[Any], learners: Sequence[Any]) -> list[float]:
    """A validation pass: the values of all metrics over all batches."""
    for metric in metrics:
        metric.reset()
    for learner in learners:
        for metric in metrics:
            metric.accumulate(learner)
    return [metric.value for metric in metrics]


def each(function: Callable[[torch.Tensor], Any], logits: Sequence[torch.Tensor]) -> None:
    for one in logits:
        function(one)


def works(given: list[tuple[torch.Tensor, torch.Tensor]], ours: MeanIoU, course: Sequence[Any]) -> list[Work]:
    plain, wrapped = ([seen_by(*pair, course=which) for pair in given] for which in (False, True))
    logits = [pair[0] for pair in given]
    return [
        Work(OURS, partial(measure, [ours], plain), len(given)),
        Work(COURSE, partial(measure, course, wrapped), len(given)),
        Work(ARGMAX, partial(each, lambda one: one.argmax(1), logits), len(given)),
        Work(MAX, partial(each, lambda one: one.max(1), logits), len(given)),
    ]


def tell(spent: Seconds, layout: str) -> None:
    print(f"Validation metrics, logits {BATCH}x{len(ROAD_SCENE)}x180x320, {layout} in memory, on the CPU")
    tell_seconds(spent, "batch")
    tell_ratio(f"{layout}: {COURSE} / ours", ratios(spent[COURSE], spent[OURS]), at_least=GOAL)
    tell_ratio(f"{layout}: ours / {ARGMAX}", ratios(spent[OURS], spent[ARGMAX]), at_most=MOST)
    tell_ratio(f"{layout}: ours / {MAX}", ratios(spent[OURS], spent[MAX]))


def compare(ours: MeanIoU, course: Sequence[Any]) -> None:
    """Both must have found the same."""
    mine, theirs = [ours.value, *iou(ours.matrix)], [metric.value for metric in course]
    assert np.allclose(mine, theirs, rtol=1e-5, equal_nan=True), (mine, theirs)
    print(f"The same: mIoU {mine[0]:.4f} and the IoU of all {len(ROAD_SCENE)} classes, ours {mine[1]:.4f}, …, course's "
          f"{theirs[1]:.4f}, … No pixel is ignored here: the course counts ignored ones as mistakes.")  # fmt: skip


def main() -> None:
    turns = turns_wanted(__doc__, quick=5, full=15)
    with workplace() as folder:
        items = draw(folder / "scenes", drives=BATCHES, frames=BATCH, size=Train.image_size)
        masks = torch.from_numpy(np.stack([read_mask(item.mask) for item in items])).long()
    targets = masks.masked_fill(masks == ROAD_SCENE.ignore_index, 0)
    for name, layout in LAYOUTS.items():
        ours, course = MeanIoU(ROAD_SCENE), [MIOU(), *map(IOU, range(len(ROAD_SCENE)))]
        tell(alternate(works(batches(targets, layout), ours, course), turns), name)
        compare(ours, course)
    tell_circumstances()


if __name__ == "__main__":
    main()
