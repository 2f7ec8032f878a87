"""Split: the raw_data artifact -> train, valid and test, drives kept together, and what the subsets share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from sightline.config import Config, to_dict
from sightline.console import say
from sightline.errors import ConfigError, SplitError, StoreError
from sightline.folds import check_folds, deal, groups_with, subsets_of
from sightline.layouts import SUBSETS
from sightline.leaks import describe, find_leaks, leave_gaps, unnumbered_drives
from sightline.ready import match_split, published_split, read_split
from sightline.stages.stage import dataset_name, resolve, tracked
from sightline.table import KEY, Table, write_csv
from sightline.tracking import Artifact, Run, StoredFile, Tracker, open_tracker
from sightline.tracking.blobs import hash_file
from sightline.versions import versions
from sightline.wording import plural

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("numpy", "pandas", "scikit-learn", "pyarrow")
"""What the images are dealt and compared with."""
Method = Literal["stratified-group-k-fold", "published", "csv"]


def split(
    config: Config, tracker: Tracker | None = None, *, raw: Artifact | str | None = None, force: bool = False
) -> Artifact:
    """Deal the images to train, valid and test, each group to one of them, and check what the subsets share.

    Args:
        config: `split` says how; `seed` is that of the shuffling.
        tracker: where the run is kept; opened from `config` when left out.
        raw: the raw_data artifact or its name (`NAME:v3`); the latest of the dataset that `config.data` names when
            left out.
        force: do it even when it is up to date.

    Returns:
        The artifact `NAME_split` (split_data): `data_split.csv`, `eda_table_data_split.parquet`,
        `class_shares.parquet`, `split.json`, `classes.json`, `LICENSE.txt` where there is one, and every image and
        mask of the rows it keeps, by digest.

    Raises:
        SplitError: too few groups, a class that cannot be spread, a ready split that does not fit, an empty subset.
        ConfigError: folds that do not fit, or two ready splits at once.
        DataError: the CSV file of a ready split cannot be read.
        StoreError: there is no such raw_data artifact.
    """
    tracker = tracker or open_tracker(config)
    source = resolve(tracker, raw, "" if raw else dataset_name(config, tracker))
    if source.type != "raw_data":
        raise ConfigError(f"{source.spec} is of type {source.type}; a split is made of raw_data, which ingest writes.")
    if not config.split.from_csv:
        check_folds(config.split)
    settings = {**to_dict(config.split), "seed": config.seed, "csv": _csv_digest(config)}
    return tracked(
        tracker, "data_split", [source], settings, partial(_split, source=source, config=config), force=force
    )


@dataclass(frozen=True)
class Dealt:
    """A split before it is written.

    Args:
        method: how it was made.
        rows: the EDA table's rows, sorted by `File_Name`, with `Stage` (missing where the image is left out).
        dropped: `File_Name`, `Group` and `reason` of the images left out.
    """

    method: Method
    rows: pd.DataFrame
    dropped: pd.DataFrame

    @property
    def kept(self) -> pd.DataFrame:
        """The rows that are in a subset."""
        return self.rows[self.rows["Stage"].notna()]


def class_shares(rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """In how many images of each subset a class occurs, and the share of the subset's pixels that it covers.

    Args:
        rows: of the EDA table, with `Stage`.
        classes: class names.

    Returns:
        One row per class: `Class`, and for all, train, valid and test `{subset}_images` (int64) and `{subset}_share`
        (float64, 0 to 1; each image weighs as its number of pixels; missing for a subset without images).
    """
    import pandas as pd

    names = list(classes)
    columns: dict[str, Any] = {"Class": names}
    for subset in ("all", *SUBSETS):
        members = rows if subset == "all" else rows[rows["Stage"] == subset]
        pixels = members["Width"].astype("float64") * members["Height"]
        covered = members[[f"{name}_share" for name in names]].mul(pixels, axis=0).sum()
        columns[f"{subset}_images"] = members[names].astype("int64").sum().to_numpy()
        columns[f"{subset}_share"] = (covered / (pixels.sum() or float("nan"))).to_numpy()
    return pd.DataFrame(columns)


def _csv_digest(config: Config) -> str | None:
    """sha256 of the ready split: the same path may hold another one tomorrow."""
    if not config.split.from_csv:
        return None
    if config.split.published:
        raise ConfigError("Both --from and --published name a ready split. Choose one of them.")
    read_split(Path(config.split.from_csv))
    return hash_file(Path(config.split.from_csv))[0]


def _split(run: Run, source: Artifact, config: Config) -> Artifact:
    table = source.table("eda_table.parquet")
    table.check_key()
    classes = table.classes
    if classes is None:
        raise StoreError(f"eda_table.parquet of {source.spec} carries no class map. Ingest again with --force.")
    if "stage" in map(str.casefold, classes.names):
        raise ConfigError("A class is named Stage, as the split's own column is. Rename it in the class map.")
    dealt = _deal(config, source, table.to_pandas(), classes.names)
    leaks = find_leaks(dealt.rows, config.split.near_duplicate)
    shares = class_shares(dealt.kept, classes.names)
    summary = _summary(dealt, config, leaks, _warnings(dealt, config, shares, classes.names))
    _tell(summary, len(dealt.rows))
    run.summary.update(_numbers(summary))
    files = _files(source, dealt.kept) | _written(run.scratch, dealt, table, shares, summary)
    settings = {"split": to_dict(config.split), "seed": config.seed}
    made = {"settings": settings, "versions": versions(PACKAGES)}
    return run.save(f"{source.name}_split", "split_data", files, {"raw": source.spec, **made})


def _deal(config: Config, source: Artifact, rows: pd.DataFrame, classes: Sequence[str]) -> Dealt:
    """The split by the method that the settings, or else the dataset's layout, ask for."""
    method = _method(config, source)
    rows = rows.sort_values(KEY, ignore_index=True)
    if method == "csv":
        path = Path(config.split.from_csv)
        stages = match_split(read_split(path), rows[KEY].tolist(), f"The split {path}")
    elif method == "published":
        stages = published_split(rows)
    else:
        stages = deal(rows, classes, config.split, config.seed)
    rows = rows.assign(Stage=stages["Stage"].astype(object))
    # a ready split is taken as it is; only one made here leaves frames out
    dropped = leave_gaps(rows, config.split.gap if method == "stratified-group-k-fold" else 0)
    rows.loc[rows[KEY].isin(dropped[KEY]), "Stage"] = None
    _check_subsets(rows, dropped, method, config)
    return Dealt(method, rows, dropped)


def _method(config: Config, source: Artifact) -> Method:
    settings = config.split
    if settings.from_csv:
        return "csv"
    use = settings.published
    if use is None and (use := source.json("ingest.json")["layout"]["use_published"]):
        say("split: the published split is used, as the dataset's preset says (--no-published makes one)")
    return "published" if use else "stratified-group-k-fold"


def _check_subsets(rows: pd.DataFrame, dropped: pd.DataFrame, method: Method, config: Config) -> None:
    """SplitError where a subset that is needed holds no image."""
    made = method == "stratified-group-k-fold"
    needed = subsets_of(config.split) if made else SUBSETS[:2]
    empty = [subset for subset in needed if not (rows["Stage"] == subset).any()]
    if not empty:
        return
    if made:
        raise SplitError(
            f"A gap of {plural(config.split.gap, 'frame')} leaves no image in {' and '.join(empty)}: {len(dropped)} of "
            f"{len(rows)} images are left out. Choose a smaller --gap (0 leaves none out, and reports the frames that "
            "touch), or longer groups with --group."
        )
    what = f"The split {config.split.from_csv}" if method == "csv" else "The published split"
    raise SplitError(
        f"{what} puts none of {len(rows)} images in {' and '.join(empty)}: the network learns on train, and its best "
        "epoch is chosen on valid. Give another split with --from, or let Sightline make one (--no-published)."
    )


def _warnings(dealt: Dealt, config: Config, shares: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """What a reader of the split should know, but for the leaks."""
    warnings = []
    unnumbered = unnumbered_drives(dealt.rows)
    if unnumbered:
        warnings.append(
            f"{plural(len(unnumbered), 'drive stands', 'drives stand')} in several subsets, but the frames have no "
            f"numbers (first: {unnumbered[0]}): no gap could be left between them, nor touching frames be looked for. "
            "Name the frame's number in --group, as (?P<frame>...)."
        )
    return warnings + _missing_classes(dealt, config, shares, groups_with(dealt.kept, classes))


def _missing_classes(dealt: Dealt, config: Config, shares: pd.DataFrame, groups: dict[str, int]) -> list[str]:
    """A warning for each class that occurs in some subset and not in another."""
    subsets = [subset for subset in SUBSETS if (dealt.rows["Stage"] == subset).any()]
    warnings = []
    for row in shares.to_dict("records"):
        name, missing = row["Class"], [subset for subset in subsets if not row[f"{subset}_images"]]
        if row["all_images"] and missing:
            could = groups[name] >= len(subsets)
            where = f"{plural(row['all_images'], 'image')} of {plural(groups[name], 'group')}"
            warnings.append(
                f"{name} occurs in {where}, but in none of {' and '.join(missing)}"
                + _remedy(dealt.method, could, name in config.split.stratify)
            )
    return warnings


def _remedy(method: Method, could: bool, stratified: bool) -> str:
    if not could:
        return ": too few groups for every subset."
    if method != "stratified-group-k-fold":
        return ", though it could be in each: the split is taken as it is."
    if stratified:
        return ", though it could be in each: choose fewer --folds, another --seed, or smaller groups (--group)."
    return ", though it could be in each: stratify by it too (--stratify)."


def _summary(dealt: Dealt, config: Config, leaks: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """What `split.json` holds; settings that a ready split did not use are null or empty."""
    made, settings = dealt.method == "stratified-group-k-fold", config.split
    return {
        "method": dealt.method,
        "seed": config.seed if made else None,
        "folds": settings.folds if made else None,
        "test_folds": list(settings.test_folds) if made else [],
        "valid_folds": list(settings.valid_folds) if made else [],
        "stratify": list(settings.stratify) if made else [],
        "subsets": {subset: _counts(dealt.rows[dealt.rows["Stage"] == subset]) for subset in SUBSETS},
        "dropped": dealt.dropped.to_dict("records"),
        "leaks": leaks,
        "warnings": warnings,
    }


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {"images": len(rows), "groups": int(rows["Group"].nunique()), "drives": int(rows["Drive"].nunique())}


def _numbers(summary: dict[str, Any]) -> dict[str, int]:
    """What the run's summary holds."""
    numbers = {f"{subset}_images": counts["images"] for subset, counts in summary["subsets"].items()}
    leaks = summary["leaks"]
    return numbers | {
        "dropped": len(summary["dropped"]),
        "shared_groups": len(leaks["groups"]),
        "near_duplicates": leaks["near_duplicate_count"],
        "touching": leaks["touching_count"],
    }


def _tell(summary: dict[str, Any], images: int) -> None:
    for subset, counts in summary["subsets"].items():
        if counts["images"]:
            held, groups, drives = (plural(counts[f"{word}s"], word) for word in ("image", "group", "drive"))
            say(f"  {subset}: {held} in {groups} of {drives}")
    if summary["dropped"]:
        say(f"  gap: {len(summary['dropped'])} of {images} images left out where subsets meet in a drive")
    for well, line in describe(summary["leaks"]):
        say(f"  leak check: {line}" if well else f"  warning: {line}")
    for warning in summary["warnings"]:
        say(f"  warning: {warning}")


def _files(source: Artifact, kept: pd.DataFrame) -> dict[str, StoredFile | Path]:
    """The files of the raw data that the split holds too: no second copy."""
    wanted = [*kept["Image"], *kept["Mask"], "classes.json"]
    missing = [path for path in wanted if path not in source]
    if missing:
        told = f"{plural(len(missing), 'file is', 'files are')} not in {source.spec}"
        raise StoreError(f"{told} (first: {missing[0]}). Ingest with --force.")
    wanted += ["LICENSE.txt"] if "LICENSE.txt" in source else []
    return {path: source.files[path] for path in wanted}


def _written(
    scratch: Path, dealt: Dealt, table: Table, shares: pd.DataFrame, summary: dict[str, Any]
) -> dict[str, StoredFile | Path]:
    stages = dealt.kept[[KEY, "Stage"]]
    (scratch / "split.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8", newline="\n")
    return {
        "split.json": scratch / "split.json",
        "data_split.csv": write_csv(stages, scratch / "data_split.csv"),
        "class_shares.parquet": Table.from_pandas(shares).write(scratch / "class_shares.parquet"),
        "eda_table_data_split.parquet": _joined(table, stages).write(scratch / "eda_table_data_split.parquet"),
    }


def _joined(table: Table, stages: pd.DataFrame) -> Table:
    """The EDA table's rows that are in a subset, with `Stage`, and `Split` set to the same."""
    joined = table.join(Table.from_pandas(stages)).data.sort_by(KEY)
    place = joined.column_names.index("Split")
    return Table(joined.set_column(place, pa.field("Split", pa.string()), joined["Stage"]), table.classes)
