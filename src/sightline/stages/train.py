"""Train: the split dataset -> a baseline network, its weights as safetensors with all that they were trained with."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline import __version__
from sightline.classes import ClassMap
from sightline.config import Config, Train, to_dict
from sightline.console import say
from sightline.errors import TrainingError
from sightline.learning.ranks import alone, first_before_others, from_first, together, world
from sightline.stages.stage import dataset_name, items_of, resolve, tracked, train_pixels, write_text
from sightline.tracking import Artifact, Run, RunStopped, StoredFile, Tracker, fingerprint, open_tracker
from sightline.versions import versions
from sightline.wording import plural

if TYPE_CHECKING:
    from sightline.learning.checkpoint import History, MeanIoU


def train(
    config: Config,
    tracker: Tracker | None = None,
    *,
    split: Artifact | str | None = None,
    force: bool = False,
    resume: bool = False,
    watch: Watch | None = None,
    told: Mapping[str, Any] | None = None,
) -> Artifact:
    """Train the network on the train subset, choosing the best epoch by mIoU on the valid subset.

    Where `torchrun` started several processes, each calls this: they train together, the first one decides and writes,
    and all return the same.

    Args:
        config: `train` says how.
        tracker: where the run is kept; opened from `config` when left out.
        split: the split_data artifact, or its `name:version`; the latest of the dataset when left out.
        force: do it even when it is up to date.
        resume: go on from the last finished epoch of a training of the same inputs and settings that was broken off;
            what comes of it is what the undisturbed training would have given.
        watch: called after every epoch with its numbers (`epoch`, `train_loss`, `valid_loss`, `lr`, `miou`,
            `{class}_iou`), those before an interruption again. What it raises ends the training; `RunStopped` on
            purpose, so that the run is no failure. Of several processes the first one's is called.
        told: what the run keeps with its settings and does not depend on, such as the sweep that it is part of.

    Returns:
        The artifact `NAME_model` (model): `weights.safetensors` of the best epoch, `config.json`, `classes.json`,
        `history.csv`.

    Raises:
        TrainingError: pretrained weights or a device that cannot be had, weights that do not fit, a loss that diverged.
        ConfigError: an architecture or an encoder that does not exist; a batch that several processes cannot share.
        StoreError: no such split, or a file of it is damaged.
    """
    with together(config.train):
        if world().first:
            tracker = tracker or open_tracker(config)
            return from_first(_decide(config, tracker, split, force, resume, watch, told))
        word: Any = None
        while isinstance(word := from_first(word), Job):
            _train_along(word)
        model: Artifact = word
        return model


Watch = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Job:
    """What every process has to know to train."""

    source: Artifact
    settings: Train
    seed: int
    folder: Path
    cache: Path | None


def _decide(
    config: Config,
    tracker: Tracker,
    split: Artifact | str | None,
    force: bool,
    resume: bool,
    watch: Watch | None,
    told: Mapping[str, Any] | None,
) -> Artifact:
    """`train`, in the first process or the only one."""
    name = dataset_name(config, tracker)
    source = resolve(tracker, split, f"{name}_split")
    settings = deciding_all(config)
    folder = tracker.store / "checkpoints" / fingerprint("training", [source], settings)[:16]
    job = Job(source, config.train, config.seed, folder, tracker.store / "cache" if config.train.cache else None)
    work = partial(_train, name=name, job=job, resume=resume, watch=watch)
    try:
        model = tracked(tracker, "training", [source], settings, work, told=told, force=force, resume=resume)
    except RunStopped:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return model


LIBRARIES = ("torch", "fastai", "segmentation-models-pytorch", "numpy", "pillow")
"""Whose versions may change what comes of a training."""


@dataclass(frozen=True)
class FoundRate:
    """What fastai's learning-rate finder found: the rate it suggests, and (rate, smoothed loss) of each step."""

    suggested: float
    steps: list[tuple[float, float]]


def find_lr(config: Config, tracker: Tracker | None = None, *, split: Artifact | str | None = None) -> FoundRate:
    """Look for a learning rate by a mock training of a hundred steps. It is a run of its own; no model comes of it.

    Args, and what is raised: as for `train`.
    """
    from sightline.learning.learner import find_lr as find

    alone("Looking for a learning rate")
    tracker = tracker or open_tracker(config)
    source = resolve(tracker, split, f"{dataset_name(config, tracker)}_split")
    settings, cache = config.train, tracker.store / "cache" if config.train.cache else None
    with tracker.run("lr_find", config={"train": deciding(settings), "seed": config.seed}) as run:
        run.use(source)
        classes = ClassMap.from_dict(source.json("classes.json"))
        prepared = _prepare(source, classes, settings, config.seed, cache)
        found = FoundRate(*find(prepared.learner, run.scratch))
        for step, (rate, loss) in enumerate(found.steps, 1):
            run.log({"lr": rate, "train_loss": loss}, step)
        run.summary = {"suggested_lr": found.suggested}
    return found


def deciding(settings: Train) -> dict[str, Any]:
    """The settings that decide what comes of a training; where decoded images are kept is none of them."""
    return {name: value for name, value in to_dict(settings).items() if name not in ("cache", "cache_gb")}


def deciding_all(config: Config) -> dict[str, Any]:
    """All that decides what comes of a training, but for the split: its settings, the seed, the first weights."""
    return {"train": deciding(config.train), "seed": config.seed, "weights": _digest(config.train.weights)}


def _digest(weights: str) -> str:
    """sha256 of the file of first weights: the same path may hold others tomorrow; empty where none is given."""
    from sightline.tracking.blobs import hash_file

    if not weights:
        return ""
    if not Path(weights).is_file():
        raise TrainingError(f"There is no file {weights} (--weights).")
    return hash_file(Path(weights))[0]


def _train(run: Run, name: str, job: Job, resume: bool, watch: Watch | None) -> Artifact:
    from sightline.learning.checkpoint import BEST
    from sightline.learning.learner import fit

    if not resume:
        shutil.rmtree(job.folder, ignore_errors=True)
    from_first(job)  # the others begin
    source, settings = job.source, job.settings
    classes = ClassMap.from_dict(source.json("classes.json"))
    prepared = _prepare(source, classes, settings, job.seed, job.cache)
    say(_plan(settings, prepared.told))
    log = partial(_log, run, settings.epochs, watch)
    history = fit(prepared.learner, prepared.metric, settings, job.seed, job.folder, log)
    run.summary = {"best_epoch": history.best_epoch, "best_miou": history.best}
    config = {
        "sightline": __version__,
        "versions": versions(LIBRARIES),
        "seed": job.seed,
        "train": deciding(settings),
        "split": {"name": source.name, "digest": source.digest},
        "class_weights": prepared.weights,
        "weights_sha256": _digest(settings.weights),
        **run.summary,
        **prepared.told,
    }
    files: dict[str, StoredFile | Path] = {
        "weights.safetensors": job.folder / BEST,
        "config.json": write_text(run.scratch / "config.json", json.dumps(config, indent=1) + "\n"),
        "classes.json": source.files["classes.json"],
        "history.csv": _history(run.scratch / "history.csv", history),
    }
    return run.save(f"{name}_model", "model", files, {"split": source.spec, **run.summary})


def _train_along(job: Job) -> None:
    """What the processes after the first do: the same training, of which they keep and tell nothing."""
    from sightline.learning.learner import fit

    classes = ClassMap.from_dict(job.source.json("classes.json"))
    prepared = _prepare(job.source, classes, job.settings, job.seed, job.cache)
    fit(prepared.learner, prepared.metric, job.settings, job.seed, job.folder, lambda row, speed: None)


@dataclass(frozen=True)
class Prepared:
    """A Learner that is ready to be fitted, its metric, the classes' weights and what is told of it."""

    learner: Any
    metric: MeanIoU
    weights: list[float] | None
    told: dict[str, Any]


def _prepare(source: Artifact, classes: ClassMap, settings: Train, seed: int, cache: Path | None) -> Prepared:
    from sightline.learning.cache import Canvas, open_source
    from sightline.learning.learner import make_learner
    from sightline.learning.losses import class_weights

    train, valid = ([item for _, item in items_of(source, stage)] for stage in ("train", "valid"))
    course = settings.recipe == "course"
    weighted = not course and settings.class_weights == "sqrt"
    weights = class_weights(train_pixels(source, classes)) if weighted else None
    items, pixels = [*train, *valid], None
    canvas = Canvas.of(items, settings.image_size, classes.ignore_index)
    if not course:
        with first_before_others():
            pixels = open_source(items, canvas, cache, source.digest, settings.cache_gb)
    learner, metric = make_learner(train, valid, classes, settings, seed, source=pixels, weights=weights)
    told = {
        "parameters": sum(part.numel() for part in learner.model.parameters()),
        "canvas": list(settings.image_size if course else canvas.size),
        "train_images": len(train),
        "valid_images": len(valid),
        "device": str(learner.dls.device),
        "precision": learner.precision,
        "processes": world().size,
    }
    return Prepared(learner, metric, weights, told)


def _plan(settings: Train, told: Mapping[str, Any]) -> str:
    course = settings.recipe == "course"
    what = f"fastai unet_learner({settings.encoder})" if course else f"{settings.arch} on {settings.encoder}"
    begin = "ImageNet weights" if settings.pretrained and not settings.weights else settings.weights or "scratch"
    height, width = told["canvas"]
    return (
        f"{what}, {told['parameters'] / 1e6:.1f} million parameters, from {begin}, "
        f"on {told['device']}{_processes(told)} in {told['precision']}: {plural(told['train_images'], 'image')} to "
        f"train on, {told['valid_images']} to validate, at {height}×{width}, "
        f"{plural(settings.epochs, 'epoch')}, batches of {settings.batch_size}, lr {settings.lr:g}"
    )


def _processes(told: Mapping[str, Any]) -> str:
    return f" in {told['processes']} processes" if told["processes"] > 1 else ""


def _log(run: Run, epochs: int, watch: Watch | None, row: dict[str, float], images_per_second: float | None) -> None:
    """Keep an epoch's numbers, unless a run that was broken off kept them already, and tell them in a line."""
    epoch = int(row["epoch"])
    if epoch > run.last_step:
        numbers = {name: value for name, value in row.items() if not math.isnan(value)}
        speed = {} if images_per_second is None else {"images_per_second": images_per_second}
        run.log({**numbers, **speed}, epoch)
    per_class = "  ".join(
        f"{name.removesuffix('_iou')} {_number(value)}" for name, value in row.items() if name.endswith("_iou")
    )
    speed_text = "(before)" if images_per_second is None else f"{images_per_second:.1f} images/s"
    say(
        f"epoch {epoch}/{epochs}  loss {row['train_loss']:.3f} train {row['valid_loss']:.3f} valid  "
        f"lr {row['lr']:.1e}  mIoU {_number(row['miou'])}  {per_class}  {speed_text}"
    )
    if not run.summary or row["miou"] > run.summary["best_miou"]:  # as KeepBest chooses
        run.summary = {"best_epoch": epoch, "best_miou": row["miou"]}
    if watch:
        watch(row)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _history(path: Path, history: History) -> Path:
    """The epochs as CSV; what is undefined is left empty."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(history.rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(
            {name: "" if math.isnan(value) else value for name, value in row.items()} for row in history.rows
        )
    return path
