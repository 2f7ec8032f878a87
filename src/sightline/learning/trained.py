"""What a trained network is to those who use it, whether PyTorch or onnxruntime computes. Needs neither."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.classes import ClassMap
from sightline.learning.pixels import Pixels, Size, covering, fitted, shrink

AT_ONCE = 1 << 26
"""Numbers in the enlarged logits of one batch, at most, 256 MiB of float32; a single image may need more."""


class Found(NamedTuple):
    """What a network finds in B images.

    Args:
        labels: B×H×W uint8, class indices.
        mean_confidence: B numbers, the mean over the pixels that the network sees of the highest softmax probability.
        confidence: B×H×W float32, the highest softmax probability of each pixel, 0 to 1; None where not asked for.
    """

    labels: NDArray[np.uint8]
    mean_confidence: list[float]
    confidence: NDArray[np.float32] | None


class Network(Protocol):
    """A trained network with its preprocessing."""

    classes: ClassMap

    def seen(self, size: Size) -> Size:
        """The (height, width) at which it sees an image of `size`."""

    def predict(self, images: Pixels, size: Size, sure: bool = True) -> Found:
        """What it finds in images B×h×w×3 uint8, at `size` (H, W): the logits are enlarged bilinearly (corners of
        pixels, not their centres, stay where they are), and then compared; with the confidence if `sure`."""


def seen_size(size: Size, box: Size, recipe: str) -> Size:
    """The (height, width) at which a network sees an image of `size`.

    Args:
        size: the image's own (height, width).
        box: `image_size`, what it was trained at.
        recipe: `default` fitted images into the box; `course` cut what covers the box, so the whole image covers it.
    """
    return covering(size, box) if recipe == "course" else fitted(size, box)


def view(image: Image.Image, network: Network) -> tuple[Size, Pixels]:
    """An opened image's own (height, width), and the h×w×3 uint8 that the network sees of it."""
    size = image.height, image.width
    return size, shrink(image, network.seen(size))


def batch_limit(classes: int, size: Size, wanted: int) -> int:
    """Images of `size` to predict at once: `wanted`, or fewer where their enlarged logits would take too much room."""
    return max(1, min(wanted, AT_ONCE // (classes * size[0] * size[1])))


def mean_confidence(logits: NDArray[np.float32]) -> list[float]:
    """The mean of the highest softmax probability over the pixels of each image; logits are B×C×h×w."""
    return [float((1 / np.exp(each - each.max(axis=0)).sum(axis=0)).mean(dtype=np.float64)) for each in logits]


def as_bytes(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Confidence 0 to 1 as 0 to 255, rounded."""
    scaled: NDArray[Any] = np.rint(confidence * np.float32(255))
    return scaled.astype(np.uint8)
