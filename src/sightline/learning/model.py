"""The networks: how they are made, what goes before and after them, and their weights as safetensors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sightline.config import Train
from sightline.console import say
from sightline.errors import ConfigError, TrainingError
from sightline.learning.encoders import (
    LAST_LAYERS,
    TIMM,
    as_encoder,
    course_normalizes,
    library_name,
    torchvision_model,
)
from sightline.learning.libraries import models, vision
from sightline.wording import one_line

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation per channel, which the encoders expect."""

LIGHT = {"decoder_pyramid_channels": 96, "decoder_segmentation_channels": 64, "decoder_dropout": 0.0}
"""`--arch light`: the library's FPN with few channels (docs/experiments.md says what it was chosen from)."""

STRIDE = 32
"""What height and width have to be a multiple of for the encoders of segmentation_models_pytorch."""


class Segmenter(nn.Module):
    """A network with what it needs round it: normalisation before, padding before and cropping after.

    Args:
        network: B×3×h×w -> logits B×C×h×w, for h and w that are multiples of `stride`.
        stride: to a multiple of which the images are padded, at the right and at the bottom.
        normalize: subtract ImageNet's mean and divide by its deviation.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, stride: int = STRIDE, normalize: bool = True) -> None:
        super().__init__()
        self.network, self.stride = network, stride
        mean, std = (MEAN, STD) if normalize else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images B×3×h×w float32, 0 to 1 -> logits B×C×h×w."""
        height, width = images.shape[-2:]
        normal = (images - self.mean) / self.std
        padded = functional.pad(normal, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        logits: torch.Tensor = self.network(padded)
        return logits[..., :height, :width]


def begins_pretrained(settings: Train) -> bool:
    """Whether a training begins with ImageNet weights: asked for, and no file of weights given."""
    return settings.pretrained and not settings.weights


def build(settings: Train, classes: int, pretrained: bool) -> Segmenter:
    """The network that the settings name, by segmentation_models_pytorch.

    Args:
        settings: `arch` and `encoder`.
        classes: number of classes.
        pretrained: load ImageNet weights into the encoder, through the library's own path.

    Raises:
        ConfigError: an architecture or an encoder that the library does not have, or that do not go together.
        TrainingError: the pretrained weights cannot be had.
    """
    encoder = library_name(settings.encoder)
    weights: Any = (True if encoder.startswith(TIMM) else "imagenet") if pretrained else None
    if pretrained:
        say(f"Loading the ImageNet weights of {settings.encoder}, which are downloaded once.")
    arch, options = ("fpn", LIGHT) if settings.arch == "light" else (settings.arch, {})
    try:
        with _without_retries_told():
            network = models.create_model(arch, encoder, encoder_weights=weights, classes=classes, **options)
    except Exception as error:  # the hub, the network and the cache fail in many ways
        if not pretrained:
            raise ConfigError(_no_match(settings, error)) from error
        build(settings, classes, pretrained=False)  # what fails without weights too is not for want of them
        raise TrainingError(_no_weights(settings.encoder, error)) from error
    return Segmenter(network)


def rebuild(settings: Train, classes: int, weights: Path) -> Segmenter:
    """A trained network from its settings and its weights, ready to predict."""
    if settings.recipe == "course":
        made = torchvision_model(settings.encoder)
        network = vision.create_unet_model(made, classes, settings.image_size, pretrained=False)
        normalize = begins_pretrained(settings) and course_normalizes(settings.encoder)
        model = Segmenter(network, stride=1, normalize=normalize)
    else:
        model = build(settings, classes, pretrained=False)
    load_weights(model.network, weights)
    return model.eval()


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights as safetensors, under a temporary name and renamed; equal weights give equal bytes."""
    from safetensors.torch import save_file

    temporary = path.with_name(path.name + ".tmp")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, temporary)
    temporary.replace(path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights of the whole network, or of its encoder alone, as torchvision's and timm's classifiers hold them.

    Raises:
        TrainingError: no safetensors file, or the weights fit neither the network nor its encoder.
    """
    weights = _read_weights(path)
    encoder = getattr(network, "encoder", None)
    candidates = [(network, weights), *((encoder, named) for named in as_encoder(weights) if encoder is not None)]
    for part, named in candidates:
        if _fits(part, named):
            part.load_state_dict(named, strict=False)
            return
    wanted = network.state_dict()
    strange, missing = sorted(set(weights) - set(wanted)), sorted(set(wanted) - set(weights))
    shapes = [name for name in wanted if name in weights and wanted[name].shape != weights[name].shape]
    raise TrainingError(
        f"The weights of {path} do not fit the network: {len(missing)} of its {len(wanted)} tensors are missing"
        f"{_first(missing)}, {len(strange)} are unknown to it{_first(strange)}, {len(shapes)} have another shape"
        f"{_first(shapes)}. Choose --arch and --encoder (and the class map) that the weights were trained with."
    )


def _fits(part: nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    """Whether the weights hold every tensor of the part; a classifier's last layers may be left over."""
    wanted = part.state_dict()
    beyond = {name.removeprefix("model.") for name in set(weights) - set(wanted)}
    left_over = {name for name in beyond if not name.startswith(LAST_LAYERS)}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    same = all(name in weights and weights[name].shape == wanted[name].shape for name in set(wanted) - counters)
    return same and not left_over


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"The weights {path} cannot be read: {error}. Give a .safetensors file.") from error


@contextlib.contextmanager
def _without_retries_told() -> Iterator[None]:
    """Where the hub cannot be reached the library says so at each of its attempts; the error says it once."""
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hub.setLevel(before)


def _no_match(settings: Train, error: Exception) -> str:
    if isinstance(error, KeyError):  # the library's own list of architectures
        names = ", ".join(["light", *models.MODEL_ARCHITECTURES_MAPPING])
        return f"There is no --arch {settings.arch}. There are: {names}."
    return f"--arch {settings.arch} and --encoder {settings.encoder} do not go together: {error}"


def _no_weights(encoder: str, error: BaseException) -> str:
    if isinstance(error, OSError) and error.__cause__:  # the hub's "cannot find the requested files in the local cache"
        return _no_weights(encoder, error.__cause__)
    text = one_line(error) or type(error).__name__
    return (
        f"The ImageNet weights of {encoder} cannot be had ({type(error).__name__}: {text}). Is this machine online? "
        "Train from scratch with --no-pretrained, or give weights of your own with --weights FILE.safetensors."
    )


def _first(names: list[str]) -> str:
    return f" (first: {names[0]})" if names else ""
