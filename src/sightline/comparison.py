"""Two evaluations on the same images: what differs in the settings, in the IoU of each class, in which images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.classes import ClassMap
from sightline.errors import ConfigError, DataError
from sightline.learning.metrics import Bounds, image_miou, iou, miou, paired_interval
from sightline.summary import confusions
from sightline.table import KEY, Table
from sightline.tracking import Artifact, Tracker
from sightline.wording import plural

Counts = NDArray[np.int64]

RESAMPLES = 2000
SEED = 42
OUTCOMES = ("versions", "best_epoch", "best_miou")
"""Keys of a model's `config.json` that are no settings."""


@dataclass(frozen=True)
class Setting:
    """A setting that differs: its flat key, such as `train.lr`, and both values; None where one has no such key."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Metric:
    """The mIoU, or the IoU of a class, of both on the common images.

    Args:
        name: the class; "mIoU" for the mean.
        index: of the class; None for the mean.
        a, b: None where it is not defined.
        interval: of `difference`; None where there is none.
    """

    name: str
    index: int | None
    a: float | None
    b: float | None
    interval: Bounds | None

    @property
    def difference(self) -> float | None:
        """B less A; None where either is not defined."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True)
class Change:
    """An image whose own mIoU is defined in both evaluations."""

    file_name: str
    a: float
    b: float

    @property
    def change(self) -> float:
        """B less A."""
        return self.b - self.a


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    Args:
        images: `File_Name` of those that both have, sorted; all below is about these.
        only_a, only_b: of those that one alone has.
        other_truth: of those that both have, but with another ground truth: they are left out.
        metrics: the mIoU, then each class in the order of the class map.
        changes: one an image, the one that lost most first; images without an mIoU are left out.
        reason: why there are no intervals; empty where there are.
        level, resamples, groups: of the intervals.
    """

    images: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    other_truth: tuple[str, ...]
    metrics: tuple[Metric, ...]
    changes: tuple[Change, ...]
    reason: str
    level: float
    resamples: int
    groups: int

    def worse(self, most: int | None = None) -> tuple[Change, ...]:
        """The images that lost, the most first."""
        return tuple(one for one in self.changes if one.change < 0)[:most]

    def better(self, most: int | None = None) -> tuple[Change, ...]:
        """The images that gained, the most first."""
        gained = [one for one in self.changes if one.change > 0]
        return tuple(sorted(gained, key=lambda one: (-one.change, one.file_name)))[:most]


def compare(a: Table, b: Table, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Compare two prediction tables on the images that both hold, matched by `File_Name`.

    mIoU and IoU are those of the summed confusion matrices of the common images, by the rules of
    `sightline.learning.metrics`; the intervals of the differences are its `paired_interval`, by A's groups.

    Args:
        a, b: prediction tables: `File_Name`, `Group`, `confusion`, with their class maps.
        resamples, seed: of the intervals.

    Raises:
        ConfigError: the class maps differ, or no image is in both with the same ground truth.
        DataError: one is no prediction table, or holds a name twice.
    """
    classes = _same_classes(a, b)
    first, second = _by_name(a), _by_name(b)
    both = sorted(first.keys() & second.keys())
    other_truth = tuple(name for name in both if not _same_truth(first[name], second[name]))
    images = tuple(name for name in both if name not in set(other_truth))
    if not images:
        raise ConfigError(_nothing_common(len(first), len(second), len(other_truth)))
    groups = dict(zip(a.data[KEY].to_pylist(), a.data["Group"].to_pylist(), strict=True))
    before, after = (np.stack([matrices[name] for name in images]) for matrices in (first, second))
    spread = paired_interval(before, after, [str(groups[name]) for name in images], resamples, seed)
    return Comparison(
        images=images,
        only_a=tuple(sorted(first.keys() - second.keys())),
        only_b=tuple(sorted(second.keys() - first.keys())),
        other_truth=other_truth,
        metrics=_metrics(before.sum(axis=0), after.sum(axis=0), classes, (spread.miou, *spread.iou)),
        changes=changes(images, before, after),
        reason=spread.reason,
        level=spread.level,
        resamples=spread.resamples,
        groups=spread.groups,
    )


def compare_evaluations(tracker: Tracker, a: Artifact, b: Artifact) -> tuple[Comparison, tuple[Setting, ...]]:
    """Compare two evaluation artifacts: their prediction tables, and the settings that they and their models ran with.

    Raises:
        ConfigError: one of them is no evaluation, or as `compare` does.
        StoreError: a file of them is missing or damaged.
    """
    for one in (a, b):
        if one.type != "evaluation":
            raise ConfigError(f"{one.spec} is of type {one.type}. Two evaluations can be compared: NAME_eval:vN.")
    settings = differences(configuration(tracker, a), configuration(tracker, b))
    return compare(a.table("pred_table.parquet"), b.table("pred_table.parquet")), settings


def configuration(tracker: Tracker, evaluation: Artifact) -> dict[str, Any]:
    """What decided an evaluation, under flat keys: the model's settings, its split and its own, and the artifacts."""
    model = tracker.get(str(evaluation.metadata["model"]))
    told = {key: value for key, value in model.json("config.json").items() if key not in OUTCOMES}
    settings = dict(evaluation.metadata.get("settings", {}))
    own = {key: settings[key] for key in settings if key != "seed"}
    return flat({"model": model.spec, **told, **own})


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under keys joined by dots, in their order; lists stay lists.

    >>> flat({"train": {"lr": 0.001, "image_size": [64, 96]}, "seed": 42})
    {'train.lr': 0.001, 'train.image_size': [64, 96], 'seed': 42}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The keys of two flat configurations whose values differ, in A's order and then B's."""
    keys = dict.fromkeys([*a, *b])
    found = (Setting(key, a.get(key), b.get(key)) for key in keys)
    return tuple(one for one in found if one.a != one.b or (one.key in a) != (one.key in b))


def changes(names: Sequence[str], before: Counts, after: Counts) -> tuple[Change, ...]:
    """Each image's own mIoU before and after, the one that lost most first; without those that have none.

    Args:
        names: N file names.
        before, after: int64[N, C, C], one confusion matrix an image.
    """
    pairs = zip(names, image_miou(before).tolist(), image_miou(after).tolist(), strict=True)
    found = [Change(name, a, b) for name, a, b in pairs if not (math.isnan(a) or math.isnan(b))]
    return tuple(sorted(found, key=lambda one: (one.change, one.file_name)))


def _same_classes(a: Table, b: Table) -> ClassMap:
    names = [table.classes.names if table.classes else () for table in (a, b)]
    if a.classes is None or names[0] != names[1]:
        raise ConfigError(
            f"The class maps differ: {', '.join(names[0]) or 'none'}; and {', '.join(names[1]) or 'none'}. "
            "Only evaluations of the same classes, in the same order, can be compared."
        )
    return a.classes


def _by_name(table: Table) -> dict[str, Counts]:
    """`File_Name` -> confusion matrix, int64[C, C]."""
    missing = [name for name in ("Group", "confusion") if name not in table.columns]
    if missing:
        raise DataError(f"No prediction table: it has no column {' and none '.join(missing)}.")
    table.check_key()
    return dict(zip(table.data[KEY].to_pylist(), confusions(table), strict=True))


def _same_truth(a: Counts, b: Counts) -> bool:
    """Whether the ground truth has the same pixels of each class; if not, the mask was changed in between."""
    return np.array_equal(a.sum(axis=1), b.sum(axis=1))


def _nothing_common(a: int, b: int, other_truth: int) -> str:
    if other_truth:
        return (
            f"Both have {plural(other_truth, 'image')}, but with other masks, so nothing can be compared. "
            "Evaluate both models on the same version of the data."
        )
    return (
        f"Of {a} and {b} images none is in both evaluations, so nothing can be compared. Evaluate both models on the "
        "same subset of the same split."
    )


def _metrics(before: Counts, after: Counts, classes: ClassMap, bounds: Sequence[Bounds | None]) -> tuple[Metric, ...]:
    names, places = ("mIoU", *classes.names), (None, *range(len(classes)))
    values = [np.append(miou(counts), iou(counts)).tolist() for counts in (before, after)]
    known = [[None if math.isnan(value) else value for value in side] for side in values]
    return tuple(Metric(*one) for one in zip(names, places, *known, bounds, strict=True))
