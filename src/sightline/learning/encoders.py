"""Encoders by name: those of segmentation_models_pytorch, timm's, and torchvision's names for some of timm's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torchvision

from sightline.errors import ConfigError
from sightline.learning.libraries import models, vision

TIMM = "tu-"
"""Before the name of an encoder that segmentation_models_pytorch takes from timm."""

TORCHVISION = {
    "convnext_tiny": "convnext_tiny.fb_in1k",
    "mobilenet_v3_small": "mobilenetv3_small_100.lamb_in1k",
    "regnet_x_400mf": "regnetx_004_tv.tv2_in1k",
}
"""The encoders of the W&B course, by torchvision's names -> the same networks in timm, with the weights to begin with.

Those of regnet are torchvision's own. The course takes all of them from torchvision, and so does its recipe here.
"""

STAGE = re.compile(r"(?<=^stem)[.](?=[0-9])|(?<=^stages)[.](?=[0-9])")
"""The dot in `stem.0` and `stages.0`, for which timm's encoders have `_`."""

LAST_LAYERS = ("fc.", "head.", "classifier.", "conv_head.", "norm_head.")
"""What weights of a classifier hold beyond an encoder."""


def library_name(encoder: str) -> str:
    """What segmentation_models_pytorch calls an encoder.

    Raises:
        ConfigError: there is no such encoder; the text names some near it.
    """
    known = models.encoders.get_encoder_names()
    if encoder in TORCHVISION:
        return TIMM + TORCHVISION[encoder]
    if encoder in known or encoder.startswith(TIMM):
        return encoder
    names = [*known, *TORCHVISION]
    close = difflib.get_close_matches(encoder, names, 5) or [*TORCHVISION, *known[:5]]
    raise ConfigError(
        f"There is no encoder {encoder!r} (--encoder) among the {len(known)} of segmentation_models_pytorch. "
        f"Near it: {', '.join(close)}; with 'tu-' before it, any of timm's."
    )


def torchvision_model(encoder: str) -> Callable[..., Any]:
    """A classifier of torchvision as fastai's `unet_learner` takes it; the course gives it `getattr(models, name)`.

    Raises:
        ConfigError: torchvision has none of that name.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if encoder not in names:
        close = difflib.get_close_matches(encoder, names, 5) or ["resnet18", *TORCHVISION]
        raise ConfigError(
            f"--recipe course takes torchvision's networks, and there is none called {encoder!r} (--encoder) among its "
            f"{len(names)}. Near it: {', '.join(close)}."
        )
    made: Callable[..., Any] = getattr(torchvision.models, encoder)
    return made if made in vision.model_meta else _by_weights(made)


def _by_weights(made: Callable[..., Any]) -> Callable[..., Any]:
    """fastai asks a network that it knows nothing of for `pretrained`; torchvision calls that `weights` now."""

    def model(pretrained: bool) -> Any:
        return made(weights="IMAGENET1K_V1" if pretrained else None)

    return model


def course_normalizes(encoder: str) -> bool:
    """Whether `unet_learner` subtracts ImageNet's mean before pretrained weights: of networks that fastai knows."""
    return "stats" in vision.model_meta.get(torchvision_model(encoder), {})


def as_encoder(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """Weights as they are, and under the names that an encoder from timm gives those of timm's own classifiers."""
    yield dict(weights)
    yield {f"model.{name}": tensor for name, tensor in weights.items()}
    yield {f"model.{STAGE.sub(r'_', name, 1)}": tensor for name, tensor in weights.items()}
