"""What is kept while training goes on: the best epoch by mIoU, and all that going on after an interruption needs."""

from __future__ import annotations

import math
import pickle
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sightline.classes import ClassMap
from sightline.errors import TrainingError
from sightline.learning.libraries import vision
from sightline.learning.metrics import Counts, confusion_of_counts, iou, miou, pair_counts
from sightline.learning.model import Segmenter, load_weights, save_weights
from sightline.wording import one_line

CHECKPOINT, BEST = "checkpoint.pt", "best.safetensors"
DAMAGE = (
    OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AssertionError, pickle.UnpicklingError,
)  # fmt: skip
"""What loading a file that is no checkpoint raises."""

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


class MeanIoU(vision.Metric):  # type: ignore[misc]
    """mIoU over the validation pass, from one confusion matrix of integer counts that stays on the device."""

    def __init__(self, classes: ClassMap) -> None:
        self.classes = classes
        self.reset()

    @property
    def name(self) -> str:
        return "miou"

    def reset(self) -> None:
        self.counts: torch.Tensor | None = None

    def accumulate(self, learn: Any) -> None:
        # `max` finds the first of the largest as `argmax` does, on a CPU up to fifteen times faster
        prediction = learn.pred.detach().as_subclass(torch.Tensor).max(1).indices.to(torch.uint8)
        counts = pair_counts(learn.yb[0], prediction, len(self.classes), self.classes.ignore_index)
        self.counts = counts if self.counts is None else self.counts + counts

    @property
    def matrix(self) -> Counts:
        """The confusion matrix so far, int64[C, C]."""
        if self.counts is None:
            return np.zeros((len(self.classes),) * 2, np.int64)
        return confusion_of_counts(self.counts, len(self.classes))

    @property
    def value(self) -> float:
        return miou(self.matrix)


class KeepBest(vision.SaveModelCallback):  # type: ignore[misc]
    """fastai's callback that keeps the best epoch, here by mIoU; besides it keeps all that resuming needs.

    Args:
        metric: of the Learner.
        history: what is known from epochs before; each new one is added to it.
        folder: for `BEST` and `CHECKPOINT`; None where another process keeps them.
        seed: of the order of the images and of augmentation, mixed with the epoch's number.
        log: called after every epoch with its row and the training images per second.
        step: called after every batch with the number of batches so far.
    """

    def __init__(
        self,
        metric: MeanIoU,
        history: History,
        folder: Path | None,
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
            if self.folder:
                save_weights(network_of(self.learn), self.folder / BEST)
        self.history.rows.append(row)
        if self.folder:
            keep(self.learn, self.history, self.folder)
        self.tell(row, self.seen / self.seconds)

    def after_fit(self) -> None:
        if self.folder:
            load_weights(network_of(self.learn), self.folder / BEST)

    def _row(self) -> dict[str, float]:
        matrix = self.metric.matrix
        per_class = zip(self.metric.classes.names, iou(matrix).tolist(), strict=True)
        return {
            "epoch": self.epoch + 1,
            "train_loss": self.loss_sum / self.seen,
            "valid_loss": float(self.recorder.values[-1][1]),
            "lr": self.top_lr,
            "miou": miou(matrix),
            **{f"{name}_iou": value for name, value in per_class},
        }


def reseed(seed: int, epoch: int) -> random.Random:
    """Seed every generator for an epoch, so that it runs alike whether or not those before it ran in this process."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
    return random.Random(mixed)


def network_of(learner: Any) -> nn.Module:
    """The network alone, whose weights are kept."""
    model = learner.model
    return model.network if isinstance(model, Segmenter) else model


def keep(learner: Any, history: History, folder: Path) -> None:
    """Write the checkpoint, whole or not at all."""
    state = {
        "model": network_of(learner).state_dict(),
        "optimizer": _plain(learner.opt.state_dict()),
        "scaler": learner.scaler.state_dict() if getattr(learner, "scaler", None) else {},
        "rows": history.rows,
        "best": history.best,
        "best_epoch": history.best_epoch,
    }
    torch.save(state, folder / f"{CHECKPOINT}.tmp")
    (folder / f"{CHECKPOINT}.tmp").replace(folder / CHECKPOINT)


def restore(learner: Any, folder: Path) -> History:
    """The history of the checkpoint, its weights and the optimiser's state loaded; an empty one where there is none.

    Raises:
        TrainingError: the checkpoint is damaged, or of another network.
    """
    learner.model.to(learner.dls.device)  # fastai does it when fitting begins, but the optimiser's state goes there now
    learner.create_opt()
    path = folder / CHECKPOINT
    if not path.exists():
        return History()
    try:
        state = torch.load(path, map_location=learner.dls.device, weights_only=True)
        network_of(learner).load_state_dict(state["model"])
        learner.opt.load_state_dict(state["optimizer"])
        scaler, history = state["scaler"], History(state["rows"], state["best"], state["best_epoch"])
    except DAMAGE as error:
        text = one_line(error) or "it is empty"
        raise TrainingError(
            f"The checkpoint {path} cannot be gone on from ({text}). Train again from the beginning with --force."
        ) from error
    if scaler:
        learner.add_cb(RestoreScaler(scaler))
    return history


class RestoreScaler(vision.Callback):  # type: ignore[misc]
    """Gives the loss scaler of fp16, which is made when fitting begins, the state it had."""

    order = 12  # after HalfPrecision

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def before_fit(self) -> None:
        self.learn.scaler.load_state_dict(self.state)


def _plain(value: Any) -> Any:
    """numpy's numbers and fastai's lists as Python's own, which loading without unpickling allows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple | vision.L) else value
