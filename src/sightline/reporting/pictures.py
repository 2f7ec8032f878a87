"""Images, overlays and error maps as small data URIs, which the page carries in itself."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.classes import ClassMap
from sightline.masks import Mask, Rgb, colorize, error_map, overlay
from sightline.pairs import Pair, read_files
from sightline.reporting.examples import Example, Sample
from sightline.tracking import Artifact

LARGEST = 480
"""Width and height that no picture exceeds, in pixels."""
JPEG_QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """A picture in the page: `data:` URI, size in pixels, and what it shows, for those who do not see it."""

    uri: str
    width: int
    height: int
    alt: str


def sample_pictures(sample: Sample, split: Artifact, classes: ClassMap) -> tuple[Picture, ...]:
    """The image, and the image with its mask laid over it."""
    pair = _pair(split, sample.image, sample.mask, classes)
    shown = ", ".join(classes.names[index] for index in np.unique(pair.mask) if index < len(classes))
    laid_over = overlay(pair.image, pair.mask, classes)
    return (
        photograph(pair.image, f"{sample.file_name}, the image"),
        photograph(
            laid_over, f"{sample.file_name} with its mask laid over it: {shown or 'nothing but ignored pixels'}"
        ),
    )


def example_pictures(example: Example, split: Artifact, evaluation: Artifact, classes: ClassMap) -> tuple[Picture, ...]:
    """The image, its ground truth, the prediction, and where they differ."""
    pair = _pair(split, example.image, example.mask, classes)
    with Image.open(evaluation.path(example.prediction)) as image:
        prediction = np.array(image)
    wrong = _wrong_share(pair.mask, prediction, classes)
    return (
        photograph(pair.image, f"{example.file_name}, the image"),
        drawing(colorize(pair.mask, classes), f"{example.file_name}, ground truth"),
        drawing(colorize(prediction, classes), f"{example.file_name}, prediction"),
        drawing(error_map(pair.mask, prediction, classes), f"{example.file_name}, errors: {wrong:.1%} of the pixels"),
    )


def photograph(pixels: Rgb, alt: str) -> Picture:
    """H×W×3 uint8 as a JPEG of at most 480 pixels a side."""
    image = Image.fromarray(pixels)
    small = image.resize(fitted(image.size), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return _picture(stream, "jpeg", small, alt)


def drawing(pixels: Rgb, alt: str) -> Picture:
    """H×W×3 uint8 of few colours as a palette PNG of at most 480 pixels a side; no colour is mixed in scaling."""
    image = Image.fromarray(pixels)
    small = image.resize(fitted(image.size), Image.Resampling.NEAREST)
    paletted = _paletted(np.array(small)) or small
    stream = io.BytesIO()
    paletted.save(stream, format="PNG", optimize=True)
    return _picture(stream, "png", small, alt)


def fitted(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) scaled down, and never up, to fit the largest size."""
    scale = min(1.0, LARGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _pair(split: Artifact, image: str, mask: str, classes: ClassMap) -> Pair:
    return read_files(split.path(image), split.path(mask), classes)


def _wrong_share(truth: Mask, prediction: Mask, classes: ClassMap) -> float:
    """Share of the pixels that count which the prediction has wrong."""
    counted = truth != classes.ignore_index
    return float(np.mean(truth[counted] != prediction[counted])) if counted.any() else 0.0


def _paletted(pixels: NDArray[np.uint8]) -> Image.Image | None:
    """The same picture with a palette, a third of the size; None where it has more than 256 colours."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors, indices = np.unique(packed, return_inverse=True)
    if len(colors) > 256:
        return None
    image = Image.fromarray(indices.reshape(packed.shape).astype(np.uint8))
    image.putpalette(np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1).astype(np.uint8).tobytes())
    return image


def _picture(stream: io.BytesIO, kind: str, image: Image.Image, alt: str) -> Picture:
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{text}", image.width, image.height, alt)
