"""fastai's Learner for both recipes, with what it lacks: exact metrics, resuming, the best epoch as safetensors."""

from __future__ import annotations

import math
import pickle
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sightline.classes import ClassMap
from sightline.config import Train
from sightline.console import progress
from sightline.errors import ConfigError, TrainingError
from sightline.learning.data import Item, loaders
from sightline.learning.libraries import models, vision
from sightline.learning.metrics import confusion_of_tensors, iou, miou
from sightline.learning.model import Segmenter, begins_pretrained, build, load_weights, save_weights

CHECKPOINT, BEST = "checkpoint.pt", "best.safetensors"

Log = Callable[[dict[str, float], float | None], None]


@dataclass
class History:
    """What is known of a training after some epochs.

    Args:
        rows: one per finished epoch: epoch (from 1), train_loss, valid_loss, lr (the highest), miou, `{class}_iou`.
        best: the highest mIoU so far; minus infinity before the first.
        best_epoch: the epoch that had it; 0 before the first.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = 0


class CrossEntropyDice(nn.Module):
    """Cross-entropy plus Dice loss, pixels of `ignore_index` left out of both.

    Args:
        ignore_index: the target's value for a pixel of no class.
        weights: C weights of the classes in the cross-entropy, which is the weighted mean over pixels; None: all 1.

    Dice is that of segmentation_models_pytorch: the mean over all classes, where one that does not occur in the batch
    counts as 0 (Milletari, Navab and Ahmadi, "V-Net", 2016).
    """

    weights: torch.Tensor | None

    def __init__(self, ignore_index: int, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.register_buffer("weights", None if weights is None else torch.tensor(weights, dtype=torch.float32))
        self.dice = models.losses.DiceLoss("multiclass", from_logits=True, ignore_index=ignore_index)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits B×C×h×w, target B×h×w int64 -> a scalar; 0 where every pixel is ignored."""
        logits, target = logits.as_subclass(torch.Tensor), target.as_subclass(torch.Tensor)
        entropy = functional.cross_entropy(
            logits, target, self.weights, ignore_index=self.ignore_index, reduction="sum"
        )
        entropy = entropy / self._weight_of(target).clamp(min=1e-6)
        dice: torch.Tensor = self.dice(logits, target)
        return entropy + dice

    def _weight_of(self, target: torch.Tensor) -> torch.Tensor:
        """The sum of the weights of all pixels that are not ignored."""
        seen = target[target != self.ignore_index]
        return seen.new_tensor(len(seen), dtype=torch.float32) if self.weights is None else self.weights[seen].sum()


class MeanIoU(vision.Metric):  # type: ignore[misc]
    """mIoU over the validation pass, from one confusion matrix of integer counts."""

    def __init__(self, classes: ClassMap) -> None:
        self.classes = classes
        self.reset()

    @property
    def name(self) -> str:
        return "miou"

    def reset(self) -> None:
        self.matrix = np.zeros((len(self.classes),) * 2, np.int64)

    def accumulate(self, learn: Any) -> None:
        prediction, target = learn.pred.detach().argmax(1), learn.yb[0]
        self.matrix += confusion_of_tensors(target, prediction, len(self.classes), self.classes.ignore_index)

    @property
    def value(self) -> float:
        return miou(self.matrix)


def make_learner(
    train: Sequence[Item],
    valid: Sequence[Item],
    classes: ClassMap,
    settings: Train,
    seed: int,
    weights: Sequence[float] | None = None,
) -> tuple[Any, MeanIoU]:
    """The Learner of a recipe, with its metric; nothing is trained yet. `weights` as in `loss_of`.

    Raises:
        TrainingError: weights or a device that cannot be had.
        ConfigError: an architecture or an encoder that does not exist, or one that is not the course's.
    """
    if settings.recipe == "course" and (settings.arch, settings.encoder) != (Train.arch, Train.encoder):
        raise ConfigError(
            "--recipe course has its own network, fastai's unet_learner on resnet18. Leave out --arch and --encoder, "
            "or take --recipe default."
        )
    reseed(seed, 0)
    metric = MeanIoU(classes)
    dls = loaders(train, valid, classes, settings, device_of(settings.device))
    if settings.recipe == "course":
        learner = _course(dls, classes, settings, metric)
    else:
        model = build(settings, len(classes), begins_pretrained(settings))
        loss = loss_of(settings, classes.ignore_index, weights)
        learner = vision.Learner(dls, model, loss_func=loss, metrics=[metric])
    learner.remove_cb(vision.ProgressCallback)
    learner.logger = vision.noop  # else it prints a table of its own
    if settings.weights:
        load_weights(network_of(learner), Path(settings.weights))
    return learner, metric


def _course(dls: Any, classes: ClassMap, settings: Train, metric: MeanIoU) -> Any:
    """The recipe of the W&B course as it stands there; what the masks leave unlabelled is ignored."""
    loss = loss_of(settings, classes.ignore_index)
    try:
        return vision.unet_learner(
            dls, vision.resnet18, pretrained=begins_pretrained(settings), loss_func=loss, metrics=[metric]
        )
    except OSError as error:
        raise TrainingError(
            f"The ImageNet weights of resnet18 cannot be had ({error}). Is this machine online? Train from scratch "
            "with --no-pretrained."
        ) from error


def loss_of(settings: Train, ignore_index: int, weights: Sequence[float] | None = None) -> Any:
    """The loss of a recipe: logits B×C×h×w and target B×h×w int64 -> a scalar.

    Args:
        settings: the recipe; the course's takes no weights.
        ignore_index: the target's value for a pixel of no class.
        weights: C weights of the classes in the cross-entropy.
    """
    if settings.recipe == "course":
        return vision.CrossEntropyLossFlat(axis=1, ignore_index=ignore_index)
    return CrossEntropyDice(ignore_index, weights)


def class_weights(pixels: Sequence[float]) -> list[float]:
    """Weights of the classes by the inverse square root of their pixels, so scaled that the mean over pixels is 1.

    Args:
        pixels: C pixel counts of the train subset; a class without any gets 1, which nothing multiplies.
    """
    share = np.asarray(pixels, np.float64) / max(sum(pixels), 1)
    raw = np.divide(1, np.sqrt(share), out=np.ones_like(share), where=share > 0)
    return [float(weight) for weight in np.where(share > 0, raw / max((raw * share).sum(), 1e-12), 1)]


def network_of(learner: Any) -> nn.Module:
    """The network alone, whose weights are kept."""
    model = learner.model
    return model.network if isinstance(model, Segmenter) else model


def device_of(wanted: str) -> str:
    """cpu, cuda or mps for what `--device` says; TrainingError where the one asked for is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [name for name, has in there.items() if has]
    if wanted != "auto" and wanted not in found:
        raise TrainingError(f"--device {wanted} is not to be had here. There is: {', '.join(found)}.")
    return found[0] if wanted == "auto" else wanted


def reseed(seed: int, epoch: int) -> random.Random:
    """Seed every generator for an epoch, so that it runs alike whether or not those before it ran in this process."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
    return random.Random(mixed)


def fit(
    learner: Any,
    metric: MeanIoU,
    settings: Train,
    seed: int,
    folder: Path,
    log: Log,
) -> History:
    """Train to the end, from the last finished epoch that `folder` holds; the best epoch's weights are `BEST` in it.

    Args:
        learner, metric: of `make_learner`.
        settings: epochs and learning rate.
        seed: of the order of the images and of augmentation, mixed with the epoch's number.
        folder: where the checkpoint is kept after every epoch.
        log: called after every epoch with its row and the training images per second; first with the rows of the
            epochs that `folder` holds, and None.

    Raises:
        TrainingError: the loss is no number any more, or the checkpoint cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    history = _restore(learner, folder)
    start, batches = len(history.rows), len(learner.dls.train) + len(learner.dls.valid)
    for row in history.rows:
        log(row, None)
    if start < settings.epochs:
        total = settings.epochs * batches
        with progress("training (batches)", total) as step:
            keeper = KeepBest(metric, history, folder, seed, log, lambda done: step(done, total))
            learner.fit_one_cycle(settings.epochs, settings.lr, cbs=[keeper], start_epoch=start)
    return history


class KeepBest(vision.SaveModelCallback):  # type: ignore[misc]
    """fastai's callback that keeps the best epoch, here by mIoU; besides it keeps all that resuming needs."""

    def __init__(
        self,
        metric: MeanIoU,
        history: History,
        folder: Path,
        seed: int,
        log: Log,
        step: Callable[[int], None],
    ) -> None:
        super().__init__(monitor="miou", reset_on_fit=False)
        self.metric, self.history, self.folder, self.seed = metric, history, folder, seed
        self.tell, self.step, self.best, self.first = log, step, history.best, len(history.rows)

    def before_epoch(self) -> None:
        self.dls.train.rng = reseed(self.seed, self.epoch + 1)
        self.loss_sum, self.seen, self.seconds, self.top_lr = 0.0, 0, 0.0, 0.0
        self.done = self.epoch * (len(self.dls.train) + len(self.dls.valid))
        self.began = time.perf_counter()

    def after_batch(self) -> None:
        self.done += 1
        self.step(self.done)
        if self.training:
            self._add(float(self.learn.loss.detach()), len(self.xb[0]), float(self.opt.hypers[-1]["lr"]))

    def _add(self, loss: float, images: int, lr: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss became {loss} in epoch {self.epoch + 1}, at lr {lr:.2g}: the training diverged. "
                "Try a lower --lr."
            )
        self.loss_sum += loss * images
        self.seen += images
        self.top_lr = max(self.top_lr, lr)

    def after_train(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def after_epoch(self) -> None:
        if self.epoch < self.first:  # fastai walks through the epochs that it skips
            return
        row = self._row()
        if not self.history.best_epoch or row["miou"] > self.history.best:
            self.history.best, self.history.best_epoch = row["miou"], self.epoch + 1
            self._save(BEST)
        self.history.rows.append(row)
        _keep(self.learn, self.history, self.folder)
        self.tell(row, self.seen / self.seconds)

    def _save(self, name: str) -> None:
        save_weights(network_of(self.learn), self.folder / name)

    def after_fit(self) -> None:
        load_weights(network_of(self.learn), self.folder / BEST)

    def _row(self) -> dict[str, float]:
        per_class = zip(self.metric.classes.names, iou(self.metric.matrix).tolist(), strict=True)
        return {
            "epoch": self.epoch + 1,
            "train_loss": self.loss_sum / self.seen,
            "valid_loss": float(self.recorder.values[-1][1]),
            "lr": self.top_lr,
            "miou": float(self.metric.value),
            **{f"{name}_iou": value for name, value in per_class},
        }


def _keep(learner: Any, history: History, folder: Path) -> None:
    """Write the checkpoint, whole or not at all."""
    optimizer = learner.opt.state_dict()
    hypers = [{name: _plain(value) for name, value in group.items()} for group in optimizer["hypers"]]
    state = {
        "model": network_of(learner).state_dict(),
        "state": list(optimizer["state"]),
        "hypers": hypers,
        "rows": history.rows,
        "best": history.best,
        "best_epoch": history.best_epoch,
    }
    torch.save(state, folder / f"{CHECKPOINT}.tmp")
    (folder / f"{CHECKPOINT}.tmp").replace(folder / CHECKPOINT)


def _restore(learner: Any, folder: Path) -> History:
    """The history of the checkpoint, its weights and the optimiser's state loaded; an empty one where there is none."""
    learner.create_opt()
    path = folder / CHECKPOINT
    if not path.exists():
        return History()
    try:
        state = torch.load(path, map_location=learner.dls.device, weights_only=True)
        network_of(learner).load_state_dict(state["model"])
        learner.opt.load_state_dict({"state": state["state"], "hypers": state["hypers"]})
    except (OSError, RuntimeError, KeyError, AssertionError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"The checkpoint {path} cannot be gone on from ({error}). Train again from the beginning with --force."
        ) from error
    return History(state["rows"], state["best"], state["best_epoch"])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
