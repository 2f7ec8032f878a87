"""A trained network on single images, at each image's own size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from sightline.classes import ClassMap
from sightline.config import Train, parse_config
from sightline.learning.data import Item, Size, read_image, read_mask
from sightline.learning.learner import device_of, loss_of
from sightline.learning.model import rebuild


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
        self.device = device_of(device)
        self.model: nn.Module = rebuild(self.settings, len(classes), weights).to(self.device)
        self.loss = loss_of(self.settings, classes.ignore_index, config["class_weights"]).to(self.device)

    @torch.inference_mode()
    def logits(self, image: Path, size: Size) -> torch.Tensor:
        """1×C×H×W float32 at `size` (H, W): the image is fitted into the training size, undistorted, and the logits
        are brought to `size` by bilinear interpolation."""
        fitted = read_image(image, self.settings.image_size).to(self.device)
        logits: torch.Tensor = self.model(fitted)
        return functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)

    @torch.inference_mode()
    def measure(self, item: Item) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
        """(target H×W uint8, prediction H×W uint8, loss of this image) at the mask's own size."""
        target = read_mask(item.mask)
        logits = self.logits(item.image, target.shape)
        loss = self.loss(logits, torch.from_numpy(target).long()[None].to(self.device))
        prediction = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
        return target, prediction, float(loss)
