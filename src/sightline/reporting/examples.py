"""Which images are shown: typical ones of the data, and the best, median and worst predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.reporting.material import Material
from sightline.wording import number

SAMPLES = 6
NEW_GROUP = 0.5
"""What an image of a group that is not shown yet counts, against 1 for a class at its largest."""


@dataclass(frozen=True)
class Sample:
    """An image of the data that is shown with its mask; paths are those in the split artifact."""

    file_name: str
    group: str
    image: str
    mask: str


@dataclass(frozen=True)
class Example:
    """An image that is shown with its prediction.

    Args:
        file_name, group: the row of the prediction table.
        image, mask: paths in the split artifact; `prediction` path in the evaluation.
        miou, loss: of this image.
        ious: (class, colour, IoU) of the classes that are defined on it.
    """

    file_name: str
    group: str
    image: str
    mask: str
    prediction: str
    miou: float
    loss: float | None
    ious: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Examples:
    """Images by their mIoU: the best and the worst first, those in the middle in falling order."""

    best: tuple[Example, ...]
    median: tuple[Example, ...]
    worst: tuple[Example, ...]
    unmeasured: int

    @property
    def all(self) -> tuple[Example, ...]:
        """Every one of them."""
        return self.best + self.median + self.worst


def choose_samples(material: Material, most: int = SAMPLES) -> tuple[Sample, ...]:
    """Images of the train subset that show every class large and several groups; the same ones every time.

    Of a selection, images of any subset.
    """
    rows = material.rows if material.selection else material.rows[material.rows["Stage"] == "train"]
    rows = (rows if len(rows) else material.rows).reset_index(drop=True)
    shares = np.stack([rows[f"{name}_share"].to_numpy(np.float64) for name in material.classes.names], axis=1)
    size = shares / np.maximum(shares.max(axis=0, initial=0), 1e-12)
    groups, covered = rows["Group"].to_numpy(object), np.zeros(size.shape[1], bool)
    chosen: list[int] = []
    while len(chosen) < min(most, len(rows)):
        fresh = ~np.isin(groups, groups[chosen])
        gain = (size * ~covered).sum(axis=1) + NEW_GROUP * fresh
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        covered |= shares[chosen[-1]] > 0
    shown = [rows.iloc[place] for place in sorted(chosen)]
    return tuple(Sample(row["File_Name"], row["Group"], row["Image"], row["Mask"]) for row in shown)


def choose_examples(material: Material, each: int) -> Examples:
    """The best, median and worst images by mIoU, `each` of them; fewer where an image would stand in two places.

    Images without a defined mIoU (wholly ignored) are left out and counted. Equal ones stand by name.
    """
    rows = material.predictions[["File_Name", "miou"]]
    ranked = rows[rows["miou"].notna()].sort_values(["miou", "File_Name"], ascending=[False, True])
    places = ranked.index.tolist()
    take = min(each, max(1, len(places) // 3))
    best, rest = places[:take], places[take:]
    worst, middle = rest[-take:][::-1], rest[:-take]
    start = max(0, (len(middle) - take) // 2)
    return Examples(
        best=_examples(material, best),
        median=_examples(material, middle[start : start + take]),
        worst=_examples(material, worst),
        unmeasured=len(rows) - len(ranked),
    )


def _examples(material: Material, places: list[int]) -> tuple[Example, ...]:
    paths = material.rows.set_index("File_Name")[["Image", "Mask"]]
    return tuple(
        _example(material, row, *paths.loc[row["File_Name"]])
        for row in material.predictions.loc[places].to_dict("records")
    )


def _example(material: Material, row: Mapping[Any, Any], image: str, mask: str) -> Example:
    named = zip(material.classes.names, material.classes.colors, strict=True)
    ious = [(name, color, number(row[f"{name}_iou"])) for name, color in named]
    return Example(
        file_name=row["File_Name"],
        group=row["Group"],
        image=image,
        mask=mask,
        prediction=row["Prediction"],
        miou=float(row["miou"]),
        loss=number(row["loss"]),
        ious=tuple((name, color, iou) for name, color, iou in ious if iou is not None),
    )
