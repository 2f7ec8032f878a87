"""fastai's Learner for both recipes, and how it is fitted."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.classes import ClassMap
from sightline.config import Train
from sightline.console import progress
from sightline.errors import ConfigError, TrainingError
from sightline.learning.cache import Canvas, Decoded, Source
from sightline.learning.checkpoint import History, KeepBest, Log, MeanIoU, network_of, reseed, restore
from sightline.learning.course import course_learner, course_loaders
from sightline.learning.data import loaders
from sightline.learning.device import HalfPrecision, advised, deterministic, device_of, layout_of, precision_of
from sightline.learning.encoders import torchvision_model
from sightline.learning.libraries import vision
from sightline.learning.losses import loss_of
from sightline.learning.model import begins_pretrained, build, load_weights
from sightline.learning.pixels import Item
from sightline.learning.ranks import lost_peers, world

WEIGHT_DECAY = 0.01
FINDER_STEPS = 100


def make_learner(
    train: Sequence[Item],
    valid: Sequence[Item],
    classes: ClassMap,
    settings: Train,
    seed: int,
    *,
    source: Source | None = None,
    weights: Sequence[float] | None = None,
) -> tuple[Any, MeanIoU]:
    """The Learner of a recipe, with its metric; nothing is trained yet.

    Args:
        train, valid: the two subsets.
        classes: their class map.
        settings: how to train.
        seed: of the network's first weights.
        source: the decoded images of train and then of valid; left out, the files are read anew each time, as the
            course's recipe does.
        weights: as in `loss_of`.

    Raises:
        TrainingError: weights, a device or a precision that cannot be had.
        ConfigError: an architecture or an encoder that does not exist, or one that is not the course's.
    """
    device, metric = device_of(settings.device), MeanIoU(classes)
    reseed(seed, 0)
    if settings.recipe == "course":
        _check_course(settings)
        dls = course_loaders(train, valid, classes, settings, device)
        learner = course_learner(dls, classes, settings, [metric])
    else:
        items = [*train, *valid]
        source = source or Decoded(items, Canvas.of(items, settings.image_size, classes.ignore_index))
        learner = _default(loaders(source, len(train), settings, device), classes, settings, metric, weights)
    learner.remove_cb(vision.ProgressCallback)
    learner.logger = vision.noop  # else it prints a table of its own
    _set_precision(learner, settings, device)
    if settings.weights:
        load_weights(network_of(learner), Path(settings.weights))
    if world().several:
        from sightline.learning.distributed import spread

        spread(learner, device, classes.ignore_index, weights)
    return learner, metric


def _check_course(settings: Train) -> None:
    if settings.arch != Train.arch:
        raise ConfigError(
            "--recipe course has its own network, fastai's unet_learner. Leave out --arch, or take --recipe default."
        )
    torchvision_model(settings.encoder)


def _default(dls: Any, classes: ClassMap, settings: Train, metric: MeanIoU, weights: Sequence[float] | None) -> Any:
    model = build(settings, len(classes), begins_pretrained(settings))
    return vision.Learner(
        dls,
        model.to(memory_format=layout_of(str(dls.device))),
        loss_func=loss_of(settings, classes.ignore_index, weights).to(dls.device),
        opt_func=partial(vision.OptimWrapper, opt=partial(torch.optim.AdamW, fused=str(dls.device) != "mps")),
        splitter=_encoder_and_rest,
        wd=WEIGHT_DECAY,
        metrics=[metric],
    )


def _encoder_and_rest(model: Any) -> list[list[nn.Parameter]]:
    """Two groups of parameters, so that the encoder can have its own learning rate or stand still."""
    encoder = list(model.network.encoder.parameters())
    known = set(encoder)
    return [encoder, [part for part in model.parameters() if part not in known]]


def _set_precision(learner: Any, settings: Train, device: str) -> None:
    """The course's recipe is fp32 as published, unless another is asked for by name."""
    wanted = "fp32" if (settings.recipe, settings.precision) == ("course", "auto") else settings.precision
    learner.precision = precision_of(wanted, device)
    if learner.precision != "fp32":
        learner.add_cb(HalfPrecision(device, learner.precision))


class FrozenStart(vision.Callback):  # type: ignore[misc]
    """The encoder's weights stand still for the first epochs; batch norm goes on learning, as fastai has it.

    The optimiser's state is left alone, so that a training gone on with in a later epoch is what it would have been.
    """

    order = 5

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def before_epoch(self) -> None:
        self.learn.opt.freeze_to(-1 if self.epoch < self.epochs else 0)


def fit(learner: Any, metric: MeanIoU, settings: Train, seed: int, folder: Path, log: Log) -> History:
    """Train to the end, from the last finished epoch that `folder` holds; the best epoch's weights are `BEST` in it.

    Args:
        learner, metric: of `make_learner`.
        settings: epochs and learning rate.
        seed: of the order of the images and of augmentation, mixed with the epoch's number.
        folder: where the checkpoint is kept after every epoch.
        log: called after every epoch with its row and the training images per second (of all processes); first with
            the rows of the epochs that `folder` holds, and None.

    Raises:
        TrainingError: the loss is no number any more, or the checkpoint cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = world()
    with deterministic(settings.deterministic), lost_peers():
        history = restore(learner, folder)
        start, batches = len(history.rows), len(learner.dls.train) + len(learner.dls.valid)
        for row in history.rows:
            log(row, None)
        if start < settings.epochs:
            total = settings.epochs * batches
            with progress("training (batches)", total) as step:
                keeper = KeepBest(
                    metric, history, folder if here.first else None, seed,
                    lambda row, speed: log(row, speed and speed * here.size), lambda done: step(done, total),
                )  # fmt: skip
                callbacks = [keeper, *_start(settings)]
                with _own_words(), advised(), _left_as_it_was(learner):
                    learner.fit_one_cycle(settings.epochs, _rates(settings), cbs=callbacks, start_epoch=start)
    return history


@contextlib.contextmanager
def _own_words() -> Iterator[None]:
    """A callback's error as it was raised: fastai puts the callback and the event before its text."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(str(error).rpartition("`:\n\t")[2]) from None


@contextlib.contextmanager
def _left_as_it_was(learner: Any) -> Iterator[None]:
    """A batch that is broken off, by Ctrl-C or an error, leaves this process computing as before."""
    try:
        yield
    finally:
        for callback in learner.cbs.filter(vision.risinstance(HalfPrecision)):
            callback.after_loss()


def _fine_tunes(settings: Train) -> bool:
    """Whether the encoder begins with weights that are worth keeping: ImageNet's, or those of a file."""
    return bool(settings.pretrained or settings.weights) and settings.recipe == "default"


def _start(settings: Train) -> list[Any]:
    return [FrozenStart(settings.freeze_epochs)] if _fine_tunes(settings) and settings.freeze_epochs else []


def _rates(settings: Train) -> Any:
    """The highest learning rate; an encoder that begins with weights has a share of it."""
    return slice(settings.lr * settings.encoder_lr, settings.lr) if _fine_tunes(settings) else settings.lr


def find_lr(learner: Any, folder: Path) -> tuple[float, list[tuple[float, float]]]:
    """fastai's learning-rate finder: a mock training with a rate that grows at every step, until the loss explodes.

    Args:
        learner: of `make_learner`; its weights are what they were afterwards.
        folder: for the weights meanwhile.

    Returns:
        The rate that fastai's `valley` suggests, and (rate, smoothed loss) of each step.
    """
    learner.path = folder
    with progress("finding a learning rate (batches)", FINDER_STEPS) as step:
        told = Counting(lambda done: step(done, FINDER_STEPS))
        with learner.added_cbs([told]), advised(), _left_as_it_was(learner), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # numpy.core, which fastai still names
            suggested = learner.lr_find(num_it=FINDER_STEPS, show_plot=False)
    steps = zip(learner.recorder.lrs, (float(loss) for loss in learner.recorder.losses), strict=True)
    return float(suggested.valley), list(steps)


class Counting(vision.Callback):  # type: ignore[misc]
    """Tells the number of training batches so far."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def after_batch(self) -> None:
        self.step(self.train_iter)
