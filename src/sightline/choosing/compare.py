"""Compare: several runs on the same images, each with the first: settings, scores, how sure the differences are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.classes import ClassMap
from sightline.comparison import Comparison, Metric, compare_evaluations, configuration
from sightline.config import Config
from sightline.errors import ConfigError
from sightline.stages.named import named_evaluation
from sightline.tracking import Artifact, Tracker, open_tracker
from sightline.wording import plural

WHOLE = {"pixel_accuracy": "pixel accuracy", "mean_image_iou": "mean image IoU", "final_loss": "loss"}
"""Figures of an evaluation's summary -> what they are called; they are of all its images."""


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same in all runs: its flat key, and its value in each; None where it has none."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Compared:
    """Runs beside the first of them.

    Args:
        names: what they were called.
        evaluations: of each run, in the order given.
        classes: the class map of all.
        settings: those that differ.
        others: of each run but the first, how it compares with the first; all on the same images.
    """

    names: tuple[str, ...]
    evaluations: tuple[Artifact, ...]
    classes: ClassMap
    settings: tuple[Setting, ...]
    others: tuple[Comparison, ...]

    @property
    def images(self) -> int:
        """How many images all of them are compared on."""
        return len(self.others[0].images)

    @property
    def left_out(self) -> int:
        """Images that are not compared: not all runs have them, or their masks were changed in between."""
        return max(len(one.only_a) + len(one.only_b) + len(one.other_truth) for one in self.others)

    @property
    def rows(self) -> tuple[tuple[Metric, ...], ...]:
        """The mIoU, then each class: one `Metric` of each run but the first, whose own value is their `a`."""
        return tuple(zip(*(one.metrics for one in self.others), strict=True))

    @property
    def figures(self) -> dict[str, tuple[float | None, ...]]:
        """Further figures of each run's own images; none where those are not all the same."""
        if self.left_out:
            return {}
        return {told: tuple(one.metadata.get(key) for one in self.evaluations) for key, told in WHOLE.items()}

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data; `difference` is a run's value less that of the first."""
        first = self.others[0]
        return {
            "runs": [_told(name, one) for name, one in zip(self.names, self.evaluations, strict=True)],
            "images": self.images,
            "left_out": self.left_out,
            "interval": {"level": first.level, "resamples": first.resamples, "groups": first.groups}
            | {"unit": "group", "reason": first.reason},
            "settings": {one.key: list(one.values) for one in self.settings},
            "metrics": [_metric(row) for row in self.rows],
            "figures": {name: list(values) for name, values in self.figures.items()},
        }

    def _repr_html_(self) -> str:
        from sightline.notebook import of_compared

        return of_compared(self)


def compare(config: Config, runs: Sequence[Artifact | str], tracker: Tracker | None = None) -> Compared:
    """Compare runs on the images that they were evaluated on, each with the first.

    Args:
        config: says where runs are kept; a training stands for its newest evaluation on `config.evaluate.subset`.
        runs: two or more: trainings (`training-2`), evaluations, models, by name or as artifacts.
        tracker: where they are kept; opened from `config` when left out.

    Returns:
        The settings that differ, mIoU and IoU of each, and their differences from the first with a 95 % interval: by
        resampling groups, the same ones for both (`sightline.learning.metrics.paired_interval`).

    Raises:
        ConfigError: fewer than two, class maps that differ, or images that differ.
        StoreError: there is no such run, or it has no evaluation; the text says what to do.
    """
    if len(runs) < 2:
        raise ConfigError("Two runs at least are needed to compare. `sightline runs` lists those there are.")
    tracker = tracker or open_tracker(config)
    evaluations = [named_evaluation(config, tracker, run) for run in runs]
    names = [run.spec if isinstance(run, Artifact) else run for run in runs]
    sides = list(zip(names, evaluations, strict=True))
    others = [_pair(tracker, sides[0], side) for side in sides[1:]]
    _check_images(names, others)
    return Compared(
        names=tuple(names),
        evaluations=tuple(evaluations),
        classes=ClassMap.from_dict(evaluations[0].json("classes.json")),
        settings=_differing([configuration(tracker, one) for one in evaluations]),
        others=tuple(others),
    )


def _pair(tracker: Tracker, first: tuple[str, Artifact], other: tuple[str, Artifact]) -> Comparison:
    try:
        return compare_evaluations(tracker, first[1], other[1])[0]
    except ConfigError as error:
        raise ConfigError(f"{first[0]} and {other[0]} cannot be compared. {error}") from None


def _check_images(names: Sequence[str], others: Sequence[Comparison]) -> None:
    """ConfigError unless each is compared with the first on the same images: else the first would have many values."""
    for name, other in zip(names[2:], others[1:], strict=True):
        if other.images != others[0].images:
            raise ConfigError(
                f"{names[0]} and {names[1]} have {plural(len(others[0].images), 'image')} in common, "
                f"{names[0]} and {name} {len(other.images)}, and not the same ones. Compare them two at a time, or "
                "evaluate all models on the same split."
            )


def _differing(settings: Sequence[Mapping[str, Any]]) -> tuple[Setting, ...]:
    """The keys whose values are not all the same, in the order of the first that has them."""
    keys = dict.fromkeys(key for one in settings for key in one)
    found = (Setting(key, tuple(one.get(key) for one in settings)) for key in keys)
    return tuple(one for one in found if any(value != one.values[0] for value in one.values))


def _told(name: str, evaluation: Artifact) -> dict[str, Any]:
    return {"name": name, "evaluation": evaluation.spec, "model": evaluation.metadata["model"]}


def _metric(row: Sequence[Metric]) -> dict[str, Any]:
    differences = [
        {"difference": one.difference, "interval": list(one.interval) if one.interval else None} for one in row
    ]
    return {"name": row[0].name, "values": [row[0].a, *(one.b for one in row)], "against_first": differences}
