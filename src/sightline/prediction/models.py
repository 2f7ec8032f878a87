"""A model artifact or an ONNX file, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sightline.classes import ClassMap
from sightline.config import Config
from sightline.learning.trained import Network
from sightline.stages.named import named_model
from sightline.tracking import Artifact, Tracker, open_tracker
from sightline.tracking.blobs import hash_file

if TYPE_CHECKING:
    from sightline.learning.inference import Predictor


class Model(NamedTuple):
    """A network that is ready, its name for people, and the digest that tells it from others."""

    network: Network
    name: str
    digest: str


def open_model(config: Config, tracker: Tracker | None, model: Artifact | str | Path | None) -> Model:
    """An ONNX file by its path (`.onnx`), else a model artifact as `named_model` finds it.

    Raises:
        TrainingError: the file, its weights or the device cannot be had.
        StoreError, ConfigError: no such model.
    """
    if isinstance(model, str | Path) and str(model).endswith(".onnx"):
        from sightline.learning.runtime import OnnxNetwork

        path = Path(model)
        return Model(OnnxNetwork(path, config.train.device), path.name, hash_file(path)[0])
    given = str(model) if isinstance(model, Path) else model
    artifact = named_model(config, tracker or open_tracker(config), given).model
    return Model(predictor_of(artifact, config.train.device), artifact.spec, artifact.digest)


def predictor_of(artifact: Artifact, device: str) -> Predictor:
    """A model artifact in PyTorch."""
    from sightline.learning.inference import Predictor

    classes = ClassMap.from_dict(artifact.json("classes.json"))
    return Predictor(artifact.path("weights.safetensors"), artifact.json("config.json"), classes, device)
