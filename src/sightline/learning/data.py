"""Batches for the network: taken from the decoded images, changed as a whole, image and mask by one transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from fastcore.basics import chunked

from sightline.config import Train
from sightline.learning.cache import Source
from sightline.learning.device import layout_of
from sightline.learning.libraries import vision

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images B×3×h×w float32, 0 to 1, as `layout_of` has it in memory; masks B×h×w uint8."""
Change = Callable[[Batch], Batch]

SCALE = (0.75, 1.5)
"""How much smaller or larger `scale` draws an image."""


class Batches(vision.DataLoader):  # type: ignore[misc]
    """fastai's DataLoader over a `Source`: whole batches by number, the next one fetched while one is computed on.

    Args:
        source: decoded images and masks.
        change: augmentation of a batch on its device; None for none.
        kwargs: as fastai's: `bs`, `shuffle`, `drop_last`, `device`.
    """

    def __init__(self, source: Source, change: Change | None = None, **kwargs: Any) -> None:
        super().__init__(source, **kwargs)
        self.change = change

    def create_batches(self, samps: Iterator[int]) -> Iterator[Batch]:
        """Batches of uint8 tensors on the CPU, images B×3×h×w and masks B×h×w."""
        groups = list(chunked(samps, self.bs, self.drop_last))
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(self.dataset.take, group) for group in groups[:1]]
            for place in range(len(groups)):
                images, masks = coming.pop().result()
                if place + 1 < len(groups):
                    coming.append(ahead.submit(self.dataset.take, groups[place + 1]))
                yield torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks)

    def after_batch(self, batch: Batch) -> Batch:
        """On the device: float images, augmented."""
        images, masks = batch
        ready = images.to(torch.float32, memory_format=layout_of(images.device.type)).div_(255), masks
        return self.change(ready) if self.change else ready


def loaders(source: Source, train: int, settings: Train, device: str) -> Any:
    """fastai's DataLoaders.

    Args:
        source: the images of train, then those of valid.
        train: how many are for training. It shuffles and leaves out a last batch that is not full.
        settings: batch size and augmentation.
        device: cpu, cuda or mps.
    """
    size = min(settings.batch_size, train)
    parts = (_Part(source, range(train)), _Part(source, range(train, len(source))))
    return vision.DataLoaders(
        Batches(parts[0], _change(settings.augment), bs=size, shuffle=True, drop_last=True, device=device),
        Batches(parts[1], bs=settings.batch_size, device=device),
        device=device,
    )


class _Part:
    """Some of a source's images, numbered from 0."""

    def __init__(self, source: Source, numbers: range) -> None:
        self.source, self.numbers = source, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Any:  # tells fastai that images have numbers
        return self.take([index])

    def take(self, indices: Sequence[int]) -> Any:
        return self.source.take([self.numbers[index] for index in indices])


def _change(augment: str) -> Change | None:
    if augment == "none":
        return None
    if augment == "flip":
        return mirror
    tfms = vision.aug_transforms() if augment == "full" else [_zoom()]
    return partial(_together, vision.Pipeline(tfms, split_idx=0), augment == "scale")


def mirror(batch: Batch) -> Batch:
    """Image and mask turned left to right, one pair in two: exact, where fastai's `Flip` resamples."""
    images, masks = batch
    turned = (torch.rand(len(images)) < 0.5).to(images.device)
    return (
        torch.where(turned[:, None, None, None], images.flip(-1), images),
        torch.where(turned[:, None, None], masks.flip(-1), masks),
    )


def _zoom() -> Any:
    return vision.Zoom(min_zoom=SCALE[0], max_zoom=SCALE[1], p=1.0)


def _together(pipeline: Any, flip: bool, batch: Batch) -> Batch:
    """fastai's transforms on a batch: bilinear for images, nearest for masks, by the same draw."""
    images, masks = mirror(batch) if flip else batch
    changed, labels = pipeline((vision.TensorImage(images), vision.TensorMask(masks.long())))
    return changed.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor).to(torch.uint8)
