"""Predict: images and videos -> masks at their own size, overlays, and a table of one row per image."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.classes import ClassMap
from sightline.config import Config
from sightline.console import progress, say
from sightline.errors import ConfigError, DataError
from sightline.learning.trained import Found, as_bytes, batch_limit
from sightline.masks import overlay, pixel_counts
from sightline.pool import cores
from sightline.prediction.batches import Shot, batches, shots
from sightline.prediction.folder import Folder, Row, Wanted
from sightline.prediction.models import Model, open_model
from sightline.prediction.sources import Source, check, find
from sightline.prediction.video import length
from sightline.problems import Problem, summarize
from sightline.table import KEY, Table
from sightline.tracking import Artifact, Tracker

QUALITY = 90
"""Of the overlays, as JPEG."""


def predict(
    config: Config,
    inputs: Sequence[Path | str],
    tracker: Tracker | None = None,
    *,
    model: Artifact | str | Path | None = None,
    out: Path | str = "predictions",
    overlays: bool = True,
    opacity: float = 0.5,
    confidence: bool = False,
    batch_size: int = 8,
    every: int = 1,
    force: bool = False,
) -> Table:
    """Predict images, folders of images and videos, each at its own size.

    Args:
        config: says where to compute (`device`), where models are kept, and whether damaged images are an error
            (`on_error`).
        inputs: images, folders, videos.
        tracker: where the model is kept; opened from `config` when left out, and not at all for an ONNX file.
        model: a model artifact, what it is called, or the path of an `.onnx` file of `sightline export`, which needs
            neither torch nor fastai; the latest model of the dataset when left out.
        out: the folder to write to. What is there already, of the same model and the same files, is not done again.
        overlays: write the images with the classes' colours laid over them.
        opacity: share of the colours in them, 0 to 1.
        confidence: write the highest softmax probability of each pixel, as 8-bit PNG: 0 to 255 stand for 0 to 1.
        batch_size: images to predict at once, of one size each; fewer where they are large.
        every: of videos, every so many-th frame.
        force: do it again, and replace predictions of another model.

    Returns:
        The table of all that is in the folder, `predictions.parquet`.

    Raises:
        DataError: an input is missing or damaged. What can be seen from names and headers is told before anything is
            written; for the rest, the other images are predicted first.
        ConfigError: the folder holds predictions of another model or other files.
        TrainingError, StoreError: the model cannot be had.
    """
    _check_settings(opacity, batch_size, every)
    wanted = Wanted(opacity if overlays else None, confidence)
    sources = find([Path(path) for path in inputs])
    problems = check(sources)
    damaged = {problem.file for problem in problems}
    sound = [source for source in sources if source.name not in damaged]
    skip = config.data.on_error == "skip"
    if problems and (not skip or not sound):
        raise DataError(_told(problems, len(sources), "Nothing was written. Repair these files", skip))
    opened = open_model(config, tracker, model)
    folder = Folder(Path(out), opened, force)
    folder.check_names(sound)
    folder.begin()
    _predict_all(folder, sound, opened, wanted, batch_size, every, problems)
    table = folder.finish()
    _tell(problems, len(sources), folder, skip)
    return table


def _check_settings(opacity: float, batch_size: int, every: int) -> None:
    if not 0 <= opacity <= 1:
        raise ConfigError(f"--opacity is {opacity}, but must lie between 0 and 1.")
    for name, value in (("batch-size", batch_size), ("every", every)):
        if value < 1:
            raise ConfigError(f"--{name} is {value}, but must be at least 1.")


def _predict_all(
    folder: Folder, sources: Sequence[Source], model: Model, wanted: Wanted, batch_size: int, every: int,
    problems: list[Problem],
) -> None:  # fmt: skip
    network = model.network
    done = partial(folder.done, wanted=wanted)
    with progress("predicting", _total(sources, every)) as step, ThreadPoolExecutor(cores()) as threads:
        count = _Count(lambda number: step(number, None))
        fresh = count.fresh(shots(sources, network, every, done, problems))
        waiting: deque[tuple[Shot, Future[Row]]] = deque()
        for batch in batches(fresh, lambda size: batch_limit(len(network.classes), size, batch_size)):
            found = network.predict(np.stack([shot.seen for shot in batch]), batch[0].size, wanted.confidence)
            _keep(folder, waiting, wanted, count)
            waiting += [
                (shot, threads.submit(_write, folder, shot, found, at, wanted)) for at, shot in enumerate(batch)
            ]
        _keep(folder, waiting, wanted, count)
    if count.skipped:
        say(f"predict: {count.skipped} of {count.done} are there already (--force does them again)")


def _keep(folder: Folder, waiting: deque[tuple[Shot, Future[Row]]], wanted: Wanted, count: _Count) -> None:
    """Note what the threads have written of the batch before."""
    while waiting:
        shot, writing = waiting.popleft()
        folder.keep(writing.result(), shot.state, wanted)
        count.add()


class _Count:
    """How many images and frames are done, for the progress bar."""

    def __init__(self, step: Callable[[int], None]) -> None:
        self.step, self.done, self.skipped = step, 0, 0

    def add(self) -> None:
        self.done += 1
        self.step(self.done)

    def fresh(self, found: Iterator[Shot | None]) -> Iterator[Shot]:
        """Those that are to be done; the others are counted."""
        for shot in found:
            if shot is None:
                self.skipped += 1
                self.add()
            else:
                yield shot


def _write(folder: Folder, shot: Shot, found: Found, at: int, wanted: Wanted) -> Row:
    """Write what is wanted of one image, the `at`-th of its batch; its row of the table."""
    classes, labels = folder.model.network.classes, found.labels[at]
    row: Row = {
        KEY: shot.name,
        "Image": folder.place(shot.source),
        "Prediction": folder.write(Image.fromarray(labels), f"masks/{shot.stem}.png", format="PNG"),
        "Overlay": None,
        "Confidence": None,
        "Frame": shot.frame.number if shot.frame else None,
        "Seconds": shot.frame.seconds if shot.frame else None,
        "Width": shot.size[1],
        "Height": shot.size[0],
        "mean_confidence": found.mean_confidence[at],
    }
    if wanted.overlay is not None:
        shown = Image.fromarray(overlay(shot.picture(), labels, classes, wanted.overlay))
        row["Overlay"] = folder.write(shown, f"overlays/{shot.stem}.jpg", format="JPEG", quality=QUALITY)
    if found.confidence is not None:
        sure = Image.fromarray(as_bytes(found.confidence[at]))
        row["Confidence"] = folder.write(sure, f"confidence/{shot.stem}.png", format="PNG")
    return {**row, **_per_class(labels, classes)}


def _per_class(labels: NDArray[np.uint8], classes: ClassMap) -> Row:
    """Which classes occur, and their shares of the pixels."""
    counted = list(zip(classes.names, pixel_counts(labels, classes)[:-1].tolist(), strict=True))
    present = {name: int(count > 0) for name, count in counted}
    return {**present, **{f"{name}_share": count / labels.size for name, count in counted}}


def _total(sources: Sequence[Source], every: int) -> int | None:
    """Images and frames in all; None where a video does not tell."""
    lengths = [length(source.path, source.name) for source in sources if source.is_video]
    frames = [-(-count // every) for count in lengths if count]
    known = len(frames) == len(lengths)
    return len(sources) - len(lengths) + sum(frames) if known else None


def _tell(problems: Sequence[Problem], total: int, folder: Folder, skip: bool) -> None:
    """What could not be predicted: an error, or a line where damaged images are to be skipped."""
    if not problems:
        return
    if not skip:
        raise DataError(_told(problems, total, f"All others are predicted, in {folder.path}. Repair these files", skip))
    say(_told(problems, total, f"Left out of {folder.path}", skip))


def _told(problems: Sequence[Problem], total: int, what: str, skip: bool) -> str:
    rest = "." if skip else " and run it again, or go on without them: `--on-error skip`."
    return f"{summarize(problems, total)}\n\n{what}{rest}"
