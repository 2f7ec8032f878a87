"""The artifacts that a report is made from, opened."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.classes import ClassMap
from sightline.tracking import Artifact

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Divided:
    """What the split stored, as far as charts and tables of the subsets need it.

    Args:
        split: the artifact.
        classes: the class map.
        division: `split.json`; `shares` one row per class, images and pixel share of each subset.
    """

    split: Artifact
    classes: ClassMap
    division: Mapping[str, Any]
    shares: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Measured:
    """What training and evaluation stored, without the tables of one row per image.

    Args:
        model, evaluation: the artifacts.
        classes: the class map that was measured by.
        recipe: the model's `config.json`; `history` one row per epoch.
        summary: `summary.json` of the evaluation.
        confusion: int64[C, C], pixel counts; rows are targets, columns predictions.
    """

    model: Artifact
    evaluation: Artifact
    classes: ClassMap
    recipe: Mapping[str, Any]
    history: pd.DataFrame
    summary: Mapping[str, Any]
    confusion: NDArray[np.int64]

    @property
    def subset(self) -> str:
        """The subset that was measured: valid or test."""
        return str(self.summary["subset"])


@dataclass(frozen=True, eq=False)
class Material(Divided, Measured):
    """What the four stages before the report stored; its fields are those of the two above, and these.

    Args:
        raw: the artifact.
        eda: the EDA table, one row per image; `ingest` how it came about; `licence` the data's, as text.
        rows: the EDA table of the images that the split kept, with the column Stage.
        predictions: the prediction table, one row per image.
        selection: what the report is narrowed to, in words; empty where it is about all images.
    """

    raw: Artifact
    eda: pd.DataFrame
    ingest: Mapping[str, Any]
    licence: str
    rows: pd.DataFrame
    predictions: pd.DataFrame
    selection: str = ""

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The four artifacts, in the order of the walk."""
        return self.raw, self.split, self.model, self.evaluation


def open_divided(split: Artifact) -> Divided:
    """Read the documents of a split artifact; StoreError where one is missing or damaged."""
    classes = ClassMap.read(split.path("classes.json"))
    shares = split.table("class_shares.parquet").to_pandas()
    return Divided(split=split, classes=classes, division=split.json("split.json"), shares=shares)


def open_measured(model: Artifact, evaluation: Artifact) -> Measured:
    """Read the documents of a model and its evaluation; StoreError where one is missing or damaged."""
    import pandas as pd

    return Measured(
        model=model,
        evaluation=evaluation,
        classes=ClassMap.read(evaluation.path("classes.json")),
        recipe=model.json("config.json"),
        history=pd.read_csv(model.path("history.csv"), encoding="utf-8"),
        summary=evaluation.json("summary.json"),
        confusion=read_confusion(evaluation.path("confusion.csv")),
    )


def open_material(raw: Artifact, split: Artifact, model: Artifact, evaluation: Artifact) -> Material:
    """Read the tables and documents of the four artifacts, each checked against its digest.

    Raises:
        StoreError: a file is missing or damaged.
    """
    eda, rows = raw.table("eda_table.parquet"), split.table("eda_table_data_split.parquet")
    return Material(
        **vars(open_divided(split)) | vars(open_measured(model, evaluation)),
        raw=raw,
        eda=eda.to_pandas().sort_values("File_Name", ignore_index=True),
        ingest=raw.json("ingest.json"),
        licence=_text(raw.path("LICENSE.txt")) if "LICENSE.txt" in raw else "",
        rows=rows.to_pandas().sort_values("File_Name", ignore_index=True),
        predictions=evaluation.table("pred_table.parquet").to_pandas().sort_values("File_Name", ignore_index=True),
    )


def read_confusion(path: Path) -> NDArray[np.int64]:
    """The counts of `confusion.csv`, int64[C, C]; read by position, since classes may be called anything."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    return np.array([[int(value) for value in row[1:]] for row in rows], np.int64)


def _text(path: Path) -> str:
    """Whatever encoding a licence is in: a byte that is no UTF-8 shows as a replacement character."""
    return path.read_text(encoding="utf-8", errors="replace").strip()
