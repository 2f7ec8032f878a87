"""How the model was trained: its settings and its course, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.reporting.material import Measured
from sightline.wording import count, number, plural

Curve = tuple[float | None, ...]


@dataclass(frozen=True)
class TrainingFacts:
    """A training as it went.

    Args:
        settings: (what, value), for a table.
        epochs: 1, 2, …; the curves have one value for each, None where there is none.
        train_loss, valid_loss, lr, miou: the curves.
        iou: (class, colour, curve), in the order of the class map.
        best_epoch, best_miou: the epoch whose weights were kept.
    """

    settings: tuple[tuple[str, str], ...]
    epochs: tuple[int, ...]
    train_loss: Curve
    valid_loss: Curve
    lr: Curve
    miou: Curve
    iou: tuple[tuple[str, str, Curve], ...]
    best_epoch: int
    best_miou: float | None

    @property
    def measured(self) -> tuple[tuple[str, str, Curve], ...]:
        """The classes whose IoU is defined in some epoch."""
        return tuple(one for one in self.iou if any(value is not None for value in one[2]))

    @property
    def never_measured(self) -> list[str]:
        """The others' names."""
        return [name for name, _, curve in self.iou if all(value is None for value in curve)]

    @property
    def still_rising(self) -> bool:
        """Whether the best epoch is the last of several, so that more might help."""
        return len(self.epochs) > 1 and self.best_epoch == self.epochs[-1]


def training_facts(material: Measured) -> TrainingFacts:
    """Read them off the model's `config.json` and `history.csv`."""
    recipe, classes = material.recipe, material.classes
    return TrainingFacts(
        settings=(("Model", _called(material)), *_settings(recipe)),
        epochs=tuple(int(epoch) for epoch in material.history["epoch"]),
        train_loss=_curve(material, "train_loss"),
        valid_loss=_curve(material, "valid_loss"),
        lr=_curve(material, "lr"),
        miou=_curve(material, "miou"),
        iou=tuple(
            (name, color, _curve(material, f"{name}_iou"))
            for name, color in zip(classes.names, classes.colors, strict=True)
        ),
        best_epoch=int(recipe["best_epoch"]),
        best_miou=number(recipe["best_miou"]),
    )


def _curve(material: Measured, column: str) -> Curve:
    if column not in material.history:
        return (None,) * len(material.history)
    return tuple(number(value) for value in material.history[column])


def _called(material: Measured) -> str:
    """The model's version, and the alias that it was evaluated by."""
    alias = material.evaluation.metadata.get("alias")
    return f"{material.model.spec}, evaluated by its alias {alias}" if alias else material.model.spec


def _settings(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    train = recipe["train"]
    height, width = train["image_size"]
    fitted = f", fitted into it undistorted: {recipe['canvas'][1]} × {recipe['canvas'][0]}"
    return [
        ("Network", _network(train)),
        ("Parameters", count(recipe["parameters"])),
        ("First weights", train["weights"] or ("ImageNet" if train["pretrained"] else "random")),
        ("Image size", f"{width} × {height} pixels{fitted if [height, width] != list(recipe['canvas']) else ''}"),
        ("Images", f"{count(recipe['train_images'])} to train on, {count(recipe['valid_images'])} to choose by"),
        ("Epochs, batch", f"{plural(train['epochs'], 'epoch')}, {plural(train['batch_size'], 'image')} a step"),
        ("Learning rate", f"one cycle up to {train['lr']:g}"),
        ("Loss", _loss(train)),
        ("Augmentation", _augmentation(train)),
        *([("Computed", f"on {recipe['device']} in {recipe['precision']}")] if "precision" in recipe else []),
        ("Seed", str(recipe["seed"])),
    ]


def _network(train: Mapping[str, Any]) -> str:
    if train["recipe"] == "course":
        return f"the W&B course's: fastai's unet_learner on {train['encoder']}"
    decoder = "FPN with few channels (light)" if train["arch"] == "light" else train["arch"]
    return f"{decoder} on a {train['encoder']} encoder (segmentation_models_pytorch)"


LOSSES = {
    "ce+dice": "cross-entropy{weighted} + Dice",
    "ce": "cross-entropy{weighted}",
    "ce+lovasz": "cross-entropy{weighted} + Lovász",
    "focal": "focal",
}
"""The setting `loss` -> what it is, in words; models from before that setting have the first."""


def _loss(train: Mapping[str, Any]) -> str:
    if train["recipe"] == "course":
        return "cross-entropy"
    weighted = " weighted by the inverse square root of the classes' pixels" if train["class_weights"] == "sqrt" else ""
    loss = str(train.get("loss", "ce+dice"))
    return LOSSES.get(loss, loss).format(weighted=weighted)


AUGMENTATIONS = {"flip": "flips, left and right", "scale": "flips, and 0.75 to 1.5 times the size"}


def _augmentation(train: Mapping[str, Any]) -> str:
    """The course's recipe has one augmentation, or none."""
    full = train["augment"] == "full" or (train["recipe"] == "course" and train["augment"] != "none")
    return "fastai's aug_transforms" if full else AUGMENTATIONS.get(str(train["augment"]), str(train["augment"]))
