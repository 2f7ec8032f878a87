"""Train: the split dataset -> a baseline network, its weights as safetensors with all that they were trained with."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline import __version__
from sightline.classes import ClassMap
from sightline.config import Config, Train, to_dict
from sightline.console import say
from sightline.errors import TrainingError
from sightline.stages.stage import dataset_name, items_of, resolve, tracked, train_pixels, write_text
from sightline.tracking import Artifact, Run, StoredFile, Tracker, fingerprint, open_tracker

if TYPE_CHECKING:
    from sightline.learning.data import Item
    from sightline.learning.learner import History


def train(
    config: Config,
    tracker: Tracker | None = None,
    *,
    split: Artifact | str | None = None,
    force: bool = False,
    resume: bool = False,
) -> Artifact:
    """Train the network on the train subset, choosing the best epoch by mIoU on the valid subset.

    Args:
        config: `train` says how.
        tracker: where the run is kept; opened from `config` when left out.
        split: the split_data artifact, or its `name:version`; the latest of the dataset when left out.
        force: do it even when it is up to date.
        resume: go on from the last finished epoch of a training of the same inputs and settings that was broken off;
            what comes of it is what the undisturbed training would have given.

    Returns:
        The artifact `NAME_model` (model): `weights.safetensors` of the best epoch, `config.json`, `classes.json`,
        `history.csv`.

    Raises:
        TrainingError: pretrained weights or a device that cannot be had, weights that do not fit, a loss that diverged.
        ConfigError: an architecture or an encoder that does not exist.
        StoreError: no such split, or a file of it is damaged.
    """
    tracker = tracker or open_tracker(config)
    name = dataset_name(config, tracker)
    source = resolve(tracker, split, f"{name}_split")
    settings = {"train": to_dict(config.train), "seed": config.seed, "weights": _digest(config.train.weights)}
    folder = tracker.store / "checkpoints" / fingerprint("training", [source], settings)[:16]
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    work = partial(_train, name=name, source=source, settings=config.train, seed=config.seed, folder=folder)
    model = tracked(tracker, "training", [source], settings, work, force=force, resume=resume)
    shutil.rmtree(folder, ignore_errors=True)
    return model


def _digest(weights: str) -> str:
    from sightline.tracking.blobs import hash_file

    if not weights:
        return ""
    if not Path(weights).is_file():
        raise TrainingError(f"There is no file {weights} (--weights).")
    return hash_file(Path(weights))[0]


def _train(run: Run, name: str, source: Artifact, settings: Train, seed: int, folder: Path) -> Artifact:
    from sightline.learning.learner import BEST, class_weights, fit, make_learner

    classes = ClassMap.from_dict(source.json("classes.json"))
    train, valid = ([item for _, item in items_of(source, stage)] for stage in ("train", "valid"))
    weighted = settings.recipe == "default" and settings.class_weights == "sqrt"
    weights = class_weights(train_pixels(source, classes)) if weighted else None
    learner, metric = make_learner(train, valid, classes, settings, seed, weights)
    told = _told(learner, train, valid, settings)
    say(_plan(settings, told, str(learner.dls.device)))
    history = fit(learner, metric, settings, seed, folder, partial(_log, run, settings.epochs))
    run.summary = {"best_epoch": history.best_epoch, "best_miou": history.best}
    config = {
        "sightline": __version__,
        "seed": seed,
        "train": to_dict(settings),
        "split": {"name": source.name, "digest": source.digest},
        "class_weights": weights,
        **run.summary,
        **told,
    }
    files: dict[str, StoredFile | Path] = {
        "weights.safetensors": folder / BEST,
        "config.json": write_text(run.scratch / "config.json", json.dumps(config, indent=1) + "\n"),
        "classes.json": source.files["classes.json"],
        "history.csv": _history(run.scratch / "history.csv", history),
    }
    return run.save(f"{name}_model", "model", files, {"split": source.spec, **run.summary})


def _told(learner: Any, train: Sequence[Item], valid: Sequence[Item], settings: Train) -> dict[str, Any]:
    from sightline.learning.data import canvas_of

    course = settings.recipe == "course"
    return {
        "parameters": sum(part.numel() for part in learner.model.parameters()),
        "canvas": list(settings.image_size if course else canvas_of([*train, *valid], settings.image_size)),
        "train_images": len(train),
        "valid_images": len(valid),
    }


def _plan(settings: Train, told: Mapping[str, Any], device: str) -> str:
    what = "fastai unet_learner(resnet18)" if settings.recipe == "course" else f"{settings.arch} on {settings.encoder}"
    begin = "ImageNet weights" if settings.pretrained and not settings.weights else settings.weights or "scratch"
    height, width = told["canvas"]
    return (
        f"{what}, {told['parameters'] / 1e6:.1f} million parameters, from {begin}, on {device}: "
        f"{told['train_images']} images to train on, {told['valid_images']} to validate, at {height}×{width}, "
        f"{settings.epochs} epochs, batches of {settings.batch_size}, lr {settings.lr:g}"
    )


def _log(run: Run, epochs: int, row: dict[str, float], images_per_second: float | None) -> None:
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
