"""What all stages share: the name of artifacts, their inputs, the tracked run that is skipped when up to date."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.classes import ClassMap
from sightline.config import Config
from sightline.console import say, track
from sightline.errors import ConfigError, StoreError
from sightline.table import KEY, Table
from sightline.tracking import Artifact, Run, Tracker, fingerprint, open_tracker
from sightline.wording import plural

if TYPE_CHECKING:
    from sightline.learning.pixels import Item

JOINED = "eda_table_data_split.parquet"
"""The EDA table with each row's subset, in a split_data artifact."""

STAGES = {
    "upload": "ingest",
    "data_split": "split",
    "training": "train",
    "evaluation": "evaluate",
    "report": "report",
}
"""Job type, as the tracker keeps it -> stage, as the command is called."""


def dataset_name(config: Config, tracker: Tracker) -> str:
    """NAME of `NAME`, `NAME_split`, `NAME_model` …: the setting `name`, else the folder's or the dataset's own name.

    Raises:
        ConfigError: neither `name` nor `data` is given and the store holds no or several datasets.
    """
    if config.data.name:
        return config.data.name
    if config.data.data:
        return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(config.data.data).resolve().name).strip("-") or "data"
    known = sorted({artifact.name for artifact in tracker.artifacts() if artifact.type == "raw_data"})
    if len(known) != 1:
        listed = f"{tracker.store} holds {len(known)} ({', '.join(known)})" if known else f"{tracker.store} holds none"
        raise ConfigError(f"Which dataset? Give --data or --name: {listed}.")
    return known[0]


def resolve(tracker: Tracker, artifact: Artifact | str | None, default: str) -> Artifact:
    """An input as an artifact pinned by version: given as one, by `name:version`, or left out for `default`."""
    return artifact if isinstance(artifact, Artifact) else tracker.get(artifact or default)


TABLES = ("eda_table.parquet", JOINED, "pred_table.parquet")
"""The table of one row per image, in the artifacts that have one."""


def find_table(spec: str, config: Config) -> Table:
    """A table by what people call it: a Parquet file, an artifact (`NAME`, `NAME:v2`), or a file in one.

    Raises:
        StoreError: no such artifact, or it holds no such table; the text lists what there is.
        DataError: the file is no Parquet table.
    """
    if Path(spec).is_file():
        return Table.read(Path(spec))
    name, _, wanted = spec.partition("/")
    try:
        artifact = open_tracker(config).get(name)
    except StoreError as error:
        raise StoreError(f"There is no file {spec}. {error}" if spec.endswith(".parquet") else str(error)) from None
    tables = [path for path in artifact.files if path.endswith(".parquet")]
    path = wanted or next((table for table in TABLES if table in tables), "")
    if path not in tables:
        raise StoreError(
            f"{artifact.spec} holds no table {wanted}".rstrip()
            + f". It holds: {', '.join(tables) or 'no tables at all'}. A table is named as NAME:VERSION/FILE."
        )
    return artifact.table(path)


def tracked(
    tracker: Tracker,
    job_type: str,
    inputs: Sequence[Artifact],
    settings: Mapping[str, Any],
    work: Callable[[Run], Artifact],
    *,
    told: Mapping[str, Any] | None = None,
    force: bool = False,
    resume: bool = False,
) -> Artifact:
    """Do a stage's work as a tracked run, unless a finished run already answers for these inputs and settings.

    Args:
        tracker: where the run is kept.
        job_type: upload, data_split, training, evaluation or report.
        inputs: the artifacts it reads, pinned.
        settings: all else that decides the outcome, as plain data.
        work: does it, and returns the artifact that it saved.
        told: what the run keeps with its settings and does not depend on, such as what an input was called.
        force: do it even when it is up to date.
        resume: go on with a run of the same inputs and settings that was broken off.
    """
    mark, stage = fingerprint(job_type, inputs, settings), STAGES.get(job_type, job_type)
    if not force and (artifact := tracker.up_to_date(job_type, mark)):
        say(f"{stage}: up to date, {artifact.spec} answers for it (--force redoes it)")
        return artifact
    with tracker.run(job_type, config={**settings, **(told or {})}, fingerprint=mark, resume=resume) as run:
        say(f"{stage}: {'going on with ' if run.last_step else ''}run {run.name}")
        for artifact in inputs:
            run.use(artifact)
        artifact = work(run)
    say(f"{stage}: saved {artifact.spec} ({plural(len(artifact.files), 'file')}, digest {artifact.digest[:12]})")
    return artifact


def items_of(source: Artifact, stage: str) -> list[tuple[dict[str, Any], Item]]:
    """The rows of one subset, in the order of their names, with their files, each checked against its digest."""
    from sightline.learning.pixels import Item

    rows = sorted((row for row in source.table(JOINED).rows() if row["Stage"] == stage), key=lambda row: row[KEY])
    return [
        (row, Item(source.path(row["Image"]), source.path(row["Mask"]), (row["Height"], row["Width"])))
        for row in track(rows, f"checking {stage} files", len(rows))
    ]


def train_pixels(source: Artifact, classes: ClassMap) -> list[float]:
    """Pixels of each class in the train subset, C entries; rounded as shares are."""
    rows = [row for row in source.table(JOINED).rows() if row["Stage"] == "train"]
    return [sum(row[f"{name}_share"] * row["Width"] * row["Height"] for row in rows) for name in classes.names]


def write_text(path: Path, text: str) -> Path:
    """Write a text file into a run's scratch folder."""
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
