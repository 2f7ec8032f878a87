"""Sightline: from a folder of labelled road images to a trustworthy, reported segmentation baseline.

The public names, each imported when it is first used: importing `sightline` imports neither torch nor fastai.

    import sightline

    config = sightline.load_config(overrides={"data": "photos", "epochs": 5})
    walk = sightline.run(config)                      # every stage, or one by one:
    raw = sightline.ingest(config)
    split = sightline.split(config, raw=raw)
    model = sightline.train(config, split=split)
    evaluation = sightline.evaluate(config, model=model)
    page = sightline.report(config, evaluation=evaluation)
    print(evaluation.table("pred_table.parquet").to_pandas())
    sightline.compare(config, ["training-1", "training-2"])
    sightline.promote(config, model, "staging")
    sightline.predict(config, ["new-photos"], model=model)
    sightline.sweep(config, "sweep.yaml")             # many trainings, the best one evaluated and reported
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.choosing.compare import Compared, compare
    from sightline.choosing.promote import Promoted, promote
    from sightline.classes import ROAD_SCENE, ClassMap
    from sightline.config import Config, load_config
    from sightline.errors import (
        ConfigError,
        DataError,
        SightlineError,
        SourceError,
        SplitError,
        StoreError,
        TrainingError,
    )
    from sightline.prediction.export import Exported, export_onnx
    from sightline.prediction.predict import predict
    from sightline.sample import make_dataset
    from sightline.stages.evaluate import evaluate
    from sightline.stages.ingest import ingest
    from sightline.stages.pipeline import Walk, run
    from sightline.stages.report import report
    from sightline.stages.split import split
    from sightline.stages.train import train
    from sightline.summary import Summary, summarise
    from sightline.sweeps.sweep import Swept, sweep
    from sightline.synth import draw_scene
    from sightline.table import Table
    from sightline.tracking import Artifact, Tracker, open_tracker

__version__ = "0.1.0"

_HOMES = {
    "sightline.choosing.compare": ("Compared", "compare"),
    "sightline.choosing.promote": ("Promoted", "promote"),
    "sightline.classes": ("ROAD_SCENE", "ClassMap"),
    "sightline.config": ("Config", "load_config"),
    "sightline.errors": (
        "ConfigError",
        "DataError",
        "SightlineError",
        "SourceError",
        "SplitError",
        "StoreError",
        "TrainingError",
    ),
    "sightline.prediction.export": ("Exported", "export_onnx"),
    "sightline.prediction.predict": ("predict",),
    "sightline.stages.evaluate": ("evaluate",),
    "sightline.stages.ingest": ("ingest",),
    "sightline.stages.pipeline": ("Walk", "run"),
    "sightline.stages.report": ("report",),
    "sightline.stages.split": ("split",),
    "sightline.stages.train": ("train",),
    "sightline.sweeps.sweep": ("Swept", "sweep"),
    "sightline.sample": ("make_dataset",),
    "sightline.summary": ("Summary", "summarise"),
    "sightline.synth": ("draw_scene",),
    "sightline.table": ("Table",),
    "sightline.tracking": ("Artifact", "Tracker", "open_tracker"),
}

__all__ = [
    "ROAD_SCENE",
    "Artifact",
    "ClassMap",
    "Compared",
    "Config",
    "ConfigError",
    "DataError",
    "Exported",
    "Promoted",
    "SightlineError",
    "SourceError",
    "SplitError",
    "StoreError",
    "Summary",
    "Swept",
    "Table",
    "Tracker",
    "TrainingError",
    "Walk",
    "__version__",
    "compare",
    "draw_scene",
    "evaluate",
    "export_onnx",
    "ingest",
    "load_config",
    "make_dataset",
    "open_tracker",
    "predict",
    "promote",
    "report",
    "run",
    "split",
    "summarise",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
