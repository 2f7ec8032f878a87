"""Evaluate: a model on one subset, image by image, beside a majority-class baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from sightline.classes import ClassMap
from sightline.config import Config, Evaluate, to_dict
from sightline.console import say, track
from sightline.errors import DataError, StoreError
from sightline.learning.metrics import (
    confusion,
    interval,
    iou,
    majority,
    majority_confusion,
    mean_image_iou,
    miou,
    pixel_accuracy,
)
from sightline.stages.named import named_model
from sightline.stages.stage import dataset_name, items_of, tracked, train_pixels, write_text
from sightline.table import KEY, Table
from sightline.thumbnails import INDEX, PACK, Pack, png, shrunk
from sightline.tracking import Artifact, Run, StoredFile, Tracker, open_tracker
from sightline.versions import versions

PACKAGES = ("numpy", "pillow", "torch", "fastai", "segmentation-models-pytorch", "pyarrow")
"""What the model is run and measured with."""
Row = dict[str, Any]


def evaluate(
    config: Config, tracker: Tracker | None = None, *, model: Artifact | str | None = None, force: bool = False
) -> Artifact:
    """Measure a model on the valid subset, or on test when `evaluate.subset` says so.

    Every image of the subset is predicted once, whole and undistorted, in the order of the names; the logits are
    brought to the mask's own size and compared there.

    Args:
        config: `evaluate` says on what.
        tracker: where the run is kept; opened from `config` when left out.
        model: the model artifact, or what it is called: `name:version`, an alias such as `staging`, a run that made it;
            the latest of the dataset when left out. The run notes the alias, and the version that it stood for.
        force: do it even when it is up to date.

    Returns:
        The artifact `NAME_eval`, or `NAME_eval_test` (evaluation): `pred_table.parquet`, `predictions/{stem}.png`,
        `confusion.csv`, `summary.json`, `classes.json`, and the thumbnails of the predictions.

    Raises:
        DataError: the subset holds no image.
        StoreError: no such model, or a file of it or of its dataset is damaged.
    """
    tracker = tracker or open_tracker(config)
    name = dataset_name(config, tracker)
    network, alias = named_model(config, tracker, model)
    source = _split_of(tracker, network)
    called = {"alias": alias} if alias else {}
    if called:
        say(f"evaluate: {alias} is {network.spec}")
    settings = {"evaluate": to_dict(config.evaluate), "seed": config.seed}
    work = partial(
        _evaluate, name=name, network=network, source=source, settings=config.evaluate, seed=config.seed,
        device=config.train.device, called=called,
    )  # fmt: skip
    told = {"model": network.spec, **called}
    return tracked(tracker, "evaluation", [network, source], settings, work, told=told, force=force)


def _split_of(tracker: Tracker, network: Artifact) -> Artifact:
    """The split dataset that the model was trained on."""
    source = tracker.get(network.metadata["split"])
    if source.digest != network.json("config.json")["split"]["digest"]:
        raise StoreError(f"{network.spec} was trained on another split than {source.spec}. Train again with --force.")
    return source


def _evaluate(
    run: Run, name: str, network: Artifact, source: Artifact, settings: Evaluate, seed: int, device: str,
    called: Mapping[str, str],
) -> Artifact:  # fmt: skip
    classes = ClassMap.from_dict(network.json("classes.json"))
    rows = _predict_all(run, network, source, settings.subset, classes, device)
    matrices = np.array([row["confusion"] for row in rows], np.int64).reshape(-1, len(classes), len(classes))
    summary = summary_of(rows, matrices, classes, settings, seed)
    summary["baseline"] = _baseline(source, matrices, classes)
    run.summary = _flat(summary)
    files: dict[str, StoredFile | Path] = {row["Prediction"]: row.pop("stored") for row in rows}
    files |= {
        "pred_table.parquet": _table(rows, classes).write(run.scratch / "pred_table.parquet"),
        "confusion.csv": write_text(run.scratch / "confusion.csv", _csv(matrices.sum(axis=0), classes)),
        "summary.json": write_text(run.scratch / "summary.json", json.dumps(summary, indent=1) + "\n"),
        "classes.json": network.files["classes.json"],
        PACK: run.scratch / PACK,
        INDEX: run.scratch / INDEX,
    }
    suffix = "_eval" if settings.subset == "valid" else "_eval_test"
    made = {"settings": {"evaluate": to_dict(settings), "seed": seed}, "versions": versions(PACKAGES)}
    metadata = {"model": network.spec, **called, "split": source.spec, **run.summary, **made}
    return run.save(name + suffix, "evaluation", files, metadata)


def _predict_all(
    run: Run, network: Artifact, source: Artifact, subset: str, classes: ClassMap, device: str
) -> list[Row]:
    from sightline.learning.inference import Predictor

    items = items_of(source, subset)
    if not items:
        raise DataError(
            f"{source.spec} has no {subset} subset. Split again with --test-folds, or measure another --subset."
        )
    predictor = Predictor(network.path("weights.safetensors"), network.json("config.json"), classes, device)
    rows = []
    with (run.scratch / PACK).open("wb") as stream:
        pack = Pack(stream)
        for row, item in track(items, f"predicting {subset}", len(items)):
            target, prediction, loss = predictor.measure(item)
            path = run.scratch / "prediction.png"
            Image.fromarray(prediction).save(path, format="PNG")
            pack.add(row[KEY], {"prediction": png(shrunk(prediction))})
            counts = confusion(target, prediction, len(classes), classes.ignore_index)
            rows.append({**_row(row, counts, loss, classes), "stored": run.store(path)})
    pack.index([row[KEY] for row in rows]).write(run.scratch / INDEX)
    return rows


def _row(row: Mapping[str, Any], counts: NDArray[np.int64], loss: float, classes: ClassMap) -> Row:
    """One row of the prediction table."""
    return {
        KEY: row[KEY],
        "Group": row["Group"],
        "Prediction": f"predictions/{PurePosixPath(row[KEY]).stem}.png",
        "loss": loss,
        "miou": _defined(miou(counts)),
        "pixel_accuracy": _defined(pixel_accuracy(counts)),
        **{f"{name}_iou": value for name, value in _per_class(counts, classes).items()},
        "confusion": counts.ravel().tolist(),
    }


def summary_of(
    rows: Sequence[Row], matrices: NDArray[np.int64], classes: ClassMap, settings: Evaluate, seed: int
) -> dict[str, Any]:
    """The numbers of a set of images; every one can be had again from the prediction table.

    Args:
        rows: of the prediction table, one an image: `Group` and `loss`.
        matrices: int64[N, C, C], their confusion matrices.
        classes: the class map.
        settings, seed: of the intervals.
    """
    total, groups = matrices.sum(axis=0), [row["Group"] for row in rows]
    bounds = interval(matrices, groups, settings.resamples, seed)
    return {
        "subset": settings.subset,
        "images": len(rows),
        "groups": len(set(groups)),
        "final_loss": sum(row["loss"] for row in rows) / len(rows),
        "final_miou": _defined(miou(total)),
        "final_iou": _per_class(total, classes),
        "mean_image_iou": _defined(mean_image_iou(matrices)),
        "pixel_accuracy": _defined(pixel_accuracy(total)),
        "interval": bounds.to_dict(classes.names),
    }


def _baseline(source: Artifact, matrices: NDArray[np.int64], classes: ClassMap) -> dict[str, Any]:
    """What always answering the most frequent class of the train subset would score on the same images."""
    return baseline_of(matrices, majority(train_pixels(source, classes)), classes)


def baseline_of(matrices: NDArray[np.int64], best: int, classes: ClassMap) -> dict[str, Any]:
    """What always answering the class `best` would score on the images of these matrices, int64[N, C, C]."""
    counts = majority_confusion(matrices.sum(axis=(0, 2)), best)
    return {
        "class": classes.names[best],
        "miou": _defined(miou(counts)),
        "pixel_accuracy": _defined(pixel_accuracy(counts)),
        "iou": _per_class(counts, classes),
    }


def _flat(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary as the tracker keeps it: `final_loss`, `final_miou`, `final_<class>_iou` …"""
    numbers = {key: summary[key] for key in ("final_loss", "final_miou", "mean_image_iou", "pixel_accuracy")}
    numbers |= {f"final_{name}_iou": value for name, value in summary["final_iou"].items()}
    bounds = summary["interval"]["miou"]
    if bounds:
        numbers |= {"final_miou_low": bounds[0], "final_miou_high": bounds[1]}
    numbers |= {"baseline_miou": summary["baseline"]["miou"]}
    told = {key: value for key, value in numbers.items() if value is not None}
    return {"subset": summary["subset"], "images": summary["images"], **told}


def _table(rows: Sequence[Row], classes: ClassMap) -> Table:
    fields = [(KEY, pa.string()), ("Group", pa.string()), ("Prediction", pa.string()), ("loss", pa.float64())]
    fields += [("miou", pa.float64()), ("pixel_accuracy", pa.float64())]
    fields += [(f"{name}_iou", pa.float64()) for name in classes.names]
    fields += [("confusion", pa.list_(pa.int64()))]
    return Table(pa.Table.from_pylist(list(rows), pa.schema(fields)), classes)


def _csv(counts: NDArray[np.int64], classes: ClassMap) -> str:
    import csv
    import io

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["Target", *classes.names])
    table.writerows([name, *row] for name, row in zip(classes.names, counts.tolist(), strict=True))
    return text.getvalue()


def _per_class(counts: NDArray[np.int64], classes: ClassMap) -> dict[str, float | None]:
    return {name: _defined(value) for name, value in zip(classes.names, iou(counts).tolist(), strict=True)}


def _defined(value: float) -> float | None:
    """None for what is undefined: JSON and Parquet have a word for it."""
    return None if math.isnan(value) else value
