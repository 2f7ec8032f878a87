"""Images and masks as the network sees them: read, fitted into the training size, as uint8 arrays. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]
"""(height, width) in pixels."""
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """An image and its mask as files; `size` is theirs, (height, width)."""

    image: Path
    mask: Path
    size: Size


def fitted(size: Size, box: Size) -> Size:
    """The largest (height, width) of the same shape as `size` that fits into `box`, at least 1×1."""
    return _scaled(size, min(box[0] / size[0], box[1] / size[1]))


def covering(size: Size, box: Size) -> Size:
    """The smallest (height, width) of the same shape as `size` that covers `box`."""
    height, width = _scaled(size, max(box[0] / size[0], box[1] / size[1]))
    return max(height, box[0]), max(width, box[1])


def _scaled(size: Size, scale: float) -> Size:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def canvas_of(sizes: Iterable[Size], box: Size) -> Size:
    """The smallest (height, width) that holds every image once it is fitted into `box`."""
    fits = {fitted(size, box) for size in sizes}
    return max(height for height, _ in fits), max(width for _, width in fits)


def shrink(image: Image.Image, size: Size) -> Pixels:
    """An opened image brought to `size` by bilinear interpolation: h×w×3 uint8 RGB.

    A JPEG that is at least twice as large is decoded at 1/2, 1/4 or 1/8 of its size by the decoder itself, but not
    below `size`: the same averages over blocks, at a fraction of the time.
    """
    height, width = size
    image.draft("RGB", (width, height))
    rgb: Any = image if image.mode == "RGB" else image.convert("RGB")
    return np.asarray(rgb if rgb.size == (width, height) else rgb.resize((width, height), Image.Resampling.BILINEAR))


def read_image(path: Path, box: Size) -> Pixels:
    """An image file fitted into `box`, undistorted: h×w×3 uint8 RGB."""
    with Image.open(path) as image:
        return shrink(image, fitted((image.height, image.width), box))


def read_mask(path: Path, size: Size | None = None) -> Pixels:
    """A stored mask as uint8 class indices: H×W, or of `size` by nearest neighbour, so that no class is made up."""
    with Image.open(path) as image:
        if size and size != (image.height, image.width):
            return np.asarray(image.resize((size[1], size[0]), Image.Resampling.NEAREST))
        return np.asarray(image)
