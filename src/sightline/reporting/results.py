"""Scores against targets and baseline, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.config import Problem
from sightline.reporting.material import Measured
from sightline.wording import SUBSETS, number

MET, MISSED, UNMEASURED = "met", "not met", "not measured"
CONFUSED = 0.05
"""A confusion is told of from this share of the class's pixels on."""

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """One class's IoU, or the mIoU, against what it is held to.

    Args:
        name: the class; "mIoU" for the mean.
        color: `#rrggbb`; empty for the mean.
        value: None where it is not defined.
        interval: of `summary["interval"]["level"]`; None where there is none.
        baseline: of always answering the majority class.
        target: from `sightline.yaml`; None where there is none.
        status: met, not met, not measured; empty without a target.
        note: why it was not measured, or what to know of it.
        pixels: ground truth pixels in the subset.
        found: share of the class's pixels that the model found (recall).
        right: share of the pixels it gave to the class that belong to it (precision).
    """

    name: str
    color: str
    value: float | None
    interval: Bounds | None
    baseline: float | None
    target: float | None
    status: str
    note: str = ""
    pixels: int = 0
    found: float | None = None
    right: float | None = None


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class that were taken for another: a share of the first one's."""

    truth: str
    taken_for: str
    share: float


@dataclass(frozen=True, eq=False)
class Results:
    """What an evaluation measured.

    Args:
        subset, images, groups: what it was measured on.
        mean: the mIoU; `classes` the IoU of each class, in the order of the class map.
        unknown_targets: names in `target_iou` that the class map does not have.
        loss, pixel_accuracy, mean_image_iou: further figures.
        baseline_class, baseline_accuracy: the majority class, and how many pixels it gets right.
        level, resamples, unit: of the intervals; `no_interval` why there is none, empty where there is.
        confusion: int64[C, C]; `confusions` the most frequent ones.
    """

    subset: str
    images: int
    groups: int
    mean: Score
    classes: tuple[Score, ...]
    unknown_targets: tuple[str, ...]
    loss: float | None
    pixel_accuracy: float | None
    mean_image_iou: float | None
    baseline_class: str
    baseline_accuracy: float | None
    level: float
    resamples: int
    unit: str
    no_interval: str
    confusion: NDArray[np.int64]
    confusions: tuple[Confusion, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The mIoU, then each class."""
        return self.mean, *self.classes

    def with_status(self, status: str) -> list[Score]:
        """The classes with that status."""
        return [score for score in self.classes if score.status == status]


def judge(value: float | None, target: float | None) -> str:
    """Met, not met or not measured; empty where there is no target."""
    if target is None:
        return ""
    if value is None:
        return UNMEASURED
    return MET if value >= target else MISSED


def results(material: Measured, problem: Problem) -> Results:
    """What was measured, against the targets of `sightline.yaml`."""
    summary, spread = material.summary, material.summary["interval"]
    baseline = summary["baseline"]
    return Results(
        subset=material.subset,
        images=int(summary["images"]),
        groups=int(summary["groups"]),
        mean=_mean(summary, problem),
        classes=tuple(_class(material, problem, index) for index in range(len(material.classes))),
        unknown_targets=tuple(sorted(set(problem.target_iou) - set(material.classes.names))),
        loss=number(summary["final_loss"]),
        pixel_accuracy=number(summary["pixel_accuracy"]),
        mean_image_iou=number(summary["mean_image_iou"]),
        baseline_class=baseline["class"],
        baseline_accuracy=number(baseline["pixel_accuracy"]),
        level=float(spread["level"]),
        resamples=int(spread["resamples"]),
        unit=str(spread["unit"]),
        no_interval="" if _bounds(spread["miou"]) else str(spread["reason"]).rstrip(".") or "none was computed",
        confusion=material.confusion,
        confusions=confusions(material.confusion, material.classes.names),
    )


def confusions(counts: NDArray[np.int64], names: tuple[str, ...], most: int = 5) -> tuple[Confusion, ...]:
    """The most frequent confusions, by share of the class that they take pixels from."""
    shares = row_shares(counts)
    found = [
        Confusion(names[row], names[column], float(shares[row, column]))
        for row in range(len(names))
        for column in range(len(names))
        if row != column and shares[row, column] >= CONFUSED
    ]
    return tuple(sorted(found, key=lambda one: (-one.share, one.truth, one.taken_for))[:most])


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row over its sum, float64[C, C]; NaN in rows without a pixel."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares


def _mean(summary: Mapping[str, Any], problem: Problem) -> Score:
    value, target = number(summary["final_miou"]), problem.target_miou
    return Score(
        name="mIoU",
        color="",
        value=value,
        interval=_bounds(summary["interval"]["miou"]),
        baseline=number(summary["baseline"]["miou"]),
        target=target,
        status=judge(value, target),
        note="" if value is not None else "no class was measured",
    )


def _class(material: Measured, problem: Problem, index: int) -> Score:
    name, summary, counts = material.classes.names[index], material.summary, material.confusion
    value, target = number(summary["final_iou"].get(name)), problem.target_iou.get(name)
    pixels, given, hits = (int(part) for part in (counts[index].sum(), counts[:, index].sum(), counts[index, index]))
    # an IoU of 0 for a class that the subset does not show says nothing of how well the model knows it
    measured = value if pixels else None
    return Score(
        name=name,
        color=material.classes.colors[index],
        value=value,
        interval=_bounds((summary["interval"]["iou"] or {}).get(name)),
        baseline=number(summary["baseline"]["iou"].get(name)),
        target=target,
        status=judge(measured, target),
        note="" if pixels else _absence(material.subset, given),
        pixels=pixels,
        found=hits / pixels if pixels else None,
        right=hits / given if given else None,
    )


def _absence(subset: str, given: int) -> str:
    text = f"does not occur in the {SUBSETS[subset]} images"
    return text if not given else f"{text}; the model saw it where it is not, which counts as 0 in the mIoU"


def _bounds(values: Any) -> Bounds | None:
    low, high = (number(value) for value in values or (None, None))
    return (low, high) if low is not None and high is not None else None
