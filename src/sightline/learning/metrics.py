"""Metrics from confusion matrices: pure functions on int64 arrays, exact over any batching. Needs numpy alone.

A confusion matrix is C×C counts of pixels, rows = target, columns = prediction. Those of images, batches or groups add
up to that of all of them, so whatever is computed from the sum is the same however the images were dealt out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sightline.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

Mask = NDArray[np.uint8]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Bounds = tuple[float, float]

FEWEST_GROUPS = 10
"""With fewer groups there is no interval: the percentiles of so few distinct draws cover far less than they claim."""
DEFINED = 0.95
"""A class gets an interval when its IoU is defined in at least this share of the resamples."""
CHUNK = 2**22
"""Draws held at a time by `interval`: 32 MiB of indices."""


def confusion(target: Mask, prediction: Mask, classes: int, ignore_index: int) -> Counts:
    """The confusion matrix of masks.

    Args:
        target: uint8 class indices of any shape; pixels of `ignore_index` are left out.
        prediction: uint8 class indices of the same shape; those where the target is ignored are left out too.
        classes: C, the number of classes, 1 to 256.
        ignore_index: the target's value for a pixel of no class.

    Returns:
        int64[C, C], rows = target, columns = prediction; it sums to the number of target pixels not ignored.

    Raises:
        DataError: the arrays are not uint8 or differ in shape, the target holds a value that is neither a class nor
            `ignore_index`, the prediction one that is no class (under an ignored pixel as well), or `classes` and
            `ignore_index` do not fit 8 bits.
    """
    if target.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise DataError(f"Masks are uint8, but the target is {target.dtype} and the prediction {prediction.dtype}.")
    _same_shape(target.shape, prediction.shape)
    if not 0 <= ignore_index <= 255 or not 1 <= classes <= 256:
        raise DataError(f"An 8-bit mask holds 0 to 255: not {classes} classes with ignore_index {ignore_index}.")
    # All 256×256 pairs are counted in one pass over the pixels; what is wrong shows in the counts.
    pairs = (target.astype(np.uint16) << 8) | prediction
    joint = np.bincount(pairs.ravel(), minlength=2**16).astype(np.int64).reshape(256, 256)
    predicted = joint.sum(axis=0)
    joint[ignore_index] = 0
    _refuse(_beyond(joint.sum(axis=1), classes), "target", classes, ignore_index)
    _refuse(_beyond(predicted, classes), "prediction", classes)
    return joint[:classes, :classes].copy()


def confusion_of_tensors(target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Counts:
    """`confusion` of integer torch tensors of any equal shape, counted on the device that they are on.

    Args:
        target: class indices, any integer dtype; pixels of `ignore_index` (negative ones too) are left out.
        prediction: class indices, any integer dtype, on the same device.
        classes: C.
        ignore_index: the target's value for a pixel of no class.

    Returns:
        int64[C, C] as a numpy array; only counts leave the device.

    Raises:
        DataError: as `confusion` does, or a tensor holds floats.
    """
    counts = pair_counts(target, prediction, classes, ignore_index)
    return confusion_of_counts(counts, classes, lambda: _strays(target, prediction, classes, ignore_index))


def pair_counts(target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
    """How many pixels have each pair of target and prediction: int64[(C + 2)·(C + 1)], on the device; nothing waits.

    Such counts add up over batches and processes; `confusion_of_counts` makes them a confusion matrix. After the C
    classes stand two more rows, for ignored targets and for wrong ones, and one more column, for wrong predictions.
    The arguments are those of `confusion_of_tensors`.
    """
    _same_shape(tuple(target.shape), tuple(prediction.shape))
    if str(target.dtype) == str(prediction.dtype) == "torch.uint8" and ignore_index >= 0:
        return _pairs_of_bytes(target, prediction, classes, ignore_index)
    truth, guess = _flat(target, "target"), _flat(prediction, "prediction")
    ignored = truth == ignore_index
    stray, strange = _outside(truth, classes) & ~ignored, _outside(guess, classes)
    rows = truth.masked_fill(stray, classes + 1).masked_fill(ignored, classes)
    cells = rows * (classes + 1) + guess.masked_fill(strange, classes)
    return cells.bincount(minlength=(classes + 2) * (classes + 1))


def _pairs_of_bytes(target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
    """`pair_counts` of uint8 tensors: all 256×256 pairs in one pass over the pixels, sorted into rows afterwards."""
    import torch

    truth, guess = (one.detach().as_subclass(torch.Tensor).flatten() for one in (target, prediction))
    joint = ((truth.int() << 8) | guess).bincount(minlength=2**16).view(256, 256)
    columns = torch.cat([joint[:, :classes], joint[:, classes:].sum(1, keepdim=True)], 1)
    ignored = columns[ignore_index].clone()
    columns[ignore_index] = 0
    rows = torch.cat([columns[:classes], ignored[None], columns[classes:].sum(0, keepdim=True)])
    return rows.flatten()


def confusion_of_counts(counts: Tensor, classes: int, strays: Callable[[], str] | None = None) -> Counts:
    """The confusion matrix int64[C, C] of `pair_counts`; only they leave the device.

    Raises:
        DataError: a target that is neither a class nor ignored, or a prediction that is no class; `strays` may say
            which.
    """
    joint: Counts = counts.cpu().numpy().astype(np.int64).reshape(classes + 2, classes + 1)
    wrong = int(joint[classes + 1].sum() + joint[: classes + 1, classes].sum())
    if wrong:
        raise DataError(strays() if strays else f"{wrong} pixels hold no class; the classes are 0 to {classes - 1}.")
    return joint[:classes, :classes].copy()


def _strays(target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> str:
    """Which values of target or prediction are no classes."""
    truth, guess = _flat(target, "target"), _flat(prediction, "prediction")
    stray = _outside(truth, classes) & (truth != ignore_index)
    if stray.any():
        return _refusal(_histogram(truth[stray]), "target", classes, ignore_index)
    return _refusal(_histogram(guess[_outside(guess, classes)]), "prediction", classes)


def iou(matrix: ArrayLike) -> Floats:
    """Intersection over union of each class, TP / (TP + FP + FN); NaN where target and prediction lack the class.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", IJCV 111, 2015,
    section 4.1 (there called accuracy); also known as the Jaccard index.

    Args:
        matrix: counts [..., C, C]; leading axes are kept.

    Returns:
        float64[..., C], 0 to 1 or NaN.
    """
    counts = _matrices(matrix)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(hits, counts.sum(axis=-1) + counts.sum(axis=-2) - hits)


def miou(matrix: ArrayLike) -> float:
    """Mean of `iou` over the classes that occur in target or prediction; NaN where none does.

    Args:
        matrix: counts [C, C]. For the mIoU of a subset, the sum over its images; of one matrix an image, see
            `mean_image_iou`.
    """
    return float(_mean(iou(_matrices(matrix, axes=2))))


def mean_image_iou(matrices: ArrayLike) -> float:
    """Mean over images of each image's own `miou`, images without one left out. It is not the mIoU of a subset.

    A class that is absent from most images weighs little here, and a small image as much as a large one.

    Args:
        matrices: counts [N, C, C], one matrix an image.

    Returns:
        0 to 1; NaN where no image has an mIoU.
    """
    return float(_mean(image_miou(matrices)))


def image_miou(matrices: ArrayLike) -> Floats:
    """Each image's own `miou`, float64[N]; NaN where an image has none.

    Args:
        matrices: counts [N, C, C], one matrix an image.
    """
    return _mean(iou(_matrices(matrices, axes=3)))


def pixel_accuracy(matrix: ArrayLike) -> float:
    """Share of pixels whose class is right, of those not ignored; NaN where there are none.

    Args:
        matrix: counts [C, C].
    """
    counts = _matrices(matrix, axes=2)
    return float(_ratio(np.trace(counts), counts.sum()))


def majority(shares: ArrayLike) -> int:
    """Index of the class with the most pixels, the first of equals.

    Args:
        shares: [C] pixel counts or shares; NaN counts as none.

    Raises:
        DataError: no class has a pixel.
    """
    values = np.nan_to_num(np.asarray(shares, np.float64))
    if values.ndim != 1 or not (values > 0).any():
        raise DataError("No class has a single pixel, so there is no majority class. Is every pixel ignored?")
    return int(values.argmax())


def majority_confusion(target_counts: ArrayLike, majority_class: int) -> Counts:
    """The confusion matrix of predicting one class for every pixel: the baseline that a model has to beat.

    Args:
        target_counts: int [C], pixels of each class in the target, ignored ones left out.
        majority_class: the index that is always predicted; on data other than what it was found on, as a model is.

    Returns:
        int64[C, C], all zero but the column of `majority_class`.

    Raises:
        DataError: there is no such class.
    """
    counts = np.asarray(target_counts, np.int64)
    if not 0 <= majority_class < len(counts):
        raise DataError(f"The majority class is {majority_class}, but the classes are 0 to {len(counts) - 1}.")
    matrix = np.zeros((len(counts), len(counts)), np.int64)
    matrix[:, majority_class] = counts
    return matrix


@dataclass(frozen=True)
class Interval:
    """What `interval` finds.

    Args:
        miou: (low, high) of the mIoU; None where there is no interval.
        iou: the same for each class, C entries.
        reason: why there is no interval; empty where there is one.
        level: the share of intervals that are meant to hold the true value.
        resamples: how many were drawn.
        groups: how many groups hold a counted pixel.
    """

    miou: Bounds | None
    iou: tuple[Bounds | None, ...]
    reason: str
    level: float
    resamples: int
    groups: int

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """As `summary.json` holds it, the classes under their names."""
        bounds = [list(pair) if pair else None for pair in (self.miou, *self.iou)]
        return {
            "miou": bounds[0],
            "iou": dict(zip(names, bounds[1:], strict=True)),
            "level": self.level,
            "resamples": self.resamples,
            "unit": "group",
            "reason": self.reason,
        }


def interval(matrices: ArrayLike, groups: Sequence[str], resamples: int, seed: int, level: float = 0.95) -> Interval:
    """Percentile intervals of mIoU and IoU by a cluster bootstrap: groups are drawn with replacement.

    Frames of one drive are alike, so that images are no independent draws; drives are, about. Each resample draws as
    many groups as there are, adds up their confusion matrices and computes `iou` and `miou` of the sum, by the same
    rule as for the data: a class absent from a resample is NaN there and left out of that resample's mean.

    Sources: Field and Welsh, "Bootstrapping clustered data", JRSS B 69(3), 2007, 369-390 (the cluster bootstrap);
    Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 5.3.1 (percentile limits).
    With few groups such intervals are somewhat too short (95 % ones held the truth in 90 % of 300 simulated sets of 30
    drives, ones that took frames for independent in 50 %), and they know nothing of the spread over training seeds.

    Args:
        matrices: counts [N, C, C], one matrix an image.
        groups: the group of each image; groups without a counted pixel say nothing and are left out.
        resamples: how many to draw.
        seed: same seed, same interval, whatever the order of the images.
        level: 0 to 1, the share of intervals that are meant to hold the true value.

    Returns:
        The intervals, or the reason why there are none: fewer than ten groups. A class gets None where its IoU is
        defined in fewer than 95 % of the resamples.

    Raises:
        DataError: the counts are not [N, C, C], or there is not one group an image.
        ConfigError: no resamples, or a level that is no share.
    """
    sums = _by_group(_matrices(matrices, axes=3), groups)
    return _resampled(sums, lambda weights: _with_mean(_resampled_iou(sums, weights)), resamples, seed, level)


def paired_interval(
    first: ArrayLike, second: ArrayLike, groups: Sequence[str], resamples: int, seed: int, level: float = 0.95
) -> Interval:
    """Percentile intervals of the difference, second less first, of mIoU and IoU on the same images.

    As `interval`, but each resample draws the same groups for both: what makes a drive hard is hard for both models,
    so the difference is known better than either figure. Source: Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 8 (pairs are drawn as pairs).

    Args:
        first, second: counts [N, C, C], one matrix an image, the images in the same order.
        groups: the group of each image; groups without a counted pixel are left out.
        resamples, seed, level: as for `interval`.

    Returns:
        The intervals of the differences, -1 to 1, or the reason why there are none: fewer than ten groups. A class
        gets None where its difference is defined in fewer than 95 % of the resamples.

    Raises:
        DataError: the counts are not [N, C, C], not as many, or there is not one group an image.
        ConfigError: no resamples, or a level that is no share.
    """
    pair = _matrices(first, axes=3), _matrices(second, axes=3)
    _same_counts(*pair)
    sums = _by_group(np.stack(pair, axis=1), groups)

    def differences(weights: Counts) -> Floats:
        before, after = (_with_mean(_resampled_iou(sums[:, side], weights)) for side in (0, 1))
        return after - before

    return _resampled(sums, differences, resamples, seed, level)


def _resampled(
    sums: Counts, statistic: Callable[[Counts], Floats], resamples: int, seed: int, level: float
) -> Interval:
    """Intervals of a statistic: `sums` is [G, …, C, C], the statistic takes int64[R, G] to float64[R, C + 1]."""
    if resamples < 1 or not 0 < level < 1:
        raise ConfigError(f"An interval takes 1 or more resamples and a level within 0 to 1: {resamples}, {level}.")
    found, classes = len(sums), sums.shape[-1]
    if found < FEWEST_GROUPS:
        reason = (
            f"{found} group{'' if found == 1 else 's'} with labelled pixels: resampling needs at least "
            f"{FEWEST_GROUPS}, for fewer give intervals that are too short to be believed"
        )
        return Interval(None, (None,) * classes, reason, level, resamples, found)
    drawn = np.concatenate([statistic(weights) for weights in _weights(found, resamples, seed)])
    bounds = [_percentiles(drawn[:, index], level) for index in range(classes + 1)]
    return Interval(bounds[-1], tuple(bounds[:-1]), "", level, resamples, found)


def _with_mean(per_class: Floats) -> Floats:
    """float64[R, C] with the mean of each row's defined values as one more column."""
    return np.column_stack([per_class, _mean(per_class)])


def _same_counts(first: Counts, second: Counts) -> None:
    if first.shape != second.shape:
        raise DataError(
            f"The confusion matrices differ in shape: {first.shape} and {second.shape}. Give the same images."
        )


def _weights(groups: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each group is drawn, int64[resamples, groups] in chunks; they do not depend on the chunks' size."""
    draw = np.random.default_rng(seed)
    step = max(1, CHUNK // groups)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = draw.integers(groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)


def _resampled_iou(sums: Counts, weights: Counts) -> Floats:
    """IoU per resample, float64[R, C]: its parts are linear in the counts, so two of them per class are weighed."""
    hits = np.diagonal(sums, axis1=1, axis2=2)
    unions = sums.sum(axis=1) + sums.sum(axis=2) - hits
    return _ratio(weights @ hits, weights @ unions)


def _percentiles(values: Floats, level: float) -> Bounds | None:
    defined = values[~np.isnan(values)]
    if len(defined) < DEFINED * len(values) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_group(matrices: Counts, groups: Sequence[str]) -> Counts:
    """The summed matrices of the groups that hold a counted pixel, [G, …, C, C], in the order of their names."""
    if len(groups) != len(matrices):
        raise DataError(f"There are {len(matrices)} confusion matrices but {len(groups)} groups. Give one each.")
    names = sorted(set(groups))
    place = {name: index for index, name in enumerate(names)}
    sums = np.zeros((len(names), *matrices.shape[1:]), np.int64)
    np.add.at(sums, np.array([place[name] for name in groups], np.intp), matrices)
    return sums[sums.any(axis=tuple(range(1, sums.ndim)))]


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """part / whole, NaN where the whole is 0."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    shares: Floats = np.divide(parts, wholes, out=np.full(wholes.shape, np.nan), where=wholes > 0)
    return shares


def _mean(values: Floats) -> Floats:
    """Mean over the last axis without NaN; NaN where nothing else is there (`nanmean` would warn)."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def _matrices(matrix: ArrayLike, axes: int | None = None) -> Counts:
    counts = np.asarray(matrix)
    square = counts.ndim >= 2 and counts.shape[-1] == counts.shape[-2]
    if not square or counts.ndim != (axes or counts.ndim) or not np.issubdtype(counts.dtype, np.integer):
        wanted = {None: "[..., C, C]", 2: "[C, C]", 3: "[N, C, C]"}[axes]
        raise DataError(f"Confusion matrices are integers {wanted}, but this is {counts.dtype} of {counts.shape}.")
    return counts.astype(np.int64, copy=False)


def _same_shape(target: tuple[int, ...], prediction: tuple[int, ...]) -> None:
    if target != prediction:
        raise DataError(f"The shapes differ: the target is {target}, the prediction {prediction}.")


def _flat(tensor: Tensor, what: str) -> Tensor:
    """The tensor as plain int64[n]: fastai's subclasses refuse to be compared with one another."""
    import torch

    if tensor.is_floating_point() or tensor.is_complex():
        raise DataError(f"The {what} holds {tensor.dtype}, no class indices. Take the argmax of logits first.")
    return tensor.detach().as_subclass(torch.Tensor).flatten().long()


def _outside(values: Tensor, classes: int) -> Tensor:
    return (values < 0) | (values >= classes)


def _histogram(values: Tensor) -> dict[int, int]:
    found, pixels = np.unique(values.cpu().numpy(), return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _beyond(pixels: Counts, classes: int) -> dict[int, int]:
    """Value -> pixels, of the values that occur and are no class; `pixels` is int64[256]."""
    return {int(value): int(pixels[value]) for value in np.flatnonzero(pixels) if value >= classes}


def _refuse(wrong: dict[int, int], what: str, classes: int, ignore_index: int | None = None) -> None:
    """DataError where there is any value (with its number of pixels) that is no class."""
    if wrong:
        raise DataError(_refusal(wrong, what, classes, ignore_index))


def _refusal(wrong: dict[int, int], what: str, classes: int, ignore_index: int | None = None) -> str:
    values = [str(value) for value in wrong]
    listed = ", ".join(values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
    also = "" if ignore_index is None else f" and ignore_index is {ignore_index}"
    return f"{sum(wrong.values())} pixels of the {what} hold {listed}; the classes are 0 to {classes - 1}{also}."
