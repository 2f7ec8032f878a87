"""What training makes small: cross-entropy with Dice and its rivals, and the weights of the classes in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sightline.config import Train
from sightline.learning.libraries import models, vision


class CrossEntropyDice(nn.Module):
    """Cross-entropy plus Dice loss, pixels of `ignore_index` left out of both.

    Args:
        ignore_index: the target's value for a pixel of no class.
        weights: C weights of the classes in the cross-entropy, which is the weighted mean over pixels; None: all 1.
        dice: False for cross-entropy alone.

    Dice is the mean over all classes, where one that does not occur in the batch counts as 0 (Milletari, Navab and
    Ahmadi, "V-Net", 2016; the numbers are those of segmentation_models_pytorch's `DiceLoss`). Both share one softmax
    and read the target by gathering, not by one-hot planes: a fifth of the time that the libraries' two take.
    """

    weights: torch.Tensor | None
    total: Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]] | None = None
    """Sums over the processes that share a batch, where there are several."""

    def __init__(self, ignore_index: int, weights: Sequence[float] | None = None, dice: bool = True) -> None:
        super().__init__()
        self.ignore_index, self.dice = ignore_index, dice
        self.register_buffer("weights", None if weights is None else torch.tensor(weights, dtype=torch.float32))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits B×C×h×w, target B×h×w integers -> a scalar; 0 where every pixel is ignored."""
        logits, target = logits.as_subclass(torch.Tensor), target.as_subclass(torch.Tensor).long()
        kept = target != self.ignore_index
        named = target.masked_fill(~kept, 0)
        logs = functional.log_softmax(logits.float(), 1)
        of_target = logs.gather(1, named[:, None])[:, 0]
        parts: Sequence[torch.Tensor] = self._entropy(of_target, named, kept)
        if self.dice:
            parts = [*parts, *self._overlap(logs, of_target, named, kept)]
        entropy, weight, *overlap = self.total(parts) if self.total else parts
        mean = entropy / weight.clamp(min=1e-6)
        return mean + self._dice(*overlap) if overlap else mean

    def _entropy(
        self, of_target: torch.Tensor, named: torch.Tensor, kept: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy summed over the pixels, and the sum of their weights."""
        weight = kept.float() if self.weights is None else self.weights[named] * kept
        return -(of_target * weight).sum(), weight.sum()

    @staticmethod
    def _overlap(
        logs: torch.Tensor, of_target: torch.Tensor, named: torch.Tensor, kept: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each class: the probability in its own pixels, in all pixels, and the number of its pixels."""
        classes = logs.shape[1]
        count = torch.bincount(named.masked_fill(~kept, classes).flatten(), minlength=classes + 1)[:classes]
        hits = logs.new_zeros(classes).index_add(0, named.flatten(), (of_target.exp() * kept).flatten())
        mass = (logs.exp() * kept[:, None]).sum((0, 2, 3))
        return hits, mass, count

    @staticmethod
    def _dice(hits: torch.Tensor, mass: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return ((1 - 2 * hits / (mass + count).clamp(min=1e-7)) * (count > 0)).mean()


class Sum(nn.Module):
    """The sum of losses of the same arguments, which the libraries do not define where every pixel is ignored."""

    def __init__(self, ignore_index: int, *losses: nn.Module) -> None:
        super().__init__()
        self.ignore_index, self.losses = ignore_index, nn.ModuleList(losses)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits B×C×h×w, target B×h×w integers -> a scalar; 0 where every pixel is ignored."""
        logits, target = logits.as_subclass(torch.Tensor).float(), target.as_subclass(torch.Tensor).long()
        if bool((target == self.ignore_index).all()):
            return logits.sum() * 0
        return torch.stack([loss(logits, target) for loss in self.losses]).sum()


def loss_of(settings: Train, ignore_index: int, weights: Sequence[float] | None = None) -> Any:
    """The loss of a recipe: logits B×C×h×w and target B×h×w integers -> a scalar.

    Args:
        settings: the recipe and the loss; the course's recipe has its own and takes no weights.
        ignore_index: the target's value for a pixel of no class.
        weights: C weights of the classes in the cross-entropy.
    """
    if settings.recipe == "course":
        return vision.CrossEntropyLossFlat(axis=1, ignore_index=ignore_index)
    if settings.loss == "ce+dice":
        return CrossEntropyDice(ignore_index, weights)
    entropy = CrossEntropyDice(ignore_index, weights, dice=False)
    if settings.loss == "ce+lovasz":
        return Sum(ignore_index, entropy, models.losses.LovaszLoss("multiclass", ignore_index=ignore_index))
    if settings.loss == "focal":
        return Sum(ignore_index, models.losses.FocalLoss("multiclass", ignore_index=ignore_index))
    return entropy


def class_weights(pixels: Sequence[float]) -> list[float]:
    """Weights of the classes by the inverse square root of their pixels, so scaled that the mean over pixels is 1.

    Args:
        pixels: C pixel counts of the train subset; a class without any gets 1, which nothing multiplies.
    """
    share = np.asarray(pixels, np.float64) / max(sum(pixels), 1)
    raw = np.divide(1, np.sqrt(share), out=np.ones_like(share), where=share > 0)
    return [float(weight) for weight in np.where(share > 0, raw / max((raw * share).sum(), 1e-12), 1)]
