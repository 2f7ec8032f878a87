"""The recipe of the W&B course as it stands there: fastai's `DataBlock`, its augmentation and `unet_learner`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sightline.classes import ClassMap
from sightline.config import Train
from sightline.errors import ConfigError, TrainingError
from sightline.learning.encoders import torchvision_model
from sightline.learning.libraries import vision
from sightline.learning.losses import loss_of
from sightline.learning.model import begins_pretrained
from sightline.learning.pixels import Item


def course_loaders(
    train: Sequence[Item], valid: Sequence[Item], classes: ClassMap, settings: Train, device: str
) -> Any:
    """`DataLoaders` of batches (B×3×h×w float32, B×h×w int64), images cut to `image_size` by fastai's `Resize`."""
    items = [*train, *valid]
    block = vision.DataBlock(
        blocks=(vision.ImageBlock, vision.MaskBlock(codes=list(classes.names))),
        get_x=lambda item: item.image,
        get_y=lambda item: item.mask,
        splitter=vision.IndexSplitter(list(range(len(train), len(items)))),
        item_tfms=[vision.Resize(settings.image_size)],
        batch_tfms=list(vision.aug_transforms()) if settings.augment != "none" else [],
    )
    return block.dataloaders(items, bs=min(settings.batch_size, len(train)), num_workers=0, device=device)


def course_learner(dls: Any, classes: ClassMap, settings: Train, metrics: Sequence[Any]) -> Any:
    """fastai's `unet_learner` on a network of torchvision's; what the masks leave unlabelled is ignored.

    Raises:
        TrainingError: the pretrained weights cannot be had.
        ConfigError: torchvision has no such network, or fastai cannot make a U-Net of it.
    """
    loss, model = loss_of(settings, classes.ignore_index), torchvision_model(settings.encoder)
    try:
        return vision.unet_learner(
            dls, model, pretrained=begins_pretrained(settings), loss_func=loss, metrics=list(metrics)
        )
    except OSError as error:
        raise TrainingError(
            f"The ImageNet weights of {settings.encoder} cannot be had ({error}). Is this machine online? Train from "
            "scratch with --no-pretrained."
        ) from error
    except Exception as error:  # fastai cuts networks at their pooling, and not all of them can be cut so
        raise ConfigError(
            f"fastai's unet_learner cannot make a U-Net of {settings.encoder} (--encoder, with --recipe course): "
            f"{type(error).__name__}: {error}"
        ) from error
