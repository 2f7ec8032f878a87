"""Export: a model artifact -> one ONNX file, compared with PyTorch on real images before it gets its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline import __version__
from sightline.config import Config
from sightline.console import say, track
from sightline.errors import ConfigError, SightlineError
from sightline.learning.pixels import Pixels, Size
from sightline.learning.trained import Found, view
from sightline.prediction.models import predictor_of
from sightline.stages.named import named_model
from sightline.stages.stage import items_of
from sightline.tracking import Artifact, Tracker, open_tracker
from sightline.wording import plural

if TYPE_CHECKING:
    from sightline.learning.inference import Predictor
    from sightline.learning.runtime import OnnxNetwork

Answer = tuple[NDArray[np.float32], Found]
"""Logits B×C×h×w, and what they come to."""
IMAGES = 8
"""Images of the model's valid subset that are compared, at most."""
TOLERANCE = 1e-3
"""How far logits may differ, as a share of the largest one."""
AGREEMENT = 0.999
"""Share of the pixels that must have the same class, at least."""


@dataclass(frozen=True)
class Exported:
    """An ONNX file, and how it compares with PyTorch.

    Args:
        path: the file.
        model: the artifact it was made from, `name:version`.
        images: how many images were compared.
        difference: the largest absolute difference of logits.
        largest: the largest logit, by its amount.
        agreement: share of the pixels with the same class, at the images' own size, 0 to 1.
    """

    path: Path
    model: str
    images: int
    difference: float
    largest: float
    agreement: float


def export_onnx(
    config: Config,
    path: Path | str,
    tracker: Tracker | None = None,
    *,
    model: Artifact | str | None = None,
    force: bool = False,
) -> Exported:
    """Write a model as an ONNX file that holds its preprocessing and, in its metadata, its class map.

    Args:
        config: says where models are kept.
        path: the file to write; it ends in `.onnx`.
        tracker: where the model is kept; opened from `config` when left out.
        model: the model artifact, or what it is called, as for `evaluate`; the latest of the dataset when left out.
        force: replace a file that is there.

    Returns:
        How it compares with PyTorch, on up to eight images of the valid subset that the model was trained with.

    Raises:
        ConfigError: the file is there already, a library is missing, or the network cannot be exported.
        SightlineError: the file does not compute what PyTorch does; it is not kept.
    """
    target = Path(path)
    _check_target(target, force)
    tracker = tracker or open_tracker(config)
    artifact = named_model(config, tracker, model).model
    predictor = predictor_of(artifact, "cpu")
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp.onnx")
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"export: {artifact.spec} to ONNX")
    try:
        _write(predictor, artifact, temporary)
        found = _compare(predictor, temporary, _examples(tracker, artifact), target, artifact.spec)
        _refuse_unlike(found)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    say(f"export: {_said(found)}")
    return found


def _check_target(path: Path, force: bool) -> None:
    if path.suffix != ".onnx":
        raise ConfigError(f"{path} does not end in .onnx, by which `sightline predict --model` knows such a file.")
    if path.exists() and not force:
        raise ConfigError(f"There is a {path} already. Replace it with --force.")


def _write(predictor: Predictor, artifact: Artifact, path: Path) -> None:
    from sightline.learning.graph import graph_of

    about = {"version": __version__, "model": artifact.spec, "digest": artifact.digest}
    path.write_bytes(graph_of(predictor, about).SerializeToString())


def _examples(tracker: Tracker, artifact: Artifact) -> list[Path]:
    """Images at even steps through the model's valid subset."""
    items = items_of(tracker.get(artifact.metadata["split"]), "valid")
    count = min(IMAGES, len(items))
    return [items[step * len(items) // count][1].image for step in range(count)]


def _compare(predictor: Predictor, path: Path, images: Sequence[Path], target: Path, spec: str) -> Exported:
    from sightline.learning.runtime import OnnxNetwork

    network = OnnxNetwork(path, "cpu")
    differences, largest, same, pixels = [0.0], [0.0], 0, 0
    for image in track(images, "comparing", len(images)):
        with Image.open(image) as opened:
            size, seen = view(opened, predictor)
        for batch, at in _turned(seen, size):
            (ours, mine), (theirs, other) = _both(predictor, network, batch, at)
            differences.append(float(np.abs(ours - theirs).max()))
            largest.append(float(np.abs(ours).max()))
            same, pixels = same + int((mine.labels == other.labels).sum()), pixels + mine.labels.size
    return Exported(target, spec, len(images), max(differences), max(largest), same / max(pixels, 1))


def _turned(seen: Pixels, size: Size) -> list[tuple[Pixels, Size]]:
    """An image alone, and a batch of it turned on its side: another shape, which a graph made for one cannot take."""
    side = np.rot90(seen)
    return [(np.stack([seen]), size), (np.stack([side, side[::-1]]), size[::-1])]


def _both(predictor: Predictor, network: OnnxNetwork, batch: Pixels, size: Size) -> tuple[Answer, Answer]:
    """What PyTorch answers, and the file."""
    from sightline.learning.inference import found

    logits = predictor.logits(batch)
    try:
        return (logits.numpy(), found(logits, size)), network.both(batch, size)
    except Exception as error:  # onnxruntime's errors have no common base
        settings = predictor.settings
        raise ConfigError(
            f"{settings.arch} on {settings.encoder} cannot be exported to ONNX: its graph takes images of one shape "
            f"alone ({' '.join(str(error).split())[:120]}). light, unet, fpn, linknet and deeplabv3plus on a ResNet "
            "take any."
        ) from error


def _refuse_unlike(found: Exported) -> None:
    if found.difference > TOLERANCE * max(found.largest, 1) or not found.agreement >= AGREEMENT:
        raise SightlineError(
            f"{found.path} was not written: it would not compute what PyTorch does. {_said(found)}; allowed are "
            f"{TOLERANCE} of the largest logit, and {AGREEMENT:.1%} of the pixels at least."
        )


def _said(found: Exported) -> str:
    return (
        f"{plural(found.images, 'image')} of valid, PyTorch and onnxruntime: logits differ by "
        f"{found.difference:.2g} at most (the largest is {found.largest:.3g}), "
        f"{found.agreement:.4%} of the pixels have the same class"
    )
