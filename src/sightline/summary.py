"""What a table holds, in numbers: counts, pixel shares and quality. `terminal.py` prints it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sightline.classes import ClassMap
from sightline.errors import DataError
from sightline.learning import metrics
from sightline.table import KEY, Table

SUBSETS = ("train", "valid", "test")


@dataclass(frozen=True)
class Counts:
    """What a table, or one subset in it, holds. None stands for what its columns do not tell.

    Args:
        images: rows.
        groups: distinct groups.
        drives: distinct drives.
        with_class: C entries, images in which the class occurs.
        share: C entries, 0 to 1, the class's share of all pixels: images weigh by Width × Height.
        ignored_share: the same of ignored pixels.
    """

    images: int
    groups: int | None
    drives: int | None
    with_class: tuple[int | None, ...] = ()
    share: tuple[float | None, ...] = ()
    ignored_share: float | None = None


@dataclass(frozen=True)
class Quality:
    """How good the predictions of a prediction table are, recomputed from its column `confusion`.

    Args:
        confusion: int64[C, C] over all rows, rows = target, columns = prediction.
        iou: C entries, None where target and prediction lack the class.
        miou: of `confusion`; None where no pixel counts.
        mean_image_iou: mean of the images' own mIoU.
        pixel_accuracy: of `confusion`.
        worst: (File_Name, mIoU, loss) of the images with the lowest mIoU, the lowest first.
    """

    confusion: NDArray[np.int64]
    iou: tuple[float | None, ...]
    miou: float | None
    mean_image_iou: float | None
    pixel_accuracy: float | None
    worst: tuple[tuple[str, float, float | None], ...] = ()


@dataclass(frozen=True)
class Summary:
    """What `summarise` finds.

    Args:
        classes: the table's class map; None leaves all that is per class empty.
        columns: names of the table's columns.
        all: of all rows.
        sizes: (width, height, images), the most frequent first.
        together: int64[C, C], images in which both classes occur (on the diagonal: the class); None where the table
            has no presence columns.
        subsets: of each subset, where a column Stage or Split names one.
        quality: where the table holds predictions.
    """

    classes: ClassMap | None
    columns: tuple[str, ...]
    all: Counts
    sizes: tuple[tuple[int, int, int], ...] = ()
    together: NDArray[np.int64] | None = None
    subsets: Mapping[str, Counts] = field(default_factory=dict)
    quality: Quality | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The class names; none without a class map."""
        return self.classes.names if self.classes else ()

    def _repr_html_(self) -> str:
        from sightline.notebook import of_summary

        return of_summary(self)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON-able data, classes under their names, None for what is not known."""
        return {
            "columns": list(self.columns),
            **self._counts(self.all),
            "sizes": [{"width": width, "height": height, "images": n} for width, height, n in self.sizes],
            "together": self._together(),
            "subsets": {name: self._counts(counts) for name, counts in self.subsets.items()},
            "quality": self._quality(),
        }

    def _counts(self, counts: Counts) -> dict[str, Any]:
        per_class = zip(self.names, counts.with_class, counts.share, strict=True)
        return {
            "images": counts.images,
            "groups": counts.groups,
            "drives": counts.drives,
            "classes": {name: {"images": images, "share": share} for name, images, share in per_class},
            "ignored_share": counts.ignored_share,
        }

    def _together(self) -> dict[str, dict[str, int]] | None:
        if self.together is None:
            return None
        rows = zip(self.names, self.together.tolist(), strict=True)
        return {name: dict(zip(self.names, row, strict=True)) for name, row in rows}

    def _quality(self) -> dict[str, Any] | None:
        if self.quality is None:
            return None
        return {
            "iou": dict(zip(self.names, self.quality.iou, strict=True)),
            "miou": self.quality.miou,
            "mean_image_iou": self.quality.mean_image_iou,
            "pixel_accuracy": self.quality.pixel_accuracy,
            "confusion": self.quality.confusion.tolist(),
            "worst": [{KEY: name, "miou": miou, "loss": loss} for name, miou, loss in self.quality.worst],
        }


def summarise(table: Table, worst: int = 5) -> Summary:
    """Count what a table holds: an EDA table, a prediction table, both joined, or any other.

    Args:
        table: whose columns decide what can be told.
        worst: how many of the worst images are named.

    Raises:
        DataError: the column `confusion` does not fit the class map.
    """
    return Summary(
        classes=table.classes,
        columns=tuple(table.columns),
        all=_count(table.data, table.classes),
        sizes=_sizes(table.data),
        together=_together(table),
        subsets=_subsets(table),
        quality=_quality(table, worst) if table.classes and "confusion" in table.columns else None,
    )


def confusions(table: Table) -> NDArray[np.int64]:
    """The column `confusion` of a prediction table as matrices, int64[N, C, C], rows = target.

    Raises:
        DataError: there is no class map or no such column, or an entry is not C × C counts.
    """
    classes = len(table.classes or ())
    if not classes or "confusion" not in table.columns:
        raise DataError(f"No prediction table: it needs a class map and a column confusion, but has {table.columns}.")
    rows = table.data["confusion"].to_pylist()
    wrong = [index for index, row in enumerate(rows) if not isinstance(row, list) or len(row) != classes**2]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(rows)} rows do not hold {classes}×{classes} counts in the column confusion, as the "
            f"{classes} classes need (first: row {wrong[0]}). Evaluate again."
        )
    return np.array(rows, np.int64).reshape(len(rows), classes, classes)


def _count(data: pa.Table, classes: ClassMap | None) -> Counts:
    names = classes.names if classes else ()
    present = [_numbers(data, name) for name in names]
    return Counts(
        images=data.num_rows,
        groups=_distinct(data, "Group"),
        drives=_distinct(data, "Drive"),
        with_class=tuple(None if column is None else int((column > 0).sum()) for column in present),
        share=tuple(_share(data, f"{name}_share") for name in names),
        ignored_share=_share(data, "ignored_share"),
    )


def _numbers(data: pa.Table, name: str) -> NDArray[np.float64] | None:
    """A column of numbers as float64[N], NaN where it is null; None where there is no such column."""
    if name not in data.column_names or not is_number(data.schema.field(name).type):
        return None
    return np.array(data[name].to_pylist(), np.float64)  # Arrow's own `to_numpy` would import pandas first


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is shown and summed as numbers (booleans count as 0 and 1)."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _distinct(data: pa.Table, name: str) -> int | None:
    return len(set(data[name].to_pylist()) - {None}) if name in data.column_names else None


def _share(data: pa.Table, name: str) -> float | None:
    """Share of all pixels; rows without one are left out. None without sizes: a plain mean is another quantity."""
    shares, width, height = (_numbers(data, column) for column in (name, "Width", "Height"))
    if shares is None or width is None or height is None:
        return None
    pixels = width * height
    known = ~np.isnan(shares * pixels)
    total = pixels[known].sum()
    return float((shares * pixels)[known].sum() / total) if total else None


def _sizes(data: pa.Table) -> tuple[tuple[int, int, int], ...]:
    if not {"Width", "Height"} <= set(data.column_names):
        return ()
    pairs = Counter(zip(data["Width"].to_pylist(), data["Height"].to_pylist(), strict=True))
    return tuple((*size, count) for size, count in pairs.most_common() if None not in size)


def _together(table: Table) -> NDArray[np.int64] | None:
    columns = [_numbers(table.data, name) for name in (table.classes.names if table.classes else ())]
    known = [column > 0 for column in columns if column is not None]
    if not known or len(known) < len(columns):
        return None
    present = np.stack(known, axis=1).astype(np.int64)
    return present.T @ present


def _subsets(table: Table) -> dict[str, Counts]:
    """Per subset in the order of `SUBSETS`, others after them; a table whose rows are all in none has no subsets."""
    column = next((name for name in ("Stage", "Split") if name in table.columns), None)
    if column is None:
        return {}
    values = [str(value) for value in table.data[column].to_pylist()]
    if set(values) <= {"None"}:
        return {}
    order = [*SUBSETS, *sorted(set(values) - set(SUBSETS))]
    rows = {name: _mask([value == name for value in values]) for name in order if name in values}
    return {name: _count(table.data.filter(mask), table.classes) for name, mask in rows.items()}


def _mask(flags: list[bool]) -> pa.BooleanArray:
    """The flags as an Arrow array, by way of its bits: `pa.array` would import pandas first."""
    bits = pa.py_buffer(np.packbits(np.array(flags, bool), bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, bits])


def _quality(table: Table, worst: int) -> Quality:
    matrices = confusions(table)
    total = matrices.sum(axis=0)
    return Quality(
        confusion=total,
        iou=tuple(_known(value) for value in metrics.iou(total)),
        miou=_known(metrics.miou(total)),
        mean_image_iou=_known(metrics.mean_image_iou(matrices)),
        pixel_accuracy=_known(metrics.pixel_accuracy(total)),
        worst=_worst(table, matrices, worst),
    )


def _worst(table: Table, matrices: NDArray[np.int64], count: int) -> tuple[tuple[str, float, float | None], ...]:
    if KEY not in table.columns:
        return ()
    losses = _numbers(table.data, "loss")
    images = [
        (metrics.miou(matrix), str(name), None if losses is None else _known(losses[row]))
        for row, (matrix, name) in enumerate(zip(matrices, table.data[KEY].to_pylist(), strict=True))
    ]
    ranked = sorted((image for image in images if not math.isnan(image[0])), key=lambda image: image[:2])
    return tuple((name, value, loss) for value, name, loss in ranked[:count])


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
