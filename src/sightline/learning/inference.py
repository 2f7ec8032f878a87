"""A trained network in PyTorch, at each image's own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

from sightline.classes import ClassMap
from sightline.config import Train, parse_config
from sightline.learning.device import device_of
from sightline.learning.losses import loss_of
from sightline.learning.model import rebuild
from sightline.learning.pixels import Item, Pixels, Size, read_mask
from sightline.learning.trained import Found, mean_confidence, seen_size, view


class Predictor:
    """A trained network with its preprocessing.

    Args:
        weights: `weights.safetensors` of a model artifact.
        config: its `config.json`: the `train` section and the class weights it was trained with.
        classes: its class map.
        device: cpu, cuda, mps or auto.
    """

    def __init__(self, weights: Path, config: Mapping[str, Any], classes: ClassMap, device: str) -> None:
        self.settings: Train = parse_config({"train": config["train"]}, "the model's config.json").train
        self.classes = classes
        self.device = device_of(device)
        self.model: nn.Module = rebuild(self.settings, len(classes), weights).to(self.device)
        self.loss = loss_of(self.settings, classes.ignore_index, config["class_weights"])
        self.loss.to(self.device)  # in place: fastai's losses, unlike torch's, return nothing

    def seen(self, size: Size) -> Size:
        """The (height, width) at which the network sees an image of `size`."""
        return seen_size(size, self.settings.image_size, self.settings.recipe)

    @torch.inference_mode()
    def logits(self, images: Pixels) -> torch.Tensor:
        """Images B×h×w×3 uint8 -> B×C×h×w float32."""
        batch = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float() / 255
        logits: torch.Tensor = self.model(batch).as_subclass(torch.Tensor).float()
        return logits

    def predict(self, images: Pixels, size: Size, sure: bool = True) -> Found:
        """What it finds in images B×h×w×3 uint8, at `size`."""
        return found(self.logits(images), size, sure)

    @torch.inference_mode()
    def measure(self, item: Item) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
        """(target H×W uint8, prediction H×W uint8, loss of this image) at the mask's own size.

        The loss of an image that is wholly ignored is 0; fastai's would be NaN, and so would be the mean over images.
        """
        target = read_mask(item.mask)
        with Image.open(item.image) as image:
            _, pixels = view(image, self)
        logits = enlarged(self.logits(np.stack([pixels])), target.shape)
        loss = self.loss(logits, torch.from_numpy(np.array(target, np.int64))[None].to(self.device))
        prediction = logits.max(1).indices[0].to(torch.uint8).cpu().numpy()  # `argmax` takes four times as long on CPUs
        return target, prediction, float(loss) if (target != self.classes.ignore_index).any() else 0.0


def enlarged(logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Logits B×C×h×w brought to B×C×H×W at `size` by bilinear interpolation."""
    return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


@torch.inference_mode()
def found(logits: torch.Tensor, size: Size, sure: bool = True) -> Found:
    """What logits B×C×h×w come to at `size`, with the confidence if `sure`."""
    large = enlarged(logits, size)
    best, labels = large.max(1)
    confidence = (large - best[:, None]).exp_().sum(1).reciprocal_().cpu().numpy() if sure else None
    return Found(labels.to(torch.uint8).cpu().numpy(), mean_confidence(logits.cpu().numpy()), confidence)
