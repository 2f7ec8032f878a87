"""A trained network as an ONNX file, computed by onnxruntime: no torch, no fastai."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.classes import ClassMap
from sightline.errors import ConfigError, TrainingError
from sightline.learning.pixels import Pixels, Size
from sightline.learning.trained import Found, mean_confidence, seen_size
from sightline.pool import cores
from sightline.wording import one_line

PREFIX = "sightline."
"""Before the keys of a model's metadata."""
PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}
QUIET = 4
"""onnxruntime's level of what ends the process: the rest it raises as well."""


class OnnxNetwork:
    """A network that `sightline export` wrote, with its preprocessing.

    Args:
        path: the file; nothing else is read, and no code of it is run.
        device: cpu, cuda, mps or auto.

    Raises:
        TrainingError: no ONNX file, one that is not of `sightline export`, or a device that is not to be had.
        ConfigError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        self._session = _session(path, device)
        about = self._session.get_modelmeta().custom_metadata_map
        try:
            self.classes = ClassMap.from_dict(json.loads(about[f"{PREFIX}classes"]), f"the class map of {path}")
            height, width = json.loads(about[f"{PREFIX}image_size"])
            self.box: Size = int(height), int(width)
            self.recipe, self.name = about[f"{PREFIX}recipe"], about[f"{PREFIX}model"]
        except (KeyError, ValueError, TypeError) as error:
            raise TrainingError(
                f"{path} is no model of `sightline export`: its metadata do not say {error}. Export it again."
            ) from None

    def seen(self, size: Size) -> Size:
        """The (height, width) at which the network sees an image of `size`."""
        return seen_size(size, self.box, self.recipe)

    def predict(self, images: Pixels, size: Size, sure: bool = True) -> Found:
        """What it finds in images B×h×w×3 uint8, at `size`."""
        return self.both(images, size, sure)[1]

    def both(self, images: Pixels, size: Size, sure: bool = True) -> tuple[NDArray[np.float32], Found]:
        """The logits of images B×h×w×3 uint8, B×C×h×w, and what they come to."""
        given = {"images": images, "size": np.array(size, np.int64), "sure": np.array(sure)}
        logits, labels, confidence = self._session.run(["logits", "labels", "confidence"], given)
        return logits, Found(labels, mean_confidence(logits), confidence if sure else None)


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(
            f"{path} needs onnxruntime, which is not installed: pip install onnxruntime (or 'sightline[onnx]')."
        ) from None
    if not path.is_file():
        raise TrainingError(f"There is no file {path} (--model). `sightline export --onnx {path}` writes one.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = QUIET, cores()
    providers = _providers(onnxruntime, device)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no common base
        text = one_line(error).rstrip(".")
        raise TrainingError(f"{path} cannot be loaded as an ONNX model: {text}. Export it again.") from error
    if device != "auto" and providers[0] not in session.get_providers():  # it takes the CPU then, and says so nowhere
        raise TrainingError(
            f"--device {device} is not to be had here: onnxruntime is built for it, but cannot start it."
        )
    return session


def _providers(onnxruntime: Any, device: str) -> list[str]:
    """What computes, the first that can: the device that is asked for, or any there is."""
    there = {
        name: provider for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()
    }
    if device != "auto" and device not in there:
        raise TrainingError(f"--device {device} is not to be had by onnxruntime here. There is: {', '.join(there)}.")
    return [there[device]] if device != "auto" else [there[name] for name in ("cuda", "cpu") if name in there]
