"""Masks as arrays: recoding, pixel counts, presence, and pictures of them. Pure functions; a mask is H×W uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.classes import ClassMap, parse_color
from sightline.errors import DataError

Mask = NDArray[np.uint8]
Rgb = NDArray[np.uint8]

IGNORED_RGB = (255, 255, 255)
"""Ignored pixels in `colorize`: white, which no palette uses."""
ERROR_RGB = (230, 0, 76)
ERROR_IGNORED_RGB = (128, 128, 128)
DIM = 0.18
"""Share of the class's colour in a right pixel of `error_map`; the rest is near-white, so that wrong ones stand out."""


def recode(raw: Mask, classes: ClassMap) -> tuple[Mask, dict[int, int]]:
    """Raw mask values -> class indices, by the class map's table.

    Args:
        raw: H×W uint8, the values as stored.
        classes: whose `recoding` is applied.

    Returns:
        The H×W uint8 mask of class indices (`raw` itself where nothing changes), and the values that the class map
        does not name with their number of pixels; such pixels become `ignore_index`.
    """
    counts = _counts(raw)
    table = np.full(256, -1, np.int16)
    recoding = classes.recoding()
    table[list(recoding)] = list(recoding.values())
    present = np.flatnonzero(counts)
    unknown = {int(value): int(counts[value]) for value in present if table[value] < 0}
    if np.array_equal(table[present], present):
        return raw, unknown
    table[table < 0] = classes.ignore_index
    return table.astype(np.uint8)[raw], unknown


def from_colors(rgb: Rgb, classes: ClassMap) -> tuple[Mask, dict[str, int]]:
    """An RGB mask -> class indices, by the class map's `raw_colors`.

    Args:
        rgb: H×W×3 uint8.
        classes: whose `raw_colors` are applied.

    Returns:
        The H×W uint8 mask of class indices, and the colours (`#rrggbb`) that the class map does not name with their
        number of pixels; such pixels become `ignore_index`.
    """
    named = sorted((_pack(parse_color(color)), index) for color, index in classes.raw_colors.items())
    keys = np.array([key for key, _ in named], np.uint32)
    indices = np.array([index for _, index in named], np.uint8)
    channels = rgb.astype(np.uint32)
    packed = (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]
    place = np.minimum(np.searchsorted(keys, packed), len(keys) - 1)
    wrong = keys[place] != packed
    mask = indices[place]
    mask[wrong] = classes.ignore_index
    colors, counts = np.unique(packed[wrong], return_counts=True)
    unknown = {f"#{int(color):06x}": int(count) for color, count in zip(colors, counts, strict=True)}
    return mask, unknown


def pixel_counts(mask: Mask, classes: ClassMap) -> NDArray[np.int64]:
    """Pixels of each class, then those ignored: int64[C + 1], which sums to the mask's size.

    Raises:
        DataError: the mask is not H×W uint8, or holds a value that is neither a class nor `ignore_index`.
    """
    counts = _counts(mask)
    size = len(classes)
    ignored = counts[classes.ignore_index]
    if counts[:size].sum() + ignored != mask.size:
        wrong = [value for value in np.flatnonzero(counts).tolist() if value >= size and value != classes.ignore_index]
        raise DataError(
            f"The mask holds {', '.join(map(str, wrong))}; the {size} classes are 0 to {size - 1} "
            f"and ignore_index is {classes.ignore_index}."
        )
    return np.append(counts[:size], ignored)


def presence(mask: Mask, classes: ClassMap) -> NDArray[np.bool_]:
    """Which classes occur in the mask: bool[C]. Raises as `pixel_counts` does."""
    return pixel_counts(mask, classes)[:-1] > 0


def colorize(mask: Mask, classes: ClassMap) -> Rgb:
    """The mask in its classes' colours, H×W×3 uint8; ignored pixels are white. Raises as `pixel_counts` does."""
    pixel_counts(mask, classes)
    return _table(classes, IGNORED_RGB)[mask]


def overlay(image: Rgb, mask: Mask, classes: ClassMap, alpha: float = 0.5) -> Rgb:
    """The image with its classes' colours laid over it, H×W×3 uint8; ignored pixels are left as they are.

    Args:
        image: H×W×3 uint8.
        mask: H×W uint8 class indices.
        classes: gives the colours.
        alpha: share of the colour, 0 (none) to 1 (nothing of the image).

    Raises:
        DataError: the shapes differ, `alpha` is out of range, or as `pixel_counts` does.
    """
    if not 0 <= alpha <= 1:
        raise DataError(f"alpha is {alpha}, but must lie between 0 and 1.")
    _same_size(image, mask)
    colors = colorize(mask, classes)
    blended = np.rint(image * np.float32(1 - alpha) + colors * np.float32(alpha)).astype(np.uint8)
    return np.where((mask == classes.ignore_index)[..., None], image, blended)


def error_map(truth: Mask, prediction: Mask, classes: ClassMap) -> Rgb:
    """Where a prediction is wrong, H×W×3 uint8.

    Wrong pixels are striped along the diagonal, in a vivid red and the colour of the class that was predicted: the
    stripes tell them apart without colour too. Right pixels are pale in their class's colour; pixels that `truth`
    ignores are grey. A predicted `ignore_index` is wrong, and its second stripe is white.

    Raises:
        DataError: the shapes differ, or as `pixel_counts` does.
    """
    _same_size(prediction, truth)
    right = np.rint(colorize(truth, classes) * DIM + 245 * (1 - DIM)).astype(np.uint8)
    stripes = _stripes(truth.shape[0], truth.shape[1])
    wrong = np.where(stripes[..., None], np.array(ERROR_RGB, np.uint8), colorize(prediction, classes))
    shown = np.where((truth == prediction)[..., None], right, wrong)
    shown[truth == classes.ignore_index] = ERROR_IGNORED_RGB
    return shown


def _stripes(height: int, width: int) -> NDArray[np.bool_]:
    """Diagonal stripes, bool H×W; their width follows the image's, so that a small copy still shows them."""
    period = max(4, min(height, width) // 30)
    return (np.add.outer(np.arange(height), np.arange(width)) % period) * 2 < period


def _counts(mask: Mask) -> NDArray[np.int64]:
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise DataError(f"A mask is H×W uint8, but this is {mask.dtype} of shape {mask.shape}.")
    return np.array(Image.fromarray(mask).histogram(), np.int64)  # a third of what np.bincount takes


def _table(classes: ClassMap, ignored: tuple[int, int, int]) -> NDArray[np.uint8]:
    table = np.zeros((256, 3), np.uint8)
    table[: len(classes)] = classes.rgb()
    table[classes.ignore_index] = ignored
    return table


def _same_size(image: NDArray[np.uint8], mask: Mask) -> None:
    if image.shape[:2] != mask.shape:
        raise DataError(f"The shapes differ: {image.shape[:2]} and {mask.shape} (height, width).")


def _pack(color: tuple[int, int, int]) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]
