"""Artifacts and tables as W&B has them. Files are named where they lie in the store: nothing is copied or encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import wandb
from wandb.data_types import JoinedTable
from wandb.sdk.artifacts._internal_artifact import InternalArtifact
from wandb.sdk.data_types.helper_types.image_mask import ImageMask

from sightline.classes import ClassMap
from sightline.console import say, track
from sightline.table import KEY, Table
from sightline.tracking.artifact import Artifact

Row = Mapping[str, Any]
JOINED = "eda_table_data_split"
PREDICTED = "pred_table"


def digest_alias(artifact: Artifact) -> str:
    """The alias by which W&B knows the version of this very content."""
    return f"local-{artifact.digest[:12]}"


class Upload:
    """A version on its way to W&B.

    Args:
        artifact: the version here.
        references: name the files by their place on this disk, in place of uploading them.
    """

    def __init__(self, artifact: Artifact, references: bool) -> None:
        facts = {"local_version": artifact.spec, "local_digest": artifact.digest}
        self.artifact = artifact
        self.made = wandb.Artifact(artifact.name, artifact.type, metadata={**artifact.metadata, **facts})
        self.tables: dict[str, Any] = {}
        self._references = references
        for path in track(artifact.files, "reading files for W&B", len(artifact.files)):
            self.file(artifact, path, path)

    def file(self, source: Artifact, path: str, name: str) -> None:
        """Add a file of the store under a name."""
        add_file(self.made, source.path(path), name, self._references)

    def table(self, name: str, table: Any) -> Any:
        """Add a table, which the run shows too; gives the entry in the artifact."""
        self.tables[name] = table
        return self.made.add(table, name)


def upload(artifact: Artifact, known: Mapping[str, Artifact], references: bool) -> Upload:
    """A version with the tables that belong to its type.

    Args:
        artifact: the version here.
        known: type -> artifact that its run read or saved; an evaluation takes the images from the split dataset.
        references: see `Upload`.
    """
    made = Upload(artifact, references)
    if artifact.type == "raw_data" and "eda_table.parquet" in artifact:
        made.table("eda_table", eda_table(artifact, artifact.table("eda_table.parquet")))
    elif artifact.type == "split_data" and f"{JOINED}.parquet" in artifact:
        _add_joined(made)
    elif artifact.type == "evaluation" and "split_data" in known:
        add_media(made.made, artifact, known["split_data"], references)
        made.table(PREDICTED, pred_table(artifact, known["split_data"]))
    return made


def predictions(run_id: str, evaluation: Artifact, split: Artifact, references: bool) -> tuple[Any, Any]:
    """The table of predictions for a run that did not make the evaluation: (artifact that holds it, table)."""
    made, table = InternalArtifact(f"run-{run_id}-{PREDICTED}", "run_table"), pred_table(evaluation, split)
    for row in evaluation.table(f"{PREDICTED}.parquet", [KEY, "Prediction"]).rows():
        add_file(made, evaluation.path(row["Prediction"]), row["Prediction"], references)
    add_media(made, evaluation, split, references)
    made.add(table, PREDICTED)
    return made, table


def add_file(made: Any, path: Path, name: str, references: bool) -> None:
    """Add a file of the store to an artifact of the SDK, without a copy: blobs never change."""
    if not references:
        made.add_file(str(path), name=name, policy="immutable", skip_cache=True)
        return
    (entry,) = made.add_reference(path.as_uri(), name=name)
    made._added_local_paths[str(path)] = entry  # as add_file does: tables find their images by it


def add_media(made: Any, evaluation: Artifact, split: Artifact, references: bool) -> None:
    """Add the images and masks of an evaluation's rows, which lie in the split dataset."""
    for row in _known(evaluation, split).values():
        for path in (row["Image"], row["Mask"]):
            add_file(made, split.path(path), f"media/{path}", references)


def eda_table(artifact: Artifact, table: Table) -> Any:
    """File_Name, Images (with the mask), Split, and whether each class occurs."""
    classes = _classes(table)
    rows = _fitting(table.rows(), "eda_table")
    labels = _labels(classes, rows)
    made = wandb.Table(columns=[KEY, "Images", "Split", *classes.names])
    for row in track(rows, "tabulating for W&B", len(rows)):
        masks = {"ground_truth": artifact.path(row["Mask"])}
        image = _image(artifact, row, masks, labels)
        made.add_data(row[KEY], image, row["Split"], *(row[name] for name in classes.names))
    return made


def pred_table(evaluation: Artifact, split: Artifact) -> Any:
    """File_Name, Image (with both masks), loss, mIoU and the IoU of each class."""
    table, known = evaluation.table(f"{PREDICTED}.parquet"), _known(evaluation, split)
    classes = _classes(table)
    labels = _labels(classes, list(known.values()))
    made = wandb.Table(columns=[KEY, "Image", "loss", "miou", *(f"{name} IoU" for name in classes.names)])
    for row in _fitting(table.rows(), PREDICTED):
        own = known[row[KEY]]
        masks = {"ground_truth": split.path(own["Mask"]), "predictions": evaluation.path(row["Prediction"])}
        image = _image(split, own, masks, labels)
        ious = (row[f"{name}_iou"] for name in classes.names)
        made.add_data(row[KEY], image, row["loss"], row["miou"], *ious)
    return made


def _add_joined(made: Upload) -> None:
    """The EDA table and the split's own, joined by W&B on File_Name."""
    table = made.artifact.table(f"{JOINED}.parquet")
    stages: list[Any] = [[row[KEY], row["Stage"]] for row in _fitting(table.rows(), "data_split")]
    left = made.made.add(eda_table(made.artifact, table), "eda_table")
    right = made.made.add(wandb.Table(columns=[KEY, "Stage"], data=stages), "data_split")
    joined: Any = JoinedTable
    made.table(JOINED, joined(left.path, right.path, KEY))


def _image(source: Artifact, row: Row, masks: Mapping[str, Path], labels: Mapping[int, str]) -> Any:
    """A row's picture with masks over it, all of them files of the store, whose names there have no suffix."""
    shown = {key: _mask(mask, key, labels) for key, mask in masks.items()}
    image = wandb.Image("https://place.holder", masks=shown)  # given the path, the SDK would decode it, for its size
    image._set_file(str(source.path(row["Image"])))
    image._width, image._height = row["Width"], row["Height"]
    image.format = PurePosixPath(row["Image"]).suffix.lstrip(".")
    return image


def _mask(path: Path, key: str, labels: Mapping[int, str]) -> Any:
    """A mask that is a file. Given a path, the SDK forgets the key and the labels."""
    mask = ImageMask({"path": str(path)}, key)
    mask._key, mask._val = key, {"class_labels": dict(labels)}
    return mask


def _labels(classes: ClassMap, rows: Sequence[Row]) -> dict[int, str]:
    labels = dict(enumerate(classes.names))
    if any(row["ignored_share"] for row in rows):
        labels[classes.ignore_index] = "ignored"
    return labels


def _known(evaluation: Artifact, split: Artifact) -> dict[str, Row]:
    """File_Name -> where image and mask lie in the split dataset, for the rows of the evaluation."""
    wanted = {row[KEY] for row in evaluation.table(f"{PREDICTED}.parquet", [KEY]).rows()}
    rows = split.table(f"{JOINED}.parquet", [KEY, "Image", "Mask", "Width", "Height", "ignored_share"]).rows()
    return {row[KEY]: row for row in rows if row[KEY] in wanted}


def _classes(table: Table) -> ClassMap:
    assert table.classes is not None, "tables of images carry their class map"
    return table.classes


def _fitting(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """As many rows as W&B takes; the user is told of the others."""
    most = wandb.Table.MAX_ARTIFACT_ROWS
    if len(rows) > most:
        say(f"W&B: {name} shows the first {most:,} of {len(rows):,} rows; W&B's tables hold no more.")
    return rows[:most]
