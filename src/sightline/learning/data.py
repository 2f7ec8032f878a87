"""Images and masks on their way into the network: read, fitted into the training size, batched by fastai."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sightline.classes import ClassMap
from sightline.config import Train
from sightline.learning.libraries import vision

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Item:
    """An image and its mask as files; `size` is theirs, (height, width)."""

    image: Path
    mask: Path
    size: Size


def fitted(size: Size, box: Size) -> Size:
    """The largest (height, width) of the same shape as `size` that fits into `box`, at least 1×1."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))


def canvas_of(items: Sequence[Item], box: Size) -> Size:
    """The smallest (height, width) that holds every image once it is fitted into `box`."""
    sizes = {fitted(item.size, box) for item in items}
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def read_image(path: Path, box: Size) -> torch.Tensor:
    """An image fitted into `box`, undistorted: 1×3×h×w float32, 0 to 1."""
    with Image.open(path) as image:
        height, width = fitted((image.height, image.width), box)
        pixels = np.array(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def read_mask(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A stored mask: H×W uint8 class indices."""
    with Image.open(path) as image:
        return np.array(image)


class Letterbox(vision.Transform):  # type: ignore[misc]
    """Fit an image or a mask into the canvas, undistorted, and fill the rest: black, or `ignore_index` in masks.

    Masks are resized by nearest neighbour: no class is made up at the edges.
    """

    def __init__(self, box: Size, canvas: Size, ignore_index: int) -> None:
        super().__init__()
        self.box, self.canvas, self.ignore_index = box, canvas, ignore_index

    def encodes(self, image: Any) -> Any:
        is_mask = image.mode == "L"
        height, width = fitted((image.height, image.width), self.box)
        how = Image.Resampling.NEAREST if is_mask else Image.Resampling.BILINEAR
        fill: Any = self.ignore_index if is_mask else (0, 0, 0)
        board = Image.new(image.mode, (self.canvas[1], self.canvas[0]), fill)
        board.paste(image.resize((width, height), how))
        return board


class Mirror(vision.ItemTransform):  # type: ignore[misc]
    """Turn image and mask left to right, one pair in two, in training only: exact, where fastai's `Flip` resamples."""

    split_idx = 0

    def encodes(self, pair: Any) -> Any:
        if random.random() < 0.5:
            return pair
        return tuple(type(image)(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for image in pair)


def loaders(train: Sequence[Item], valid: Sequence[Item], classes: ClassMap, settings: Train, device: str) -> Any:
    """fastai's DataLoaders, made by its `DataBlock`.

    Args:
        train, valid: the two subsets. Training shuffles and leaves out a last batch that is not full.
        classes: its `ignore_index` fills the masks' margins.
        settings: recipe, image size, batch size and augmentation.
        device: cpu, cuda or mps.

    Returns:
        `DataLoaders` of batches (B×3×h×w float32 0 to 1, B×h×w int64).
    """
    items = [*train, *valid]
    block = vision.DataBlock(
        blocks=(vision.ImageBlock, vision.MaskBlock(codes=list(classes.names))),
        get_x=lambda item: item.image,
        get_y=lambda item: item.mask,
        splitter=vision.IndexSplitter(list(range(len(train), len(items)))),
        item_tfms=_item_transforms(items, classes, settings),
        batch_tfms=list(vision.aug_transforms()) if _augments_fully(settings) else [],
    )
    return block.dataloaders(items, bs=min(settings.batch_size, len(train)), num_workers=0, device=device)


def _augments_fully(settings: Train) -> bool:
    return settings.augment == "full" or (settings.recipe == "course" and settings.augment != "none")


def _item_transforms(items: Sequence[Item], classes: ClassMap, settings: Train) -> list[Any]:
    if settings.recipe == "course":
        return [vision.Resize(settings.image_size)]
    box = settings.image_size
    fit = Letterbox(box, canvas_of(items, box), classes.ignore_index)
    return [fit, Mirror()] if settings.augment == "flip" else [fit]
